#!/usr/bin/env python3
"""SIGKILL at the first, second, third ... call of everything that changes the disk.

A fixed small workload runs under strace, which kills the daemon at call N; then all that was
acknowledged must be there. The same with a start that has a catalog to rebuild, and, at calls
chosen at random, with many encoders at once. strace counts the calls of each thread.
"""

import subprocess
import sys

from history import History
from rig import Budget, Traced, journalled, need, remove_catalog, run
from verifier import verify, verify_rebuilt
from writer import GONE, Load, Uploader

# What the daemon changes files with: the volumes' calls first, then LMDB's.
CALLS = ("pwritev", "sync_file_range", "fdatasync", "fallocate", "fsync", "rename,renameat,renameat2", "ftruncate",
         "openat", "pwrite64", "unlinkat", "mkdirat,mkdir", "munmap")
CROWD_CALLS = ("pwritev", "pwritev", "fdatasync", "fdatasync", "pwrite64")
STEP_AFTER = 12  # every N up to here, then in growing steps


def workload(uploader):
    """Enough to fill a volume of 16 MiB, with every kind of record in it."""
    for number in range(4):
        uploader.put(f"/a/{number}.m4s", 700 * number)
        uploader.put("/live.m3u8", 300 + number, pieces=1)
        uploader.put(f"/b/{number}.m4s", 65536, pieces=4)
    uploader.cut("/cut.m4s", 50_000, 20_000)
    uploader.delete("/a/1.m4s")
    for number in range(4):
        uploader.put(f"/big/{number}.mp4", 5 << 20, pieces=8)
        uploader.put("/live.m3u8", 400 + number, pieces=1)
        uploader.put("/a/0.m4s", 900 + number)
    uploader.delete("/b/2.m4s")
    uploader.put("/a/1.m4s", 40)


def start(server, inject):
    """Whether the daemon came up."""
    server.inject = inject
    try:
        server.start()
        return True
    except AssertionError:
        if server.process.wait(5) != -9:
            raise
        return False
    finally:
        server.inject = ()


def crowd(server, journal, seed, **options):
    load = Load(server.port, journal, seed, encoders=6, **options)
    try:
        server.process.wait(3)
    except subprocess.TimeoutExpired:
        pass
    load.stop()


def trial(verdict, call, when, at_start, seed=0):
    """Whether call WHEN was reached. SEED: of a crowd, instead of the fixed workload."""
    server = Traced("volume_size = 16MiB\n", ["-w", "1"])
    with journalled(server) as journal:
        rule = (f"{call}:signal=SIGKILL:when={when}",)
        if at_start:
            server.start()
            workload(Uploader(server.port, journal))
            server.kill()
            remove_catalog(server.data)
        if start(server, rule):
            if seed:
                crowd(server, journal, seed)
            elif not at_start:
                uploader = Uploader(server.port, journal)
                try:
                    workload(uploader)
                except GONE:
                    pass
                uploader.drop()
            if server.process.poll() is None:
                server.process.terminate()
        if server.wait_exit() == 0:
            return False
        history = History()
        history.read(journal.file)
        server.start()
        checked = verify(server, history)
        where = f"killed at {call} {when}" + (" of a rebuild" if at_start else "")
        where += f" of crowd {seed}" if seed else ""
        verdict.add(where, checked)
        verdict.add(where + ", rebuilt", verify_rebuilt(server, history, checked))
        verdict.count("kills")
        return True


def harness(verdict, random):
    need("strace")
    budget = Budget(60)
    going = [[call, 1, at_start] for at_start in (False, True) for call in CALLS]
    while going and not budget.is_over():
        for item in list(going):
            call, when, at_start = item
            if budget.is_over():
                break
            if not trial(verdict, call, when, at_start):
                going.remove(item)
                verdict.count("calls tried to the end")
            item[1] += 1 if when < STEP_AFTER else when // 6
        call = random.choice(CROWD_CALLS)
        if trial(verdict, call, random.choice((5, 40, 300)) * random.randrange(1, 4), False,
                 random.randrange(1, 1 << 30)):
            verdict.count("kills of a crowd")
    if not verdict.counts.get("kills"):
        verdict.problem("nothing was killed: this run shows nothing")
    for call, when, at_start in going:
        print(f"out of time: {call} up to {when - 1}{' of a rebuild' if at_start else ''}")


if __name__ == "__main__":
    sys.exit(run("killat", harness))
