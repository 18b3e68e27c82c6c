#!/usr/bin/env python3
"""Flipped bits in volumes and in the catalog: never a wrong byte that ends normally.

Volumes are damaged once with the catalog there, once without it. What the flip did not touch
must be served; what it touched may be cut, refused with 500, or, when the catalog is rebuilt, be gone.
KEEP=FOLDER keeps a copy of each data directory that broke a promise, as it was before the start.
"""

import contextlib
import glob
import os
import random as randoms
import re
import shutil
import sys
import tempfile
import time

from history import ABSENT, PART, WHOLE, History, Journal
from rig import Budget, Server, copy_data, remove_catalog, run
from verifier import Reader, Refused, rows_of, verify
from writer import Load


def written(file):
    """The extents of FILE that are not holes or zeros at its end."""
    with open(file, "rb") as data:
        return len(data.read().rstrip(b"\0"))


def record_headers(file):
    """Offsets of the records in a volume: most bytes are bodies, and a flip would hardly meet them."""
    with open(file, "rb") as data:
        return [found.start() for found in re.finditer(rb"SPWR[\1-\4][\0\1]\0\0", data.read())]


def flip(file, random, bits):
    """Flips BITS bits; where."""
    size = written(file)
    places = sorted(random.randrange(size) for _ in range(bits))
    headers = file.endswith(".vol") and random.random() < 0.5 and record_headers(file)
    if headers:
        places = sorted(random.choice(headers) + random.randrange(72) for _ in range(bits))
    with open(file, "r+b") as data:
        for at in places:
            data.seek(at)
            byte = data.read(1)[0]
            data.seek(at)
            data.write(bytes([byte ^ (1 << random.randrange(8))]))
    return [f"{os.path.basename(file)}:{at}" for at in places]


def read_all(verdict, where, server, history, may_be_gone):
    """What a damaged store shows is right, a part of it, an error, or nothing."""
    reader = Reader(server)
    harmed = 0
    for path in history.paths():
        state, seen, status = reader.get(path)
        base = history.base[path]
        right = base.state != ABSENT and base.op.body()[:base.length]
        if status not in (200, 404, 500, 503):
            verdict.problem(f"{where}: GET {path} is answered {status}")
        elif status >= 500 or (state == PART and base.state != ABSENT and right.startswith(seen)
                               and not base.matches(state, seen)):
            harmed += 1
            verdict.count("objects refused or cut")
        elif base.matches(state, seen):
            verdict.count("objects verified")
        elif state == ABSENT:
            harmed += 1
            verdict.count("objects gone")
            if not may_be_gone:
                verdict.problem(f"{where}: HIDDEN: {path} is 404, and its volume is whole")
        elif may_be_gone and any(op.matches(state, seen) for op in history.past.get(path, ())):
            # Its newer record is what was damaged: nothing can tell without the catalog.
            harmed += 1
            verdict.count("older versions after a rebuild")
        else:
            verdict.problem(f"{where}: WRONG: {path} {state} {len(seen)} {seen[:48]!r}, was {base}")
    reader.close()
    return harmed


def list_is_honest(verdict, where, server, history):
    """The list is refused, or names nothing that was never there."""
    try:
        rows = rows_of(server)
    except Refused:
        verdict.count("lists refused or cut")
        return
    for path in rows.keys() - set(history.paths()):
        verdict.problem(f"{where}: LIST: {path!r} was never uploaded")


def trial(verdict, what, seed, pristine, folder, history):
    random = randoms.Random(seed)
    data = os.path.join(folder, "data")
    shutil.rmtree(data, ignore_errors=True)
    copy_data(pristine, data)
    bits = random.choice((1, 1, 1, 4, 32, 200))
    if what == "catalog":
        file = os.path.join(data, "catalog.mdb")
    else:
        file = random.choice(sorted(glob.glob(data + "/volumes/*.vol")))
    places = flip(file, random, bits)
    if what == "rebuild":
        remove_catalog(data)
    if os.environ.get("KEEP"):
        kept = os.path.join(os.environ["KEEP"], str(seed))
        copy_data(data, kept)
        before = len(verdict.problems)
        attempt(verdict, what, seed, bits, places, data, history)
        if len(verdict.problems) == before:
            shutil.rmtree(kept)
    else:
        attempt(verdict, what, seed, bits, places, data, history)


def attempt(verdict, what, seed, bits, places, data, history):
    """Starts a daemon on damaged DATA."""
    where = f"{what} seed {seed} {places[:4]}"
    server = Server("volume_size = 16MiB\n", ["-w", "1"], data=data)
    with contextlib.ExitStack() as stack:
        stack.callback(server.remove)
        try:
            server.start()
        except AssertionError:
            status = server.process.wait(20)
            server.wait_exit()
            verdict.problem(f"{where}: the start ended with {status}: {server.log_text()[-300:]}")
            return
        try:
            harmed = read_all(verdict, where, server, history, what == "rebuild")
            list_is_honest(verdict, where, server, history)
            with server.connect() as client:
                status = client.put("/after", b"goes on").status
                if status not in (201, 204):
                    verdict.problem(f"{where}: an upload is answered {status}")
        except Exception as error:
            time.sleep(0.2)
            ended = server.process.poll()
            verdict.problem(f"{where}: {error!r}" + (f"; the daemon ended with {ended}" if ended else ""))
            if ended is not None:
                server.wait_exit()
            return
        try:
            server.stop()
        except AssertionError as error:
            verdict.problem(f"{where}: {str(error)[:200]}")
            return
        verdict.count("rounds of " + what)
        # A flipped bit touches one record, and one record is of one object.
        if what != "catalog" and harmed > bits:
            verdict.count("rounds that harmed more objects than bits were flipped")
            verdict.problem(f"{where}: {bits} bits harmed {harmed} objects")


def harness(verdict, random):
    budget = Budget(40)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="spillway-flip-"))
        journal = Journal(os.path.join(folder, "log"))
        stack.callback(journal.close)
        server = Server("volume_size = 16MiB\n", data=os.path.join(folder, "pristine"))
        stack.callback(server.remove)
        server.start()
        load = Load(server.port, journal, random.randrange(1 << 30), encoders=4)
        time.sleep(2)
        load.stop()
        server.stop()
        server.start()  # what was abandoned a moment ago is incomplete from here on, not live
        history = History()
        history.read(journal.file)
        checked = verify(server, history)
        verdict.add("before", checked)
        server.stop()
        history.past = history.ops
        history.forget(checked.states)
        for number in budget:
            what = ("volume", "catalog", "rebuild")[number % 3]
            trial(verdict, what, random.randrange(1 << 31), server.data, folder, history)


if __name__ == "__main__":
    sys.exit(run("flip", harness))
