#!/usr/bin/env python3
"""All crash harnesses, one after the other: `make crash`.

    SECONDS=N   time for each harness, beyond its shortest (each has a short default)
    ROUNDS=N    no more rounds than that in each
    SEED=N      repeats a run, as far as the machine does
    ONLY="a b"  only these
"""

import os
import subprocess
import sys

HARNESSES = ("disk", "kill9", "killat", "compact", "torn", "powercut", "cache", "eio", "flip", "freeze", "clock")
SKIPPED = 77


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    passed, failed, skipped = [], [], []
    for name in (os.environ.get("ONLY") or " ".join(HARNESSES)).split():
        command = [sys.executable, os.path.join(here, name + ".py")]
        if name == "disk":  # the only one that is built
            command = [os.environ.get("DISK_TEST", "tests/crash/disk_test")]
        status = subprocess.run(command, check=False).returncode
        {0: passed, SKIPPED: skipped}.get(status, failed).append(name)
    if skipped:
        print("skipped:", " ".join(skipped))
    if failed:
        print("failed:", " ".join(failed))
    print(f"{len(passed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(1)
