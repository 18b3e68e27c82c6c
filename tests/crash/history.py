"""history.py - the acknowledgement log, and what a path may show after a crash.

One line when an operation begins, before its first byte is sent, and one after its reply:

    B NUMBER KIND PATH LENGTH SENT      KIND: put, cut (abandoned after SENT bytes), delete
    E NUMBER STATUS                     0 for an upload that was abandoned

The file is on another disk than the daemon's. An operation without its E line may have
happened, wholly or in part. One that was replied to ended before any that began later, so
that it may not be seen any more once a later one was acknowledged.
"""

import os
import random
import threading

NEVER = 1 << 62  # the end of what has no reply
WHOLE, PART, ABSENT = "whole", "part", "absent"


def body_of(path, number, length):
    """The bytes of an upload: they tell which one they are, and no two are alike."""
    head = b"%s %d\n" % (path.encode(), number)
    return (head + random.Random(number).randbytes(max(0, length - len(head))))[:length]


def is_published_whole(path):
    return path.endswith((".m3u8", ".mpd"))


class Journal:
    """The log while it is written, by any number of threads."""

    def __init__(self, file):
        self.file = file
        self.fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.lock = threading.Lock()
        self.number = 0

    def write(self, line):
        os.write(self.fd, line.encode())

    def begin(self, kind, path, length=0, sent=0):
        with self.lock:
            self.number += 1
            number = self.number
            self.write(f"B {number} {kind} {path} {length} {sent}\n")
        return number

    def end(self, number, status):
        with self.lock:
            self.write(f"E {number} {status}\n")

    def size(self):
        return os.fstat(self.fd).st_size

    def close(self):
        os.close(self.fd)


class Op:
    def __init__(self, number, kind, path, length, sent, begin):
        self.number, self.kind, self.path = number, kind, path
        self.length, self.sent, self.begin = length, sent, begin
        self.end, self.status = NEVER, None

    @property
    def acknowledged(self):
        if self.kind == "delete":
            return self.status in (204, 404)
        return self.kind == "put" and self.status in (201, 204)

    def body(self):
        return body_of(self.path, self.number, self.length)

    def matches(self, state, seen):
        """Whether what is seen may be the work of this operation."""
        if self.kind == "delete":
            return state == ABSENT
        if state == WHOLE:
            return self.kind == "put" and len(seen) == self.length and seen == self.body()
        if state == PART and not self.acknowledged and not is_published_whole(self.path):
            bound = self.sent if self.kind == "cut" else self.length
            return len(seen) <= bound and self.body().startswith(seen)
        return False

    def __repr__(self):
        reply = "no reply" if self.status is None else self.status
        return f"#{self.number} {self.kind} {self.length} bytes ({reply})"


class Settled:
    """What a path was seen to be after a restart: it stays so until something else begins."""

    end = -1
    acknowledged = True

    def __init__(self, op, state, length):
        self.op, self.state, self.length = op, state, length

    def matches(self, state, seen):
        if state != self.state:
            return False
        return state == ABSENT or (len(seen) == self.length and self.op.body().startswith(seen))

    def __repr__(self):
        return f"seen before: {self.state} {self.op} {self.length}"


NOTHING = Settled(None, ABSENT, 0)


class History:
    """Everything that was asked of the daemon, by path."""

    def __init__(self):
        self.base = {}  # path -> Settled
        self.ops = {}   # path -> [Op]
        self.offset = 0

    def read(self, file, replies_up_to=NEVER, begins_up_to=NEVER):
        """Goes on reading the log. Replies that stand behind REPLIES_UP_TO did not come yet."""
        numbers = {}
        with open(file, "rb") as log:
            log.seek(self.offset)
            at = self.offset
            for line in log:
                fields = line.decode().split()
                if at >= begins_up_to:
                    break
                if fields[0] == "B":
                    op = Op(int(fields[1]), fields[2], fields[3], int(fields[4]), int(fields[5]), at)
                    numbers[op.number] = op
                    self.ops.setdefault(op.path, []).append(op)
                elif at + len(line) <= replies_up_to:
                    numbers[int(fields[1])].end = at
                    numbers[int(fields[1])].status = int(fields[2])
                at += len(line)
            self.offset = at

    def paths(self):
        return sorted(set(self.base) | set(self.ops))

    def allowed(self, path):
        """What PATH may show: nothing that ended before the last acknowledged one began."""
        ops = self.ops.get(path, [])
        newest = max((op.begin for op in ops if op.acknowledged), default=-2)
        return [op for op in (self.base.get(path, NOTHING), *ops) if op.end > newest]

    def is_certain(self, path):
        return len(self.allowed(path)) == 1

    def explain(self, path, state, seen):
        """Why STATE is wrong, in a word, for people."""
        expected = self.allowed(path)
        older = [op for op in (self.base.get(path, NOTHING), *self.ops.get(path, []))
                 if op not in expected and op.matches(state, seen)]
        if state == ABSENT and not (older and isinstance(older[-1], Op)):
            word = "LOST"
        elif older:
            word = "CAME BACK"
        elif state == PART:
            word = "TORN"
        else:
            word = "WRONG BYTES"
        was = f"{state} {len(seen)} bytes {seen[:48]!r}" if state != ABSENT else state
        return f"{word}: {path} shows {was}; expected one of {expected}; seen {older[-1:]}"

    def settle(self, path, state, seen):
        """The operation that STATE comes from becomes all that is known of PATH; None if none does."""
        for op in reversed(self.allowed(path)):
            if op.matches(state, seen):
                if isinstance(op, Op):
                    op = Settled(op, state, len(seen))
                return op
        return None

    def forget(self, states):
        """A crash is behind us: STATES (path -> Settled) is what there is."""
        self.base = dict(states)
        self.ops = {}
