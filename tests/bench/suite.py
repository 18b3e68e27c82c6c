#!/usr/bin/env python3
"""suite.py - spillway beside its peers and beside the kernel's floor: `make bench`.

    BENCH_QUICK=1        one short round of everything
    BENCH_ONLY=get,put   only these: live scale waiting get put large many playlist
    BENCH_REPORT=DIR     where table and plots go (./bench-report)
    BENCH_OBJECTS=N      objects of `many` (1000000)
    SPILLWAY, BENCH      the daemon, and the folder of the built load tools

Every row is measured in turns - ours, theirs, ours, theirs - and the median of three rounds stands in the table with
the least and the most. The cost of a server is user and system time of all its processes per unit of work, which
other programs on the machine disturb less than the clock. A peer that is not installed is left out, with a word.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

import peers
from memory import Filler
from report import Report

QUICK = os.environ.get("BENCH_QUICK", "0") not in ("", "0")
ONLY = [name for name in os.environ.get("BENCH_ONLY", "").split(",") if name]
OBJECTS = int(os.environ.get("BENCH_OBJECTS", "20000" if QUICK else "1000000"))
TOOLS = os.environ.get("BENCH", "./tests/bench")
ROUNDS = 1 if QUICK else 3
PART_BYTES = 10485  # of live streams: 256 KiB/s, a write every 40 ms
MIB = 1 << 20
PACE = 16000  # requests a second that every peer can answer


def seconds(full):
    return 2 if QUICK else full


def tool(name, **options):
    """Runs one of our load tools; the figures of its last line."""
    command = [os.path.join(TOOLS, name)]
    for key, value in options.items():
        command += ["--" + key.replace("_", "-"), str(value)]
    limit = 300 + options.get("count", 0) / 1000  # ten times what is usual
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=limit, check=False)
    lines = done.stdout.splitlines()
    figures = dict(pair.split("=", 1) for pair in lines[-1].split()) if lines else {}
    if "bench" not in figures or done.returncode not in (0, 1):
        raise RuntimeError(f"{' '.join(command)} failed with {done.returncode}")
    result = {key: float(value) for key, value in figures.items() if key != "bench"}
    result["failed"] = done.returncode
    return result


def in_turns(report, row, measures):
    """MEASURES: who -> function that returns (cost, rate, note). Each in each round."""
    for turn in range(ROUNDS):
        for who, measure in measures.items():
            print(f"  {row}: {who}, round {turn + 1} of {ROUNDS}", file=sys.stderr, flush=True)
            report.add(row, who, *measure())


# ---- live ----

def fanout(peer, origin=None, **options):
    """Cost and note of a fan-out. What a server that lags saves by joining parts is no merit: it is told."""
    got = tool("fanout", port=peer.port, pid=peer.pid, origin=origin or peer.port, **options)
    note = (f"p50 {got['p50_us'] / 1000:.2f}, p99 {got['p99_us'] / 1000:.1f}, "
            f"max {got['max_us'] / 1000:.0f} ms")
    if got["failed"]:
        note += f"; {got['cut'] + got['unfinished']:.0f} readers cut"
    if got["late"] or got["writes_per_chunk"] > 1.1:
        note += f"; LAGS: {got['writes_per_chunk']:.1f} writes a part"
    return got["server_cpu_s_per_gb"], got["bytes"] / 1e9 / got["seconds"], note


def floor(**options):
    got = tool("sendmsg", **options)
    return got["cpu_s_per_gb"], got["bytes"] / 1e9 / options["seconds"], "no server, no latency"


def live(report, home):
    spillway = peers.Spillway(home)
    single = peers.Spillway(home, ["-w", "1"], {min(os.sched_getaffinity(0))})
    edge = peers.varnish(home, spillway.port) if report.has("varnishd") else None
    try:
        for streams, readers in ((32, 128), (8, 128), (4, 32)):
            row = report.row(f"live {streams} x {readers}", "CPU s/GB", "GB/s",
                             [("bare sendmsg loop", 1.15)])
            load = {"streams": streams, "readers": readers, "seconds": seconds(6)}
            measures = {"spillway": lambda load=load: fanout(spillway, **load),
                        "bare sendmsg loop": lambda load=load: floor(**load)}
            if streams == 32:
                measures["spillway on one core"] = lambda load=load: fanout(single, **load)
            if edge:
                measures["Varnish, edge of it"] = (
                    lambda load=load: fanout(edge, origin=spillway.port, **load))
            in_turns(report, row, measures)
    finally:
        for peer in (edge, single, spillway):
            if peer:
                peer.stop()


def scale(report, home):
    """Cost per reader against their number: about the same parts a second for all, from 2,048 readers on."""
    spillway = peers.Spillway(home)
    row = report.row("CPU per part by readers", "us a reader and part", "GB/s", [])
    try:
        for readers in (4, 64, 512) if QUICK else (4, 16, 64, 128, 256, 512):
            interval_ms = 40 * max(1, readers // 64)
            load = {"streams": 32, "readers": readers, "interval_ms": interval_ms,
                    "rate": PART_BYTES * 1000 // interval_ms + 1, "seconds": seconds(5)}
            print(f"  {row}: {32 * readers}", file=sys.stderr, flush=True)
            try:
                got = tool("fanout", port=spillway.port, pid=spillway.pid, **load)
                bare = tool("sendmsg", **load)
            except RuntimeError as error:
                report.remark(f"{32 * readers} readers are too many for this machine: {error}")
                break
            report.add(row, f"{32 * readers:6} readers", got["us_per_chunk"],
                       got["bytes"] / 1e9 / got["seconds"],
                       f"bare loop {bare['us_per_part']:.1f}, p99 {got['p99_us'] / 1000:.1f} ms, "
                       f"{got['writes_per_chunk']:.2f} writes a part")
            report.point("scale", "spillway", 32 * readers, got["us_per_chunk"])
            report.point("scale", "bare sendmsg loop", 32 * readers, bare["us_per_part"])
    finally:
        spillway.stop()


def waiting(report, home):
    """Each time of a new server: one that had as many readers before has their memory."""
    row = report.row("4,096 readers that wait", "KiB each", "wakings/s", [(4.0, 1.0)])

    def measure(peer, **options):
        got = tool("waiting", port=peer.port, pid=peer.pid, rounds=seconds(25), **options)
        return (got["kib_each"], 1000 / got["wake_ms"],
                f"all woken in {got['wake_ms']:.0f} ms, {got['wake_max_ms']:.0f} at worst")

    def ours():
        spillway = peers.Spillway(home)
        try:
            return measure(spillway)
        finally:
            spillway.stop()
    in_turns(report, row, {"spillway": ours})
    if not report.has("varnishd"):
        return
    spillway = peers.Spillway(home)
    edge = peers.varnish(home, spillway.port)
    try:
        report.add(row, "Varnish, edge of it", *measure(edge, origin=spillway.port))
    finally:
        edge.stop()
        spillway.stop()


# ---- finished objects ----

def wrk(peer, path):
    """Cost and rate of GETs of PATH on 16 kept connections."""
    before = peers.cpu_seconds(peer.pid)
    done = subprocess.run(["wrk", "-t1", "-c16", f"-d{seconds(3)}", f"http://127.0.0.1:{peer.port}{path}"],
                          stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    cpu = peers.cpu_seconds(peer.pid) - before
    words = done.stdout.split()
    count = int(words[words.index("requests") - 1])
    rate = float(words[words.index("Requests/sec:") + 1])
    note = "some replies were not 200" if "Non-2xx" in done.stdout else ""
    return cpu * 1e6 / count, rate, note


def paced(peer, path):
    """The same at one rate for all: who answers as fast as it can has other queues than who answers half of that."""
    before = peers.cpu_seconds(peer.pid)
    done = subprocess.run(["h2load", "--h1", "-t1", "-c16", f"--rps={PACE // 16}", f"-D{seconds(4)}",
                           f"http://127.0.0.1:{peer.port}{path}"],
                          stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    cpu = peers.cpu_seconds(peer.pid) - before
    count = int(re.search(r"(\d+) succeeded", done.stdout).group(1))
    rate = float(re.search(r"([\d.]+) req/s", done.stdout).group(1))
    return cpu * 1e6 / count, rate, ""


def one_worker(report, home, name, size, targets):
    """With one worker each. Of lighttpd's two, mostly the first one that wakes takes all connections and is never idle;
    ours share them, and sleep and wake by turns on the core that the client leaves them."""
    running = [peers.Spillway(home, ["-w", "1"])]
    if report.has("lighttpd"):
        running.append(peers.lighttpd(home, workers=1))
    try:
        body = os.urandom(size)
        for peer in running:
            peer.store(f"get/{size}.bin", body)
        row = report.row(f"GET {name}, one worker", "us of CPU", "requests/s", targets)
        in_turns(report, row, {peer.name: lambda peer=peer: wrk(peer, f"/get/{size}.bin") for peer in running})
    finally:
        for peer in running:
            peer.stop()


def get_of_size(report, running, floor, size, name, targets):
    try:
        everybody = running + [floor]
        row = report.row(f"GET {name}", "us of CPU", "requests/s", targets)
        in_turns(report, row, {peer.name: lambda peer=peer: wrk(peer, f"/get/{size}.bin") for peer in everybody})
        if size < MIB and report.has("h2load"):
            row = report.row(f"GET {name}, {PACE} a second", "us of CPU", "requests/s", targets)
            in_turns(report, row, {peer.name: lambda peer=peer: paced(peer, f"/get/{size}.bin") for peer in everybody})
    finally:
        floor.stop()


def get(report, home):
    if not report.has("wrk"):
        return
    running = [peers.Spillway(home)]
    sizes = ((1024, "1 KiB", [("lighttpd", 1.0)]), (65536, "64 KiB", [("lighttpd", 1.0)]),
             (MIB, "1 MiB", [("Varnish", 0.9), ("nginx", 0.45)]))
    try:
        for program, start in (("nginx", peers.nginx), ("lighttpd", peers.lighttpd)):
            if report.has(program):
                running.append(start(home))
        for size, _, _ in sizes:
            body = os.urandom(size)
            for peer in running:
                peer.store(f"get/{size}.bin", body)
        if report.has("varnishd"):
            running.append(peers.varnish(home, running[0].port))
        for size, name, targets in sizes:
            get_of_size(report, running, peers.bare(home, size), size, name, targets)
            if size < MIB:
                one_worker(report, home, name, size, targets)
    finally:
        for peer in reversed(running):
            peer.stop()


def put(report, home):
    running = [peers.Spillway(home)]
    filler = Filler(home, QUICK)
    if report.has("nginx"):
        running.append(peers.nginx(home))

    def measure(peer, size, **options):
        filler.fill()
        got = tool("puts", port=peer.port, pid=peer.pid, size=size, **options)
        durable = "on disk when answered" if peer.name == "spillway" else "not synced"
        return (got["us_per_put"], got["per_s"],
                f"{durable}; p50 {got['p50_us'] / 1000:.1f}, p99 {got['p99_us'] / 1000:.1f} ms")
    try:
        for size, name, goal in ((65536, "64 KiB", 90.0), (MIB, "1 MiB", 500.0)):
            row = report.row(f"PUT {name}", "us of CPU", "objects/s", [(goal, 1.0)])
            in_turns(report, row, {peer.name: lambda peer=peer, size=size: measure(
                peer, size, seconds=seconds(4), connections=64, paths=2000) for peer in running})
    finally:
        filler.close()
        for peer in running:
            peer.stop()


def disk(home, size):
    """What the disk takes of one file, in GB/s, with fdatasync at the end."""
    block = os.urandom(MIB)
    begin = time.monotonic()
    with open(os.path.join(home, "disk"), "wb", buffering=0) as file:
        os.posix_fallocate(file.fileno(), 0, size)
        for _ in range(size // MIB):
            file.write(block)
        os.fdatasync(file.fileno())
    took = time.monotonic() - begin
    os.unlink(os.path.join(home, "disk"))
    return size / 1e9 / took


def large(report, home):
    size = (256 if QUICK else 2048) * MIB
    spillway = peers.Spillway(home)
    filler = Filler(home, QUICK)
    row = report.row(f"one PUT of {size // MIB} MiB", "CPU s/GB", "GB/s", [])

    def measure():
        filler.fill()
        got = tool("puts", port=spillway.port, pid=spillway.pid, size=size, count=1, connections=1, paths=1)
        return got["server_cpu_s"] / (size / 1e9), got["gb_per_s"], "on disk when answered"

    def alone():
        filler.fill()
        return 0.0, disk(home, size), "one file, fallocate, write, fdatasync"
    try:
        in_turns(report, row, {"spillway": measure, "the disk": alone})
    finally:
        filler.close()
        spillway.stop()


# ---- many objects ----

def many(report, home):
    """A million small objects: cost of a PUT by how many there are, start, LIST."""
    spillway = peers.Spillway(home)
    row = report.row("PUT of 100 bytes by objects stored", "us of CPU", "objects/s", [])
    try:
        stored, step = 0, 1000
        while stored < OBJECTS:
            count = min(step, OBJECTS) - stored
            got = tool("puts", port=spillway.port, pid=spillway.pid, size=100, count=count,
                       connections=512, first=stored)
            stored += count
            report.add(row, f"{stored:8} objects", got["us_per_put"], got["per_s"],
                       f"own memory {spillway.server.rss_anon() / MIB:.0f} MiB")
            report.point("puts", "spillway", stored, got["us_per_put"])
            step *= 10
        row = report.row(f"start with {OBJECTS} objects", "ms to the first reply", "starts/s", [(100.0, 1.0)])
        for _ in range(ROUNDS):
            spillway.server.stop()
            begin = time.monotonic()
            spillway.server.start()
            with spillway.server.connect() as client:
                assert client.get(f"/bench/puts/000/{0:08}.m4s").status == 200
            took = time.monotonic() - begin
            report.add(row, "spillway", took * 1000, 1 / took, "after SIGTERM")
        row = report.row(f"LIST of {OBJECTS} paths", "ms", "lists/s", [(300.0, 1.0)])
        with spillway.server.connect() as client:
            client.sock.settimeout(120)
            paths = client.request("LIST", "/bench/puts/").body.count(b"\n")
        assert paths == OBJECTS, paths
        for _ in range(ROUNDS):
            done = subprocess.run(["curl", "-sS", "-X", "LIST", "-o", "/dev/null", "-w", "%{time_total}",
                                   f"http://127.0.0.1:{spillway.server.port}/bench/puts/"],
                                  stdout=subprocess.PIPE, text=True, check=True, timeout=120)
            took = float(done.stdout)
            report.add(row, "spillway", took * 1000, 1 / took, "by curl")
    finally:
        spillway.stop()


def playlist(report, home):
    """The time of a durable PUT of a playlist while 500 streams run."""
    spillway = peers.Spillway(home)
    row = report.row("PUT of a playlist, 500 streams", "ms, p99", "objects/s", [(5.0, 1.0)])
    length = seconds(6)
    try:
        for _ in range(ROUNDS):
            streams = subprocess.Popen(
                [os.path.join(TOOLS, "fanout"), "--port", str(spillway.port), "--streams", "500",
                 "--readers", "1", "--seconds", str(length + 2)], stdout=subprocess.DEVNULL)
            time.sleep(1)
            got = tool("puts", port=spillway.port, pid=spillway.pid, size=2000, connections=4, paths=500,
                       pause_ms=20, seconds=length, suffix=".m3u8")
            note = f"p50 {got['p50_us'] / 1000:.2f}, max {got['max_us'] / 1000:.1f} ms"
            if streams.wait(120) != 0:
                note += "; not all streams came through"
            report.add(row, "spillway", got["p99_us"] / 1000, got["per_s"], note)
    finally:
        spillway.stop()


PARTS = (live, scale, waiting, get, put, large, many, playlist)


def main():
    for name in ONLY:
        if name not in [part.__name__ for part in PARTS]:
            sys.exit(f"BENCH_ONLY: there is no {name}")
    report = Report(os.environ.get("BENCH_REPORT", "bench-report"), QUICK)
    home = tempfile.mkdtemp(prefix="spillway-bench-")
    failed = []
    try:
        for part in PARTS:
            if ONLY and part.__name__ not in ONLY:
                continue
            try:
                part(report, home)
            except (AssertionError, RuntimeError, OSError, subprocess.SubprocessError) as error:
                failed.append(part.__name__)
                report.remark(f"{part.__name__} was not measured to its end: {error}")
    finally:
        shutil.rmtree(home, ignore_errors=True)
    report.write()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
