#!/usr/bin/env python3
"""What happens when the disk is full: 507, and nothing else is harmed. Mostly needs root, for a small disk."""

import os
import subprocess
import tempfile
import time
import unittest

from harness import PATIENCE, Closed, Server, main, pattern, wait_until

DISK = 96 << 20
BODY = pattern(1 << 20)


LIMIT = 128 << 20
KEPT = 14  # of so many objects one is not deleted


def can_mount():
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory() as place:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place],
                              capture_output=True, check=False)
        if done.returncode == 0:
            subprocess.run(["umount", place], check=True)
        return done.returncode == 0


@unittest.skipUnless(can_mount(), "needs the right to mount a small tmpfs")
class FullDisk(unittest.TestCase):
    def setUp(self):
        self.disk = tempfile.mkdtemp(prefix="spillway-full-")
        self.addCleanup(os.rmdir, self.disk)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", self.disk], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", self.disk], check=True)
        self.server = Server("volume_size = 16MiB\ntail_max = 64MiB\nevict = off\n",
                             data=os.path.join(self.disk, "data"))
        self.addCleanup(self.server.remove)
        self.server.start()

    def put(self, target, body):
        """The status; 0 when the connection ended without one."""
        with self.server.connect() as client:
            try:
                return client.put(target, body).status
            except (Closed, BrokenPipeError, ConnectionResetError):
                return 0

    def get(self, target):
        with self.server.connect() as client:
            return client.get(target)

    def fill(self):
        """Uploads until one is refused; the paths that were acknowledged."""
        stored = []
        for number in range(2 * DISK // len(BODY)):
            status = self.put(f"/fill/{number:03}", pattern(len(BODY), number))
            if status == 201:
                stored.append(number)
                continue
            self.assertEqual(status, 507)
            return stored
        raise AssertionError("the disk was never full")

    def check(self, stored):
        for number in stored:
            reply = self.get(f"/fill/{number:03}")
            self.assertEqual(reply.status, 200, number)
            self.assertEqual(reply.body, pattern(len(BODY), number), number)

    def test_an_upload_to_a_full_disk_is_507_and_others_are_untouched(self):
        stored = self.fill()
        self.assertGreater(len(stored), DISK // len(BODY) // 2)
        for _ in range(5):
            self.assertEqual(self.put("/more", BODY), 507)
        self.check(stored)
        with self.server.connect_admin() as client:
            self.assertEqual(client.get("/healthz").status, 200)
            self.assertEqual(client.get("/readyz").status, 503)

    def test_a_replace_that_does_not_fit_leaves_the_old_playlist(self):
        self.assertEqual(self.put("/a.m3u8", b"old"), 201)
        self.fill()
        statuses = {self.put("/a.m3u8", BODY) for _ in range(3)}
        self.assertEqual(statuses, {507})
        self.assertEqual(self.get("/a.m3u8").body, b"old")

    def test_a_full_disk_survives_a_restart_and_a_crash(self):
        stored = self.fill()
        self.server.stop()
        self.server.start()
        self.check(stored)
        self.server.kill()
        self.server.start()
        self.check(stored)
        self.assertEqual(self.put("/more", BODY), 507)

    def test_it_goes_on_when_there_is_room_again(self):
        self.server.stop()
        ballast = os.path.join(self.disk, "ballast")
        with open(ballast, "wb") as file:
            file.write(bytes(DISK // 2))
        self.server.start()
        stored = self.fill()
        os.unlink(ballast)
        wait_until(lambda: self.put("/more", BODY) == 201 or None, "an upload to succeed", PATIENCE)
        self.assertIn(self.put("/again", BODY), (201, 204))
        self.check(stored)
        self.assertEqual(self.get("/more").body, BODY)
        with self.server.connect_admin() as client:
            wait_until(lambda: client.get("/readyz").status == 200, "readiness")
        self.server.kill()
        self.server.start()
        self.check(stored)
        self.assertEqual(self.get("/more").body, BODY)

    def test_a_reader_of_a_growing_object_is_not_told_that_it_is_whole(self):
        self.fill()
        with self.server.connect() as writer, self.server.connect() as reader:
            writer.begin_put("/growing")
            writer.send_chunk(b"first")
            with self.server.connect() as asker:
                try:
                    wait_until(lambda: asker.request("HEAD", "/growing").status == 200, "it", 2)
                except AssertionError:
                    return  # refused at once: right, too
            reader.send_head("GET", "/growing")
            self.assertEqual(reader.read_head().status, 200)
            try:
                for _ in range(8):  # less than its share of tail_max
                    writer.send_chunk(BODY)
                status = writer.end_put().status
            except (Closed, BrokenPipeError, ConnectionResetError):
                status = 0
            self.assertIn(status, (0, 507))
        with self.server.connect() as late:
            late.send_head("GET", "/growing")
            head = late.read_head()
            if head.status == 200:
                self.assertTrue(head.chunked)
                late.read_until_cut()

    def test_an_upload_that_outgrows_memory_on_a_full_disk_is_507_not_a_hang(self):
        self.fill()
        with self.server.connect() as writer:
            writer.begin_put("/endless")
            try:
                for _ in range(40):  # more than its share of tail_max
                    writer.send_chunk(BODY)
                status = writer.end_put().status
            except (BrokenPipeError, ConnectionResetError):
                status = writer.read_reply("PUT").status
            self.assertEqual(status, 507)


class DiskMax(unittest.TestCase):
    """As full as it may be, where nothing goes by itself."""

    def setUp(self):
        self.server = Server(f"volume_size = 16MiB\ndisk_max = {LIMIT}\nevict = off\n")
        self.addCleanup(self.server.remove)
        self.server.start()

    def used(self):
        return self.server.metrics()["spillway_disk_used_bytes"]

    def test_what_is_mostly_dead_makes_room_also_after_one_crash_after_the_other(self):
        count = 0
        with self.server.connect() as client:
            while client.put(f"/{count:03}", pattern(len(BODY), count)).status == 201:
                count += 1
        with self.server.connect() as client:
            for number in range(count):
                if number % KEPT != 0:
                    self.assertEqual(client.request("DELETE", f"/{number:03}").status, 204)
        for crash in range(20):
            self.server.kill()
            self.server.start()
            with self.server.connect() as client:
                client.begin_put("/new")
                client.send_chunk(BODY)
                time.sleep(crash / 500)  # no event tells that a copy is half done
        self.server.kill()
        self.server.start()
        for number in range(count // 2):
            with self.server.connect() as client:
                wait_until(lambda: client.put(f"/more/{number}", BODY).status != 507, "room")
        self.assertLessEqual(self.used(), LIMIT)
        with self.server.connect() as client:
            for number in range(0, count, KEPT):
                self.assertEqual(client.get(f"/{number:03}").body, pattern(len(BODY), number))


if __name__ == "__main__":
    main()
