#!/usr/bin/env python3
"""What GET and HEAD promise, for growing objects and for finished ones."""

import email.utils
import threading
import time
import unittest

from harness import SANITIZED, Case, Closed, main, pattern, wait_until


class Growing(Case):
    def test_each_part_is_readable_as_soon_as_it_arrived(self):
        client = self.writer(self.path("a"))
        reader = self.follow(self.path("a"))
        for number in range(200):
            part = b"part %d;" % number
            client.send_chunk(part)
            self.assertEqual(reader.read_part(len(part)), part)
        reader.expect_silence()
        self.assertEqual(client.end_put().status, 201)
        self.assertEqual(reader.read_rest(), b"")

    def test_half_a_chunk_is_readable(self):
        client = self.connect()
        client.begin_put(self.path("a"))
        client.send(b"64\r\nfirst half")
        client.wait_taken()
        wait_until(lambda: self.get_head("a").status == 200, "the object")
        reader = self.follow(self.path("a"))
        self.assertEqual(reader.read_part(10), b"first half")
        client.send(b"x" * 90 + b"\r\n")
        self.assertEqual(reader.read_part(90), b"x" * 90)
        self.assertEqual(client.end_put().status, 201)

    def test_part_of_a_body_by_length_is_readable(self):
        client = self.connect()
        client.send_head("PUT", self.path("a"), "Content-Length: 10")
        client.send(b"01234")
        wait_until(lambda: self.get_head("a").status == 200, "the object")
        reader = self.follow(self.path("a"))
        self.assertEqual(reader.read_part(5), b"01234")
        reader.expect_silence()
        client.send(b"56789")
        self.assertEqual(reader.read_rest(), b"56789")
        self.assertEqual(client.read_reply("PUT").status, 201)

    def get_head(self, name):
        with self.server.connect() as client:
            return client.request("HEAD", self.path(name))

    def test_the_final_chunk_comes_only_after_the_writer_completed(self):
        client = self.writer(self.path("a"), b"all there is")
        reader = self.follow(self.path("a"))
        self.assertEqual(reader.read_part(12), b"all there is")
        client.send(b"0\r\n")
        reader.expect_silence()
        client.send(b"\r\n")
        self.assertEqual(reader.read_rest(), b"")
        self.assertEqual(client.read_reply("PUT").status, 201)

    def test_a_connection_is_kept_after_a_growing_object(self):
        client = self.writer(self.path("a"), b"one")
        reader = self.follow(self.path("a"))
        client.end_put()
        self.assertEqual(reader.read_rest(), b"one")
        self.assertEqual(reader.get(self.path("a")).body, b"one")

    def test_an_http_1_0_reader_gets_the_bytes_and_then_the_close(self):
        client = self.writer(self.path("a"), b"one ")
        reader = self.connect()
        reader.send_head("GET", self.path("a"), version="1.0")
        head = reader.read_head()
        self.assertEqual(head.status, 200)
        self.assertIsNone(head["Transfer-Encoding"])
        self.assertIsNone(head["Content-Length"])
        self.assertEqual(reader.read_exactly(4), b"one ")
        client.send_chunk(b"two")
        self.assertEqual(reader.read_exactly(3), b"two")
        reader.expect_silence()
        client.end_put()
        reader.expect_closed()

    def test_head_never_waits_and_has_no_length(self):
        client = self.writer(self.path("a"), b"some")
        asker = self.connect()
        head = asker.request("HEAD", self.path("a"))
        self.assertEqual(head.status, 200)
        self.assertIsNone(head["Content-Length"])
        self.assertIsNone(head["ETag"])
        self.assertEqual(asker.request("HEAD", self.path("a")).status, 200)
        client.end_put()
        self.assertEqual(asker.request("HEAD", self.path("a"))["Content-Length"], "4")

    def test_readers_may_come_at_any_time_and_all_get_every_byte(self):
        body = pattern(1_500_000)
        client = self.writer(self.path("a"))
        readers = []
        for at in range(0, len(body), 30_000):
            readers.append(self.follow(self.path("a")))
            client.send_chunk(body[at:at + 30_000])
        self.assertEqual(client.end_put().status, 201)
        for reader in readers:
            self.assertEqual(reader.read_rest(), body)

    def test_a_reader_may_ask_before_the_first_byte(self):
        client = self.writer(self.path("a"))
        reader = self.follow(self.path("a"))
        client.end_put()
        self.assertEqual(reader.read_rest(), b"")

    def test_a_reader_that_leaves_harms_nobody(self):
        client = self.writer(self.path("a"), b"one ")
        readers = [self.follow(self.path("a")) for _ in range(20)]
        for reader in readers[::2]:
            reader.reset()
        client.send_chunk(b"two")
        client.end_put()
        for reader in readers[1::2]:
            self.assertEqual(reader.read_rest(), b"one two")

    def test_a_reader_of_the_old_version_finishes_on_it(self):
        old = self.writer(self.path("a"), b"old ")
        reader = self.follow(self.path("a"))
        self.put(self.path("a"), b"new")
        old.send_chunk(b"goes on")
        self.assertEqual(reader.read_part(11), b"old goes on")
        old.end_put()
        self.assertEqual(reader.read_rest(), b"")
        self.assertEqual(self.get(self.path("a")).body, b"new")

    def test_a_deleted_object_cuts_its_readers_and_its_writer_gets_410(self):
        client = self.writer(self.path("a"), b"one")
        reader = self.follow(self.path("a"))
        self.assertEqual(reader.read_part(3), b"one")
        with self.server.connect() as other:
            self.assertEqual(other.request("DELETE", self.path("a")).status, 204)
            self.assertEqual(other.get(self.path("a")).status, 404)
        self.assertEqual(reader.read_until_cut(), b"")
        client.send_chunk(b"two")
        self.assertEqual(client.end_put().status, 410)

    def test_a_large_object_is_followed_while_it_is_written(self):
        body = pattern(48_000_000)
        client = self.writer(self.path("a"))
        readers = [self.follow(self.path("a")) for _ in range(3)]
        results = []
        threads = [threading.Thread(target=lambda r=reader: results.append(r.read_rest() == body))
                   for reader in readers]
        for thread in threads:
            thread.start()
        for at in range(0, len(body), 700_001):
            client.send_chunk(body[at:at + 700_001])
        self.assertEqual(client.end_put().status, 201)
        for thread in threads:
            thread.join()
        self.assertEqual(results, [True] * 3)
        self.assertEqual(self.get(self.path("a")).body, body)


