#!/usr/bin/env python3
"""Many small objects: how fast they are stored, listed and read, and how soon the server is back.

usage: objects.py [--count 1000000] [--connections 64] [--depth 64] [--size 100]

Starts the daemon that $SPILLWAY names on a data directory of its own. Every PUT is acknowledged
on disk; --depth requests are in flight on each connection. The list and a sample
of the objects are verified before and after the restarts (SIGTERM, kill -9, without catalog).
"""

import argparse
import glob
import itertools
import os
import selectors
import shutil
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

from harness import Client, Server  # noqa: E402

PREFIXES = 100


def path_of(number):
    return f"/many/{number % PREFIXES:02}/{number:08}.m4s"


def body_of(number, size):
    return (b"%08d " % number).ljust(size, b".")


class Lane:
    """One connection with its share of the requests, DEPTH of them in flight."""

    def __init__(self, port, numbers, make, check):
        self.client = Client(port)
        self.client.sock.setblocking(False)
        self.numbers, self.make, self.check = numbers, make, check
        self.flying = []
        self.out = b""
        self.text = b""

    def fill(self, depth):
        """Sends the next batch, once the last one is answered."""
        self.flying = list(itertools.islice(self.numbers, depth))
        self.out = b"".join(map(self.make, self.flying))
        self.text = b""
        return bool(self.flying)

    def step(self):
        """Moves what can be moved; True when the batch is answered."""
        if self.out:
            try:
                self.out = self.out[self.client.sock.send(self.out):]
            except BlockingIOError:
                pass
        try:
            data = self.client.sock.recv(1 << 20)
            if not data:
                sys.exit("the server ended a connection")
            self.text += data
        except BlockingIOError:
            pass
        return not self.out and self.check(self.text, self.flying)


def drive(server, count, args, make, check, goes_on=lambda: True):
    """All requests for 0 to COUNT - 1, while GOES_ON. Seconds it took."""
    selector = selectors.DefaultSelector()
    begin = time.monotonic()
    for first in range(args.connections):
        numbers = itertools.takewhile(lambda _: goes_on(), range(first, count, args.connections))
        lane = Lane(server.port, numbers, make, check)
        if lane.fill(args.depth):
            selector.register(lane.client.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, lane)
    while selector.get_map():
        for key, _ in selector.select():
            lane = key.data
            had_out = bool(lane.out)
            if lane.step() and not lane.fill(args.depth):
                selector.unregister(lane.client.sock)
                lane.client.close()
            elif bool(lane.out) or had_out:
                events = selectors.EVENT_READ | (selectors.EVENT_WRITE if lane.out else 0)
                selector.modify(lane.client.sock, events, lane)
    return time.monotonic() - begin


def puts(size, acknowledged=lambda flying: None):
    """What drive makes and checks to store objects of SIZE; ACKNOWLEDGED hears of the numbers that are."""
    def make(number):
        body = body_of(number, size)
        return (b"PUT %s HTTP/1.1\r\nHost: b\r\nContent-Length: %d\r\n\r\n%s"
                % (path_of(number).encode(), len(body), body))

    def check(text, flying):
        if text.count(b"HTTP/1.1 ") < len(flying) or not text.endswith(b"\r\n\r\n"):
            return False
        if text.count(b"HTTP/1.1 201 ") != len(flying):
            sys.exit(f"not every PUT was answered 201: {text[:300]!r}")
        acknowledged(flying)
        return True
    return make, check


def store(server, args):
    return drive(server, args.count, args, *puts(args.size))


def fetch(server, count, args):
    def make(number):
        return b"GET %s HTTP/1.1\r\nHost: b\r\n\r\n" % path_of(number).encode()

    def check(text, flying):
        if text.count(b"HTTP/1.1 ") < len(flying) or not text.endswith(
                body_of(flying[-1], args.size)):
            return False
        replies = text.split(b"HTTP/1.1 ")[1:]
        for reply, number in zip(replies, flying):
            if not (reply.startswith(b"200 ") and
                    reply.endswith(b"\r\n\r\n" + body_of(number, args.size))):
                sys.exit(f"wrong reply for {path_of(number)}: {reply!r}")
        return True
    return drive(server, count, args, make, check)


def listing(server, prefix):
    """Seconds, and the paths."""
    begin = time.monotonic()
    with server.connect() as client:
        client.sock.settimeout(300)
        reply = client.request("LIST", prefix)
    return time.monotonic() - begin, reply.body.decode().splitlines()


def verify_lists(server, args, what):
    took, paths = listing(server, "/many/")
    expected = sorted(path_of(number) for number in range(args.count))
    if paths != expected:
        sys.exit(f"the list {what} is wrong: {len(paths)} paths, {args.count} expected")
    part, paths = listing(server, "/many/42/")
    if paths != [path for path in expected if path.startswith("/many/42/")]:
        sys.exit(f"the list of a prefix {what} is wrong")
    return took, part


def restarted(server, args, what, figures):
    begin = time.monotonic()
    figures["start_s"] = server.start()
    with server.connect() as client:
        reply = client.get(path_of(args.count - 1))
    figures["first_get_s"] = time.monotonic() - begin
    if reply.body != body_of(args.count - 1, args.size):
        sys.exit(f"the last object is wrong {what}")
    verify_lists(server, args, what)
    fetch(server, min(args.count, 50_000), args)
    print(f"  start {what:24}{figures['start_s']:10.3f} s      "
          f"first GET after {figures['first_get_s']:.3f} s, "
          f"own memory {server.rss_anon() / 1048576:.1f} MiB", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--depth", type=int, default=64)
    parser.add_argument("--size", type=int, default=100)
    args = parser.parse_args()
    server = Server()
    try:
        server.start()
        print(f"{args.count} objects of {args.size} bytes, {args.connections} connections, "
              f"{args.depth} requests in flight on each")
        put = store(server, args)
        print(f"  PUT                           {put:10.2f} s      {args.count / put:.0f} a second, "
              f"own memory {server.rss_anon() / 1048576:.1f} MiB", flush=True)
        all_s, part_s = verify_lists(server, args, "before the restart")
        print(f"  LIST of all                   {all_s:10.3f} s      "
              f"of one prefix in {PREFIXES}: {part_s:.3f} s", flush=True)
        get = fetch(server, args.count, args)
        print(f"  GET                           {get:10.2f} s      {args.count / get:.0f} a second, "
              f"own memory {server.rss_anon() / 1048576:.1f} MiB", flush=True)
        term, crash, rebuild = {}, {}, {}
        server.stop()
        restarted(server, args, "after SIGTERM", term)
        server.kill()
        restarted(server, args, "after kill -9", crash)
        server.stop()
        for name in glob.glob(server.data + "/catalog*"):
            shutil.rmtree(name) if os.path.isdir(name) else os.unlink(name)
        restarted(server, args, "without its catalog", rebuild)
        print(f"bench=objects count={args.count} size={args.size} put_per_s={args.count / put:.0f} "
              f"list_s={all_s:.3f} list_prefix_s={part_s:.3f} get_per_s={args.count / get:.0f} "
              f"start_s={term['start_s']:.3f} start_after_kill_s={crash['start_s']:.3f} "
              f"rebuild_s={rebuild['start_s']:.3f}")
    finally:
        server.remove()


if __name__ == "__main__":
    main()
