#!/usr/bin/env python3
"""A connection that is kept answers its later requests as its first one.

The first request of a connection goes another way through the server than those behind it
(http/direct.h); nobody may see a difference.
"""

import time

from harness import Case, Closed, main, pattern, wait_until

BIG = 6_000_000  # more than a socket takes that nobody reads


class Kept(Case):
    def head_of(self, reply):
        """Everything that must be the same; the date may be of the next second."""
        return reply.status, reply.reason, [h for h in reply.headers if h[0] != "date"], reply.body

    def assert_same(self, method, target, *headers):
        first = self.connect().request(method, target, *headers)
        client = self.connect()
        client.request("HEAD", self.path("warm-up"))
        later = client.request(method, target, *headers)
        # The order of fields is theirs to choose.
        self.assertEqual(sorted(self.head_of(first)[2]), sorted(self.head_of(later)[2]), (method, headers))
        self.assertEqual(first.status, later.status)
        self.assertEqual(first.reason, later.reason)
        self.assertEqual(first.body, later.body)
        self.assertIsNotNone(later["Date"])
        return later

    def test_every_reply_is_the_same_on_a_kept_connection(self):
        target = self.path("a.m4s")
        etag = self.put(target, pattern(100_000))["ETag"]
        for method in ("GET", "HEAD"):
            for headers in ((), ("Range: bytes=10-19",), ("Range: bytes=200000-",), ("Range: bytes=1-2,5-6",),
                            (f"If-None-Match: {etag}",), ("If-Match: \"other\"",), ("Connection: close",),
                            ("If-Modified-Since: Thu, 01 Jan 2099 00:00:00 GMT",)):
                if "1-2,5-6" not in " ".join(headers):  # its boundary is random
                    self.assert_same(method, target, *headers)
            self.assert_same(method, self.path("missing"))
            self.assert_same(method, "/%00")
            self.assert_same(method, "/" + "x" * 1100)
        self.assert_same("GET", "/")

    def test_an_empty_object(self):
        self.put(self.path("empty"), b"")
        self.assertEqual(self.assert_same("GET", self.path("empty"))["Content-Length"], "0")

    def test_a_growing_object_on_a_kept_connection(self):
        client = self.connect()
        client.get(self.path("missing"))
        writer = self.writer(self.path("a"), b"first")
        client.send_head("GET", self.path("a"))
        self.assertTrue(client.read_head().chunked)
        self.assertEqual(client.read_part(5), b"first")
        writer.send_chunk(b"second")
        self.assertEqual(client.read_part(6), b"second")
        writer.end_put()
        self.assertEqual(client.read_rest(), b"")
        self.assertEqual(client.get(self.path("a")).body, b"firstsecond")

    def test_pipelined_requests_of_every_kind_in_order(self):
        self.put(self.path("a"), b"small")
        self.put(self.path("big"), pattern(BIG))
        ask = b"%s %s HTTP/1.1\r\nHost: t\r\n\r\n"
        small, big = self.path("a").encode(), self.path("big").encode()
        round_ = (ask % (b"GET", small) + ask % (b"GET", big) + ask % (b"HEAD", big) + ask % (b"GET", small) +
                  b"PUT %s HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nsmall" % small +
                  ask % (b"GET", small) + ask % (b"LIST", small) + ask % (b"GET", b"/none"))
        client = self.connect()
        client.send(round_ * 3)
        for _ in range(3):
            self.assertEqual(client.read_reply().body, b"small")
            self.assertEqual(client.read_reply().body, pattern(BIG))
            self.assertEqual(client.read_reply("HEAD")["Content-Length"], str(BIG))
            self.assertEqual(client.read_reply().body, b"small")
            self.assertEqual(client.read_reply("PUT").status, 204)
            self.assertEqual(client.read_reply().body, b"small")
            self.assertEqual(client.read_reply("LIST").body, small + b"\n")
            self.assertEqual(client.read_reply().status, 404)

    def test_a_head_in_pieces_behind_another_request(self):
        self.put(self.path("a"), b"body")
        client = self.connect()
        whole = b"GET %s HTTP/1.1\r\nHost: t\r\n\r\n" % self.path("a").encode()
        client.send(whole)
        self.assertEqual(client.read_reply().body, b"body")
        for cut in range(1, len(whole)):
            client.send(whole + whole[:cut])
            self.assertEqual(client.read_reply().body, b"body")
            client.send(whole[cut:])
            self.assertEqual(client.read_reply().body, b"body")

    def test_many_small_replies_that_nobody_reads_for_a_while(self):
        self.put(self.path("a"), pattern(60_000))
        client = self.connect(rcvbuf=4096)
        target = self.path("a").encode()
        client.send(b"GET %s HTTP/1.1\r\nHost: t\r\n\r\n" % target * 200 +
                    b"LIST %s HTTP/1.1\r\nHost: t\r\n\r\n" % target)
        self.assert_serves()
        for _ in range(200):
            self.assertEqual(client.read_reply().body, pattern(60_000))
        self.assertEqual(client.read_reply("LIST").body, target + b"\n")
        self.assertEqual(client.get("/none").status, 404)

    def test_more_requests_at_once_than_one_read_takes(self):
        """Of TLS, libevent reads a part of a record; the rest comes when the first reply is made."""
        self.put(self.path("a"), b"x")
        client = self.connect()
        client.get(self.path("a"))
        client.send(b"GET %s HTTP/1.1\r\nHost: t\r\n\r\n" % self.path("a").encode() * 250)
        for _ in range(250):
            self.assertEqual(client.read_reply().body, b"x")
        self.assertEqual(client.get("/none").status, 404)

    def test_a_reply_that_began_waits_for_the_disk(self):
        """After a start each extent is read and verified before its bytes are sent: the first one is, the next are not."""
        body = pattern(BIG)
        self.put(self.path("a"), body)
        self.server.stop()
        self.server.start()
        client = self.connect()
        self.assertEqual(client.get(self.path("a"), "Range: bytes=0-0").body, body[:1])
        client.send_head("GET", self.path("a"))
        client.send_head("GET", self.path("a"), "Range: bytes=5-9")
        self.assertEqual(client.read_reply().body, body)
        self.assertEqual(client.read_reply().body, body[5:10])
        self.assertEqual(client.get("/none").status, 404)

    def test_a_client_that_stopped_sending_gets_all_of_the_reply(self):
        self.put(self.path("a"), pattern(BIG))
        client = self.connect()
        client.get("/none")
        client.send_head("GET", self.path("a"))
        client.sock.shutdown(1)
        self.assertEqual(client.read_reply().body, pattern(BIG))

    def test_a_bad_head_behind_a_good_one(self):
        self.put(self.path("a"), b"x")
        client = self.connect()
        client.get(self.path("a"))
        client.send(b"GET %s HTTP/1.1\r\nHost: t\r\n\r\nGET / HTTP/1.1\r\nHost : t\r\n\r\n" % self.path("a").encode())
        self.assertEqual(client.read_reply().body, b"x")
        self.assertEqual(client.read_reply().status, 400)
        client.expect_closed()


