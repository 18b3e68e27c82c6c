#!/usr/bin/env python3
"""spillway-check: what is whole is called whole, what is damaged is named, and what is left can be had."""

import glob
import os
import shutil
import subprocess
import unittest

from harness import PATIENCE, Server, main, pattern

CHECK = os.environ.get("SPILLWAY_CHECK") or os.path.join(os.path.dirname(os.environ.get("SPILLWAY", "")),
                                                         "spillway-check")


class Check(unittest.TestCase):
    def setUp(self):
        self.server = Server("volume_size = 16MiB\n")
        self.addCleanup(self.server.remove)
        self.server.start()
        self.data = self.server.data
        self.objects = {}
        for number in range(30):
            self.put(f"/live/{number:02}.m4s", pattern(1000 + 7000 * number, number))
        self.put("/live/index.m3u8", b"#EXTM3U\n")

    def put(self, path, body):
        with self.server.connect() as client:
            self.assertIn(client.put(path, body).status, (201, 204))
        self.objects[path] = body

    def check(self, *args, data=None):
        """(exit status, standard output, standard error)."""
        home = os.path.join(self.server.home, "tmp")
        os.makedirs(home, exist_ok=True)
        done = subprocess.run([CHECK, *args, data or self.data], capture_output=True, text=True,
                              timeout=PATIENCE * 2, env=dict(os.environ, TMPDIR=home))
        self.assertEqual(os.listdir(home), [])
        self.assertNotIn("Sanitizer", done.stderr)
        return done.returncode, done.stdout, done.stderr

    def picture(self):
        """Name, size and time of everything in the directory."""
        found = {}
        for folder, _, names in os.walk(self.data):
            for name in names:
                path = os.path.join(folder, name)
                found[path] = os.stat(path).st_size, os.stat(path).st_mtime_ns
        return found

    def volumes(self):
        return sorted(glob.glob(self.data + "/volumes/*.vol"))

    def damage(self, file, at):
        with open(file, "r+b") as data:
            data.seek(at)
            byte = data.read(1)[0]
            data.seek(at)
            data.write(bytes([byte ^ 8]))

    def find(self, needle):
        """The volume that NEEDLE is in, and where."""
        for volume in self.volumes():
            with open(volume, "rb") as file:
                at = file.read().find(needle)
            if at >= 0:
                return volume, at
        raise AssertionError("these bytes are in no volume")

    def test_a_whole_directory_is_whole_and_stays_as_it_is(self):
        with self.server.connect() as client:
            self.assertEqual(client.request("DELETE", "/live/03.m4s").status, 204)
        self.put("/live/04.m4s", b"replaced")
        self.put("/big", pattern(3_000_000))
        self.server.stop()
        before = self.picture()
        status, out, err = self.check()
        self.assertEqual((status, err), (0, ""), out)
        self.assertRegex(out, r"1 volumes, 31 objects \(0 incomplete\), \d+ bytes: whole\n")
        self.assertEqual(self.picture(), before)

    def test_a_crash_and_an_upload_under_way_are_no_damage(self):
        with self.server.connect() as client:
            client.begin_put("/open")
            client.send_chunk(pattern(2_000_000))
            client.wait_taken()
            self.put("/last", b"acknowledged")  # synced behind some of what is open
            self.server.kill()
        status, out, _ = self.check()
        self.assertEqual(status, 0, out)
        self.assertIn("33 objects (1 incomplete)", out)

    def test_a_torn_end_is_a_note_until_the_catalog_had_it(self):
        self.put("/last", pattern(20_000, 99))
        self.server.stop()
        volume, at = self.find(pattern(20_000, 99)[:64])
        self.damage(volume, at + 15_000)
        status, out, _ = self.check()
        self.assertEqual(status, 1)
        self.assertRegex(out, r"the batch at \d+, the last of all, is not whole\n")
        os.unlink(self.data + "/catalog.mdb")
        status, out, err = self.check()
        self.assertEqual(status, 0, out)
        self.assertIn("as a crash leaves it", err)

    def test_a_directory_in_use_is_refused(self):
        status, out, err = self.check()
        self.assertEqual((status, out), (3, ""))
        self.assertIn(f"a server uses {self.data}", err)
        self.assertEqual(self.check("--no-lock", "--list")[0], 0)
        copy = os.path.join(self.server.home, "copy")
        self.server.stop()
        shutil.copytree(self.data, copy)
        self.server.start()
        self.assertEqual(self.check(data=copy)[0], 0)

    def test_damage_is_named_and_counted(self):
        self.server.stop()
        volume, at = self.find(self.objects["/live/07.m4s"][500:600])
        self.damage(volume, at)
        status, out, _ = self.check()
        self.assertEqual(status, 1)
        number = os.path.basename(volume)[:10]
        self.assertRegex(out, rf"volume {number}: bytes \d+ to \d+ are damaged: FINAL of version \d+, /live/07\.m4s")
        self.assertRegex(out, r"object /live/07\.m4s: its bytes are not those that were uploaded")
        self.assertRegex(out, r"damaged, 1 objects are affected")

    def test_a_damaged_header_costs_one_object(self):
        self.server.stop()
        volume, at = self.find(self.objects["/live/09.m4s"][:64])
        with open(volume, "rb") as file:
            head = file.read(at).rfind(b"SPWR")
        self.damage(volume, head + 30)
        status, out, _ = self.check()
        self.assertEqual(status, 1)
        self.assertRegex(out, rf"bytes {head} to \d+ are no records")
        self.assertRegex(out, r"catalog: /live/09\.m4s is in the catalog only")
        self.assertRegex(out, r"damaged, 1 objects are affected")

    def test_a_missing_volume_is_named(self):
        for number in range(10):
            self.put(f"/big/{number}", pattern(4_000_000, number))
        self.server.stop()
        os.unlink(self.volumes()[1])
        status, out, _ = self.check()
        self.assertEqual(status, 1)
        self.assertIn("is missing", out)
        self.assertRegex(out, r"catalog: /big/\d is in the catalog only")

    def test_a_damaged_catalog_is_named_and_rebuilt(self):
        self.server.stop()
        with open(self.data + "/catalog.mdb", "r+b") as file:
            file.seek(8192)
            file.write(os.urandom(os.path.getsize(file.name) - 8192))
        status, out, _ = self.check()
        self.assertEqual(status, 1)
        self.assertIn("catalog: damaged: ", out)
        self.assertEqual(self.check("--rebuild-catalog")[0], 0)
        self.assertEqual(self.check()[0], 0)
        self.server.start()
        self.assertNotIn("rebuilding", self.server.log_text())
        with self.server.connect() as client:
            for path, body in self.objects.items():
                self.assertEqual(client.get(path).body, body)

    def test_rows_that_the_volumes_know_nothing_of_are_named(self):
        self.server.stop()
        old = os.path.join(self.server.home, "old.mdb")
        shutil.copy(self.data + "/catalog.mdb", old)
        shutil.copytree(self.data + "/volumes", os.path.join(self.server.home, "old"))
        self.server.start()
        with self.server.connect() as client:
            self.assertEqual(client.request("DELETE", "/live/05.m4s").status, 204)
        self.server.stop()
        # The catalog of afterwards over the volumes of before: it lacks a row that they have.
        shutil.rmtree(self.data + "/volumes")
        shutil.copytree(os.path.join(self.server.home, "old"), self.data + "/volumes")
        status, out, _ = self.check()
        self.assertEqual(status, 1)
        self.assertIn("catalog: /live/05.m4s is in the volumes only", out)

    def test_objects_are_exported_to_files_of_their_own(self):
        odd = {"/live": b"both", "/live/a%20b/%2e.x": b"odd", "/live/d/": b"slash",
               "/live/" + "n" * 500: b"long", "/other": b"other"}
        for path, body in odd.items():
            self.put(path, body)
        with self.server.connect() as client:
            client.begin_put("/live/open.m4s")
            client.send_chunk(b"half")
            client.wait_taken()
            self.server.kill()
        target = os.path.join(self.server.home, "saved")
        status, _, err = self.check("--export", target, "--prefix", "/live")
        self.assertEqual(status, 0, err)
        names = {"/live": "live/%self", "/live/a%20b/%2e.x": "live/a%20b/%2E.x", "/live/d/": "live/d/%",
                 "/live/" + "n" * 500: "live/" + "n" * 200 + "%-/" + "n" * 200 + "%-/" + "n" * 100}
        expected = {names.get(path, path[1:]): body for path, body in self.objects.items()
                    if path != "/other"}
        found = {}
        for folder, _, files in os.walk(target):
            for name in files:
                file = os.path.join(folder, name)
                with open(file, "rb") as data:
                    found[os.path.relpath(file, target)] = data.read()
        self.assertEqual(found, expected)
        self.assertEqual(self.check("--export", target)[0], 3)  # nothing is written over

    def test_the_list_is_that_of_the_server(self):
        with self.server.connect() as client:
            listed = client.request("LIST", "/").body.decode()
        self.server.stop()
        self.assertEqual(self.check("--list"), (0, listed, ""))
        self.assertEqual(self.check("--list", "--prefix", "/live/1")[1].count("\n"), 10)

    def test_command_lines_without_sense_are_told_apart(self):
        for args in ([], ["a", "b"], ["--nonsense", "a"], ["-p", "x", "-l", "a"], ["-r", "-l", "a"], ["-p", "/", "a"]):
            done = subprocess.run([CHECK, *args], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 2, args)
            self.assertTrue(done.stderr, args)
        self.assertEqual(subprocess.run([CHECK, "--help"], capture_output=True, check=False).returncode, 0)
        status, _, err = self.check(data=self.server.home + "/nowhere")
        self.assertEqual(status, 3)
        self.assertIn("nowhere", err)


if __name__ == "__main__":
    main()
