#!/usr/bin/env python3
"""What survives SIGTERM and kill -9: everything that was acknowledged, nothing else as whole."""

import glob
import json
import os
import platform
import shutil
import sys
import threading
import unittest

from harness import PATIENCE, SANITIZED, Closed, Server, main, pattern, wait_until

START_LIMIT = 10.0 if SANITIZED else 4.0  # seconds until it listens: a tenth of that when nobody else works
WRITERS = 32


class Encoder(threading.Thread):
    """One connection that uploads object after object and notes what was acknowledged."""

    def __init__(self, server, number):
        super().__init__(daemon=True)
        self.server, self.number = server, number
        self.acked = {}    # path -> bytes, replaced paths hold the last acknowledged
        self.deleted = set()
        self.pending = {}  # path -> bytes of an upload whose acknowledgement did not come
        self.client = server.connect()
        self.error = None

    def upload(self, target, body, chunked):
        self.pending[target] = body
        if chunked:
            self.client.begin_put(target)
            for at in range(0, len(body), 5000):
                self.client.send_chunk(body[at:at + 5000])
            status = self.client.end_put().status
        else:
            status = self.client.put(target, body).status
        if status not in (201, 204):
            raise AssertionError(f"{target}: {status}")
        self.acked[target] = body
        self.deleted.discard(target)
        del self.pending[target]

    def delete(self, target):
        # Without the answer nobody knows whether it is still there.
        self.pending[target] = self.acked.pop(target)
        status = self.client.request("DELETE", target).status
        if status != 204:
            raise AssertionError(f"DELETE {target}: {status}")
        del self.pending[target]
        self.deleted.add(target)

    def run(self):
        number = 0
        try:
            while True:
                seed = self.number * 1000 + number
                target = f"/s{self.number:02}/{number:05}.m4s"
                self.upload(target, pattern(1 + seed * 37 % 30_000, seed), number % 2)
                self.upload(f"/s{self.number:02}/live.m3u8", b"#EXTM3U\n%d\n" % seed, True)
                if number % 3 == 0:
                    self.upload(target, pattern(1 + seed * 41 % 20_000, seed + 1), True)
                if number % 5 == 4:
                    self.delete(target)
                number += 1
        except (Closed, OSError):
            pass  # the crash
        except AssertionError as error:
            self.error = error