class Limits(Case):
    """What bounds a connection bounds it also when its last reply was direct."""

    CONFIG = "ingest_idle = 1s\nhead_timeout = 300ms\n"

    def kept(self):
        self.put(self.path("a"), b"x")
        client = self.connect()
        for _ in range(3):
            self.assertEqual(client.get(self.path("a")).body, b"x")
        return client

    def test_silence_ends_it(self):
        self.kept().expect_closed()

    def test_half_a_head_is_408(self):
        client = self.kept()
        client.send(b"GET / HTTP/1.1\r\n")
        self.assertEqual(client.read_reply().status, 408)
        client.expect_closed()

    def test_requests_keep_it(self):
        client = self.kept()
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            self.assertEqual(client.get(self.path("a")).body, b"x")
            time.sleep(0.1)  # it is silence that is tested

    def test_the_clients_end_is_seen(self):
        client = self.kept()
        client.sock.shutdown(1)
        client.expect_closed()
        client = self.kept()
        client.send(b"GET ")
        client.sock.shutdown(1)
        client.expect_closed()


class Stuck(Case):
    CONFIG = "send_timeout = 500ms\n"

    def begin(self, size=BIG):
        """A reader that asked for 6 MB in objects of SIZE, and took the first head."""
        self.put(self.path("a"), pattern(size))
        client = self.connect(rcvbuf=4096)
        client.get("/none")
        for _ in range(BIG // size):
            client.send_head("GET", self.path("a"))
        self.assertEqual(client.read_head().status, 200)
        return client

    def connections(self):
        return self.server.metrics()["spillway_connections"]

    def test_each_reader_that_is_cut_counts(self):
        self.put(self.path("whole"), pattern(BIG))
        self.writer(self.path("live"), pattern(BIG))
        before = self.server.metrics()["spillway_readers_cut_total"]
        readers = [self.connect(rcvbuf=4096) for _ in range(12)]
        for number, client in enumerate(readers):
            client.send_head("GET", self.path("whole" if number % 2 == 0 else "live"))
        wait_until(lambda: self.connections() <= 2, "the daemon to cut the readers")
        self.assertEqual(self.server.metrics()["spillway_readers_cut_total"] - before, len(readers))

    def test_a_reader_that_takes_nothing_is_cut(self):
        for size in (60_000, BIG):
            client = self.begin(size)
            wait_until(lambda: self.connections() <= 1, "the daemon to cut the reader")
            with self.assertRaises(Closed):
                client.read_exactly(BIG)

    def test_a_reader_that_leaves_in_the_middle_is_let_go(self):
        for size in (60_000, BIG):
            self.begin(size).reset()
            wait_until(lambda: self.connections() <= 1, "the connection to be gone")
            self.assert_serves()

    def test_a_stop_ends_what_is_stuck(self):
        self.begin()
        begin = time.monotonic()
        self.server.stop()
        self.assertLess(time.monotonic() - begin, 60)
        self.server.start()


if __name__ == "__main__":
    main()
