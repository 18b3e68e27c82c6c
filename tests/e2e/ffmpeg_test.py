#!/usr/bin/env python3
"""ffmpeg pushes live streams and plays them back: live, afterwards, and after a restart.

One picture and tone are encoded once; every push only wraps them, at the speed of
life, while a second copy of the same command writes to a local directory. What
the origin serves must equal what that copy wrote, byte for byte.
"""

import glob
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
import unittest

from harness import PATIENCE, Server, main, wait_until

SECONDS = 12
RATE = 25
FRAMES = SECONDS * RATE
QUIET = ("ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error")
SOURCE = ("-f", "lavfi", "-i", f"testsrc2=size=320x180:rate={RATE}:duration={SECONDS}",
          "-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={SECONDS}")
ENCODE = ("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-threads", "1",
          "-g", str(RATE), "-keyint_min", str(RATE), "-sc_threshold", "0", "-pix_fmt", "yuv420p",
          "-c:a", "aac", "-b:a", "96k", "-fflags", "+bitexact", "-flags", "+bitexact")
WRAP = ("-c", "copy", "-fflags", "+bitexact", "-flags", "+bitexact")
DASH = ("-f", "dash", "-ldash", "1", "-streaming", "1", "-seg_duration", "2",
        "-frag_type", "duration", "-frag_duration", "0.2", "-use_timeline", "0",
        "-use_template", "1", "-window_size", "0", "-write_prft", "0")
HLS_FMP4 = ("-f", "hls", "-hls_time", "2", "-hls_list_size", "0", "-hls_segment_type", "fmp4",
            "-hls_flags", "independent_segments")
HLS_TS = ("-f", "hls", "-hls_time", "1", "-hls_list_size", "3", "-hls_segment_type", "mpegts")


# ffmpeg's DASH demuxer asks for one segment more than there is, and
# complains in these words at the end. Whatever else it says is an error.
DASH_END = re.compile(r"""\[(dash|http)\ @\ \w+\]\ (Error\ when\ loading\ first\ fragment|Failed\ to\ open
    \ fragment|HTTP\ error\ 404).*|\s+Last\ message\ repeated.*
    |\S+\.mpd:\ Invalid\ data\ found\ when\ processing\ input|\s*""", re.VERBOSE)


