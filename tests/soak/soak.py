#!/usr/bin/env python3
"""soak.py - many channels and viewers for as long as one asks, and whether everything stays flat: `make soak`.

    SOAK_SECONDS=3600    how long; SIGINT or SIGTERM ends it early, with a report
    SOAK_CHANNELS=24     channels, each with two viewers at its live edge
    SOAK_REPORT=DIR      where report, samples and plot go (./soak-report); samples.tsv grows meanwhile
    SPILLWAY             the daemon

Volumes and memory are small, and objects live for five minutes (a fourth of a short run), so that volumes fill and go
and idle objects are spilled all the time. load.py is what is done and checked, flat.py the rule that the report goes by.
Status 0: every line is flat and nothing that was read, written or listed was wrong.
"""

import asyncio
import os
import platform
import re
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "bench"), os.path.join(HERE, "..", "e2e")]

from flat import Line, Lines  # noqa: E402
from harness import Server  # noqa: E402
from load import Connection, Load  # noqa: E402
from peers import cpu_seconds  # noqa: E402
from report import commit, processor  # noqa: E402

SECONDS = int(os.environ.get("SOAK_SECONDS", "3600"))
CHANNELS = int(os.environ.get("SOAK_CHANNELS", "24"))
FOLDER = os.environ.get("SOAK_REPORT", "soak-report")
TTL = min(300, max(20, SECONDS // 4))
STEP = min(10.0, SECONDS / 60)
MIB = 1 << 20
VOLUME_MIB = 16
CONFIG = f"""
volume_size = {VOLUME_MIB}MiB
memory_max = 256KiB
rule "/soak/*" {{ ttl = {TTL}s  hold = 10s }}
"""

LINES = (
    Line("memory", "MiB", 0.05, 2), Line("descriptors", "", 0.10, 10), Line("disk", "MiB"),
    Line("disk beyond", "MiB", 0.10, 2 * VOLUME_MIB), Line("volumes", ""), Line("catalog", "MiB", 0.10, 1), Line("CPU", "s/s", 0.15, 0.02),
    Line("read p50", "ms", 0.25, 0.5), Line("read p99", "ms", 0.50, 10), Line("stored p50", "ms"),
    Line("stored p99", "ms"), Line("load is late", "ms"))


def buckets(text, family):
    """Upper bounds and counts of a histogram, each bucket by itself."""
    found = re.findall(rf'^{family}_bucket{{le="([^"]+)"}} (\d+)', text, re.MULTILINE)
    counts = [int(count) for _, count in found]
    return [float(bound) for bound, _ in found], [b - a for a, b in zip([0, *counts], counts)]


def quantile(share, bounds, counts):
    """In milliseconds, between the bounds of the bucket that it falls in; None if there is nothing."""
    rank, low = share * sum(counts), 0.0
    for bound, count in zip(bounds, counts):
        if count and rank <= count:
            return 1000 * (low + (bound - low) * rank / count if bound < float("inf") else low)
        rank, low = rank - count, bound
    return None


class Sampler:
    """Looks at the daemon every STEP seconds."""

    def __init__(self, server, load, lines):
        self.server, self.load, self.lines = server, load, lines
        self.begin, self.last_cpu, self.last_at = time.monotonic(), None, None
        self.histograms = {}
        self.text = ""

    def value(self, name):
        match = re.search(rf"^{re.escape(name)} (\d+)", self.text, re.MULTILINE)
        return int(match.group(1)) if match else 0

    def latency(self, family):
        """p50 and p99 of what happened since the last sample."""
        bounds, counts = buckets(self.text, family)
        before = self.histograms.get(family, [0] * len(counts))
        self.histograms[family] = counts
        news = [now - then for now, then in zip(counts, before)]
        return quantile(0.5, bounds, news), quantile(0.99, bounds, news)

    async def metrics(self):
        connection = await Connection.open(self.server.admin)
        try:
            self.text = (await connection.fetch("GET", "/metrics"))[2].decode()
        finally:
            connection.close()

    async def sample(self):
        await self.metrics()
        pid, now = self.server.process.pid, time.monotonic()
        disk = self.value("spillway_disk_used_bytes") / MIB
        cpu = cpu_seconds(pid)
        read, stored = self.latency("spillway_write_to_read_seconds"), self.latency("spillway_acknowledge_seconds")
        if self.last_at is not None:
            self.lines.add(now - self.begin, {
                "memory": self.server.rss_anon() / MIB, "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
                "disk": disk, "disk beyond": disk - self.load.living() / MIB, "volumes": self.value("spillway_volumes"),
                "catalog": os.stat(os.path.join(self.server.data, "catalog.mdb")).st_blocks * 512 / MIB,
                "CPU": (cpu - self.last_cpu) / (now - self.last_at),
                "read p50": read[0], "read p99": read[1], "stored p50": stored[0], "stored p99": stored[1],
                "load is late": self.load.late_ms()})
        self.last_cpu, self.last_at = cpu, now

    async def run(self):
        while True:
            await self.sample()
            await asyncio.sleep(STEP)


def report(sampler, load, seconds, what):
    """The text, and whether all is well."""
    lines, value = sampler.lines, sampler.value
    wrong = lines.complaints() + load.complaints()
    for name in ("spillway_expired_total", "spillway_spilled_total"):
        if not value(name):
            wrong.append(f"{name} is 0: this run was too short to show much")
    for kind in ("write", "read", "catalog"):
        if count := value(f'spillway_errors_total{{kind="{kind}"}}'):
            wrong.append(f"{count} errors of kind {kind}")
    text = [f"spillway {what}, {time.strftime('%Y-%m-%d %H:%M')}, after {seconds:.0f} s",
            f"{processor()}, {os.cpu_count()} cores, Linux {platform.release()}, "
            f"load {os.getloadavg()[0]:.1f} at the end",
            f"repeat with: make soak SOAK_SECONDS={SECONDS} SOAK_CHANNELS={CHANNELS}", "",
            "read: from a byte's arrival to its way out to a reader; stored: from an upload's last byte to its 201;",
            "disk beyond: what is taken for more than the bytes that neither expired nor were deleted.",
            "A line is flat if it rises in the second half by no more than the limit (flat.py has the rule).", "",
            *lines.table(), "", *load.told(),
            f"the daemon: {value('spillway_expired_total')} objects expired, {value('spillway_spilled_total')} spilled, "
            f"{value('spillway_connections_total')} connections, {value('spillway_sent_bytes_total') / 1e9:.2f} GB sent",
            "", "all flat, and nothing was wrong" if not wrong else "NOT WELL:", *(f"  {each}" for each in wrong)]
    return "\n".join(text) + "\n", not wrong


async def soak(server):
    """Sampler and load, and how long it took."""
    load = Load(server.port, CHANNELS, TTL)
    sampler = Sampler(server, load, Lines(FOLDER, LINES))
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    tasks = [asyncio.create_task(work) for work in (*load.works(), sampler.run(), stop.wait())]
    done, _ = await asyncio.wait(tasks, timeout=SECONDS, return_when=asyncio.FIRST_COMPLETED)
    seconds = time.monotonic() - sampler.begin
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        if not stop.is_set():
            load.fail("the load itself", task.exception() or "ended")
    if server.process.poll() is None:
        await sampler.metrics()
    return sampler, load, seconds


def main():
    server, what = Server(CONFIG), commit()
    try:
        server.start()
        print(f"{CHANNELS} channels for {SECONDS} s, pid {os.getpid()}, daemon {server.process.pid}; samples in "
              f"{os.path.abspath(FOLDER)}/samples.tsv", flush=True)
        sampler, load, seconds = asyncio.run(soak(server))
        try:
            server.stop()
        except AssertionError as error:
            load.fail("the daemon's end", error)
    finally:
        server.remove()
    text, well = report(sampler, load, seconds, what)
    with open(os.path.join(FOLDER, "report.txt"), "w", encoding="utf-8") as file:
        file.write(text)
    print(text, sampler.lines.plot(), sep="\n")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
