#!/usr/bin/env python3
"""The daemon is restarted under live load: encoders go on, and nothing that was acknowledged is lost.

The supervisor that holds the sockets is this test. What was acknowledged stands in the access log.
"""

import glob
import json
import os
import shutil
import subprocess
import tempfile
import time
import unittest

from ffmpeg_test import DASH, ENCODE, HLS_FMP4, QUIET, RATE, SOURCE, WRAP, count_frames, run
from harness import PATIENCE, main, wait_until
from supervised import Supervised

SECONDS = 20  # of the source: the restart takes some of them, and the end must come after it
LONG_SOURCE = [word.replace("duration=12", f"duration={SECONDS}") for word in SOURCE]
HLS_TS = ("-f", "hls", "-hls_time", "1", "-hls_list_size", "0", "-hls_segment_type", "mpegts")
# name, the muxer's options, where its segments go, and what of it is written by name
ENCODERS = {
    "hls": (*HLS_TS, "-method", "PUT", "-hls_segment_filename", "{u}/seg%03d.ts", "{u}/index.m3u8"),
    "hls-kept": (*HLS_FMP4, "-method", "PUT", "-http_persistent", "1", "-hls_segment_filename",
                 "{u}/seg%03d.m4s", "{u}/index.m3u8"),
    "dash": (*DASH, "{u}/manifest.mpd"),
    "dash-kept": (*DASH, "-http_persistent", "1", "-ignore_io_errors", "1", "{u}/manifest.mpd"),
}
SAME_BYTES = ("hls", "dash")
# ffmpeg repeats a segment that broke off without the styp box it began with: same pictures, other bytes.
SAME_FRAMES = ("hls", "hls-kept")


@unittest.skipUnless(shutil.which("ffmpeg") and shutil.which("ffprobe"), "needs ffmpeg and ffprobe")
class Upgrade(unittest.TestCase):
    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="spillway-upgrade-")
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)
        self.source = os.path.join(self.home, "source.mp4")
        run(*QUIET, *LONG_SOURCE, *ENCODE, self.source)
        self.log = os.path.join(self.home, "access.log")
        self.server = Supervised(args=["-o", "access_log_format=json", "-o", f"access_log={self.log}"])
        self.addCleanup(self.server.remove)
        self.server.start()

    def push(self, name):
        target = f"http://127.0.0.1:{self.server.port}/{name}"
        command = (*QUIET, "-re", "-i", self.source, *WRAP,
                   *[word.format(u=target) for word in ENCODERS[name]])
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.addCleanup(process.stderr.close)
        return process

    def written_locally(self, name):
        """What the same encoder writes to a directory."""
        folder = os.path.join(self.home, name)
        os.makedirs(folder)
        words = [word.format(u=folder) for word in ENCODERS[name]]
        for option in ("-method", "-http_persistent", "-ignore_io_errors"):
            if option in words:
                at = words.index(option)
                del words[at:at + 2]
        run(*QUIET, "-i", self.source, *WRAP, *words)
        return folder

    def acknowledged(self):
        """The last acknowledged upload of each path."""
        with open(self.log, encoding="ascii") as log:
            lines = [json.loads(line) for line in log]
        return {line["path"]: line for line in lines
                if line["method"] in ("PUT", "POST") and line["status"] in (201, 204)}

    def get(self, target):
        with self.server.connect() as client:
            return client.get(target)

    def segments(self, name):
        return sum(path.startswith(f"/{name}/") and path.endswith(("s", "4s")) for path in self.acknowledged())

    def test_encoders_go_on_over_a_restart(self):
        encoders = {name: self.push(name) for name in ENCODERS}
        for name in ENCODERS:
            wait_until(lambda n=name: self.segments(n) >= 2, f"two segments of {name}", 60)
        begin = time.monotonic()
        self.server.stop()
        before = self.acknowledged()
        self.server.start()
        self.assertLess(time.monotonic() - begin, 10 + PATIENCE)  # drain_timeout, and not much more
        self.assert_there(before)
        for name, process in encoders.items():
            _, errors = process.communicate(timeout=SECONDS + PATIENCE * 4)
            with self.subTest(name):
                self.assertEqual(process.returncode, 0, errors)
        self.server.stop()
        after = self.acknowledged()
        self.server.start()
        self.assertEqual(set(before) - set(after), set())
        self.assert_there(after)
        for name in ENCODERS:
            with self.subTest(name):
                self.assertGreater(sum(path.startswith(f"/{name}/") for path in set(after) - set(before)), 0)
        for name in SAME_BYTES:
            with self.subTest(name):
                self.assert_same_bytes(name)
        for name in SAME_FRAMES:
            with self.subTest(name):
                playlist = f"http://127.0.0.1:{self.server.port}/{name}/index.m3u8"
                self.assertEqual(count_frames("-i", playlist), SECONDS * RATE)

    def assert_there(self, uploads):
        for target, line in uploads.items():
            reply = self.get(target)
            self.assertEqual(reply.status, 200, target)
            if not target.endswith((".mpd", ".m3u8")):  # those go on
                self.assertEqual(len(reply.body), line["received"], target)

    def assert_same_bytes(self, name):
        folder = self.written_locally(name)
        files = glob.glob(folder + "/*.ts") + glob.glob(folder + "/*.m4s") + glob.glob(folder + "/*.mp4")
        self.assertGreater(len(files), SECONDS // 2)
        for file in files:
            with open(file, "rb") as content:
                self.assertEqual(self.get(f"/{name}/{os.path.basename(file)}").body, content.read(), file)


if __name__ == "__main__":
    main(600)
