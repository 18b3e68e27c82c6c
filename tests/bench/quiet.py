#!/usr/bin/env python3
"""Live latency while something else goes on, against the quiet run: `make bench-latency`.

usage: quiet.py [--seconds 10] [--streams 10] [--readers 100] [--objects 1000000] [--rows "frozen list"]

A crowd (fanout) reads growing objects. The daemon's data directory is on an ext4 image of its own on a loop mount,
so that the disk can be frozen and its caches dropped. A table shows the latency of each run:

    quiet       nothing else, before and after the others
    frozen      the disk is frozen for five seconds (fsfreeze)
    list        a list of --objects paths runs, again and again
    evicted     uploads fill the disk, so that volumes are evicted
    cold        100 readers pull segments that are on disk only
    warm        the same 100 readers and segments, read before: what their bytes cost by themselves

Needs root and loop mounts. The machine is measured, too: look at the quiet rows first.
"""

import argparse
import contextlib
import os
import re
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "crash"), HERE, os.path.join(HERE, "..", "e2e")]

import objects  # noqa: E402
from disks import Disks  # noqa: E402
from harness import Client, Server  # noqa: E402
from rig import need  # noqa: E402

FANOUT = os.path.join(os.environ.get("BENCH", "tests/bench"), "fanout")
MIB = 1 << 20
SEGMENT = 2 * MIB
SEGMENTS = 150
CONFIG = "volume_size = 64MiB\ndisk_max = {limit}MiB\n"


