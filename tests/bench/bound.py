#!/usr/bin/env python3
"""More objects than the disk may hold: memory and disk stay within their bounds, the newest can always be read, and
what is evicted delays no live reader.

usage: bound.py [--count 1000000] [--size 65536] [--disk-max 2GiB] [--seconds 1200]

Starts the daemon that $SPILLWAY names on a data directory of its own, and stores objects, each acknowledged on
disk. Beside that a sampler looks at the daemon's memory and the disk, and reads the object that was
acknowledged last; and a stream is written and read live, in a process of its own: how long a part takes
while a volume is evicted is told apart from the rest. Ends with 1 if a bound or a read was broken.
"""

import argparse
import bisect
import contextlib
import itertools
import multiprocessing
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

from harness import Client, Server  # noqa: E402
from objects import body_of, drive, path_of, puts  # noqa: E402

UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
SAMPLE_S = 1
LOOK_S = 0.1  # whether a volume is gone
EVICTION_S = 0.5  # before it was seen and after that
PART, PART_S, PARTS = 4096, 0.04, 50  # of the live stream: a segment is PARTS of them


def bytes_of(text):
    return int(text[:-3]) * UNITS[text[-3:]]


# ---- a live stream ---------------------------------------------------------------------------------------


def write_segments(port, stop, sent):
    """Segments one after the other; SENT gets each part's number and when it went out."""
    with Client(port) as client:
        for segment in itertools.count():
            if stop.is_set():
                break
            path = f"/live/{segment}.m4s"
            client.begin_put(path)
            sent.put((path, None))
            for _ in range(PARTS):
                time.sleep(PART_S)
                sent.put((path, time.monotonic()))
                client.send_chunk(b"x" * PART)
            client.send(b"0\r\n\r\n")
            if client.read_reply("PUT").status not in (201, 204):
                raise AssertionError("a live segment was refused")
    sent.put((None, None))


def live(port, stop, delays):
    """Runs in a process: what one reader of the stream sees, as pairs of when and how late."""
    import queue
    sent = queue.Queue()
    writer = threading.Thread(target=write_segments, args=(port, stop, sent), daemon=True)
    writer.start()
    with Client(port) as client:
        while True:
            path, _ = sent.get()
            if path is None:
                break
            client.send_head("GET", path)
            client.read_head()
            for _ in range(PARTS):
                client.read_part(PART)
                now = time.monotonic()
                delays.append((now, now - sent.get()[1]))
            client.read_rest()


def live_process(port, stop, pipe):
    delays = []
    try:
        live(port, stop, delays)
    finally:
        pipe.send(delays)


def told(delays):
    """The middle, one in a thousand, and the largest, in milliseconds."""
    if not delays:
        return "none"
    delays = sorted(delay * 1000 for delay in delays)
    return (f"{len(delays)} parts, middle {delays[len(delays) // 2]:.1f} ms, one in a thousand "
            f"{delays[-1 - len(delays) // 1000]:.1f} ms, largest {delays[-1]:.1f} ms")


def is_near(when, evictions):
    """Whether one of EVICTIONS was seen at WHEN or so."""
    at = bisect.bisect_left(evictions, when - EVICTION_S)
    return at < len(evictions) and evictions[at] <= when + EVICTION_S


# ---- samples ---------------------------------------------------------------------------------------------


