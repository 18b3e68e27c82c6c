#!/usr/bin/env python3
"""What the admin listener promises."""

import json
import os
import re
import shutil
import subprocess
import unittest

from harness import Case, Server, main, wait_until

MONITORING = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "conf", "monitoring")


class Admin(Case):
    def test_healthz_says_that_the_process_is_up(self):
        self.assertEqual(self.connect_admin().get("/healthz").status, 200)

    def test_readyz_says_that_objects_can_be_stored(self):
        self.assertEqual(self.connect_admin().get("/readyz").status, 200)

    def test_head_works_as_get(self):
        client = self.connect_admin()
        self.assertEqual(client.request("HEAD", "/healthz").status, 200)
        self.assertEqual(client.request("HEAD", "/readyz").status, 200)

    def test_metrics_are_prometheus_text(self):
        self.put(self.path("a"), b"x")
        reply = self.connect_admin().get("/metrics")
        self.assertEqual(reply.status, 200)
        self.assertTrue(reply["Content-Type"].startswith("text/plain"))
        lines = reply.body.decode().splitlines()
        self.assertTrue(any(line.startswith("# HELP spillway_") for line in lines))
        self.assertTrue(any(line.startswith("# TYPE spillway_") for line in lines))
        for line in lines:
            self.assertRegex(line, r"^(# (HELP|TYPE) \w+ .*|\w+(\{[^}]*\})? -?[0-9.e+]+|)$")

    @unittest.skipUnless(shutil.which("promtool"), "promtool (package prometheus) is not installed")
    def test_promtool_has_nothing_to_say(self):
        self.put(self.path("a"), b"x")
        page = self.connect_admin().get("/metrics").body
        check = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False)
        self.assertEqual((check.returncode, check.stdout + check.stderr), (0, b""))

    def test_alerts_and_dashboard_ask_for_what_there_is(self):
        text = self.connect_admin().get("/metrics").body.decode()
        families = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
        for name in ("alerts.yml", "grafana.json"):
            with open(os.path.join(MONITORING, name), encoding="utf-8") as file:
                text = file.read()
            asked = {re.sub(r"_bucket$", "", figure) for figure in re.findall(r"\bspillway_\w+", text)}
            self.assertGreater(len(asked), 8)
            self.assertLessEqual(asked, families, name)

    def test_the_dashboard_is_json_whose_panels_do_not_overlap(self):
        with open(os.path.join(MONITORING, "grafana.json"), encoding="utf-8") as file:
            panels = json.load(file)["panels"]
        places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
        self.assertEqual(len(places), len(panels))
        self.assertTrue(all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels))

    @unittest.skipUnless(shutil.which("promtool"), "promtool (package prometheus) is not installed")
    def test_promtool_takes_the_alerts(self):
        check = subprocess.run(["promtool", "check", "rules", os.path.join(MONITORING, "alerts.yml")],
                               capture_output=True, text=True, check=False)
        self.assertEqual(check.returncode, 0, check.stdout + check.stderr)
        self.assertIn("SUCCESS", check.stdout)

    def test_metrics_count(self):
        before = self.server.metrics()
        client = self.writer(self.path("a"), b"12345")
        reader = self.follow(self.path("a"))
        self.assertEqual(reader.read_part(5), b"12345")
        during = self.server.metrics()
        client.send_chunk(b"678")
        self.assertEqual(reader.read_part(3), b"678")
        self.assertEqual(client.end_put().status, 201)
        self.assertEqual(reader.read_rest(), b"")
        with self.connect() as other:
            for _ in range(3):
                self.assertEqual(other.get(self.path("a")).body, b"12345678")
        self.assertEqual(self.get(self.path("none")).status, 404)

        def grown(name, least=1):
            now = self.server.metrics()
            return now.get("spillway_" + name, 0) - before.get("spillway_" + name, 0) >= least

        self.assertEqual(during["spillway_writers"], 1)
        self.assertEqual(during["spillway_live_readers"], 1)
        self.assertGreater(during["spillway_tail_bytes"], 0)
        for name, least in (('replies_total{method="PUT",code="201"}', 1), ('replies_total{method="GET",code="200"}', 4),
                            ('replies_total{method="GET",code="404"}', 1), ("ingest_bytes_total", 8),
                            ("sent_bytes_total", 32), ("wakeups_total", 1), ("first_byte_seconds_count", 6),
                            ("write_to_read_seconds_count", 1), ("acknowledge_seconds_count", 1),
                            ("sync_seconds_count", 1)):
            # A client may have its bytes before they are counted.
            wait_until(lambda name=name, least=least: grown(name, least), f"{name} to grow by {least}")
        for name in ("writers", "live_readers"):
            wait_until(lambda name=name: self.server.metrics()["spillway_" + name] == 0, f"{name} to be none")
        for name in ("volumes", "disk_used_bytes", "disk_free_bytes"):
            wait_until(lambda name=name: self.server.metrics()["spillway_" + name] > 0, name)
        wait_until(lambda: self.server.metrics()["spillway_catalog_waiting_records"] == 0, "the catalog to follow")
        wait_until(lambda: self.server.metrics()["spillway_resident_bytes"] > 0, "idle objects to be counted")

    def test_the_end_of_an_upload_is_no_byte_that_waited(self):
        name = "spillway_write_to_read_seconds_count"
        client = self.writer(self.path("a"), b"12345")
        reader = self.follow(self.path("a"))
        self.assertEqual(reader.read_part(5), b"12345")
        before = self.server.metrics()[name]
        client.send_chunk(b"678")
        self.assertEqual(reader.read_part(3), b"678")
        self.assertEqual(client.end_put().status, 201)
        self.assertEqual(reader.read_rest(), b"")
        wait_until(lambda: self.server.metrics()["spillway_live_readers"] == 0, "the reader to leave")
        self.assertEqual(self.server.metrics()[name] - before, 1)

    def test_the_admin_listener_serves_no_objects(self):
        self.put(self.path("a"), b"x")
        client = self.connect_admin()
        self.assertEqual(client.get(self.path("a")).status, 404)
        with self.server.connect_admin() as other:
            self.assertGreaterEqual(other.put(self.path("b"), b"x").status, 400)
        self.assertEqual(self.get(self.path("b")).status, 404)

    def test_the_media_listener_serves_no_admin_pages(self):
        for page in ("/healthz", "/readyz", "/metrics", "/list"):
            self.assertEqual(self.get(page).status, 404)

    def test_bad_requests_are_refused_here_too(self):
        client = self.connect_admin()
        client.send(b"GET /healthz HTTP/1.1\r\nHost : t\r\n\r\n")
        self.assertEqual(client.read_reply().status, 400)
        self.assertEqual(self.connect_admin().get("/healthz").status, 200)


