#!/usr/bin/env python3
"""Calls that fail: once, twice, or from some moment on for ever.

The daemon must live, answer 503 or 507 (or 201 after it tried another volume), and what it
acknowledged must be there after a restart. strace makes the calls fail; they have no effect then.
"""

import sys
import time

from history import History
from killat import workload
from rig import Budget, Traced, journalled, need, run
from verifier import verify, verify_rebuilt
from writer import GONE, Load, Uploader

FAILURES = ("fdatasync:error=EIO", "pwritev:error=ENOSPC", "pwritev:error=EIO", "fallocate:error=ENOSPC",
            "fallocate:error=EIO", "pwrite64:error=EIO", "pwrite64:error=ENOSPC", "fsync:error=EIO",
            "renameat,rename:error=EIO", "openat:error=EMFILE", "mmap:error=ENOMEM", "pread64:error=EIO",
            "sync_file_range:error=EIO", "sync_file_range:error=ENOSPC")
FINE = {201, 204, 404, 410, 500, 503, 507}
LOADER = ("mmap", "openat", "pread64")  # calls that load the program, before its first line
WHENS = ("{}", "{}+", "{}..{}")  # this call; it and all later ones; it and the next


class Noting(Uploader):
    """Goes on after a connection was ended, and keeps the statuses."""

    def __init__(self, port, journal):
        super().__init__(port, journal)
        self.statuses = []
        self.dropped = 0

    def put(self, path, length, **options):
        try:
            self.statuses.append(super().put(path, length, **options))
        except GONE:
            self.drop()
            self.dropped += 1

    def delete(self, path):
        try:
            self.statuses.append(super().delete(path))
        except GONE:
            self.drop()
            self.dropped += 1

    def cut(self, path, length, sent):
        try:
            super().cut(path, length, sent)
        except GONE:
            self.drop()


def is_ready(server):
    with server.connect_admin() as client:
        return client.get("/readyz").status


def trial(verdict, failure, when, seed):
    server = Traced("volume_size = 16MiB\nevict = off\n", ["-w", "1"])
    with journalled(server) as journal:
        where = f"{failure}:when={when}"
        server.start()
        uploader = Noting(server.port, journal)
        uploader.put("/before.m4s", 3000)
        uploader.drop()
        server.stop()
        server.inject = (where,)
        server.trace_file = journal.file + ".trace"
        try:
            server.start()
        except AssertionError as error:
            # It may refuse to start, with the reason; not die of it.
            status = server.wait_exit() if server.process else 1
            if failure.startswith(LOADER) and not server.log_text():
                verdict.count("starts that the loader failed")
            elif status < 0 or not server.log_text():
                verdict.problem(f"{where}: the start ended with {status}: {error}")
            verdict.count("starts refused")
        else:
            uploader = Noting(server.port, journal)
            workload(uploader)
            uploader.drop()
            crowd = Load(server.port, journal, seed, encoders=5, goes_on=True)
            time.sleep(0.7)
            statuses = crowd.stop()
            uploader.put("/last.m4s", 500)
            uploader.drop()
            seen = {*uploader.statuses, *(status for status in statuses if status)}
            odd = sorted(seen - FINE)
            if odd:
                verdict.problem(f"{where}: odd statuses {odd}")
            verdict.count("requests refused", sum(s >= 500 for s in uploader.statuses) +
                          sum(count for status, count in statuses.items() if status and status >= 500))
            verdict.count("replies missing", uploader.dropped)
            if server.process.poll() is not None:
                verdict.problem(f"{where}: the daemon ended: {server.log_text()}")
            elif uploader.statuses and uploader.statuses[-1] >= 500:
                # Still failing, so it must say so.
                if is_ready(server) != 503:
                    verdict.problem(f"{where}: refuses uploads and /readyz is 200")
            if server.process.poll() is None:
                server.kill()
            else:
                server.wait_exit()
        server.inject = ()
        verdict.count("calls that failed", server.injections())
        server.start()
        history = History()
        history.read(journal.file)
        checked = verify(server, history)
        verdict.add(where, checked)
        verdict.add(where + ", rebuilt", verify_rebuilt(server, history, checked))
        verdict.count("rounds")


def harness(verdict, random):
    need("strace")
    budget = Budget(45)
    plan = [(failure, when.format(number, number + 1))
            for number in (1, 2, 3, 5, 8, 13, 21, 34) for failure in FAILURES for when in WHENS]
    if budget.seconds < 600:
        random.shuffle(plan)  # a short run sees a part of it, another one each time
    for failure, when in plan[:budget.rounds]:
        if budget.is_over():
            break
        try:
            trial(verdict, failure, when, random.randrange(1 << 30))
        except AssertionError as error:
            verdict.problem(f"{failure}:when={when}: {error}")
    if not verdict.counts.get("calls that failed"):
        verdict.problem("no call was made to fail: this run shows nothing")


if __name__ == "__main__":
    sys.exit(run("eio", harness))
