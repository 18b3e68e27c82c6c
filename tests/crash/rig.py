"""rig.py - what every crash harness needs: the daemon, a budget of time, a verdict.

A harness is a program that ends with 0 (nothing was lost), 1 (something was) or 77 (this
machine cannot do it; it says what is missing). ROUNDS bounds its rounds and SECONDS its time:
both come from the environment, and each harness has short values of its own.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

from harness import PATIENCE, Closed, Server  # noqa: E402
from history import Journal  # noqa: E402
from subject import wait_until  # noqa: E402

__all__ = ["PATIENCE", "Budget", "Closed", "Server", "Silent", "Traced", "Verdict", "copy_data", "journalled",
           "need", "remove_catalog", "run", "skip", "wait_until"]

SKIPPED = 77
SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)


def skip(reason):
    print("SKIP:", reason)
    sys.exit(SKIPPED)


def need(*programs, root=False):
    """Skips the harness where one of PROGRAMS, or root, is missing."""
    if root and os.geteuid() != 0:
        skip("needs root")
    for program in programs:
        if not shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
            skip(f"needs {program}")


class Budget:
    """Rounds until SECONDS have passed or ROUNDS were made, at least one."""

    def __init__(self, seconds, rounds=1 << 30):
        self.seconds = float(os.environ.get("SECONDS") or seconds)
        self.rounds = int(os.environ.get("ROUNDS") or rounds)
        self.end = time.monotonic() + self.seconds

    def __iter__(self):
        number = 0
        while number == 0 or (number < self.rounds and time.monotonic() < self.end):
            yield number
            number += 1

    def is_over(self):
        return time.monotonic() >= self.end


class Verdict:
    """Counts, and every broken promise."""

    def __init__(self):
        self.counts = {}
        self.problems = []

    def count(self, what, number=1):
        self.counts[what] = self.counts.get(what, 0) + number

    def problem(self, text):
        if len(self.problems) < 40:
            print("BROKEN:", text, flush=True)
        self.problems.append(text)

    def add(self, where, checked):
        """The result of one verification."""
        for what, number in checked.counts.items():
            self.count(what, number)
        for text in checked.problems:
            self.problem(f"{where}: {text}")

    def summary(self):
        words = [f"{number} {what}" for what, number in self.counts.items()]
        return ", ".join(words + [f"{len(self.problems)} broken promises"])


class Silent(Verdict):
    """For the run that is expected to lose something."""

    def problem(self, text):
        self.problems.append(text)

    def lost(self):
        """How many objects were seen to be lost or old."""
        return sum("LOST" in text or "CAME BACK" in text for text in self.problems)


class Traced(Server):
    """A daemon under strace, which injects what INJECT says (strace(1), -e inject=)."""

    inject = ()
    traced = ()  # more calls that are to stand in trace_file
    trace_file = os.devnull

    def command(self):
        if not self.inject:
            return super().command()
        # -D: the daemon itself is our child, and can be killed and waited for as always.
        # Only what is traced is injected into.
        options = [option for rule in self.inject for option in ("-e", "inject=" + rule)]
        calls = ",".join([*(rule.split(":")[0] for rule in self.inject), *self.traced])
        return ["strace", "-D", "-f", "-qq", "-o", self.trace_file, "-e", "trace=" + calls, *options,
                *super().command()]

    def injections(self):
        """How many calls were made to fail."""
        with open(self.trace_file, encoding="utf-8", errors="replace") as trace:
            return sum("(INJECTED)" in line for line in trace)


@contextlib.contextmanager
def journalled(server):
    """A journal in memory, which is another disk than the daemon's. SERVER is removed in the end."""
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="spillway-crash-") as folder:
        journal = Journal(os.path.join(folder, "log"))
        try:
            yield journal
        finally:
            journal.close()
            server.remove()


def copy_data(source, target):
    """A copy of a data directory that nobody writes; holes stay holes."""
    subprocess.run(["cp", "-r", "--sparse=always", source, target], check=True)


def remove_catalog(data):
    for name in os.listdir(data):
        if name.startswith("catalog"):
            os.unlink(os.path.join(data, name))


def run(name, harness):
    """Runs HARNESS(verdict, random); ends the program with its verdict."""
    signal.signal(signal.SIGTERM, lambda *unused: sys.exit(1))
    begin = time.monotonic()
    verdict = Verdict()
    print(f"{name}: SEED={SEED}", flush=True)
    try:
        harness(verdict, random.Random(SEED))
    except KeyboardInterrupt:
        print(f"{name}: interrupted", flush=True)
        sys.exit(1)
    print(f"{name}: {verdict.summary()} ({time.monotonic() - begin:.0f} s)", flush=True)
    sys.exit(1 if verdict.problems else 0)