class Crowd:
    """One run of fanout."""

    def __init__(self, server, args):
        self.process = subprocess.Popen(
            [FANOUT, "--port", str(server.port), "--pid", str(server.process.pid), "--streams", str(args.streams),
             "--readers", str(args.readers), "--seconds", str(args.seconds), "--rate", "131072"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.seconds = args.seconds

    def result(self):
        text, _ = self.process.communicate(timeout=self.seconds + 120)
        figures = dict(re.findall(r"(\w+)=([\d.]+)", text))
        if self.process.returncode != 0 or "p50_us" not in figures:
            raise SystemExit(f"fanout failed:\n{text}")
        return figures


class Beside(threading.Thread):
    """Something that is done again and again beside the crowd, until stop()."""

    def __init__(self, work):
        super().__init__(daemon=True)
        self.work, self.times, self.stopping, self.error = work, 0, False, None
        self.start()

    def run(self):
        try:
            while not self.stopping:
                self.work(self)
                self.times += 1
        except Exception as error:
            self.error = error

    def stop(self):
        self.stopping = True
        self.join(120)
        if self.error:
            raise SystemExit(f"what was to go on beside the crowd failed: {self.error!r}")


PAUSE = 4  # seconds between two segments of a reader


def evicted(server):
    return int(server.metrics()["spillway_evicted_total"])


def put_segments(server, prefix, count):
    body = os.urandom(SEGMENT)
    with server.connect() as client:
        for number in range(count):
            if client.put(f"{prefix}{number}.m4s", body).status not in (201, 204):
                raise SystemExit("a segment was refused")


class Bench:
    def __init__(self, disks, server, args):
        self.disks, self.server, self.args = disks, server, args
        self.filled = 0
        self.note = ""

    def quiet(self):
        return Crowd(self.server, self.args).result()

    def frozen(self):
        crowd = Crowd(self.server, self.args)
        time.sleep(self.args.seconds / 4)
        subprocess.run(["fsfreeze", "-f", self.disks.disk], check=True)
        try:
            time.sleep(5)
        finally:
            subprocess.run(["fsfreeze", "-u", self.disks.disk], check=True)
        self.note = "5 s frozen"
        return crowd.result()

    def list(self):
        """The rows are read and thrown away: this program must not be what the crowd waits for."""
        lists = []

        def one(_):
            done = subprocess.run(["curl", "-s", "-X", "LIST", "-o", "/dev/null", "-w", "%{size_download}",
                                   f"http://127.0.0.1:{self.server.port}/many/"],
                                  capture_output=True, text=True, check=True)
            lists.append(int(done.stdout))
        beside = Beside(one)
        figures = Crowd(self.server, self.args).result()
        beside.stop()
        self.note = f"{len(lists)} lists of {lists[0] // len(objects.path_of(0) + chr(10))} paths"
        return figures

    def evicted(self):
        while not evicted(self.server):  # until the disk is full
            put_segments(self.server, f"/full/{self.filled}-", 8)
            self.filled += 1
        before = evicted(self.server)

        def one(_):
            put_segments(self.server, f"/fill/{self.filled}-", 4)
            self.filled += 1
            time.sleep(0.2)
        beside = Beside(one)
        crowd = Crowd(self.server, self.args)
        figures = crowd.result()
        beside.stop()
        gone = evicted(self.server) - before
        if not gone:
            raise SystemExit("nothing was evicted: the row would show nothing")
        self.note = f"{gone} objects evicted, {beside.times * 4 * SEGMENT // MIB} MiB uploaded"
        return figures

    def pull(self, drop):
        """100 readers, each of its share of the segments, a pause between two. They do not begin together."""
        put_segments(self.server, "/cold/", SEGMENTS)
        self.server.stop()
        self.server.start()
        if drop:
            drop_caches(self.server.data)
        else:
            for number in range(SEGMENTS):
                with self.server.connect() as client:
                    client.get(f"/cold/{number}.m4s")
        pulled = []

        def one(first):
            def work(beside):
                time.sleep(PAUSE * first / 100 if beside.times == 0 else PAUSE)
                if beside.stopping:
                    return
                with Client(self.server.port) as client:
                    client.sock.settimeout(120)  # a busy machine is no failure
                    reply = client.get(f"/cold/{(first + beside.times) % SEGMENTS}.m4s")
                    pulled.append(len(reply.body))
                if drop and first == 0:
                    drop_caches(self.server.data)
            return work
        crowd = Crowd(self.server, self.args)
        besides = [Beside(one(first)) for first in range(100)]
        figures = crowd.result()
        self.note = f"{sum(pulled) // MIB} MiB pulled"
        for beside in besides:
            beside.stopping = True
        for beside in besides:
            beside.stop()
        return figures


def drop_caches(data):
    """Of the volumes: what is mapped and in use stays."""
    folder = os.path.join(data, "volumes")
    os.sync()
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError), open(os.path.join(folder, name), "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--streams", type=int, default=10)
    parser.add_argument("--readers", type=int, default=100)
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--rows", default="quiet frozen list evicted cold warm quiet")
    args = parser.parse_args()
    need("fsfreeze", "curl", root=True)
    with Disks(8 << 30, 10 << 30) as disks:
        limit = 512 + 300 * args.objects // MIB
        server = Server(CONFIG.format(limit=limit), data=disks.data)
        try:
            server.start()
            bench = Bench(disks, server, args)
            rows = {"quiet": bench.quiet, "frozen": bench.frozen, "list": bench.list, "evicted": bench.evicted,
                    "cold": lambda: bench.pull(True), "warm": lambda: bench.pull(False)}
            if "list" in args.rows:
                fill = argparse.Namespace(count=args.objects, size=20, connections=32, depth=64)
                print(f"{args.objects} objects stored in {objects.store(server, fill):.0f} s", flush=True)
            print(f"{args.streams * args.readers} live readers, {args.seconds} s each; latency in ms\n"
                  f"{'':10}{'p50':>10}{'p99':>10}{'max':>10}", flush=True)
            for row in args.rows.split():
                bench.note = ""
                figures = rows[row]()
                words = "".join(f"{int(figures[name + '_us']) / 1000:10.2f}" for name in ("p50", "p99", "max"))
                print(f"{row:10}{words}   {bench.note}", flush=True)
                print(f"bench=latency row={row} p50_us={figures['p50_us']} p99_us={figures['p99_us']} "
                      f"max_us={figures['max_us']} server_cpu_s={figures['server_cpu_s']}", flush=True)
        finally:
            server.remove()


if __name__ == "__main__":
    main()