class Memory(Case):
    CONFIG = "tail_max = 64MiB\nmemory_max = 64MiB\n"
    SIZE = 400_000_000

    @unittest.skipIf(SANITIZED, "a sanitizer's own memory hides the daemon's")
    def test_a_stopped_reader_does_not_make_the_server_grow(self):
        block = pattern(4_000_000)
        client = self.writer(self.path("a"), block)
        stopped = [self.connect(rcvbuf=4096) for _ in range(20)]
        for reader in stopped:
            reader.send_head("GET", self.path("a"))
        begin = self.server.rss_anon()
        most = 0
        for _ in range(self.SIZE // len(block)):
            client.send_chunk(block)
            most = max(most, self.server.rss_anon())
        self.assertEqual(client.end_put().status, 201)
        self.assertLess(most - begin, 128 << 20)
        head = stopped[0].read_head()
        self.assertEqual(head.status, 200)
        self.assertEqual(stopped[0].read_part(len(block) * 5), block * 5)

    @unittest.skipIf(SANITIZED, "a sanitizer's own memory hides the daemon's")
    def test_stopped_readers_of_a_finished_object_cost_little(self):
        body = pattern(64_000_000)
        self.put(self.path("a"), body)
        begin = self.server.rss_anon()
        for _ in range(50):
            self.connect(rcvbuf=4096).send_head("GET", self.path("a"))
        self.assertEqual(self.get(self.path("a")).body, body)
        self.assertLess(self.server.rss_anon() - begin, 64 << 20)


class SlowReader(Case):
    CONFIG = "send_timeout = 1s\n"

    def test_a_reader_that_takes_nothing_is_let_go(self):
        body = pattern(40_000_000)
        self.put(self.path("a"), body)
        growing = self.writer(self.path("b"), body)
        for name in ("a", "b"):
            reader = self.connect(rcvbuf=4096)
            reader.send_head("GET", self.path(name))
            time.sleep(3)  # the time that passes is what is tested
            reader.sock.settimeout(10)
            taken = 0
            try:
                while True:
                    reader.buffer = b""
                    reader.fill()
                    taken += len(reader.buffer)
            except Closed:
                pass
            self.assertLess(taken, len(body), name)
        growing.close()

    def test_a_waiting_reader_is_not_a_slow_one(self):
        client = self.writer(self.path("a"), b"one")
        reader = self.follow(self.path("a"))
        self.assertEqual(reader.read_part(3), b"one")
        reader.expect_silence(2.5)
        client.send_chunk(b"two")
        self.assertEqual(reader.read_part(3), b"two")
        client.end_put()


class Finished(Case):
    BODY = pattern(10_000)

    def stored(self, name="a"):
        return self.put(self.path(name), self.BODY)["ETag"]

    def test_a_complete_object_comes_with_all_its_headers(self):
        etag = self.stored("a.m4s")
        reply = self.get(self.path("a.m4s"))
        self.assertEqual(reply.status, 200)
        self.assertEqual(reply.body, self.BODY)
        self.assertEqual(reply["Content-Length"], "10000")
        self.assertEqual(reply["ETag"], etag)
        self.assertEqual(reply["Accept-Ranges"], "bytes")
        self.assertEqual(reply["Content-Type"], "video/iso.segment")
        self.assertIsNotNone(reply["Cache-Control"])
        self.assertIsNotNone(reply["Date"])
        age = time.time() - email.utils.parsedate_to_datetime(reply["Last-Modified"]).timestamp()
        self.assertTrue(-2 < age < 60, reply["Last-Modified"])

    def test_playlists_may_be_cached_for_a_moment_and_segments_for_long(self):
        self.stored("a.m3u8")
        self.stored("a.m4s")
        self.assertIn("max-age=1", self.get(self.path("a.m3u8"))["Cache-Control"])
        self.assertNotIn("no-store", self.get(self.path("a.m4s"))["Cache-Control"])

    def test_head_is_get_without_the_body(self):
        self.stored()
        client = self.connect()
        head = client.request("HEAD", self.path("a"))
        got = client.get(self.path("a"))
        ignored = ("date",)
        self.assertEqual([h for h in head.headers if h[0] not in ignored],
                         [h for h in got.headers if h[0] not in ignored])

    def test_an_http_1_0_reader_gets_the_length_and_the_close(self):
        self.stored()
        client = self.connect()
        reply = client.request("GET", self.path("a"), version="1.0")
        self.assertEqual(reply.body, self.BODY)
        client.expect_closed()

    def test_ranges(self):
        self.stored()
        client = self.connect()
        for asked, first, last in (("0-0", 0, 0), ("0-99", 0, 99), ("5000-5999", 5000, 5999),
                                   ("9999-", 9999, 9999), ("100-", 100, 9999), ("0-", 0, 9999),
                                   ("-1", 9999, 9999), ("-500", 9500, 9999), ("-20000", 0, 9999),
                                   ("9000-20000", 9000, 9999),
                                   ("0-99999999999999999999999", 0, 9999)):
            with self.subTest(asked):
                reply = client.get(self.path("a"), "Range: bytes=" + asked)
                self.assertEqual(reply.status, 206)
                self.assertEqual(reply["Content-Range"], f"bytes {first}-{last}/10000")
                self.assertEqual(reply["Content-Length"], str(last - first + 1))
                self.assertEqual(reply.body, self.BODY[first:last + 1])

    def test_an_unsatisfiable_range_is_416_with_the_length(self):
        self.stored()
        self.put(self.path("empty"), b"")
        client = self.connect()
        for name, asked, length in (("a", "10000-", 10000), ("a", "20000-30000", 10000),
                                    ("a", "-0", 10000), ("empty", "0-", 0)):
            with self.subTest(name + " " + asked):
                reply = client.get(self.path(name), "Range: bytes=" + asked)
                self.assertEqual(reply.status, 416)
                self.assertEqual(reply["Content-Range"], f"bytes */{length}")

    def test_a_range_that_means_nothing_is_ignored(self):
        self.stored()
        client = self.connect()
        for asked in ("bytes=9-5", "bytes=", "bytes=-", "bytes=a-b", "rows=0-5", "bytes 0-5",
                      "bytes=1-2x", "bytes=0x1-2"):
            with self.subTest(asked):
                reply = client.get(self.path("a"), "Range: " + asked)
                self.assertEqual((reply.status, reply.body), (200, self.BODY))

    def test_if_range_is_respected(self):
        etag = self.stored()
        client = self.connect()
        modified = client.get(self.path("a"))["Last-Modified"]
        for value, status in ((etag, 206), ('"other"', 200), ("W/" + etag, 200),
                              ("Thu, 01 Jan 1970 00:00:00 GMT", 200)):
            with self.subTest(value):
                reply = client.get(self.path("a"), "Range: bytes=0-4", "If-Range: " + value)
                self.assertEqual(reply.status, status)
        # RFC 9110 8.8.2.2: a date is strong only once it is well past; both answers are right.
        reply = client.get(self.path("a"), "Range: bytes=0-4", "If-Range: " + modified)
        self.assertIn(reply.status, (200, 206))

    def test_if_none_match_is_304(self):
        etag = self.stored()
        client = self.connect()
        for value, status in ((etag, 304), ("*", 304), ("W/" + etag, 304), (f'"x", {etag}', 304),
                              ('"other"', 200)):
            with self.subTest(value):
                reply = client.get(self.path("a"), "If-None-Match: " + value)
                self.assertEqual(reply.status, status)
                self.assertEqual(reply["ETag"], etag)
                self.assertEqual(reply.body, b"" if status == 304 else self.BODY)

    def test_if_modified_since_is_304(self):
        self.stored()
        client = self.connect()
        modified = client.get(self.path("a"))["Last-Modified"]
        for value, status in ((modified, 304), ("Thu, 01 Jan 1970 00:00:00 GMT", 200),
                              ("Fri, 31 Dec 2100 23:59:59 GMT", (200, 304)), ("nonsense", 200)):
            with self.subTest(value):
                reply = client.get(self.path("a"), "If-Modified-Since: " + value)
                self.assertIn(reply.status, status if isinstance(status, tuple) else (status,))
        reply = client.get(self.path("a"), "If-Modified-Since: " + modified,
                           'If-None-Match: "other"')
        self.assertEqual(reply.status, 200)

    def test_if_match_and_if_unmodified_since_are_412(self):
        etag = self.stored()
        client = self.connect()
        for header, status in ((f"If-Match: {etag}", 200), ("If-Match: *", 200),
                               ('If-Match: "other"', 412), (f"If-Match: W/{etag}", 412),
                               ("If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT", 412),
                               ("If-Unmodified-Since: Fri, 31 Dec 2100 23:59:59 GMT", 200)):
            with self.subTest(header):
                self.assertEqual(client.get(self.path("a"), header).status, status)

    def test_an_unknown_path_is_404_and_not_cacheable(self):
        reply = self.connect().get(self.path("nothing"))
        self.assertEqual(reply.status, 404)
        self.assertIn("no-store", reply["Cache-Control"])
        self.assertTrue(reply["Content-Type"].startswith("text/plain"))
        self.assertEqual(reply.body.count(b"\n"), 1)
        self.assertEqual(self.connect().request("HEAD", self.path("nothing")).status, 404)

    def test_a_reader_of_a_replaced_object_finishes_on_the_version_it_began(self):
        body = pattern(20_000_000)
        self.put(self.path("a"), body)
        reader = self.connect(rcvbuf=4096)
        reader.send_head("GET", self.path("a"))
        head = reader.read_head()
        self.put(self.path("a"), b"new")
        self.assertEqual(reader.read_body(head), body)
        self.assertEqual(self.get(self.path("a")).body, b"new")

    def test_a_deleted_object_cuts_its_reader(self):
        body = pattern(40_000_000)
        self.put(self.path("a"), body)
        reader = self.connect(rcvbuf=4096)
        reader.send_head("GET", self.path("a"))
        self.assertEqual(reader.read_head().status, 200)
        with self.server.connect() as other:
            self.assertEqual(other.request("DELETE", self.path("a")).status, 204)
        got = reader.read_to_close()
        self.assertLess(len(got), len(body))
        self.assertEqual(got, body[:len(got)])

    def test_many_connections_read_one_object(self):
        body = pattern(300_000)
        self.put(self.path("a"), body)
        clients = [self.connect() for _ in range(200)]
        for client in clients:
            client.send_head("GET", self.path("a"))
        for client in clients:
            self.assertEqual(client.read_reply().body, body)


class Cors(Case):
    def test_reads_are_open_to_every_origin(self):
        self.put(self.path("a"), b"x")
        reply = self.get(self.path("a"), "Origin: https://player.example")
        self.assertEqual(reply["Access-Control-Allow-Origin"], "*")
        exposed = reply["Access-Control-Expose-Headers"].lower()
        for name in ("date", "etag", "content-range", "content-length"):
            self.assertIn(name, exposed)

    def test_errors_can_be_read_by_players_too(self):
        reply = self.get(self.path("nothing"), "Origin: https://player.example")
        self.assertEqual(reply["Access-Control-Allow-Origin"], "*")

    def test_a_preflight_is_answered_204(self):
        reply = self.connect().request("OPTIONS", self.path("a"), "Origin: https://player.example",
                                       "Access-Control-Request-Method: GET",
                                       "Access-Control-Request-Headers: range, cmcd-request")
        self.assertEqual(reply.status, 204)
        self.assertIn("GET", reply["Access-Control-Allow-Methods"])
        self.assertIn("range", reply["Access-Control-Allow-Headers"].lower())
        self.assertGreater(int(reply["Access-Control-Max-Age"]), 0)


if __name__ == "__main__":
    main()