class Restart(unittest.TestCase):
    CONFIG = ""

    def setUp(self):
        self.server = Server(self.CONFIG)
        self.addCleanup(self.server.remove)
        self.server.start()

    def restart(self):
        took = self.server.start()
        self.assertLess(took, START_LIMIT)

    def remove_catalog(self):
        found = glob.glob(self.server.data + "/catalog*")
        self.assertTrue(found, os.listdir(self.server.data))
        for path in found:
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)

    def rows(self):
        with self.server.connect() as client:
            reply = client.request("LIST", "/", "Accept: application/x-ndjson")
        self.assertEqual(reply.status, 200)
        return {row["path"]: row for row in map(json.loads, reply.body.splitlines())}

    def run_until_crash(self, acks):
        """Encoders at work, and the server killed in the middle of it."""
        encoders = [Encoder(self.server, number) for number in range(WRITERS)]
        unfinished = {}
        for number in range(WRITERS):
            client = self.server.connect()
            self.addCleanup(client.close)
            target = f"/open/{number:02}"
            body = pattern(number * 3000, number)
            client.begin_put(target)
            for at in range(0, len(body), 1000):
                client.send_chunk(body[at:at + 1000])
            unfinished[target] = body
        for encoder in encoders:
            encoder.start()
        wait_until(lambda: sum(len(encoder.acked) for encoder in encoders) >= acks,
                   "acknowledgements", PATIENCE * 4)
        self.server.kill()
        for encoder in encoders:
            encoder.join(PATIENCE)
            self.assertIsNone(encoder.error)
            encoder.client.close()
        return encoders, unfinished

    def verify(self, encoders, unfinished):
        rows = self.rows()
        client = self.server.connect()
        self.addCleanup(client.close)
        for encoder in encoders:
            for target, body in encoder.acked.items():
                if target in encoder.pending:
                    continue  # its replacement or deletion may have come through
                reply = client.get(target)
                self.assertEqual(reply.status, 200, target)
                self.assertEqual(reply["Content-Length"], str(len(body)), target)
                self.assertEqual(reply.body, body, target)
                self.assertEqual(rows[target]["state"], "complete")
                self.assertEqual(rows[target]["size"], len(body))
            for target in encoder.deleted:
                self.assertEqual(client.get(target).status, 404, target)
                self.assertNotIn(target, rows)
            for target, body in encoder.pending.items():
                self.verify_pending(encoder, target, body)
        for target, body in unfinished.items():
            self.verify_unfinished(target, body, rows.get(target))
        known = set(unfinished)
        for encoder in encoders:
            known |= set(encoder.acked) | set(encoder.pending)
        self.assertEqual(set(rows) - known, set())
        return rows

    def verify_pending(self, encoder, target, body):
        """An upload nobody was promised anything of: old, new, partial or absent, never wrong."""
        with self.server.connect() as client:
            client.send_head("GET", target)
            head = client.read_head()
            if head.status == 404:
                self.assertTrue(target not in encoder.acked or not target.endswith(".m3u8"))
            elif head["Content-Length"] is not None:
                self.assertIn(client.read_body(head), (body, encoder.acked.get(target)))
            else:
                got = client.read_until_cut()
                self.assertEqual(got, body[:len(got)])

    def verify_unfinished(self, target, body, row):
        with self.server.connect() as client:
            client.send_head("GET", target)
            head = client.read_head()
            if head.status == 404:  # nothing of it had reached the disk
                self.assertIsNone(row)
                return
            self.assertEqual(head.status, 200)
            self.assertTrue(head.chunked)
            got = client.read_until_cut()
        self.assertEqual(got, body[:len(got)])
        self.assertEqual(row["state"], "incomplete")

    def test_sigterm_loses_nothing_and_ends_nothing(self):
        body = pattern(100_000)
        with self.server.connect() as client, self.server.connect() as open_put:
            etag = client.put("/whole.m4s", body, "Content-Type: x-test/kept")["ETag"]
            modified = client.get("/whole.m4s")["Last-Modified"]
            open_put.begin_put("/open.m4s")
            open_put.send_chunk(body)
            open_put.wait_taken()
            wait_until(lambda: client.request("HEAD", "/open.m4s").status == 200, "the object")
            self.server.stop()
        self.restart()
        with self.server.connect() as client:
            reply = client.get("/whole.m4s")
            self.assertEqual(reply.body, body)
            self.assertEqual((reply["ETag"], reply["Last-Modified"], reply["Content-Type"]),
                             (etag, modified, "x-test/kept"))
            client.send_head("GET", "/open.m4s")
            head = client.read_head()
            self.assertEqual(head.status, 200)
            self.assertEqual(client.read_until_cut(), body)  # every received byte
        states = {path: row["state"] for path, row in self.rows().items()}
        self.assertEqual(states, {"/whole.m4s": "complete", "/open.m4s": "incomplete"})

    def test_kill_in_the_middle_of_32_uploads_loses_nothing_acknowledged(self):
        encoders, unfinished = self.run_until_crash(600)
        self.restart()
        self.verify(encoders, unfinished)

    def test_a_server_killed_again_and_again_loses_nothing(self):
        for _ in range(4):
            encoders, unfinished = self.run_until_crash(150)
            self.restart()
            self.verify(encoders, unfinished)
            with self.server.connect() as client:
                for target in list(self.rows()):
                    self.assertEqual(client.request("DELETE", target).status, 204)
            self.assertEqual(self.rows(), {})
            self.server.kill()
            self.restart()
            self.assertEqual(self.rows(), {})

    def test_a_missing_catalog_is_rebuilt_and_lists_the_same(self):
        encoders, unfinished = self.run_until_crash(300)
        self.restart()
        before = self.verify(encoders, unfinished)
        self.server.stop()
        self.remove_catalog()
        self.server.start()
        after = self.verify(encoders, unfinished)
        self.assertEqual(before, after)

    def test_a_missing_catalog_after_a_crash_brings_nothing_back(self):
        encoders, unfinished = self.run_until_crash(300)
        self.remove_catalog()
        self.server.start()
        self.verify(encoders, unfinished)

    def test_a_damaged_catalog_is_rebuilt(self):
        with self.server.connect() as client:
            for number in range(50):
                client.put(f"/{number:02}", b"x" * number)
        self.server.stop()
        for path in glob.glob(self.server.data + "/catalog*"):
            files = glob.glob(path + "/*") if os.path.isdir(path) else [path]
            for file in files:
                with open(file, "r+b") as damaged:
                    damaged.write(os.urandom(min(os.path.getsize(file), 16384)))
        self.server.start()
        self.assertEqual(len(self.rows()), 50)

    def test_a_replaced_object_shows_the_last_acknowledged_version(self):
        with self.server.connect() as client:
            for number in range(100):
                client.put("/a.m4s", b"version %d" % number)
                client.put("/a.mpd", b"version %d" % number)
            self.server.kill()
        self.restart()
        with self.server.connect() as client:
            self.assertEqual(client.get("/a.m4s").body, b"version 99")
            self.assertEqual(client.get("/a.mpd").body, b"version 99")
            self.assertEqual(client.put("/a.mpd", b"version 100").status, 204)
            self.server.kill()
        self.remove_catalog()
        self.server.start()
        with self.server.connect() as client:
            self.assertEqual(client.get("/a.m4s").body, b"version 99")
            self.assertEqual(client.get("/a.mpd").body, b"version 100")

    def test_an_unfinished_playlist_shows_the_old_one(self):
        with self.server.connect() as client, self.server.connect() as other:
            client.put("/a.m3u8", b"old")
            other.begin_put("/a.m3u8")
            other.send_chunk(b"new")
            other.wait_taken()
            self.server.kill()
        self.restart()
        with self.server.connect() as client:
            self.assertEqual(client.get("/a.m3u8").body, b"old")

    def test_deleted_objects_stay_deleted(self):
        with self.server.connect() as client:
            for number in range(40):
                client.put(f"/{number:02}", b"x")
            for number in range(0, 40, 2):
                self.assertEqual(client.request("DELETE", f"/{number:02}").status, 204)
        expected = [f"/{number:02}" for number in range(1, 40, 2)]
        self.server.kill()
        self.restart()
        self.assertEqual(list(self.rows()), expected)
        self.server.stop()
        self.remove_catalog()
        self.server.start()
        self.assertEqual(list(self.rows()), expected)

    def test_a_torn_end_of_the_last_volume_harms_nothing_before_it(self):
        with self.server.connect() as client:
            client.put("/a", pattern(50_000))
        self.server.kill()
        self.remove_catalog()
        volume = sorted(glob.glob(self.server.data + "/volumes/*.vol"))[-1]
        with open(volume, "r+b") as file:
            data = file.read()
            file.seek((len(data.rstrip(b"\0")) + 4095) // 4096 * 4096)
            file.write(os.urandom(3000))
        self.server.start()
        with self.server.connect() as client:
            self.assertEqual(client.get("/a").body, pattern(50_000))
            self.assertEqual(client.put("/b", b"goes on").status, 201)
        self.server.kill()
        self.restart()
        with self.server.connect() as client:
            self.assertEqual(client.get("/a").body, pattern(50_000))
            self.assertEqual(client.get("/b").body, b"goes on")

    def test_damaged_bytes_never_end_normally(self):
        body = pattern(300_000)
        with self.server.connect() as client:
            client.put("/start", body)
            client.put("/middle", body[::-1])
        self.server.stop()
        self.damage(body[:64])
        self.damage(body[::-1][290_000:290_064])
        self.server.start()
        for target, expected in (("/start", body), ("/middle", body[::-1])):
            with self.server.connect() as client:
                client.send_head("GET", target)
                head = client.read_head()
                if head.status == 200:
                    got = client.read_to_close()
                    self.assertLess(len(got), len(expected))
                    self.assertEqual(got, expected[:len(got)])
                else:
                    self.assertEqual(head.status, 500)
                    self.assertEqual(client.read_body(head).count(b"\n"), 1)
                    self.assertEqual(client.get("/nothing").status, 404)
        with self.server.connect() as client:
            self.assertEqual(client.put("/b", b"well").status, 201)
            self.assertEqual(client.put("/start", body).status, 204)
            self.assertEqual(client.get("/start").body, body)

    def damage(self, needle):
        """Flips a bit where NEEDLE is stored."""
        for volume in glob.glob(self.server.data + "/volumes/*.vol"):
            with open(volume, "r+b") as file:
                at = file.read().find(needle)
                if at >= 0:
                    file.seek(at)
                    file.write(bytes([needle[0] ^ 1]))
                    return
        raise AssertionError("the object's bytes are not in any volume")


class SmallVolumes(Restart):
    """The same with volumes that are full soon."""

    CONFIG = "volume_size = 16MiB\n"

    def test_objects_larger_than_a_volume(self):
        body = pattern(50_000_000)
        with self.server.connect() as client:
            self.assertEqual(client.put("/big", body).status, 201)
            self.assertEqual(client.get("/big").body, body)
            self.server.kill()
        self.restart()
        with self.server.connect() as client:
            self.assertEqual(client.get("/big").body, body)
        self.server.stop()
        self.remove_catalog()
        self.server.start()
        with self.server.connect() as client:
            self.assertEqual(client.get("/big").body, body)
        self.assertGreater(len(glob.glob(self.server.data + "/volumes/*.vol")), 2)

    def served(self):
        """Which of the objects of test_a_start_says_what_it_found are whole; the rest must not end as if they were."""
        whole = set()
        for number in range(6):
            with self.server.connect() as client:
                client.send_head("GET", f"/{number}")
                head = client.read_head()
                try:
                    body = client.read_body(head)
                except Closed:
                    continue
                if head.status == 200:
                    self.assertEqual(body, pattern(5_000_000, number))
                    whole.add(number)
                else:
                    self.assertIn(head.status, (404, 500))
        return whole

    def test_a_start_says_what_it_found(self):
        with self.server.connect() as client:
            for number in range(6):
                client.put(f"/{number}", pattern(5_000_000, number))
        self.server.stop()
        volumes = sorted(glob.glob(self.server.data + "/volumes/*.vol"))
        catalog = self.server.data + "/catalog.mdb"
        every = set(range(6))

        with self.subTest("a lost catalog"):
            self.remove_catalog()
            self.server.start()
            self.server.wait_log(rf"the catalog is missing: rebuilding it from {len(volumes)} volumes")
            self.assertEqual(self.served(), every)
            self.server.stop()

        with self.subTest("a damaged catalog"):
            with open(catalog, "r+b") as file:
                file.seek(8192)
                file.write(os.urandom(os.path.getsize(catalog) - 8192))
            self.server.start()
            self.server.wait_log(rf"the catalog is damaged \(.+\): rebuilding it from {len(volumes)} volumes")
            self.assertEqual(self.served(), every)
            self.server.stop()

        with self.subTest("a torn batch"):
            shutil.copy(catalog, self.server.home)
            self.server.start()
            self.assertEqual(len(glob.glob(self.server.data + "/volumes/*.vol")), len(volumes))
            with self.server.connect() as client:
                client.put("/torn", b"torn" * 5000)
            self.server.kill()
            shutil.copy(self.server.home + "/catalog.mdb", catalog)  # it had not heard of it yet
            self.damage(b"torn" * 100)
            self.server.start()
            self.server.wait_log(r"volume \d+: the last batch, at \d+, is torn: taken off")
            self.assertEqual(self.served(), every)
            with self.server.connect() as client:
                self.assertEqual(client.get("/torn").status, 404)
            self.server.stop()

        with self.subTest("a damaged byte"):
            self.damage(pattern(5_000_000, 5)[:64])
            self.server.start()
            self.assertEqual(self.served(), every - {5})
            self.server.wait_log(r"bytes on disk are damaged or unreadable path=/5 volume=\d+ offset=\d+")
            self.server.stop()

        with self.subTest("a missing volume"):
            os.unlink(volumes[0])
            self.server.start()
            self.server.wait_log(r"volume 0000000001 is missing: its objects are not served")
            left = self.served()
            self.assertNotIn(0, left)
            self.assertIn(4, left)  # of 3 the first volume may have the beginning
            with self.server.connect() as client:
                self.assertEqual(client.put("/0", b"again").status, 204)
                self.assertEqual(client.get("/0").body, b"again")
            self.server.stop()


# Forbids the system call NUMBER from now on (seccomp(2)), and becomes the rest of the command line.
FORBID = """
import ctypes, os, struct, sys
number = int(sys.argv[1])
steps = (0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x50001), (0x06, 0, 0, 0x7fff0000)
code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
program = struct.pack("@HP", len(steps), ctypes.addressof(code))
prctl = ctypes.CDLL(None, use_errno=True).prctl
if prctl(38, 1, 0, 0, 0) != 0 or prctl(22, 2, program, 0, 0) != 0:
    raise OSError(ctypes.get_errno(), "no filter")
os.execv(sys.argv[2], sys.argv[2:])
"""
NUMBERS = {"x86_64": {"mincore": 27, "sendfile": 40}, "aarch64": {"mincore": 232, "sendfile": 71}}


@unittest.skipUnless(platform.machine() in NUMBERS, "the numbers of system calls are not known here")
class Filtered(unittest.TestCase):
    """Filters of system calls, as systemd's @system-service, may leave some out."""

    def what_is_on_disk_is_served_without(self, name):
        server = Server()
        self.addCleanup(server.remove)
        plain = server.command
        number = NUMBERS[platform.machine()][name]
        server.command = lambda: [sys.executable, "-c", FORBID, str(number), *plain()]
        bodies = {f"/{size}": pattern(size) for size in (1, 5000, 3_000_000)}
        server.start()
        with server.connect() as client:
            for path, body in bodies.items():
                self.assertEqual(client.put(path, body).status, 201)
        server.stop()
        server.start()
        with server.connect() as client:
            for path, body in bodies.items():
                self.assertEqual(client.get(path).body, body)
                self.assertEqual(client.get(path, "Range: bytes=-1").body, body[-1:])
        return server

    def test_what_is_on_disk_is_served_without_mincore(self):
        self.what_is_on_disk_is_served_without("mincore").wait_log(r"mincore\(2\) is forbidden")

    def test_what_is_on_disk_is_served_without_sendfile(self):
        self.what_is_on_disk_is_served_without("sendfile")


if __name__ == "__main__":
    main(600)
