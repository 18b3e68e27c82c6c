#!/usr/bin/env python3
"""chain.py - ffmpeg, origin, players in a browser: `make chain`.

    CHAIN_SECONDS=60   how long the players are watched in each run, after 15 s in which they settle
    CHAIN_ONLY=NAME    one run: direct, varnish or restart
    SPILLWAY, PLAYERS  the daemon, and the folder of the players' scripts

ffmpeg pushes low-latency DASH, and HLS playlists of the same segments. dash.js, hls.js and Shaka Player play it in
one page of a headless Chromium (page.html), from the origin, through Varnish with our recipe, and over a restart of
the origin in the middle. The page measures: the latency against the wall clock, and each time that a picture stands.
Status 0: nobody stalled, and dash.js was within 0.3 s of the 1.5 s it was told. Over the restart pictures may stand for
some seconds, but they go on, and come back to their latency. ffmpeg opens a connection for each segment: with
-http_persistent it loses two segments of each representation over a restart, and the players stand for 13 to 19 s.
"""

import contextlib
import http.server
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))

from edges import Varnish  # noqa: E402
from harness import wait_until, with_parent_dies  # noqa: E402
from supervised import Supervised  # noqa: E402

SECONDS = int(os.environ.get("CHAIN_SECONDS", "60"))
ONLY = os.environ.get("CHAIN_ONLY")
PLAYERS = os.environ.get("PLAYERS", "player")
SETTLE = 15
TARGET, NEAR = 1.5, 0.3
LONGEST = 6  # seconds that a picture may stand over a restart
# What is asked of each player: its latency in seconds. Plain HLS is three target durations (3 s) behind its playlist.
LATENCIES = {"dash.js": (TARGET - NEAR, TARGET + NEAR), "hls.js": (0, 12), "shaka": (0, 3)}
CHROMIUM = ("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--autoplay-policy=no-user-gesture-required", "--mute-audio")
ENCODER = ("ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-re",
           "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25",
           "-f", "lavfi", "-i", "sine=frequency=440:beep_factor=4:sample_rate=48000",
           "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-threads", "1", "-pix_fmt", "yuv420p",
           "-g", "50", "-keyint_min", "50", "-sc_threshold", "0", "-c:a", "aac", "-b:a", "64k",
           "-f", "dash", "-method", "PUT", "-ignore_io_errors", "1",
           "-ldash", "1", "-streaming", "1", "-seg_duration", "2", "-frag_type", "duration", "-frag_duration", "0.2",
           "-use_template", "1", "-use_timeline", "0", "-write_prft", "0", "-window_size", "10",
           "-extra_window_size", "10", "-hls_playlist", "1", "-hls_master_name", "master.m3u8")


