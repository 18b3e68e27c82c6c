#!/usr/bin/env python3
"""The status page and what it shows."""

import json
import re
import shutil
import subprocess
import tempfile
import unittest

from harness import PATIENCE, SANITIZED, Case, main, wait_until


class Status(Case):
    CONFIG = "resume_window = 100ms\n"

    def status(self):
        with self.server.connect_admin() as client:
            reply = client.get("/status.json")
        self.assertEqual(reply.status, 200, reply)
        self.assertEqual(reply["Content-Type"], "application/json")
        self.assertEqual(reply["Cache-Control"], "no-store")
        return json.loads(reply.body)

    def stream(self):
        """This test's stream, or None."""
        wanted = self.path("")
        return next((stream for stream in self.status()["streams"] if stream["path"] == wanted), None)

    def test_the_server_as_a_whole(self):
        status = self.status()
        self.assertTrue(status["ready"])
        self.assertIsNone(status["reason"])
        self.assertEqual(status["listeners"],
                         [{"scheme": "http", "address": f"127.0.0.1:{self.server.port}"}])
        self.assertEqual(status["players"], [])

    def test_a_live_stream_with_its_readers(self):
        writer = self.writer(self.path("1.m4s"), b"x" * 1000)
        readers = [self.follow(self.path("1.m4s")) for _ in range(3)]
        for reader in readers:
            reader.read_part(1000)
        stream = self.stream()
        self.assertEqual((stream["writers"], stream["readers"]), (1, 3))
        self.assertEqual(stream["received"], 1000)
        self.assertLess(stream["received_ms"], PATIENCE * 1000)
        self.assertEqual(writer.end_put().status, 201)
        for reader in readers:
            reader.read_rest()
        stream = wait_until(lambda: (s := self.stream()) and s["readers"] == 0 and s, "the readers to leave")
        self.assertEqual((stream["writers"], stream["finished"], stream["aborted"]), (0, 1, 0))
        self.assertEqual(stream["sent"], 3000)
        recent = [row for row in self.status()["recent"] if row["path"] == self.path("1.m4s")]
        self.assertEqual([row["size"] for row in recent], [1000])

    def test_a_finished_object_counts_when_it_is_read(self):
        self.put(self.path("1.m4s"), b"x" * 5000)
        with self.server.connect() as client:
            for _ in range(4):  # the later ones go another way
                client.get(self.path("1.m4s"))
        # The last bytes are counted when they are sent, which the client may know first.
        stream = wait_until(lambda: (s := self.stream()) and s["sent"] >= 20000 and s, "the last reply to count")
        self.assertEqual(stream["sent"], 20000)

    def test_a_playlist_has_its_own_age(self):
        self.put(self.path("1.m4s"), b"segment")
        self.assertIsNone(self.stream()["playlist_ms"])
        self.put(self.path("a.m3u8"), b"#EXTM3U")
        self.assertIsNotNone(self.stream()["playlist_ms"])

    def test_an_upload_that_breaks_off_is_told(self):
        self.writer(self.path("1.m4s"), b"half").close()
        stream = wait_until(lambda: (s := self.stream()) and s["aborted"] and s, "the upload to be given up")
        self.assertEqual((stream["aborted"], stream["writers"], stream["finished"]), (1, 0, 0))
        self.assertIsNotNone(stream["aborted_ms"])

    def test_the_past_is_there(self):
        history = wait_until(lambda: (h := self.status()["history"])["time"] and h, "a sample")
        self.assertEqual({len(values) for values in history.values()}, {len(history["time"])})

    def test_each_stream_is_in_metrics(self):
        self.put(self.path("1.m4s"), b"x" * 77)
        self.put('/quo"te/\xff/1', b"y")
        with self.server.connect_admin() as client:
            text = client.get("/metrics").body.decode()
        self.assertIn(f'spillway_stream_received_bytes_total{{stream="{self.path("")}"}} 77\n', text)
        self.assertIn('spillway_stream_uploads_total{stream="/quo\\"te/�/"} 1\n', text)
        promtool = shutil.which("promtool")
        if promtool:
            said = subprocess.run((promtool, "check", "metrics"), input=text, text=True, timeout=PATIENCE,
                                  capture_output=True, check=False)
            self.assertEqual((said.returncode, said.stdout + said.stderr), (0, ""))

    def test_players_that_are_not_installed_are_404(self):
        for name in ("hls.min.js", "other.js", "../status.c", ""):
            with self.server.connect_admin() as client:
                self.assertIn(client.get("/status/" + name).status, (400, 404))

    def test_the_page_needs_nothing_from_elsewhere(self):
        with self.server.connect_admin() as client:
            reply = client.get("/status")
        self.assertEqual(reply.status, 200)
        self.assertIn("default-src 'none'", reply["Content-Security-Policy"])
        text = reply.body.decode()
        self.assertTrue(text.rstrip().endswith("</html>"))
        self.assertEqual(re.findall(r"(?:src|href)=[\"']?(?:https?:)?//[^\"' >]+", text), [])


class Players(Case):
    """Players that are installed are served, and named."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="spillway-players-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        with open(cls.folder + "/hls.min.js", "w", encoding="utf-8") as file:
            file.write("window.Hls = 1;")
        cls.ARGS = ("-o", f"player_dir={cls.folder}")
        super().setUpClass()

    def test_a_player_is_served(self):
        with self.server.connect_admin() as client:
            self.assertEqual(json.loads(client.get("/status.json").body)["players"], ["hls.min.js"])
            reply = client.get("/status/hls.min.js")
        self.assertEqual((reply.status, reply.body), (200, b"window.Hls = 1;"))
        self.assertIn("javascript", reply["Content-Type"])


@unittest.skipIf(SANITIZED, "the page is the same; a browser takes its time")
@unittest.skipUnless(shutil.which("chromium"), "chromium is not installed")
class Browser(Case):
    """The page in a real browser, after its scripts have run."""

    def test_streams_appear_in_the_page(self):
        self.writer(self.path("<b>1.m4s"), b"x" * 1000)
        self.put(self.path("a.m3u8"), b"#EXTM3U")
        home = tempfile.mkdtemp(prefix="spillway-chromium-")
        self.addCleanup(shutil.rmtree, home, ignore_errors=True)
        done = subprocess.run(
            ("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             f"--user-data-dir={home}", "--virtual-time-budget=3000", "--dump-dom",
             f"http://127.0.0.1:{self.server.admin}/status"),
            capture_output=True, text=True, timeout=PATIENCE * 8, check=False)
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])
        page = done.stdout
        self.assertIn('<span class="pill good" id="state" role="status">ready</span>', page)
        self.assertIn(f'title="{self.path("")}"', page)
        self.assertIn('<span class="pill good">live</span>', page)
        self.assertRegex(page, r'<p class="bad" id="trouble" role="alert" hidden[^>]*></p>')


if __name__ == "__main__":
    main()
