#!/usr/bin/env python3
"""Writers, readers, deleters and quitters on a few paths at once: whatever is read is right.

Every version begins with a line that tells its path, number and length; the rest follows
from these. So each reader can tell by itself whether it got a prefix of one version, and
whether a body that ended normally was whole.
"""

import random
import threading
import time

from harness import SANITIZED, Case, Closed, main, pattern

PATHS = [f"/storm/{number}.{kind}" for number in range(4) for kind in ("m4s", "m3u8")]
DURATION = 12 if SANITIZED else 5


def version(target, number, length):
    line = b"%s %d %d\n" % (target.encode(), number, length)
    return line + pattern(length, number)


class Actor(threading.Thread):
    """One client that acts at random until the end."""

    def __init__(self, server, seed, end):
        super().__init__(daemon=True)
        self.server, self.random, self.end = server, random.Random(seed), end
        self.numbers = iter(range(seed * 1_000_000, (seed + 1) * 1_000_000))
        self.client = None
        self.failure = None
        self.counts = {}

    def run(self):
        try:
            while time.monotonic() < self.end:
                action = self.random.choice(self.ACTIONS)
                if not self.client:
                    self.client = self.server.connect()
                    self.client.sock.settimeout(20)  # less than any time limit of the daemon's
                try:
                    action(self, self.random.choice(PATHS))
                except (Closed, BrokenPipeError, ConnectionResetError):
                    self.drop()
                self.counts[action.__name__] = self.counts.get(action.__name__, 0) + 1
        except BaseException as failure:
            self.failure = failure
        self.drop()

    def drop(self):
        if self.client:
            self.client.close()
        self.client = None

    def body(self, target):
        return version(target, next(self.numbers), self.random.choice((0, 1, 100, 5000, 70_000)))

    def accepted(self, reply, *statuses):
        if reply.status not in statuses:
            raise AssertionError(f"unexpected {reply}")

    def put(self, target):
        self.accepted(self.client.put(target, self.body(target)), 201, 204, 410)

    def put_slowly(self, target):
        body = self.body(target)
        self.client.begin_put(target)
        for at in range(0, len(body), 9000):
            self.client.send_chunk(body[at:at + 9000])
            time.sleep(self.random.random() / 500)
        self.accepted(self.client.end_put(), 201, 204, 410)
        if self.random.random() < 0.5:
            self.drop()

    def quit_in_the_middle(self, target):
        body = self.body(target)
        self.client.begin_put(target)
        self.client.send_chunk(body[:len(body) // 2 + 1])
        if self.random.random() < 0.5:
            self.client.reset()
            self.client = None
        self.drop()

    def delete(self, target):
        self.accepted(self.client.request("DELETE", target), 204, 404)

    def get(self, target):
        self.client.send_head("GET", target)
        head = self.client.read_head()
        if head.status == 404:
            if self.client.read_body(head).count(b"\n") != 1:
                raise AssertionError(f"a wrong {head}")
            return
        self.accepted(head, 200)
        got, whole = b"", False
        try:
            if head.chunked:
                while True:
                    chunk = self.client.read_chunk()
                    if not chunk:
                        break
                    got += chunk
                    if self.random.random() < 0.02:
                        self.verify(target, got, False)
                        self.drop()
                        return
            else:
                length = int(head["Content-Length"])
                while len(got) < length:
                    if not self.client.buffer:
                        self.client.fill()
                    part = self.client.buffer[:length - len(got)]
                    self.client.buffer = self.client.buffer[len(part):]
                    got += part
            whole = True
        except Closed:
            self.drop()
        self.verify(target, got, whole)

    def get_range(self, target):
        self.client.send_head("GET", target, "Range: bytes=0-99")
        head = self.client.read_head()
        if head.status != 206:
            self.drop()
            return
        line = self.client.read_body(head).partition(b"\n")[0].split()
        if line[0] != target.encode():
            raise AssertionError(f"{target} was asked for and {line} came")

    def head_or_list(self, target):
        self.accepted(self.client.request("HEAD", target), 200, 404)
        paths = self.client.request("LIST", "/storm/").body.decode().split("\n")[:-1]
        if paths != sorted(set(paths)) or set(paths) - set(PATHS):
            raise AssertionError(f"a wrong list: {paths}")

    def verify(self, target, got, whole):
        line, newline, _ = got.partition(b"\n")
        if not newline:
            if whole:
                raise AssertionError(f"{target}: {got[:50]!r} ended as if it were whole")
            return
        name, number, length = line.split()
        expected = version(target, int(number), int(length))
        if name != target.encode() or got != expected[:len(got)]:
            raise AssertionError(f"{target}: {line} has wrong bytes")
        if whole and got != expected:
            raise AssertionError(f"{target}: {line} ended after {len(got)} bytes")
        if whole and target.endswith(".m3u8") and not got:
            raise AssertionError("an empty playlist")

    ACTIONS = [put, put, put_slowly, put_slowly, quit_in_the_middle, delete, get, get, get, get,
               get_range, head_or_list]


class Storm(Case):
    CONFIG = "memory_max = 1MiB\nvolume_size = 16MiB\n"

    def test_whatever_is_read_is_right(self):
        end = time.monotonic() + DURATION
        actors = [Actor(self.server, seed, end) for seed in range(24)]
        for actor in actors:
            actor.start()
        for actor in actors:
            actor.join(DURATION + 60)
            self.assertFalse(actor.is_alive(), "an actor hangs")
        failures = [repr(actor.failure) for actor in actors if actor.failure]
        self.assertEqual(failures, [])
        self.assertGreater(sum(sum(actor.counts.values()) for actor in actors), 200)
        self.assert_serves()

    def test_what_was_acknowledged_last_stays_after_a_crash(self):
        end = time.monotonic() + DURATION / 2
        actors = [Actor(self.server, 100 + seed, end) for seed in range(8)]
        for actor in actors:
            actor.start()
        for actor in actors:
            actor.join(DURATION + 60)
            self.assertFalse(actor.is_alive(), "an actor hangs")
        self.assertEqual([repr(actor.failure) for actor in actors if actor.failure], [])
        expected = {}
        with self.server.connect() as client:
            for target in PATHS:
                reply = client.request("HEAD", target)
                if reply.status == 200 and reply["ETag"]:
                    expected[target] = client.get(target).body
        type(self).server.kill()
        type(self).server.start()
        for target, body in expected.items():
            reply = self.get(target)
            self.assertEqual((reply.status, reply["Content-Length"]), (200, str(len(body))), target)
            self.assertEqual(reply.body, body)


if __name__ == "__main__":
    main()