class Purge(Case):
    """DELETE /list?prefix=... deletes what the listing of that prefix shows."""

    CONFIG = "memory_max = 1MiB\n"

    def purge(self, query):
        return self.connect_admin().request("DELETE", "/list" + query)

    def fill(self, count, prefix):
        client = self.connect()
        for number in range(count):
            self.assertEqual(client.put(f"{prefix}{number}", b"x").status, 201)

    def test_everything_under_the_prefix_goes_and_nothing_else(self):
        self.fill(2500, self.path("a/"))
        self.fill(10, self.path("b/"))
        self.put(self.path("a"), b"not below")
        reply = self.purge("?prefix=" + self.path("a/"))
        self.assertEqual((reply.status, reply.body), (200, b"2500\n"))
        self.assertEqual(self.list_text(self.path("a/")), [])
        self.assertEqual(len(self.list_text(self.path("b/"))), 10)
        self.assertEqual(self.get(self.path("a/7")).status, 404)
        self.assertEqual(self.get(self.path("a")).status, 200)
        self.assertEqual(self.purge("?prefix=" + self.path("a/")).body, b"0\n")
        self.server.stop()
        self.server.start()
        self.assertEqual(self.list_text(self.path("a/")), [])
        self.assertEqual(len(self.list_text(self.path("b/"))), 10)

    def test_after_a_restart_too(self):
        self.fill(300, self.path(""))
        self.server.stop()
        self.server.start()
        self.assertEqual(self.purge("?prefix=" + self.path("")).body, b"300\n")
        self.assertEqual(self.list_text(self.path("")), [])

    def test_what_grows_is_deleted_too(self):
        client = self.writer(self.path("a"), b"some")
        reader = self.follow(self.path("a"))
        self.assertEqual(self.purge("?prefix=" + self.path("")).body, b"1\n")
        self.assertEqual(reader.read_until_cut(), b"some")
        client.send_chunk(b"more")
        self.assertEqual(client.read_reply("PUT").status, 410)

    def test_the_prefix_is_decoded_and_must_be_given(self):
        self.put(self.path("a%20b"), b"x")
        for query in ("", "?", "?prefix=", "?prefix=a", "?prefix=%zz", "?limit=1"):
            self.assertEqual(self.purge(query).status, 400, query)
        self.assertEqual(self.purge("?prefix=" + self.path("a%20")).body, b"1\n")

    def test_two_at_once_and_uploads_meanwhile(self):
        self.fill(1500, self.path("a/"))
        askers = [self.connect_admin() for _ in range(3)]
        for asker in askers:
            asker.send_head("DELETE", "/list?prefix=" + self.path("a/"))
        client = self.connect()
        for number in range(200):
            reply = client.put(self.path(f"a/{number}"), b"new")
            self.assertIn(reply.status, (201, 204, 410))  # it may be deleted while it comes
        counts = [int(asker.read_reply().body) for asker in askers]
        self.assertGreaterEqual(sum(counts), 1500)
        self.assertLessEqual(sum(counts), 1700)
        self.purge("?prefix=" + self.path("a/"))
        self.assertEqual(self.list_text(self.path("a/")), [])

    def test_it_goes_on_when_the_client_leaves(self):
        self.fill(1500, self.path("a/"))
        asker = self.connect_admin()
        asker.send_head("DELETE", "/list?prefix=" + self.path("a/"))
        asker.wait_taken()
        asker.reset()
        wait_until(lambda: not self.list_text(self.path("a/")), "the objects to go")

    def test_other_pages_have_nothing_to_delete(self):
        for page in ("/healthz", "/metrics", "/readyz"):
            reply = self.connect_admin().request("DELETE", page)
            self.assertEqual((reply.status, reply["Allow"]), (405, "GET, HEAD"))
        self.assertEqual(self.connect_admin().put("/list?prefix=/", b"").status, 405)
        self.assertEqual(self.connect().request("DELETE", "/list?prefix=/").status, 404)


class NoAdmin(Case):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        original = cls.server.command

        def command():
            words = original()
            words[words.index("-a") + 1] = "none"
            return words
        cls.server.command = command
        try:
            cls.server.spawn()
            cls.server.port = int(cls.server.wait_log(r"listening on \S+:(\d+)\s*$").group(1))
        except BaseException:
            cls.server.remove()
            raise

    def test_none_turns_it_off(self):
        self.assert_serves()
        self.assertNotIn("admin listening", self.server.log_text())


if __name__ == "__main__":
    main()
