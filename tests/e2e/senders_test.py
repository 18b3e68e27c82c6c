#!/usr/bin/env python3
"""Real senders, beside ffmpeg's own program (ffmpeg_test.py): what they push is what is served.

Each writes a second copy to a file, through a tee of its own; the served bytes must equal it.
What is not installed skips its tests.
"""

import os
import shutil
import subprocess
import tempfile
import unittest

from harness import PATIENCE, Case, main, pattern, wait_until

PICTURES = ("videotestsrc", "num-buffers=75", "!", "video/x-raw,width=320,height=240,framerate=25/1", "!",
            "jpegenc", "!", "matroskamux", "streamable=true", "!", "tee", "name=t")


def needs(program):
    return unittest.skipUnless(shutil.which(program), f"{program} is not installed")


def needs_element(element):
    found = shutil.which("gst-inspect-1.0") and subprocess.run(
        ("gst-inspect-1.0", "--exists", element), check=False, stderr=subprocess.DEVNULL).returncode == 0
    return unittest.skipUnless(found, f"GStreamer's {element} is not installed")


class Senders(Case):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="spillway-senders-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.copy = os.path.join(self.folder, "copy")

    def url(self, name):
        return f"http://127.0.0.1:{self.server.port}{self.path(name)}"

    def spawn(self, *command, **options):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def run_to_end(self, *command):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=PATIENCE * 4, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def assert_is_the_copy(self, name, content_type):
        with open(self.copy, "rb") as file:
            expected = file.read()
        self.assertGreater(len(expected), 10000)
        reply = self.get(self.path(name))
        self.assertEqual(reply.status, 200)
        self.assertTrue(reply.body == expected, f"{len(reply.body)} bytes, not the {len(expected)} sent")
        self.assertEqual(reply["Content-Type"], content_type)
        self.assertIsNotNone(reply["ETag"])

    @needs_element("souphttpclientsink")
    def test_gstreamer_appends_with_content_range(self):
        self.run_to_end("gst-launch-1.0", "-q", *PICTURES,
                        "t.", "!", "queue", "!", "filesink", f"location={self.copy}",
                        "t.", "!", "queue", "!", "souphttpclientsink", f"location={self.url('a.webm')}")
        self.assert_is_the_copy("a.webm", "video/webm")

    @needs_element("curlhttpsink")
    def test_gstreamer_posts_in_chunks_and_expects_100(self):
        self.run_to_end("gst-launch-1.0", "-q", *PICTURES,
                        "t.", "!", "queue", "!", "filesink", f"location={self.copy}",
                        "t.", "!", "queue", "!", "curlhttpsink", f"location={self.url('a')}",
                        "content-type=video/x-matroska")
        self.assert_is_the_copy("a", "video/x-matroska")

    @needs("curl")
    def test_curl_from_a_pipe_can_be_read_while_it_is_fed(self):
        curl = self.spawn("curl", "-sS", "--fail", "-N", "-T", "-", self.url("a.ts"), stdin=subprocess.PIPE)
        self.addCleanup(curl.stdin.close)
        curl.stdin.write(b"first ")
        curl.stdin.flush()
        with self.server.connect() as asker:
            wait_until(lambda: asker.request("HEAD", self.path("a.ts")).status == 200, "the upload")
        reader = self.follow(self.path("a.ts"))
        self.assertEqual(reader.read_part(6), b"first ")
        curl.stdin.write(b"second")
        curl.stdin.close()
        self.assertEqual(reader.read_rest(), b"second")
        self.assertEqual(curl.wait(PATIENCE), 0, curl.stderr.read())

    @needs("curl")
    def test_curl_with_a_large_file_and_expect(self):
        body = pattern(5_000_000, 3)
        with open(self.copy, "wb") as file:
            file.write(body)
        self.run_to_end("curl", "-sS", "--fail", "-T", self.copy, self.url("a.mp4"))
        self.assert_is_the_copy("a.mp4", "video/mp4")

    @needs("curl")
    def test_octet_stream_in_chunks_as_shaka_packager_sends_it(self):
        body = pattern(300_000, 4)
        with open(self.copy, "wb") as file:
            file.write(body)
        for _ in range(2):  # a sender that saw its connection break sends the segment again
            self.run_to_end("curl", "-sS", "--fail", "-X", "PUT", "-H", "Expect:",
                            "-H", "Transfer-Encoding: chunked", "-H", "Content-Type: application/octet-stream",
                            "--data-binary", f"@{self.copy}", self.url("a.m4s"))
            self.assert_is_the_copy("a.m4s", "video/iso.segment")

    @needs("ffmpeg")
    def test_a_transport_stream_in_one_endless_post(self):
        tee = f"[f=mpegts]{self.copy}|[f=mpegts]{self.url('a.ts')}"
        self.run_to_end("ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi",
                        "-i", "testsrc2=size=320x180:rate=25:duration=4", "-c:v", "libx264", "-preset", "ultrafast",
                        "-map", "0:v", "-f", "tee", tee)
        self.assert_is_the_copy("a.ts", "video/mp2t")

    @needs("ffmpeg")
    def test_dash_whose_bodies_come_a_segment_after_their_heads(self):
        # Without -streaming the request's head is sent when the segment begins, its body when it ends.
        self.run_to_end("ffmpeg", "-nostdin", "-loglevel", "error", "-re", "-f", "lavfi",
                        "-i", "testsrc2=size=320x180:rate=25:duration=5", "-c:v", "libx264", "-preset", "ultrafast",
                        "-g", "50", "-f", "dash", "-seg_duration", "2", "-use_timeline", "0", "-window_size", "0",
                        self.url("manifest.mpd"))
        states = {row["path"].rpartition("/")[2]: row["state"] for row in self.list_json(self.path(""))}
        self.assertEqual(set(states.values()), {"complete"})
        self.assertLessEqual({"manifest.mpd", "init-stream0.m4s", "chunk-stream0-00003.m4s"}, set(states))


if __name__ == "__main__":
    main()
