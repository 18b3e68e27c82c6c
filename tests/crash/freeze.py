#!/usr/bin/env python3
"""A disk that is frozen for seconds: live bytes flow on, acknowledgements wait, nothing is lost."""

import os
import struct
import subprocess
import sys
import tempfile
import threading
import time

from disks import Disks
from history import History, Journal
from rig import Budget, Server, need, run
from verifier import verify, verify_rebuilt
from writer import Load, Uploader

GIB = 1 << 30
FROZEN = 5.0        # seconds
PART = 10_000       # bytes of a live part
PARTS_A_SECOND = 10
LATE = 0.5          # seconds a live byte may take on a busy machine
READERS = 20


class Live(threading.Thread):
    """A live upload whose parts begin with the time they were sent."""

    def __init__(self, server, path):
        super().__init__(daemon=True)
        self.client = server.connect()
        self.client.begin_put(path)
        self.stopping = False
        self.status = None

    def run(self):
        self.client.sock.settimeout(60)
        while not self.stopping:
            self.client.send_chunk(struct.pack("<d", time.monotonic()).ljust(PART, b"."))
            time.sleep(1 / PARTS_A_SECOND)
        self.status = self.client.end_put().status
        self.client.close()


class Follower(threading.Thread):
    """A reader of a live upload: (when a part came, how late)."""

    def __init__(self, server, path):
        super().__init__(daemon=True)
        self.client = server.connect()
        self.client.send_head("GET", path)
        self.parts = []

    def run(self):
        if self.client.read_head().status != 200:
            return
        try:
            while True:
                part = self.client.read_part(PART)
                now = time.monotonic()
                self.parts.append((now, now - struct.unpack("<d", part[:8])[0]))
        except AssertionError:
            pass  # the end of the upload
        self.client.close()


class Watched(Journal):
    """A log that also remembers when replies came."""

    def __init__(self, file):
        super().__init__(file)
        self.times = []

    def end(self, number, status):
        if status:
            self.times.append(time.monotonic())
        super().end(number, status)


def probe(server, path, until):
    """The worst time of a GET, over and over, of an object that is on disk."""
    worst = 0.0
    with server.connect() as client:
        client.sock.settimeout(FROZEN * 3)
        while time.monotonic() < until:
            begin = time.monotonic()
            if client.get(path).status != 200:
                raise AssertionError(f"GET {path} while the disk is frozen")
            worst = max(worst, time.monotonic() - begin)
            time.sleep(0.05)
    return worst


def session(verdict, random, disks, journal):
    server = Server("volume_size = 64MiB\n", data=disks.data)
    try:
        server.start()
        Uploader(server.port, journal).put("/kept.m4s", 40_000)
        live = Live(server, "/frozen/live.m4s")
        live.start()
        time.sleep(0.3)
        followers = [Follower(server, "/frozen/live.m4s") for _ in range(READERS)]
        for follower in followers:
            follower.start()
        load = Load(server.port, journal, random.randrange(1 << 30), encoders=4, pause=0.01, goes_on=True)
        time.sleep(2)

        # A process of its own: it thaws the disk even if this one is killed.
        icebox = subprocess.Popen(["sh", "-c", f'fsfreeze -f "$1" && echo frozen && sleep {FROZEN}; '
                                   'fsfreeze -u "$1"', "-", disks.disk], stdout=subprocess.PIPE)
        icebox.stdout.readline()
        begin = time.monotonic()
        worst_get = probe(server, "/kept.m4s", begin + FROZEN - 0.5)
        icebox.wait()
        end = time.monotonic()
        time.sleep(2)
        load.stop()
        live.stopping = True
        live.join(20)
        for follower in followers:
            follower.join(20)

        if live.status != 201:
            verdict.problem(f"the live upload was answered {live.status}")
        during = [late for follower in followers for at, late in follower.parts if begin < at < end]
        worst = max(during, default=99)
        expected = READERS * FROZEN * PARTS_A_SECOND * 0.6
        if len(during) < expected or worst > LATE:
            verdict.problem(f"{len(during)} live parts in the freeze (at least {expected:.0f} expected), "
                            f"the latest after {worst:.3f} s")
        quiet = max((late for follower in followers for at, late in follower.parts
                     if begin - 1 < at < begin), default=0)
        too_early = sum(begin + 0.2 < at < end - 0.3 for at in journal.times)
        after = sum(at > end - 0.3 for at in journal.times)
        if too_early:
            verdict.problem(f"{too_early} acknowledgements while the disk was frozen")
        if not after:
            verdict.problem("no acknowledgement came after the thaw")
        print(f"live part at the latest after {quiet * 1000:.0f} ms before the freeze, {worst * 1000:.0f} ms "
              f"in it; a stored object at the latest after {worst_get * 1000:.0f} ms; "
              f"{after} acknowledgements after the thaw", flush=True)
        verdict.count("live parts in the freeze", len(during))

        server.kill()
        server.start()
        history = History()
        history.read(journal.file)
        with server.connect() as client:
            if client.get("/frozen/live.m4s").status != 200:
                verdict.problem("LOST: the live upload")
            client.request("DELETE", "/frozen/live.m4s")
        checked = verify(server, history)
        verdict.add("after the freeze", checked)
        verdict.add("after the freeze, rebuilt", verify_rebuilt(server, history, checked))
        verdict.count("rounds")
    finally:
        server.remove()


def harness(verdict, random):
    need("fsfreeze", root=True)
    for _ in Budget(10):
        with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="spillway-freeze-") as logs, \
                Disks(2 * GIB, 3 * GIB) as disks:
            journal = Watched(os.path.join(logs, "log"))
            try:
                session(verdict, random, disks, journal)
            finally:
                journal.close()


if __name__ == "__main__":
    sys.exit(run("freeze", harness))
