#!/usr/bin/env python3
"""Steps of the wall clock, by days, forwards and backwards, while objects have a time to live.

The daemon runs under faketime(1), whose clock this program sets; the clock that counts since boot is left alone,
as it is by an administrator or a bad time server. Nothing may be deleted early (invariant 16); once the clock is
right again, or after a restart with a clock that the operator means, expiry goes on.
"""

import contextlib
import os
import sys
import tempfile
import time

from history import body_of
from rig import Budget, Server, need, run, wait_until

DAY = 86400
TTL = 12  # seconds, of /short/; /long/ lives for days, /kept/ for ever
CONFIG = f'rule "/short/*" {{ ttl = {TTL}s }}\nrule "/long/*" {{ ttl = 3d }}\n'
LOOKS = 2.5  # seconds in which the daemon looks at its clocks twice


class Clocked(Server):
    """A daemon whose wall clock is off by what set_clock said last."""

    def __init__(self, folder):
        super().__init__(CONFIG)
        self.file = os.path.join(folder, "clock")
        self.set_clock(0)

    def set_clock(self, seconds):
        with open(self.file + ".new", "w", encoding="ascii") as file:
            file.write(f"{seconds:+d}s\n")
        os.rename(self.file + ".new", self.file)

    def command(self):
        return ["env", "LD_PRELOAD=" + library(), "FAKETIME_TIMESTAMP_FILE=" + self.file,
                "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", *super().command()]


def library():
    for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"):
        path = os.path.join(folder, "faketime", "libfaketimeMT.so.1")
        if os.path.exists(path):
            return path
    return None


def put_all(server, count, number):
    """COUNT objects of each kind; the bodies by path."""
    bodies = {}
    with server.connect() as client:
        for kind in ("short", "long", "kept"):
            for index in range(count):
                path = f"/{kind}/{number}-{index}.m4s"
                bodies[path] = body_of(path, index, 500)
                if client.put(path, bodies[path]).status != 201:
                    raise AssertionError(f"{path} was refused")
    return bodies


def missing(server, bodies):
    """Paths that are not there with the right bytes."""
    with server.connect() as client:
        return [path for path, body in bodies.items() if client.get(path).body != body]


def expect_all(verdict, server, bodies, where):
    gone = missing(server, bodies)
    for path in gone[:3]:
        verdict.problem(f"DELETED EARLY: {path} {where}")
    verdict.count("objects verified", len(bodies) - len(gone))


def expect_expiry(verdict, server, bodies, where):
    """What has a short time goes, the rest stays."""
    short = {path: body for path, body in bodies.items() if path.startswith("/short/")}
    try:
        wait_until(lambda: len(missing(server, short)) == len(short), "expiry", TTL + 20)
        verdict.count("expired in time", len(short))
    except AssertionError:
        verdict.problem(f"expiry does not go on {where}: {len(missing(server, short))} of {len(short)} gone")
    expect_all(verdict, server, {p: b for p, b in bodies.items() if p not in short}, where)


def step(verdict, random, folder, seconds):
    """A step while it runs, and back."""
    where = f"after a step of {seconds} s"
    server = Clocked(folder)
    try:
        server.start()
        first = time.monotonic()
        bodies = put_all(server, 10, random.randrange(1000))
        begin = time.monotonic()
        server.set_clock(seconds)
        if begin - first > TTL - LOOKS - 2:
            verdict.count("steps that came too late")
            return
        while time.monotonic() < begin + LOOKS:
            expect_all(verdict, server, bodies, where)
            time.sleep(0.2)
        if not any("expiry pauses" in (line or "") for line in server.log):
            verdict.problem(f"{where} the log does not say that expiry pauses")
        time.sleep(max(0.0, begin + TTL + LOOKS - time.monotonic()))
        expect_all(verdict, server, bodies, where + ", when the time of some was over")
        server.set_clock(0)
        expect_expiry(verdict, server, bodies, where + " and back")
        verdict.count("steps")
    finally:
        server.remove()


def stepped_start(verdict, random, folder, seconds):
    """The clock is wrong at a start."""
    where = f"at a start with the clock off by {seconds} s"
    server = Clocked(folder)
    try:
        server.start()
        bodies = put_all(server, 10, random.randrange(1000))
        server.kill()
        server.set_clock(seconds)
        server.start()
        if seconds < 0:
            # Behind the newest object: wrong for certain. What was over before the kill may be gone.
            gone = missing(server, bodies)
            bodies = {path: body for path, body in bodies.items() if path not in gone}
            time.sleep(TTL + LOOKS)
            expect_all(verdict, server, bodies, where)
            server.kill()
            server.set_clock(0)
            server.start()
        expect_expiry(verdict, server, bodies, where)
        verdict.count("starts")
    finally:
        server.remove()


def sees_what_is_wrong(verdict, folder):
    """A daemon that took the stepped clock for true would delete what lives for days: seen by a restart."""
    server = Clocked(folder)
    try:
        server.start()
        bodies = put_all(server, 5, 1)
        server.stop()
        server.set_clock(4 * DAY)
        server.start()
        long = {path: body for path, body in bodies.items() if path.startswith("/long/")}
        wait_until(lambda: len(missing(server, long)) == len(long), "the planted clock to delete", 20)
    except AssertionError:
        verdict.problem("this harness does not see that objects are deleted: its clock has no effect")
    finally:
        server.remove()


def harness(verdict, random):
    need("faketime")
    if not library():
        verdict.problem("faketime is there, and its library is not where it was looked for")
        return
    steps = [3 * DAY, -3 * DAY, 400 * DAY, -2 * DAY, DAY, -30 * DAY]
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="spillway-clock-"))
        sees_what_is_wrong(verdict, folder)
        for number in Budget(25):
            step(verdict, random, folder, steps[number % len(steps)])
            stepped_start(verdict, random, folder, -5 * DAY if number % 2 == 0 else 2 * DAY // 3)
        if not verdict.counts.get("steps"):
            verdict.problem("no step came in time: this run shows nothing")


if __name__ == "__main__":
    sys.exit(run("clock", harness))