def run(*words, timeout=PATIENCE * 4, allowed=None):
    """Runs a command that must succeed without a word on standard error, or only ALLOWED lines."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=timeout, check=False)
    said = [line for line in done.stderr.splitlines() if not (allowed and allowed.fullmatch(line))]
    if done.returncode or said:
        raise AssertionError(f"{' '.join(words)}\nended with {done.returncode}: {done.stderr}")
    return done.stdout


def count_frames(*source):
    """Decodes all of SOURCE, where every error fails the test. The number of pictures."""
    if source[-1].endswith(".mpd"):
        command, allowed = QUIET, DASH_END
    else:
        command, allowed = (*QUIET, "-xerror"), None
    out = run(*command, "-err_detect", "explode", "-progress", "pipe:1", *source, "-map", "0:v",
              "-map", "0:a?", "-f", "null", "-", allowed=allowed)
    return int(re.findall(r"^frame=\s*(\d+)", out, re.MULTILINE)[-1])


class Push:
    """An encoder that pushes to the origin at the speed of life."""

    def __init__(self, source, *output):
        self.process = subprocess.Popen((*QUIET, "-re", "-i", source, *WRAP, *output),
                                        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def finish(self):
        _, errors = self.process.communicate(timeout=SECONDS + PATIENCE * 2)
        said = [line for line in errors.splitlines() if "Cannot use rename on non file" not in line]
        if self.process.returncode or said:
            raise AssertionError(f"the encoder ended with {self.process.returncode}: {errors}")

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@unittest.skipUnless(shutil.which("ffmpeg") and shutil.which("ffprobe"), "needs ffmpeg and ffprobe")
class Ffmpeg(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.home = tempfile.mkdtemp(prefix="spillway-ffmpeg-")
        cls.addClassCleanup(shutil.rmtree, cls.home, ignore_errors=True)
        cls.source = os.path.join(cls.home, "source.mp4")
        run(*QUIET, *SOURCE, *ENCODE, cls.source)

    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.remove)
        self.server.start()
        self.results = {}

    def url(self, target):
        return f"http://127.0.0.1:{self.server.port}{target}"

    def push(self, *output):
        push = Push(self.source, *output)
        self.addCleanup(push.stop)
        return push

    def write_locally(self, name, *output):
        """What the same encoder writes to a directory."""
        folder = os.path.join(self.home, name)
        os.makedirs(folder)
        run(*QUIET, "-i", self.source, *WRAP, *output[:-1], os.path.join(folder, output[-1]))
        return folder

    def wait_for(self, target):
        """Returns when TARGET exists."""
        def there():
            with self.server.connect() as client:
                return client.request("HEAD", target).status == 200
        wait_until(there, target, SECONDS + PATIENCE)

    def get(self, target):
        with self.server.connect() as client:
            return client.get(target)

    def assert_same_files(self, folder, prefix, pattern, but=()):
        """The origin serves every local file that matches PATTERN, byte for byte."""
        names = sorted(os.path.basename(path) for path in glob.glob(os.path.join(folder, pattern)))
        names = [name for name in names if name not in but]
        self.assertTrue(names)
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                expected = file.read()
            reply = self.get(prefix + name)
            self.assertEqual(reply.status, 200, name)
            self.assertEqual(reply["Content-Length"], str(len(expected)), name)
            self.assertEqual(reply.body, expected, name)
        return names

    def in_background(self, name, function, *args):
        """Runs FUNCTION now; its result, or what it raised, comes from result(NAME)."""
        def work():
            try:
                self.results[name] = function(*args)
            except BaseException as error:
                self.results[name] = error
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        self.results[name] = None
        return thread

    def result(self, name, thread):
        thread.join(SECONDS + PATIENCE * 4)
        value = self.results[name]
        if isinstance(value, BaseException):
            raise value
        return value

    def play_live(self, target, *options):
        """Plays TARGET as it is pushed, from where a player joins to the end."""
        self.wait_for(target)
        return count_frames(*options, "-i", self.url(target))

    def follow_segments(self, prefix, names, player):
        """Reads NAMES as they grow, and hands each part to the decoder PLAYER when it comes. All
        bytes, how many objects were still growing, and the number of pictures."""
        data, growing = b"", 0
        with self.server.connect() as client:
            for name in names:
                head = self.wait_for_reply(client, prefix + name)
                growing += head.chunked
                while head.chunked:
                    chunk = client.read_chunk()
                    if not chunk:
                        break
                    player.stdin.write(chunk)
                    data += chunk
                if not head.chunked:
                    body = client.read_body(head)
                    player.stdin.write(body)
                    data += body
        out, errors = player.communicate(timeout=PATIENCE)
        if player.returncode or errors:
            raise AssertionError(f"{prefix}: the player ended with {player.returncode}: {errors}")
        frames = re.findall(rb"^frame=\s*(\d+)", out, re.MULTILINE)
        return data, growing, int(frames[-1]) if frames else 0

    def wait_for_reply(self, client, target):
        """Asks for TARGET until it is there; the head of the reply."""
        end = time.monotonic() + SECONDS + PATIENCE
        while time.monotonic() < end:
            client.send_head("GET", target)
            head = client.read_head()
            if head.status == 200:
                return head
            client.read_body(head)
            time.sleep(0.01)
        raise AssertionError(f"{target} never came")

    def player(self):
        """A decoder that is fed by hand; every error ends it."""
        player = subprocess.Popen((*QUIET[:1], *QUIET[2:], "-xerror", "-err_detect", "explode",
                                   "-progress", "pipe:1", "-i", "pipe:0", "-f", "null", "-"),
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, bufsize=0)
        self.addCleanup(player.kill)
        return player

    def test_low_latency_dash_by_chunked_post(self):
        # ffmpeg's own DASH demuxer skips a segment that it asked for too early; so here the live
        # player is fed by hand.
        local = self.write_locally("dash", *DASH, "manifest.mpd")
        # On one connection the manifests keep their order; ffmpeg waits for no answer.
        push = self.push(*DASH, "-http_persistent", "1", self.url("/live/dash/manifest.mpd"))
        names = [[f"init-stream{stream}.m4s"] + [f"chunk-stream{stream}-{number:05}.m4s"
                                                for number in range(1, SECONDS // 2 + 1)]
                 for stream in (0, 1)]
        followers = [self.in_background(f"follow {stream}", self.follow_segments, "/live/dash/",
                                        names[stream], self.player()) for stream in (0, 1)]
        push.finish()
        for stream, follower in enumerate(followers):
            data, growing, frames = self.result(f"follow {stream}", follower)
            expected = b""
            for name in names[stream]:
                with open(os.path.join(local, name), "rb") as file:
                    expected += file.read()
            self.assertEqual(data, expected)
            self.assertGreaterEqual(growing, SECONDS // 2 - 1)
            if stream == 0:
                self.assertEqual(frames, FRAMES)
        # ffmpeg does not wait for the answer to its last manifest.
        wait_until(lambda: b'type="static"' in self.get("/live/dash/manifest.mpd").body,
                   "the manifest of the whole presentation")
        self.check_dash(local)
        self.server.stop()
        self.server.start()
        self.check_dash(local)

    def check_dash(self, local):
        names = self.assert_same_files(local, "/live/dash/", "*.m4s")
        self.assertGreaterEqual(len(names), 2 + SECONDS)
        self.assertEqual(count_frames("-i", self.url("/live/dash/manifest.mpd")), FRAMES)

    def test_hls_with_fragmented_mp4(self):
        output = (*HLS_FMP4, "-hls_segment_filename")
        folder = os.path.join(self.home, "hls")
        os.makedirs(folder)
        run(*QUIET, "-i", self.source, *WRAP, *output, folder + "/seg%03d.m4s",
            folder + "/index.m3u8")
        push = self.push(*output, self.url("/live/hls/seg%03d.m4s"), "-method", "PUT",
                         "-http_persistent", "1", self.url("/live/hls/index.m3u8"))
        player = self.in_background("player", self.play_live, "/live/hls/index.m3u8",
                                    "-live_start_index", "0")
        push.finish()
        self.assertEqual(self.result("player", player), FRAMES)
        for _ in range(2):
            self.assert_same_files(folder, "/live/hls/", "*.m4s")
            self.assert_same_files(folder, "/live/hls/", "init.mp4")
            self.assert_same_files(folder, "/live/hls/", "index.m3u8")
            self.assertEqual(count_frames("-i", self.url("/live/hls/index.m3u8")), FRAMES)
            self.server.stop()
            self.server.start()

    def test_hls_with_transport_streams_that_are_deleted(self):
        output = (*HLS_TS, "-hls_segment_filename")
        folder = os.path.join(self.home, "ts")
        os.makedirs(folder)
        run(*QUIET, "-i", self.source, *WRAP, *output, folder + "/seg%03d.ts",
            folder + "/index.m3u8")
        push = self.push(*output, self.url("/live/ts/seg%03d.ts"), "-hls_flags", "delete_segments",
                         "-method", "PUT", self.url("/live/ts/index.m3u8"))
        player = self.in_background("player", self.play_live, "/live/ts/index.m3u8")
        push.finish()
        self.assertGreater(self.result("player", player), FRAMES // 3)
        written = len(glob.glob(folder + "/*.ts"))
        self.assertGreaterEqual(written, SECONDS - 1)
        for _ in range(2):
            with self.server.connect() as client:
                listed = client.request("LIST", "/live/ts/").body.decode().splitlines()
            segments = [os.path.basename(path) for path in listed if path.endswith(".ts")]
            self.assertTrue(3 <= len(segments) < written, segments)
            for name in segments:
                self.assert_same_files(folder, "/live/ts/", name)
            self.assertEqual(self.get("/live/ts/seg000.ts").status, 404)
            playlist = self.get("/live/ts/index.m3u8")
            self.assertEqual(playlist["Content-Type"], "application/vnd.apple.mpegurl")
            self.assertGreaterEqual(count_frames("-i", self.url("/live/ts/index.m3u8")),
                                    3 * RATE - 1)
            self.server.stop()
            self.server.start()


if __name__ == "__main__":
    main(600)
