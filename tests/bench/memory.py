"""memory.py - makes page cache of the memory that is free.

On a server that has been up for a while nearly all memory is page cache, and what is written takes pages that were
used before. Memory that is free is another thing on a virtual machine: its host may have taken it back, and to fetch
it costs 2 ms a MiB here, five times as much as to receive, hash and store what goes into it. What is measured then is
the host.
"""

import os

STEP = 1 << 30
BLOCK = 1 << 20


def free():
    """Bytes that nothing uses."""
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("MemFree:"):
                return int(line.split()[1]) * 1024
    return 0


class Filler:
    """Reads a file of holes, on and on: nothing is read from the disk, and each page is taken once. QUICK: it does not."""

    def __init__(self, home, quick=False):
        self.quick = quick
        self.file = open(os.path.join(home, "holes"), "w+b", buffering=0)
        self.file.truncate(1 << 42)

    def fill(self):
        """Until what is read takes the place of what was read before."""
        block, left, before = bytearray(BLOCK), free(), 1 << 62
        while not self.quick and left < before - STEP // 2:
            for _ in range(STEP // BLOCK):
                self.file.readinto(block)
            before, left = left, free()

    def close(self):
        os.unlink(self.file.name)
        self.file.close()