class Pages(http.server.ThreadingHTTPServer):
    """Serves page and players, and keeps what the page reports: lists of (time, player's state)."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.reports = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def since(self, begin, name):
        return [state for at, states in list(self.reports) if at >= begin for state in states if state["name"] == name]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = urllib.parse.urlsplit(self.path).path.strip("/") or "page.html"
        folder = HERE if name == "page.html" else PLAYERS
        try:
            with open(os.path.join(folder, os.path.basename(name)), "rb") as file:
                body = file.read()
        except OSError:
            self.send_error(404)
            return
        self.answer(body, "text/html" if name == "page.html" else "text/javascript")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.reports.append((time.monotonic(), json.loads(body)))
        self.answer(b"", "text/plain")

    def answer(self, body, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *unused):
        pass


@contextlib.contextmanager
def process(command, log):
    """COMMAND, as long as the block lasts; both of its streams go to LOG."""
    with open(log, "wb") as output:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                 preexec_fn=with_parent_dies)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def there(server, target):
    with server.connect() as client:
        return client.request("HEAD", target).status == 200


def judge(name, states, before, over_restart):
    """A player's row of the table, and what is wrong with it."""
    if not states or "first_ms" not in states[-1]:
        return f"{name:10}it never played: {states[-1]['errors'] if states else 'no word of it'}", True
    # JSON has no NaN: where a player does not know its latency yet, there is null.
    tail = states[-len(states) // 4:] if over_restart else states
    known = [state["latency"] for state in tail if state["latency"] is not None]
    middle = statistics.median(known) if known else float("nan")
    stalls = states[-1]["stalls"] - before["stalls"]
    longest = states[-1]["longest_ms"] if stalls else 0
    low, high = LATENCIES[name]
    wrong = []
    if not low <= middle <= high:
        wrong.append(f"latency is not in {low:.1f}-{high:.1f} s")
    if longest > (1000 * LONGEST if over_restart else 0):
        wrong.append("it stalled")
    if states[-1]["at"] - states[0]["at"] < SECONDS / 2:
        wrong.append("it does not go on")
    errors = states[-1]["errors"]
    return (f"{name:10}{states[-1]['first_ms'] / 1000:10.1f}{middle:10.2f}{min(known, default=0):8.2f}"
            f"{max(known, default=0):8.2f}{stalls:8}{longest / 1000:10.1f}   {'; '.join(wrong) or 'well'}"
            + (f"   (said: {', '.join(sorted(set(errors)))})" if errors else "")), bool(wrong)


class Chain:
    def __init__(self, home):
        self.home = home
        self.server = Supervised("rule \"/live/*\" { hold = 2s }\n")
        self.failed = False

    def run(self, name, port, middle=None):
        """Watches the players at PORT for SECONDS; MIDDLE is done in the middle."""
        url = f"http://127.0.0.1:{port}/live"
        pages = Pages()
        query = urllib.parse.urlencode({"dash": url + "/manifest.mpd", "hls": url + "/master.m3u8", "target": TARGET})
        profile = tempfile.mkdtemp(dir=self.home)
        log = os.path.join(self.home, name + ".log")
        page = f"http://127.0.0.1:{pages.server_address[1]}/?{query}"
        with process((*CHROMIUM, f"--user-data-dir={profile}", page), log):
            wait_until(lambda: pages.reports, "the page to load", 120)
            time.sleep(SETTLE)
            begin = time.monotonic()
            if middle:
                time.sleep(SECONDS / 3)
                middle()
            time.sleep(max(0.0, begin + SECONDS - time.monotonic()))
        pages.shutdown()
        pages.server_close()
        print(f"\n{name}\n{'':10}{'first s':>10}{'latency s':>10}{'least':>8}{'most':>8}{'stalls':>8}{'longest s':>10}")
        for player in LATENCIES:
            states = pages.since(begin, player)
            line, bad = judge(player, states, states[0] if states else None, middle is not None)
            print(line, flush=True)
            self.failed |= bad

    def restart(self):
        begin = time.monotonic()
        self.server.stop()
        self.server.start()
        print(f"  (restarted within {time.monotonic() - begin:.1f} s)", flush=True)

    def runs(self):
        if ONLY in (None, "direct"):
            self.run("direct", self.server.port)
        if ONLY in (None, "varnish"):
            if shutil.which("varnishd", path="/usr/sbin:" + os.environ.get("PATH", "")):
                edge = Varnish(self.server.port)
                try:
                    self.run("varnish", edge.port)
                finally:
                    edge.remove()
            else:
                print("\nvarnish: left out, varnishd is not installed (Debian: apt-get install varnish)")
        if ONLY in (None, "restart"):
            self.run("restart", self.server.port, self.restart)

    def go(self):
        try:
            self.server.start()
            target = f"http://127.0.0.1:{self.server.port}/live/manifest.mpd"
            log = os.path.join(self.home, "ffmpeg.log")
            with process((*ENCODER, target), log) as encoder:
                wait_until(lambda: there(self.server, "/live/master.m3u8"), "ffmpeg's playlists", 120)
                time.sleep(8)  # three segments and a half, which hls.js wants to see
                self.runs()
                if encoder.poll() is not None:
                    with open(log, encoding="utf-8", errors="replace") as file:
                        print(f"ffmpeg ended: {file.read()[-2000:]}")
                    self.failed = True
        finally:
            self.server.remove()
        return 1 if self.failed else 0


def main():
    for name in ("ffmpeg", "chromium"):
        if not shutil.which(name):
            print(f"make chain: skipped, {name} is not installed (Debian: apt-get install {name})")
            return 0
    home = tempfile.mkdtemp(prefix="spillway-chain-")
    try:
        return Chain(home).go()
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
