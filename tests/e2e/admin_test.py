#!/usr/bin/env python3
"""What the admin listener promises."""

from harness import Case, Server, main


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

    def test_metrics_count(self):
        def counters():
            body = self.connect_admin().get("/metrics").body.decode()
            return dict(line.rsplit(" ", 1) for line in body.splitlines() if line[:1] not in ("", "#"))
        before = counters()
        self.put(self.path("a"), b"x")
        self.get(self.path("a"))
        self.assertNotEqual(before, counters())

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
