#!/usr/bin/env python3
"""One large object: how fast it is stored and read, and how little memory the daemon needs for it.

usage: large.py [--mib 5120] [--limit-mib 300]

Exit status 1 if the daemon's own memory passed the limit or a byte came back wrong. A reader
follows the object while it grows, and another one asked for it and then stopped reading.
"""

import argparse
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

from harness import Server, pattern  # noqa: E402

BLOCK = 1 << 20
BODY = pattern(2 * BLOCK + 65537)  # 65537 is the pattern's period


def piece(offset):
    """The BLOCK bytes at OFFSET."""
    start = offset % 65537
    return BODY[start:start + BLOCK]


class Follower(threading.Thread):
    """Reads the object while it grows and checks every byte."""

    def __init__(self, server, size):
        super().__init__(daemon=True)
        self.client, self.size, self.right = server.connect(), size, False

    def run(self):
        self.client.sock.settimeout(120)
        self.client.send_head("GET", "/large")
        head = self.client.read_head()
        right = head.status == 200 and head.chunked
        offset = 0
        while right:
            chunk = self.client.read_chunk()
            if not chunk:
                break
            for at in range(0, len(chunk), BLOCK):
                part = chunk[at:at + BLOCK]
                start = (offset + at) % 65537
                right = right and part == BODY[start:start + len(part)]
            offset += len(chunk)
        self.right = right and offset == self.size


def store(server, args):
    """Uploads; returns seconds and the most memory that was seen."""
    size = args.mib * BLOCK
    most = 0
    with server.connect() as client, server.connect(rcvbuf=4096) as stopped:
        client.sock.settimeout(120)
        client.send_head("PUT", "/large", f"Content-Length: {size}")
        client.wait_taken()
        while client_head(server) != 200:
            time.sleep(0.01)
        follower = Follower(server, size)
        follower.start()
        stopped.send_head("GET", "/large")
        begin = time.monotonic()
        for offset in range(0, size, BLOCK):
            client.send(piece(offset))
            if offset % (16 * BLOCK) == 0:
                most = max(most, server.rss_anon())
        status = client.read_reply("PUT").status
        took = time.monotonic() - begin
        follower.join(120)
        most = max(most, server.rss_anon())
    if status != 201 or not follower.right:
        sys.exit(f"PUT was answered {status}, every byte was followed: {follower.right}")
    return took, most


def client_head(server):
    with server.connect() as client:
        return client.request("HEAD", "/large").status


def fetch(server, args):
    """Downloads and checks; returns seconds and the most memory that was seen."""
    most = 0
    begin = time.monotonic()
    with server.connect() as client:
        client.sock.settimeout(120)
        client.send_head("GET", "/large")
        head = client.read_head()
        if head["Content-Length"] != str(args.mib * BLOCK):
            sys.exit(f"wrong reply: {head}")
        for offset in range(0, args.mib * BLOCK, BLOCK):
            if client.read_exactly(BLOCK) != piece(offset):
                sys.exit(f"wrong bytes near {offset}")
            if offset % (64 * BLOCK) == 0:
                most = max(most, server.rss_anon())
    return time.monotonic() - begin, most


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=5120)
    parser.add_argument("--limit-mib", type=int, default=300)
    args = parser.parse_args()
    server = Server()
    try:
        server.start()
        put, put_memory = store(server, args)
        get, get_memory = fetch(server, args)
        server.stop()
        start = server.start()
        again, again_memory = fetch(server, args)
    finally:
        server.remove()
    most = max(put_memory, get_memory, again_memory) / BLOCK
    print(f"one object of {args.mib} MiB, followed while it grew")
    print(f"  PUT                  {put:10.2f} s      {args.mib / put:.0f} MiB/s")
    print(f"  GET                  {get:10.2f} s      {args.mib / get:.0f} MiB/s")
    print(f"  start                {start:10.3f} s")
    print(f"  GET after it         {again:10.2f} s      {args.mib / again:.0f} MiB/s")
    print(f"  most own memory      {most:10.1f} MiB")
    print(f"bench=large mib={args.mib} put_mib_s={args.mib / put:.0f} get_mib_s={args.mib / get:.0f} "
          f"get_cold_mib_s={args.mib / again:.0f} start_s={start:.3f} most_mib={most:.1f}")
    if most > args.limit_mib:
        sys.exit(f"more than {args.limit_mib} MiB")


if __name__ == "__main__":
    main()
