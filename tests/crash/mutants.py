#!/usr/bin/env python3
"""Planted bugs: each must be caught by the test that is named with it. `make crash-mutants`.

A copy of the source is changed in one place, built, and tested; then the next. The unchanged copy must pass
all of these tests first, or a failure would show nothing.

    ONLY="word"   only mutants with this in their name
    TRIES=3       how often a test may try that needs luck
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time

SOURCE = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
TRIES = int(os.environ.get("TRIES") or 3)
DISK = "tests/crash/disk_test"

# name, file, what stands there, what is planted, the test
MUTANTS = (
    ("fdatasync left out", "storage/volume.c",
     "fdatasync(volume->fd) == 0 ? 0 : -errno", "0", DISK),
    ("volume's name not synced", "storage/volume.c",
     "if (err == 0 && sync && fsync(dirfd) != 0)", "if (err != 0 && fsync(dirfd) != 0)", DISK),
    ("tail block freed before fdatasync", "storage/save.c",
     "save->taken += length;", "save->taken += length; object_trim(object, save->taken, false);",
     "tests/storage/persister_test"),
    ("tombstone not carried forward", "storage/bury.c",
     "? carry(r, record) :", "? 0 :", "tests/storage/reclaim_test"),
    ("torn batch applied", "storage/replay.c",
     "if (number == 0 || replay_batch_is_whole(&r->batch))", "if (r->batch.volume != UINT32_MAX)",
     "tests/storage/replay_test"),
    ("torn batch applied, seen on the disk", "storage/replay.c",
     "if (number == 0 || replay_batch_is_whole(&r->batch))", "if (r->batch.volume != UINT32_MAX)", DISK),
    ("catalog's position ahead of the sync", "storage/batch.c",
     "op->applied = volume_end(volume);", "op->applied = volume_end(volume) + 4 * RECORD_BATCH;", DISK),
    ("start does not sync what it applies", "storage/replay.c",
     "if (err == 0 && r->store->config.sync)\n\t\terr = volume_sync(volume);", "", DISK),
    ("deletion acknowledged without a tombstone", "storage/save.c",
     "log_seq(item, del->entry, del->seq);", "log_seq(item, del->entry, del->seq); op->record.seq = 0;",
     "tests/storage/store_test"),
    ("copies not synced", "storage/persister.c",
     "p->active, p->store->config.sync);", "p->active, p->store->config.sync && STAILQ_EMPTY(&p->relogging));",
     DISK),
    ("volume unlinked while it is copied", "storage/bury.c",
     "|| volume->at.live > 0 || volume->at.heads > 0 ||",
     "|| (r->compact.volume != volume->file.number && (volume->at.live > 0 || volume->at.heads > 0)) ||", DISK),
    ("volume unlinked while it is copied, kill -9", "storage/bury.c",
     "|| volume->at.live > 0 || volume->at.heads > 0 ||",
     "|| (r->compact.volume != volume->file.number && (volume->at.live > 0 || volume->at.heads > 0)) ||",
     "tests/crash/compact.py"),
    ("a copy ends while its path is busy", "storage/copy.c",
     "copy->entry->current == object && copy->entry->pending == 1", "true", "tests/storage/copy_test"),
    ("a step of the clock deletes", "storage/expiry.c",
     "paused = off > EXPIRY_STEP_MS || off < -EXPIRY_STEP_MS ||",
     "paused =", "tests/storage/expiry_test"),
    ("objects take the volume that is held back", "storage/evict.c",
     "return sealed + 2 * store->config.volume_size <= limit", "return sealed + store->config.volume_size <= limit",
     "tests/storage/brim_test"),
    ("a pause between commits of a backlog", "storage/indexer.c",
     "if (!more)", "if (!more || true)", "tests/storage/indexer_test"),
)


class Tree:
    """A copy of the source, and a build of it."""

    def __init__(self, folder):
        self.source = os.path.join(folder, "source")
        self.build = os.path.join(folder, "build")
        ignore = shutil.ignore_patterns("build", ".git", "autom4te.cache", "__pycache__")
        shutil.copytree(SOURCE, self.source, ignore=ignore, symlinks=True)
        os.mkdir(self.build)
        flags = [f"CC={os.environ['CC']}"] if os.environ.get("CC") else []
        self.run([os.path.join(self.source, "configure"), "CFLAGS=-O2 -g", *flags])

    def run(self, command, seconds=900, check=True, env=None):
        done = subprocess.run(command, cwd=self.build, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", timeout=seconds, check=False,
                              env=dict(os.environ, **(env or {})))
        if check and done.returncode != 0:
            sys.exit(f"{' '.join(command)}:\n{done.stdout[-3000:]}")
        return done

    def make(self, test):
        self.run(["make", "-s", "-j2", "spillway" if test.endswith(".py") else test])

    def fails(self, test):
        """Why TEST fails, in a line; None if it passes."""
        command = [os.path.join(self.build, test)]
        if test.endswith(".py"):
            command = [sys.executable, os.path.join(self.source, test)]
        try:
            done = self.run(command, seconds=300, check=False,
                            env={"SECONDS": "60", "IMAGES": "60", "SPILLWAY": os.path.join(self.build, "spillway")})
        except subprocess.TimeoutExpired:
            return "does not end"
        if done.returncode == 0:
            return None
        lines = done.stdout.splitlines()
        telling = [line.strip() for line in lines
                   if line.startswith("BROKEN") or "FAILED  ]" in line or "check failed" in line]
        return (telling or lines or [f"ends with {done.returncode}"])[0][:90]


def main():
    wanted = os.environ.get("ONLY", "")
    mutants = [mutant for mutant in MUTANTS if wanted in mutant[0]]
    missed = []
    with tempfile.TemporaryDirectory(prefix="spillway-mutants-") as folder:
        tree = Tree(folder)
        for test in dict.fromkeys(mutant[4] for mutant in mutants):
            tree.make(test)
            why = tree.fails(test)
            if why:
                sys.exit(f"{test} fails without a planted bug: {why}")
        for name, file, old, new, test in mutants:
            path = os.path.join(tree.source, file)
            with open(path, encoding="utf-8") as source:
                text = source.read()
            if text.count(old) != 1:
                sys.exit(f"{file} does not have {old!r} once: change MUTANTS in {__file__}")
            begin, why = time.monotonic(), None
            with open(path, "w", encoding="utf-8") as source:
                source.write(text.replace(old, new))
            tree.make(test)
            for _ in range(TRIES):
                why = why or tree.fails(test)
            with open(path, "w", encoding="utf-8") as source:
                source.write(text)
            print(f"{'caught' if why else 'MISSED'}  {name:42} {test:30} {time.monotonic() - begin:4.0f} s  "
                  f"{why or ''}", flush=True)
            if not why:
                missed.append(name)
    print(f"{len(mutants) - len(missed)} caught, {len(missed)} missed")
    return 1 if missed or not mutants else 0


if __name__ == "__main__":
    sys.exit(main())
