#!/usr/bin/env python3
"""What a reload changes while everything runs, and what it leaves alone."""

import itertools
import threading
import time

from harness import Case, main, pattern, wait_until


class Reload(Case):
    def setUp(self):
        self.reconfigure("")

    def reconfigure(self, text):
        """From when this returns, requests that begin go by TEXT. The new lines of the log."""
        self.server.write_config(text)
        return self.server.reload()

    def test_rules_change_for_requests_that_begin_later(self):
        target = self.path("x.bin")
        self.put(target, b"bytes")
        before = self.get(target)["Cache-Control"]
        for value in ("max-age=77", "no-cache"):
            self.reconfigure(f'rule "{target}" {{ cache_control = "{value}"  existing = refuse }}')
            for _ in range(8):  # connections meet every worker
                self.assertEqual(self.get(target)["Cache-Control"], value)
                with self.server.connect() as client:
                    self.assertEqual(client.put(target, b"again").status, 409)
        self.reconfigure("")
        self.assertEqual(self.get(target)["Cache-Control"], before)

    def test_an_upload_goes_on_by_what_held_when_it_began(self):
        target = self.path("x.bin")
        parts = [pattern(5000, seed) for seed in range(3)]
        writer = self.writer(target, parts[0])
        self.reconfigure('object_max = 1KiB\nrule "/*" { existing = refuse }\n')
        for part in parts[1:]:
            writer.send_chunk(part)
        self.assertEqual(writer.end_put().status, 201)
        self.assertEqual(self.get(target).body, b"".join(parts))
        with self.server.connect() as client:
            self.assertEqual(client.put(self.path("y.bin"), bytes(1025)).status, 413)

    def test_an_upload_keeps_the_content_type_of_its_rule(self):
        target = self.path("x.bin")
        self.reconfigure('rule "/*" { content_type = "video/one" }')
        writer = self.writer(target, b"bytes")
        self.reconfigure('rule "/*" { content_type = "video/two" }')
        self.assertEqual(writer.end_put().status, 201)
        self.assertEqual(self.get(target)["Content-Type"], "video/one")

    def test_object_max_changes(self):
        self.reconfigure("object_max = 10")
        with self.server.connect() as client:
            self.assertEqual(client.put(self.path("a"), bytes(11)).status, 413)
        self.reconfigure("object_max = 11")
        with self.server.connect() as client:
            self.assertEqual(client.put(self.path("a"), bytes(11)).status, 201)

    def test_the_limits_of_connections_change(self):
        with self.connect() as first, self.connect() as second:
            self.assertEqual((first.get("/none").status, second.get("/none").status), (404, 404))
            self.reconfigure("connections_per_address = 1")
            with self.connect() as third:  # the first one that is counted
                self.assertEqual(third.get("/none").status, 404)
                self.assertEqual(self.connect().read_reply().status, 503)
            self.reconfigure("connections_max = 1")
            late = self.connect()
            late.send_head("GET", "/none")
            late.expect_silence()
            self.reconfigure("")
            self.assertEqual(late.read_reply().status, 404)

    def test_head_timeout_changes(self):
        self.reconfigure("head_timeout = 200ms")
        client = self.connect()
        begin = time.monotonic()
        client.send(b"GET /x HT")
        self.assertEqual(client.read_head().status, 408)
        self.assertLess(time.monotonic() - begin, 9)  # 10 s is the default

    def test_resume_window_changes(self):
        target = self.path("x.bin")
        self.reconfigure("resume_window = 0")
        writer = self.writer(target, b"bytes")
        reader = self.follow(target)
        self.assertEqual(reader.read_part(5), b"bytes")
        begin = time.monotonic()
        writer.reset()
        self.assertEqual(reader.read_until_cut(), b"")
        self.assertLess(time.monotonic() - begin, 9)  # 10 s is the default

    def test_memory_max_changes(self):
        admin, writer = self.connect_admin(), self.connect()
        numbers = itertools.count()

        def has_spilled():
            """Objects leave when others come to their shard of the table."""
            for number in itertools.islice(numbers, 50):
                self.assertEqual(writer.put(self.path(f"{number}"), b"bytes").status, 201)
            return b"\nspillway_spilled_total 0\n" not in admin.get("/metrics").body
        self.assertIn(b"\nspillway_spilled_total 0\n", admin.get("/metrics").body)
        self.reconfigure("memory_max = 0")
        wait_until(has_spilled, "idle objects to leave memory")

    def test_what_needs_a_restart_is_named_and_left_alone(self):
        words = self.reconfigure("sync = off\nworkers = 1\nobject_max = 5\n")
        self.assertRegex(words, "restart to apply key=sync")
        self.assertRegex(words, "restart to apply key=workers")
        self.assertNotRegex(words, "restart to apply key=object_max")

    def test_a_bad_file_changes_nothing(self):
        self.reconfigure("object_max = 5")
        self.server.write_config('object_max = 500\nrule "/*" { existing = refuse }\nhead_timeout = no\n')
        self.assertRegex(self.server.reload(), r"refused.*spillway\.conf:3:")
        with self.server.connect() as client:
            self.assertEqual(client.put(self.path("a"), b"123456").status, 413)

    def test_reloads_under_load_harm_no_request(self):
        done = threading.Event()
        wrong = []

        def load(number):
            target = f"/load/{number}.m3u8"
            while not done.is_set():
                with self.server.connect() as client:
                    for _ in range(20):
                        if client.put(target, b"bytes").status not in (201, 204):
                            wrong.append("put")
                        reply = client.get(target)
                        if (reply.body, reply["Cache-Control"][:9]) != (b"bytes", "max-age=9"):
                            wrong.append(repr(reply))
        self.reconfigure('rule "*" { cache_control = "max-age=90" }')
        threads = [threading.Thread(target=load, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        try:
            for number in range(20):
                self.reconfigure(f'rule "*" {{ cache_control = "max-age=9{number}" }}')
        finally:
            done.set()
            for thread in threads:
                thread.join()
        self.assertEqual(wrong, [])


if __name__ == "__main__":
    main()
