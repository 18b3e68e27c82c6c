"""disks.py - disks of one's own: images on loop mounts, and pictures of them.

An XFS image, which can share extents between files, holds the image of an ext4 disk, which holds
the data directory. `cp --reflink=always` of the inner image is, in milliseconds, what a power cut
would leave of that disk: everything that was handed to it, nothing that was still in memory.

Needs root. All mounts are made in a mount namespace of this process: they are gone with it,
however it ends, and nobody else sees them.
"""

import contextlib
import ctypes
import os
import subprocess
import tempfile
import time

from rig import need, skip

CLONE_NEWNS = 0x00020000


def command(*words):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip() or done.returncode}")


def enter_namespace():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        skip("needs a mount namespace: " + os.strerror(ctypes.get_errno()))
    command("mount", "--make-rprivate", "/")


def unmount(point):
    """A daemon that was killed may need a moment to let go."""
    for _ in range(50):
        if subprocess.run(["umount", point], capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.1)
    command("umount", "-l", point)


def make_image(file, size):
    with open(file, "wb") as image:
        image.truncate(size)


class Disks:
    """One ext4 disk on a sharing XFS: use in a with statement. DATA is a folder on it."""

    def __init__(self, size, room):
        """SIZE of the disk; ROOM for the bytes that differ between it and its pictures."""
        self.size, self.room = size, room
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        need("mkfs.xfs", "mkfs.ext4", "losetup", "mount", root=True)
        enter_namespace()
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="spillway-disks-"))
            self.folder = folder
            outer = os.path.join(folder, "outer.img")
            make_image(outer, self.room)
            command("mkfs.xfs", "-q", "-m", "reflink=1", outer)
            try:
                self.shared = self.mount(stack, outer, "shared")
            except RuntimeError as error:
                skip(f"needs loop mounts of XFS: {error}")
            self.image = os.path.join(self.shared, "disk.img")
            make_image(self.image, self.size)
            command("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", self.image)
            try:
                self.disk = self.mount(stack, self.image, "disk")
            except RuntimeError as error:
                skip(f"needs loop mounts of ext4: {error}")
            self.data = os.path.join(self.disk, "data")
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *unused):
        self.stack.close()

    def mount(self, stack, image, name):
        point = os.path.join(self.folder, name)
        os.mkdir(point)
        stack.callback(os.rmdir, point)
        command("mount", "-o", "loop,noatime", image, point)
        stack.callback(unmount, point)
        return point

    def picture(self, number):
        """What a power cut now would leave; remove it when it was looked at."""
        file = os.path.join(self.shared, f"picture-{number}.img")
        command("cp", "--reflink=always", self.image, file)
        return file

    @contextlib.contextmanager
    def mounted(self, picture):
        """The data directory in a picture."""
        with contextlib.ExitStack() as stack:
            point = self.mount(stack, picture, os.path.basename(picture) + ".mnt")
            yield os.path.join(point, "data")
