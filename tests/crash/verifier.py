"""verifier.py - asks a restarted daemon for everything and compares it with the history."""

import json

from history import ABSENT, PART, WHOLE, is_published_whole
from rig import Closed, Server, Verdict, remove_catalog


class Checked(Verdict):
    """What one verification found. STATES: path -> history.Settled; ROWS: the list, by path."""

    def __init__(self):
        super().__init__()
        self.states = {}
        self.rows = {}

    def problem(self, text):
        self.problems.append(text)


class Reader:
    """GETs that tell a normal end from a cut."""

    def __init__(self, server):
        self.server = server
        self.client = None

    def close(self):
        if self.client:
            self.client.close()
        self.client = None

    def get(self, path):
        """(state, bytes, status)."""
        if not self.client:
            self.client = self.server.connect()
        client = self.client
        client.send_head("GET", path)
        head = client.read_head()
        if head.status != 200:
            client.read_body(head)
            if (head["Connection"] or "").lower() == "close":
                self.close()
            return ABSENT, b"", head.status
        parts = []
        try:
            if not head.chunked:
                left = int(head["Content-Length"])
                while left > 0:
                    if not client.buffer:
                        client.fill()
                    parts.append(client.buffer[:left])
                    client.buffer = client.buffer[len(parts[-1]):]
                    left -= len(parts[-1])
                return WHOLE, b"".join(parts), 200
            while True:
                line = client.read_line()
                left = int(line, 16)
                if left == 0:
                    client.read_line()
                    return WHOLE, b"".join(parts), 200
                parts.append(client.read_exactly(left))
                client.read_exactly(2)
        except Closed:
            self.close()
            return PART, b"".join(parts), 200


class Refused(Exception):
    """A list that was answered with an error, or cut."""


def rows_of(server):
    with server.connect() as client:
        try:
            reply = client.request("LIST", "/", "Accept: application/x-ndjson")
        except Closed:
            raise Refused("LIST was cut") from None
    if reply.status != 200:
        raise Refused(f"LIST is answered {reply.status}")
    return {row["path"]: row for row in map(json.loads, reply.body.splitlines())}


def copied(server):
    """Bytes that the daemon copied since its start: a run without any says nothing of copies."""
    return int(server.metrics()["spillway_copied_bytes_total"])


def check_row(checked, path, state, seen, row):
    if state == ABSENT:
        if row is not None:
            checked.problem(f"LIST: {path} is 404 and listed as {row}")
    elif row is None:
        checked.problem(f"LIST: {path} can be read ({state}) and is not listed")
    elif row["state"] != ("complete" if state == WHOLE else "incomplete") or row["size"] != len(seen):
        checked.problem(f"LIST: {path} is {state}, {len(seen)} bytes, and listed as {row}")


def verify(server, history, damaged=False):
    """Compares everything. DAMAGED: replies that are cut or refused with 500 are right, too."""
    checked = Checked()
    checked.rows = rows_of(server)
    reader = Reader(server)
    for path in history.paths():
        state, seen, status = reader.get(path)
        if status not in (200, 404):
            if damaged and status == 500:
                checked.count("refused as damaged")
            else:
                checked.problem(f"GET: {path} is answered {status}")
            continue
        settled = history.settle(path, state, seen)
        if settled is None:
            if damaged and state == PART and any(
                    op.op.body().startswith(seen) if hasattr(op, "op") and op.op else
                    hasattr(op, "body") and op.body().startswith(seen)
                    for op in history.allowed(path)):
                checked.count("cut as damaged")
                continue
            checked.problem(history.explain(path, state, seen))
        else:
            checked.states[path] = settled
            if history.is_certain(path):
                checked.count("deletions verified" if state == ABSENT else
                              "objects verified" if state == WHOLE else "incomplete ones verified")
            else:
                checked.count("unsure ones verified")
        if state == PART and is_published_whole(path) and not damaged:
            checked.problem(f"TORN: {path} is a playlist and incomplete")
        if not damaged:
            check_row(checked, path, state, seen, checked.rows.get(path))
    for path in checked.rows.keys() - set(history.paths()):
        checked.problem(f"LIST: {path} was never uploaded")
    reader.close()
    checked.count("bytes copied out of dying volumes", copied(server))
    return checked


def verify_rebuilt(server, history, before):
    """Kills the daemon, deletes its catalog, starts it: all must be exactly as BEFORE."""
    server.kill()
    remove_catalog(server.data)
    server.start()
    history.forget(before.states)
    checked = verify(server, history)
    for path in sorted(before.rows.keys() | checked.rows.keys()):
        if before.rows.get(path) != checked.rows.get(path):
            checked.problem(f"REBUILT: {path} was listed as {before.rows.get(path)}, "
                            f"now as {checked.rows.get(path)}")
    return checked


def verify_crashed(verdict, server, history, where):
    """Starts SERVER, which crashed WHERE says, and verifies it, with the catalog it has and a rebuilt one."""
    server.start()
    checked = verify(server, history)
    verdict.add(where, checked)
    if not checked.problems:
        checked = verify_rebuilt(server, history, checked)
        verdict.add(where + ", rebuilt", checked)
    return checked


def verify_data(verdict, history, data, where):
    """The same with a daemon of its own on a data directory that a crash left."""
    server = Server("", ["-w", "1"], data=data)
    try:
        verify_crashed(verdict, server, history, where)
    except AssertionError as error:
        verdict.problem(f"{where}: {error}")
    finally:
        server.remove()
