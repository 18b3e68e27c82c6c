"""subject.py - the daemon that is tested, and how long to wait for it.

It is $SPILLWAY, else ./spillway, else build/spillway.
"""

import os
import struct
import sys
import time


def find_spillway():
    for place in (os.environ.get("SPILLWAY"), "./spillway", "build/spillway"):
        if place and os.access(place, os.X_OK):
            return os.path.abspath(place)
    sys.exit("no daemon to test: set SPILLWAY to its path, or build it in ./ or ./build")


SPILLWAY = find_spillway()


def is_sanitized():
    """Whether the daemon carries a sanitizer, which makes it slow and its memory figures useless."""
    with open(SPILLWAY, "rb") as binary:
        code = binary.read()
    return b"__asan_init" in code or b"__tsan_init" in code


SANITIZED = is_sanitized()
PATIENCE = 60 if SANITIZED else 15  # seconds for what should happen at once


def wait_until(condition, what, patience=None):
    """Asks CONDITION again until it is true; its last value is returned."""
    end = time.monotonic() + (patience or PATIENCE)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("waited in vain for " + what)
        time.sleep(0.005)


def pattern(length, seed=0):
    """Bytes that differ at every offset and for every seed, so that misplaced ones show."""
    state = (seed * 2654435761 + 12345) & 0xFFFFFFFF
    block = bytearray()
    while len(block) < min(length, 65537):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        block += struct.pack("<I", state ^ (state >> 11))
    block = bytes(block[:65537])  # an odd period: no block of a power of two repeats
    return (block * (length // len(block) + 1))[:length] if length else b""
