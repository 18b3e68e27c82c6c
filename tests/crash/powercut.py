#!/usr/bin/env python3
"""Power cuts: pictures of the disk under load, each of which must hold all that was acknowledged.

The log's size just before the picture says what was acknowledged for certain; what began before the
picture was complete may be in it. At the end the same is done with `sync = off`, where the
harness must see that acknowledged objects are lost.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time

from disks import Disks
from history import History, Journal
from rig import Budget, Silent, Traced, run
from verifier import verify_data
from writer import Load, Uploader

GIB = 1 << 30
PICTURES = 8


def take_pictures(server, disks, journal, random, at_start):
    """Pictures under load: [(file, log size before, log size after)]."""
    pictures = []
    load = Load(server.port, journal, random.randrange(1 << 30), encoders=6, goes_on=True)
    for number in range(PICTURES):
        # The first moments of a data directory are a case of their own.
        time.sleep(random.random() * (0.05 if at_start and number < 3 else 0.8))
        before = journal.size()
        file = disks.picture(number)
        pictures.append((file, before, journal.size()))
    load.stop()
    return pictures


def look(verdict, disks, journal, picture, where):
    """Verifies what a picture shows."""
    file, before, after = picture
    history = History()
    history.read(journal.file, replies_up_to=before, begins_up_to=after)
    with disks.mounted(file) as data:
        if os.path.isdir(data):
            verify_data(verdict, history, data, where)
        elif any(op.acknowledged for ops in history.ops.values() for op in ops):
            verdict.problem(f"{where}: there is no data directory")
    os.unlink(file)


def session(verdict, random, where, config="", inject=(), synced_once=False):
    """A fresh disk, a load, some pictures. SYNCED_ONCE: the disk has what a start makes."""
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="spillway-cut-") as logs, \
            Disks(4 * GIB, 24 * GIB) as disks:
        journal = Journal(os.path.join(logs, "log"))
        server = Traced("volume_size = 64MiB\n" + config, data=disks.data)
        server.inject = inject
        try:
            server.start()
            if synced_once:
                Uploader(server.port, journal).put("/first.m4s", 100)
                subprocess.run(["sync", "-f", disks.data], check=True)
            pictures = take_pictures(server, disks, journal, random, True)
            server.kill()
        finally:
            server.remove()
            journal.close()
        for number, picture in enumerate(pictures):
            look(verdict, disks, journal, picture, f"{where} picture {number}")
            verdict.count("pictures")


def harness(verdict, random):
    budget = Budget(40)
    for number in budget:
        session(verdict, random, f"session {number}")
    must_lose(verdict, random, "sync = off", config="sync = off\n")
    if shutil.which("strace"):
        must_lose(verdict, random, "fdatasync left out", inject=("fdatasync:retval=0",))


def must_lose(verdict, random, what, **planted):
    """With a planted fault, objects must be seen to be lost: or this harness could not fail."""
    blind = Silent()
    for _ in range(3):
        session(blind, random, what, synced_once=True, **planted)
        if blind.problems:
            break
    lost = blind.lost()
    print(f"with {what}: {lost} objects lost or old in {blind.counts['pictures']} pictures, "
          f"{len(blind.problems) - lost} other faults", flush=True)
    if not lost:
        verdict.problem(f"this harness did not see that something is lost with {what}")


if __name__ == "__main__":
    sys.exit(run("powercut", harness))
