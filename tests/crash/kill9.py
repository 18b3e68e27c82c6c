#!/usr/bin/env python3
"""SIGKILL at random moments under load, again and again on one data directory."""

import os
import sys
import time

from history import History
from rig import Budget, Server, Verdict, journalled, run
from verifier import verify, verify_rebuilt
from writer import Load

ROUNDS_PER_FOLDER = 40  # a folder grows with every round


def one_folder(verdict, random, budget):
    server = Server(f"volume_size = {random.choice(('16MiB', '64MiB', '256MiB'))}\n")
    with journalled(server) as journal:
        history = History()
        server.start()
        for number in range(ROUNDS_PER_FOLDER):
            load = Load(server.port, journal, random.randrange(1 << 30))
            time.sleep(random.choice((0.05, 0.3, 1.0, 2.0)) * random.random())
            server.kill()
            load.stop()
            history.read(journal.file)
            acknowledged = sum(op.acknowledged for ops in history.ops.values() for op in ops)
            verdict.count("acknowledgements", acknowledged)
            # Sometimes a second crash, in the middle of the start that follows the first.
            if random.random() < 0.3:
                server.spawn()
                time.sleep(random.random() * 0.05)
                server.kill()
            if random.random() < 0.1:
                server.write_config("")
            server.start()
            checked = verify(server, history)
            verdict.add(f"round {number}", checked)
            if random.random() < 0.3:
                verdict.add(f"round {number}, rebuilt", verify_rebuilt(server, history, checked))
                verdict.count("rebuilds")
            history.forget(checked.states)
            verdict.count("rounds")
            if verdict.problems:
                keep(server, journal)
                return
            if budget.is_over():
                break
        sees_what_is_wrong(server, journal, history)


def keep(server, journal):
    """The evidence stays, where it was found."""
    target = os.environ.get("KEEP")
    if target:
        server.kill()
        os.system(f"mkdir -p '{target}' && cp -r --sparse=always '{server.data}' '{journal.file}' '{target}'")


def sees_what_is_wrong(server, journal, history):
    """A log that claims too much must be refuted: or this harness could not fail."""
    planted = (("put", "/t0/never.m4s", 100, 201, "LOST"), ("delete", "/plant/kept", 0, 204, "BYTES"),
               ("put", "/plant/old", 77, 204, "BYTES"))
    for _, path, *_ in planted[1:]:
        with server.connect() as client:
            assert client.put(path, b"planted").status in (201, 204)
    for kind, path, length, status, _ in planted:
        journal.end(journal.begin(kind, path, length, length), status)
    history.read(journal.file)
    found = verify(server, history).problems
    for _, path, _, _, word in planted:
        if not any(path in text and word in text for text in found):
            raise AssertionError(f"the verifier is blind: {path} in {found}")


def harness(verdict: Verdict, random):
    budget = Budget(30)
    while not budget.is_over() and not verdict.problems:
        one_folder(verdict, random, budget)


if __name__ == "__main__":
    sys.exit(run("kill9", harness))
