#!/usr/bin/env python3
"""Power cuts that tear the last batch: a disk may keep any of the sectors that were not synced.

strace kills the daemon at an fdatasync of a volume. What was written since the one before was acknowledged to
nobody, and any part of it may be missing: so pages of it are dropped at random before the restart.
"""

import glob
import re
import sys

from history import History
from killat import crowd
from rig import Budget, Traced, journalled, need, run
from verifier import verify, verify_rebuilt

PAGE = 4096
WRITE = re.compile(r"^(\d+) +pwritev\((\d+), .*, (\d+)\) += (\d+)(?: \(DELAYED\))?$")
SYNC = re.compile(r"^\d+ +fdatasync\((\d+)\) += 0$")


def unsynced(trace):
    """(offset, length) of what was written to the newest volume after its last sync; None if nothing."""
    pending = {}  # fd -> [start, end]
    last = None
    with open(trace, encoding="utf-8", errors="replace") as lines:
        text = lines.read()
    # A call that another thread's interrupts is told in two lines.
    for pid, start in re.findall(r"^(\d+) +((?:pwritev|fdatasync)\(.*) <unfinished \.\.\.>$", text, re.M):
        text = re.sub(rf"^{pid} +<\.\.\. (?:pwritev|fdatasync) resumed>(.*)$",
                      lambda rest, s=start, p=pid: f"{p} {s}{rest.group(1)}", text, count=1, flags=re.M)
    for line in text.splitlines():
        write, sync = WRITE.match(line), SYNC.match(line)
        if write:
            fd, offset, length = int(write[2]), int(write[3]), int(write[4])
            if offset > 0:
                start = pending.get(fd, (offset, 0))[0]
                pending[fd] = (start, offset + length)
            last = fd
        elif sync:
            pending.pop(int(sync[1]), None)
    return pending.get(last)


def tear(data, span, random):
    """Drops pages of SPAN in the newest volume; how many."""
    volumes = sorted(glob.glob(data + "/volumes/*.vol"))
    pages = range(span[0] // PAGE, -(-span[1] // PAGE))
    share = random.choice((0.05, 0.3, 0.7))
    step = random.choice((1, 1, 8, 64))  # a disk writes in larger pieces, too
    fates = {run: random.random() < share for run in range(pages.start // step, pages.stop // step + 1)}
    dropped = [page for page in pages if fates[page // step]]
    with open(volumes[-1], "r+b") as volume:
        for page in dropped:
            volume.seek(page * PAGE)
            volume.write(bytes(PAGE))
    return len(dropped)


def trial(verdict, random):
    server = Traced("volume_size = 256MiB\n", ["-w", "1"])
    with journalled(server) as journal:
        when = random.choice((3, 10, 30, 60, 100)) + random.randrange(20)
        slow = random.random() < 0.6  # what waits for a slow disk is written in one large batch
        if slow:
            when = when % 20 + 3
        server.inject = (f"fdatasync:signal=SIGKILL:when={when}",
                         *(("pwritev:delay_exit=60000",) if slow else ()))
        server.traced = ("pwritev",)
        server.trace_file = journal.file + ".trace"
        server.start()
        seed = random.randrange(1, 1 << 30)
        # Batches of several records of one object are the ones that tear.
        crowd(server, journal, seed, weights={"bulky": 400} if slow else None)
        if server.process.poll() is None:
            server.process.kill()
        server.wait_exit()
        server.inject = ()
        history = History()
        history.read(journal.file)
        span = unsynced(server.trace_file)
        verdict.count("rounds")
        if span:
            verdict.count("torn batches")
            verdict.count("pages dropped", tear(server.data, span, random))
        server.start()
        where = f"crowd {seed}, fdatasync {when}, batch {span}"
        checked = verify(server, history)
        verdict.add(where, checked)
        verdict.add(where + ", rebuilt", verify_rebuilt(server, history, checked))


def harness(verdict, random):
    need("strace")
    for _ in Budget(30):
        trial(verdict, random)
    if not verdict.counts.get("torn batches"):
        verdict.problem("nothing was torn: this run shows nothing")


if __name__ == "__main__":
    sys.exit(run("torn", harness))
