#!/usr/bin/env python3
"""Mutated connections against the real daemon, and a neighbour who must never notice.

Each connection sends one dialogue - a few requests of every kind - after some random changes: bytes flipped,
runs cut, doubled or swapped, numbers made huge, line ends spoilt; in random pieces; then it stays a moment, closes
or resets. After every hundred of them the neighbour's stream must be whole, and stores and reads must work.

    SECONDS=600 SEED=1 tests/fuzz/connections.py      longer; the seed is in the first line of what it says

Best with a daemon that was built with --enable-asan. As a test it runs for some seconds.
"""

import os
import pathlib
import random
import select
import socket
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))

from harness import Case, main, pattern, wait_until  # noqa: E402

SECONDS = float(os.environ.get("SECONDS", "6"))
SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
ROUND = 100  # connections
AT_ONCE = 20

HOST = b"Host: origin.example\r\n"
DIALOGUES = [
    b"GET /stock HTTP/1.1\r\n" + HOST + b"\r\n" b"GET /stock HTTP/1.1\r\n" + HOST + b"Range: bytes=5-99\r\n\r\n",
    b"GET /stock HTTP/1.0\r\n\r\n",
    b"HEAD /stock HTTP/1.1\r\n" + HOST + b"If-None-Match: \"x\", W/\"y\"\r\n\r\n",
    b"GET /stock HTTP/1.1\r\n" + HOST + b"Range: bytes=0-4,10-14,-5\r\nConnection: close\r\n\r\n",
    b"GET /stream HTTP/1.1\r\n" + HOST + b"Range: bytes=0-9007199254740991\r\n\r\n",
    b"GET /nothing HTTP/1.1\r\n" + HOST + b"\r\n",
    b"PUT /m/a HTTP/1.1\r\n" + HOST + b"Content-Length: 26\r\nContent-Type: video/mp4\r\n\r\n"
    b"abcdefghijklmnopqrstuvwxyz" b"GET /m/a HTTP/1.1\r\n" + HOST + b"\r\n",
    b"PUT /m/b HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nA: b\r\n\r\n" b"DELETE /m/b HTTP/1.1\r\n" + HOST + b"\r\n",
    b"POST /m/c HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    b"PUT /m/c HTTP/1.1\r\n" + HOST + b"Content-Range: bytes 5-9/10\r\nContent-Length: 5\r\n\r\nworld",
    b"PUT /m/c HTTP/1.1\r\n" + HOST + b"Content-Range: bytes 5-*/*\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
    b"DELETE /m/a HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"LIST /m/ HTTP/1.1\r\n" + HOST + b"Accept: application/x-ndjson\r\n\r\n",
    b"LIST /?limit=2&after=/m/a&format=text HTTP/1.1\r\n" + HOST + b"\r\n",
    b"OPTIONS * HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc",
    b"GET http://origin.example/m/%61?x HTTP/1.1\r\n" + HOST + b"\r\n",
    b"PUT /m/p.m3u8 HTTP/1.1\r\n" + HOST + b"Content-Length: 60\r\n\r\n"
    b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nseg-000000.ts\n\n\n"
    b"GET /m/p.m3u8?_HLS_msn=1 HTTP/1.1\r\n" + HOST + b"\r\n",
]
PIECES = [b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"%00", b"%", b"/../", b",", b";", b"-", b"0",
          b"18446744073709551616", b"4294967295", b"-1", b"chunked", b"Content-Length: 5\r\n",
          b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"HTTP/1.0", b"HTTP/2.0", b"\xff" * 9,
          b"A" * 2000, b"B" * 20000, b"0\r\n\r\n", b"fffffffffffffff\r\n", b"PUT ", b"GET / HTTP/1.1\r\n\r\n"]


def mutate(rng, text):
    """TEXT after a few random changes; now and then none."""
    data = bytearray(text)
    for _ in range(rng.choice((0, 1, 1, 2, 3, 8))):
        at = rng.randrange(len(data) + 1)
        run = rng.choice((1, 1, 2, 4, 16, 64))
        change = rng.randrange(6)
        if change == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif change == 1:
            del data[at:at + run]
        elif change == 2:
            data[at:at] = data[at:at + run] * rng.choice((1, 2, 50))
        elif change == 3:
            data[at:at + rng.choice((0, run))] = rng.choice(PIECES)
        elif change == 4:
            data[at:at] = rng.choice(DIALOGUES)
        else:
            data[at:at + run] = rng.randbytes(run)
    return bytes(data)


class Stranger:
    """One mutated connection, which never waits for anything."""

    def __init__(self, rng, port):
        self.rng = rng
        self.data = mutate(rng, rng.choice(DIALOGUES))
        self.sock = socket.socket()
        if rng.random() < 0.1:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.connect(("127.0.0.1", port))
        self.sock.setblocking(False)
        self.turns = rng.choice((1, 2, 5, 20))
        self.reads = rng.random() < 0.9

    def turn(self):
        """Sends some and reads some. False when it has had enough."""
        size = self.rng.choice((1, 7, 100, 1 << 20))
        try:
            if self.data:
                sent = self.sock.send(self.data[:size])
                self.data = self.data[sent:]
            else:
                self.turns -= 1
                if self.rng.random() < 0.1:
                    self.sock.shutdown(socket.SHUT_WR)
            if self.reads and not self.sock.recv(65536):
                self.turns = 0
        except BlockingIOError:
            pass
        except OSError:  # it was cut, as it should be
            self.turns = 0
        return self.turns > 0

    def leave(self):
        if self.rng.random() < 0.3:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Connections(Case):
    CONFIG = "head_timeout = 2s\nsend_timeout = 2s\nresume_window = 1s\nworkers = 2\n"

    def crowd(self, rng):
        """ROUND strangers, some at a time."""
        left, inside = ROUND, []
        while left or inside:
            while left and len(inside) < AT_ONCE:
                inside.append(Stranger(rng, self.server.port))
                left -= 1
            select.select([s.sock for s in inside], [], [], 0.002)
            for stranger in list(inside):
                if not stranger.turn():
                    stranger.leave()
                    inside.remove(stranger)

    def test_a_neighbour_notices_nothing_of_mutated_connections(self):
        print(f"SEED={SEED}", flush=True)
        rng = random.Random(SEED)
        self.put("/stock", pattern(300000))
        writer = self.writer("/stream", b"begin")
        reader = self.follow("/stream")
        self.assertEqual(reader.read_part(5), b"begin")
        kept = self.connect()
        end, rounds = time.monotonic() + SECONDS, 0
        while time.monotonic() < end:
            self.crowd(rng)
            rounds += 1
            part = pattern(20000, rounds)
            writer.send_chunk(part)
            self.assertEqual(reader.read_part(len(part)), part, f"round {rounds}")
            own = b"%d" % rounds
            self.assertIn(kept.put("/own", own).status, (201, 204))
            self.assertEqual(kept.get("/own").body, own)
            self.assertIsNone(self.server.process.poll(), "the daemon ended")
        self.assertEqual(writer.end_put().status, 201)
        self.assertEqual(reader.read_rest(), b"")
        print(f"{rounds * ROUND} connections", flush=True)
        # Nobody is left behind: what stays open is closed by a deadline. Two are ours, and the asker.
        with self.server.connect_admin() as asker:
            wait_until(lambda: self.open_connections(asker) <= 5, "the strangers to be gone")

    def open_connections(self, asker):
        for line in asker.get("/metrics").body.decode().splitlines():
            if line.startswith("spillway_connections "):
                return int(line.split()[1])
        raise AssertionError("no such metric")


if __name__ == "__main__":
    main(limit_seconds=300 + int(SECONDS))
