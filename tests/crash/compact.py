#!/usr/bin/env python3
"""SIGKILL while a volume that is mostly dead is emptied, and its survivors are copied.

First at the first, second, third ... call of each kind that changes the disk: a folder with such a volume is made
once, and copies of it are started under strace without any load, so that all the calls are of the copying and of
the burial. Then at random moments, with encoders that delete, replace and append what is just being
copied. A run in which nothing was copied fails.
"""

import contextlib
import os
import shutil
import sys
import tempfile
import time

from history import History, Journal
from rig import Budget, Traced, copy_data, journalled, need, run, wait_until
from verifier import copied, verify_crashed
from writer import Load, Uploader

MIB = 1 << 20
VOLUME = 16 * MIB
# A volume with an upload that may still be resumed is left alone for minutes.
CONFIG = "volume_size = 16MiB\nresume_window = 500ms\n"
# The persister's; the indexer's, of LMDB; the reclaimer's.
CALLS = ("pwritev", "fdatasync", "pwrite64", "unlinkat")
RACES = {"remove": 30, "small": 30, "medium": 20, "playlist": 10, "bulky": 0, "large": 0}
ENCODERS = 3
PATIENCE = 30  # of the daemon, which lets a volume be quiet for seconds first


class Filler:
    """Fills volumes with what is replaced soon, and few things between it that stay."""

    def __init__(self, port, journal, random):
        self.uploader = Uploader(port, journal)
        self.random = random

    def keep(self, most):
        """An object of those that the encoders work on, of MOST bytes; how many it takes."""
        folder = f"/t{self.random.randrange(ENCODERS)}"
        kind, count, length = self.random.choice((
            ("m4s", 80, 0), ("m4s", 80, 10), ("m4s", 80, 3000), ("m4s", 80, 65536), ("m3u8", 3, 800),
            ("aac", 12, 90_000), ("mp4", 12, MIB + 70_000)))
        path = f"{folder}/{self.random.randrange(count):03}.{kind}"
        if length > most:
            return 0
        if kind == "aac":
            self.uploader.cut(path, length, length // 2)
        else:
            self.uploader.put(path, length, pieces=self.random.choice((0, 4)))
        return length + 500

    def fill(self, volumes):
        """VOLUMES full ones, four fifths of which are replaced by what comes after them. What is not is more than is
        copied at a time."""
        sent, kept = 0, 0
        while sent < volumes * VOLUME:
            length = self.random.randrange(MIB // 2, MIB)
            self.uploader.put(f"/fill/{self.random.randrange(4)}.mpd", length, pieces=2)
            sent += length
            while kept < sent // 5 - MIB:
                kept += self.keep(sent // 5 - kept)
        self.uploader.drop()


# ---- at every call ---------------------------------------------------------------------------------------


class Folder:
    """A data directory with a volume that is to be emptied, and what is known of it."""

    def __init__(self, stack, random):
        self.home = stack.enter_context(tempfile.TemporaryDirectory(prefix="spillway-compact-"))
        self.data = os.path.join(self.home, "data")
        self.log = os.path.join(self.home, "log")
        server = Traced(CONFIG, ["-w", "1"])
        journal = Journal(self.log)
        try:
            server.start()
            Filler(server.port, journal, random).fill(1.6)
            server.kill()
            copy_data(server.data, self.data)
        finally:
            journal.close()
            server.remove()


def run_to_its_end(server, call, when):
    """Starts SERVER, which is killed at call WHEN: "killed in the start", "killed", or "emptied" if it was not."""
    volume = os.path.join(server.data, "volumes", "0000000001.vol")
    server.inject = (f"{call}:signal=SIGKILL:when={when}",)
    try:
        server.start()
    except AssertionError:
        return "killed in the start"
    finally:
        server.inject = ()
    return wait_until(lambda: "killed" if server.process.poll() is not None else
                      "emptied" if not os.path.exists(volume) else None, f"the end of {volume}", PATIENCE)


def trial(verdict, folder, call, when):
    """Whether call WHEN was reached."""
    server = Traced(CONFIG, ["-w", "1"], data=os.path.join(folder.home, "copy"))
    history = History()
    history.read(folder.log)
    copy_data(folder.data, server.data)
    try:
        end = run_to_its_end(server, call, when)
        if end == "emptied":
            verdict.count("bytes copied out of dying volumes", copied(server))
        server.kill()
        if end == "killed":
            verdict.count("kills at a call of copying")
        verify_crashed(verdict, server, history, f"killed at {call} {when}")
        return end != "emptied"
    finally:
        server.remove()
        shutil.rmtree(server.data)


def at_every_call(verdict, random, end):
    """A call after the other, at least one, until END says that it is time, in turns."""
    with contextlib.ExitStack() as stack:
        folder = Folder(stack, random)
        going, tried = [[call, 1] for call in CALLS], False
        while going and not (tried and end()):
            for item in list(going):
                call, when = item
                if tried and end():
                    break
                tried = True
                if not trial(verdict, folder, call, when):
                    going.remove(item)
                    verdict.count("calls tried to the end")
                item[1] += 1
        for call, when in going:
            print(f"out of time: {call} up to {when - 1}")


# ---- at random -------------------------------------------------------------------------------------------


def await_copying(verdict, server):
    """Until an object was copied: the others follow."""
    with contextlib.suppress(AssertionError):
        wait_until(lambda: copied(server) > 0, "a copy", PATIENCE)
        verdict.count("volumes that were being emptied")


def at_random(verdict, random, end):
    server = Traced(CONFIG, ["-w", "1"])
    with journalled(server) as journal:
        history = History()
        server.start()
        number = 0
        while number == 0 or not (end() or verdict.problems):
            Filler(server.port, journal, random).fill(1.6)
            await_copying(verdict, server)
            load = Load(server.port, journal, random.randrange(1 << 30), encoders=ENCODERS, weights=RACES)
            time.sleep(random.random() * 0.4)
            verdict.count("bytes copied out of dying volumes", copied(server))
            server.kill()
            load.stop()
            history.read(journal.file)
            verdict.count("acknowledgements", sum(op.acknowledged for ops in history.ops.values() for op in ops))
            history.forget(verify_crashed(verdict, server, history, f"round {number}").states)
            verdict.count("kills at random")
            number += 1


def harness(verdict, random):
    need("strace")
    budget = Budget(60)
    half = time.monotonic() + budget.seconds / 2
    at_every_call(verdict, random, lambda: time.monotonic() >= half)
    at_random(verdict, random, budget.is_over)
    for what in ("kills at a call of copying", "kills at random", "volumes that were being emptied"):
        if not verdict.counts.get(what):
            verdict.problem(f"no {what}: this run shows nothing")


if __name__ == "__main__":
    sys.exit(run("compact", harness))