class Sampler(threading.Thread):
    """Looks every second at what must stay within bounds, and more often at which volumes there are."""

    def __init__(self, server, args):
        super().__init__(daemon=True)
        self.server, self.args = server, args
        self.newest, self.done = -1, 0
        self.samples = []  # (when, done, own memory, bytes of volumes, bytes of the catalog)
        self.read, self.faults = 0, []
        self.evictions = []  # moments at which a volume was seen to be gone
        self.stopping = threading.Event()

    def acknowledged(self, numbers):
        self.newest = numbers[-1]
        self.done += len(numbers)

    def sizes(self):
        folder = os.path.join(self.server.data, "volumes")
        names, before = os.listdir(folder), None
        while names != before:  # else one that is gone and one that took its place would both be counted
            volumes, before = 0, names
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    volumes += os.stat(os.path.join(folder, name)).st_blocks * 512
            names = os.listdir(folder)
        catalog = os.stat(os.path.join(self.server.data, "catalog.mdb")).st_blocks * 512
        return volumes, catalog

    def sample(self, client):
        newest = self.newest
        reply = client.get(path_of(newest))
        if reply.status != 200 or reply.body != body_of(newest, self.args.size):
            self.faults.append(f"the newest object, {path_of(newest)}, is answered {reply.status}")
        self.read += 1
        self.samples.append((time.monotonic(), self.done, self.server.rss_anon(), *self.sizes()))
        if len(self.samples) % 60 == 1:
            self.print_sample()

    def run(self):
        names, due = set(), 0
        with self.server.connect() as client:
            while not self.stopping.wait(LOOK_S):
                now = {name for name in os.listdir(os.path.join(self.server.data, "volumes")) if name.endswith(".vol")}
                if names - now:
                    self.evictions.append(time.monotonic())
                names = now
                if self.newest >= 0 and time.monotonic() >= due:
                    due = time.monotonic() + SAMPLE_S
                    self.sample(client)

    def print_sample(self):
        _, done, memory, volumes, catalog = self.samples[-1]
        print(f"  {done:9} stored: own memory {memory / 1048576:6.1f} MiB, volumes {volumes / 1048576:7.1f} MiB, "
              f"catalog {catalog / 1048576:5.1f} MiB", flush=True)


def store(server, args, sampler):
    """Seconds it took."""
    end = time.monotonic() + args.seconds
    return drive(server, args.count, args, *puts(args.size, sampler.acknowledged), lambda: time.monotonic() < end)


def judge(args, sampler, delays, took):
    disk = max(sample[3] for sample in sampler.samples)
    catalog = max(sample[4] for sample in sampler.samples)
    settled = [sample for sample in sampler.samples if sampler.evictions and sample[0] > sampler.evictions[0]]
    faults = list(sampler.faults)
    if not settled:
        faults.append("nothing was evicted: this run shows nothing")
    if disk > bytes_of(args.disk_max):
        faults.append(f"the disk's bound was exceeded: {disk} bytes")
    quarter = len(settled) // 4
    first = [memory for _, _, memory, _, _ in settled[:quarter]]
    last = [memory for _, _, memory, _, _ in settled[-quarter:]]
    if quarter > 10 and max(last) > 1.2 * max(first):
        faults.append("own memory still grows")
    apart = {True: [], False: []}
    for when, late in delays:
        apart[is_near(when, sampler.evictions)].append(late)
    print(f"  {sampler.done} objects of {args.size} bytes in {took:.0f} s, "
          f"{sampler.done * args.size / took / 1e6:.0f} MB/s, disk_max {args.disk_max}")
    print(f"  volumes at most {disk / 1048576:.1f} MiB, catalog {catalog / 1048576:.1f} MiB")
    if quarter > 0:
        print(f"  own memory since the first eviction: at most {max(first) / 1048576:.1f} MiB in the first quarter "
              f"of the time, {max(last) / 1048576:.1f} MiB in the last")
    print(f"  the newest object was read {sampler.read} times")
    print(f"  live within {EVICTION_S} s of {len(sampler.evictions)} evictions: {told(apart[True])}")
    print(f"  live otherwise: {told(apart[False])}")
    for fault in faults[:20]:
        print("BROKEN:", fault)
    return 1 if faults else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=65536)
    parser.add_argument("--disk-max", default="2GiB", help="a number of KiB, MiB or GiB")
    parser.add_argument("--seconds", type=float, default=1200, help="stores no more than fit in this time")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--depth", type=int, default=8)
    args = parser.parse_args()
    server = Server(f"disk_max = {args.disk_max}\nrule \"/live/*\" {{ hold = 2s }}\n")
    try:
        server.start()
        stop, (here, there) = multiprocessing.Event(), multiprocessing.Pipe()
        reader = multiprocessing.Process(target=live_process, args=(server.port, stop, there), daemon=True)
        reader.start()
        sampler = Sampler(server, args)
        sampler.start()
        took = store(server, args, sampler)
        sampler.stopping.set()
        sampler.join()
        stop.set()
        delays = here.recv()
        reader.join()
        if reader.exitcode != 0:
            sampler.faults.append("the live stream ended early")
        return judge(args, sampler, delays, took)
    finally:
        server.remove()


if __name__ == "__main__":
    sys.exit(main())
