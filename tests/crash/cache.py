#!/usr/bin/env python3
"""Power cuts of a disk with a volatile write cache: what was not flushed is gone.

nbdkit's cache filter keeps what is written in memory until a flush. nbdfuse shows that disk as a file, which holds an
ext4 image on a loop mount with the data directory. SIGKILL of nbdkit under load is the power cut: the file
beneath has what was flushed, and is mounted again. Without fdatasync this must be seen to lose something.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time

from disks import command, enter_namespace, make_image, unmount
from harness import with_parent_dies
from history import History, Journal
from rig import Budget, Silent, Traced, need, run, skip, wait_until
from verifier import verify_data
from writer import Load

SIZE = 1 << 30


class Cached:
    """The disk: use in a with statement. DATA is a folder on it, until cut()."""

    def __init__(self):
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            # nbdkit's cache file belongs into memory, too: it is a disk's cache.
            self.folder = stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm",
                                                                          prefix="spillway-cache-"))
            self.image = os.path.join(self.folder, "disk.img")
            make_image(self.image, SIZE)
            command("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", self.image)
            socket, shown = os.path.join(self.folder, "socket"), os.path.join(self.folder, "shown")
            with open(shown, "wb"):
                pass
            self.nbdkit = self.spawn(stack, "nbdkit", "-f", "-U", socket, "--filter=cache", "file", self.image,
                                     "cache=writeback")
            wait_until(lambda: os.path.exists(socket), "nbdkit")
            self.fuse = self.spawn(stack, "nbdfuse", shown, "--unix", socket)
            try:
                wait_until(lambda: os.path.getsize(shown) == SIZE, "nbdfuse")
                stack.callback(subprocess.run, ["umount", "-l", shown], capture_output=True, check=False)
                self.point = os.path.join(self.folder, "mnt")
                os.mkdir(self.point)
                command("mount", "-o", "loop,noatime", shown, self.point)
            except (AssertionError, RuntimeError) as error:
                skip(f"needs nbdfuse and a loop mount of what it shows: {error}")
            stack.callback(subprocess.run, ["umount", "-l", self.point], capture_output=True, check=False)
            self.data = os.path.join(self.point, "data")
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *unused):
        self.stack.close()

    def spawn(self, stack, *words):
        process = subprocess.Popen(words, env=dict(os.environ, TMPDIR=self.folder), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   preexec_fn=with_parent_dies)
        stack.callback(process.wait)
        stack.callback(process.kill)
        return process

    def cut(self):
        """The power goes."""
        self.nbdkit.send_signal(signal.SIGKILL)
        self.nbdkit.wait()

    @contextlib.contextmanager
    def after(self):
        """The disk as it is after the cut."""
        subprocess.run(["umount", "-l", self.point], capture_output=True, check=False)
        point = os.path.join(self.folder, "after")
        os.mkdir(point)
        command("mount", "-o", "loop,noatime", self.image, point)
        try:
            yield os.path.join(point, "data")
        finally:
            unmount(point)


def session(verdict, random, where, inject=()):
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="spillway-cache-log-") as logs, Cached() as disk:
        journal = Journal(os.path.join(logs, "log"))
        server = Traced("volume_size = 64MiB\n", data=disk.data)
        server.inject = inject
        try:
            server.start()
            subprocess.run(["sync", "-f", disk.data], check=True)
            load = Load(server.port, journal, random.randrange(1 << 30), encoders=6)
            time.sleep(0.5 + random.random())
            # An acknowledgement that comes between these two was right: the disk had it.
            before = journal.size()
            disk.cut()
            after = journal.size()
            server.process.kill()
            load.stop()
        finally:
            if server.process:
                server.kill()
            server.remove()
            journal.close()
        history = History()
        history.read(journal.file, replies_up_to=before, begins_up_to=max(before, after))
        verdict.count("acknowledgements", sum(op.acknowledged for ops in history.ops.values() for op in ops))
        with disk.after() as data:
            verify_data(verdict, history, data, where)
        verdict.count("power cuts")


def harness(verdict, random):
    need("nbdkit", "nbdfuse", "mkfs.ext4", "losetup", root=True)
    if not os.path.exists("/dev/fuse"):
        skip("needs /dev/fuse")
    enter_namespace()
    for number in Budget(15):
        session(verdict, random, f"session {number}")
    need("strace")
    blind = Silent()
    for _ in range(4):
        session(blind, random, "fdatasync left out", inject=("fdatasync:retval=0",))
        if blind.problems:
            break
    print(f"with fdatasync left out: {blind.lost()} objects lost or old", flush=True)
    if not blind.lost():
        verdict.problem("this harness did not see that something is lost with fdatasync left out")


if __name__ == "__main__":
    sys.exit(run("cache", harness))
