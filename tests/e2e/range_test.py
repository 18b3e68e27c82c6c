#!/usr/bin/env python3
"""Ranges of what grows (RFC 8673), and several ranges of what is finished."""

import re

from harness import Case, main, pattern

OPEN = "9007199254740991"


class Growing(Case):
    CONFIG = "resume_window = 0s\n"

    def ask(self, target, value, *headers):
        """A reader of the range VALUE behind its reply's head."""
        reader = self.connect()
        reader.send_head("GET", target, "Range: bytes=" + value, *headers)
        return reader, reader.read_head()

    def partial(self, target, value, positions):
        reader, head = self.ask(target, value)
        self.assertEqual(head.status, 206, head)
        self.assertEqual(head["Content-Range"], f"bytes {positions}/*")
        self.assertTrue(head.chunked, head)
        self.assertIsNone(head["Content-Length"])
        self.assertIsNone(head["ETag"])
        return reader

    def test_an_open_range_goes_on_with_the_object(self):
        client = self.writer(self.path("a"), b"0123456789")
        reader = self.partial(self.path("a"), "4-", "4-" + OPEN)
        self.assertEqual(reader.read_part(6), b"456789")
        reader.expect_silence()
        client.send_chunk(b"abc")
        self.assertEqual(reader.read_part(3), b"abc")
        self.assertEqual(client.end_put().status, 201)
        self.assertEqual(reader.read_rest(), b"")
        self.assertEqual(reader.get(self.path("a")).status, 200)  # the connection goes on

    def test_a_range_that_exists_is_served_at_once(self):
        self.writer(self.path("a"), b"0123456789")
        for value, body in (("0-0", b"0"), ("2-5", b"2345"), ("9-9", b"9"), ("0-9", b"0123456789")):
            reader = self.partial(self.path("a"), value, value)
            self.assertEqual(reader.read_rest(), body)

    def test_what_is_missing_of_a_range_goes_out_as_it_arrives(self):
        client = self.writer(self.path("a"), b"0123456789")
        reader = self.partial(self.path("a"), "8-13", "8-13")
        self.assertEqual(reader.read_part(2), b"89")
        reader.expect_silence()
        client.send_chunk(b"ab")
        self.assertEqual(reader.read_part(2), b"ab")
        client.send_chunk(b"cdef")
        self.assertEqual(reader.read_rest(), b"cd")  # ends while the object goes on
        self.assertEqual(client.end_put().status, 201)

    def test_a_range_ends_with_the_object(self):
        client = self.writer(self.path("a"), b"0123")
        reader = self.partial(self.path("a"), "2-99", "2-99")
        client.send_chunk(b"45")
        self.assertEqual(client.end_put().status, 201)
        self.assertEqual(reader.read_rest(), b"2345")

    def test_the_live_edge_waits(self):
        client = self.writer(self.path("a"), b"0123")
        bounded = self.partial(self.path("a"), "4-5", "4-5")
        openly = self.partial(self.path("a"), "4-", "4-" + OPEN)
        bounded.expect_silence()
        openly.expect_silence()
        client.send_chunk(b"456")
        self.assertEqual(bounded.read_rest(), b"45")
        self.assertEqual(openly.read_part(3), b"456")
        client.end_put()
        self.assertEqual(openly.read_rest(), b"")

    def test_the_start_may_be_asked_for_before_the_first_byte(self):
        client = self.writer(self.path("a"))
        reader = self.partial(self.path("a"), "0-", "0-" + OPEN)
        client.send_chunk(b"first")
        client.end_put()
        self.assertEqual(reader.read_rest(), b"first")

    def test_beyond_the_live_edge_is_416(self):
        self.writer(self.path("a"), b"0123")
        for value in ("5-", "5-9", "99999-", "18446744073709551616-"):
            reader, head = self.ask(self.path("a"), value)
            self.assertEqual(head.status, 416, value)
            self.assertEqual(head["Content-Range"], "bytes */4")

    def test_a_suffix_is_ignored(self):
        client = self.writer(self.path("a"), b"0123")
        for value in ("-2", "-0", "-99"):
            reader, head = self.ask(self.path("a"), value)
            self.assertEqual(head.status, 200, value)
            self.assertEqual(reader.read_part(4), b"0123")
        client.end_put()

    def test_what_means_nothing_or_is_more_than_one_is_ignored(self):
        self.writer(self.path("a"), b"0123")
        for value in ("x", "3-1", "0-0,2-3", ""):
            reader, head = self.ask(self.path("a"), value)
            self.assertEqual(head.status, 200, value)
            self.assertEqual(reader.read_part(4), b"0123")

    def test_very_large_last_positions_are_echoed_as_they_were(self):
        client = self.writer(self.path("a"), b"0123")
        readers = []
        for last in (OPEN, "9007199254740992", "0009007199254740993", "18446744073709551615",
                     "99999999999999999999999999"):
            readers.append(self.partial(self.path("a"), "1-" + last, "1-" + last))
        client.end_put()
        for reader in readers:
            self.assertEqual(reader.read_rest(), b"123")

    def test_if_range_never_names_what_grows(self):
        self.writer(self.path("a"), b"0123")
        for value in ('"any"', "Mon, 23 Nov 2026 21:00:00 GMT"):
            reader, head = self.ask(self.path("a"), "2-", "If-Range: " + value)
            self.assertEqual(head.status, 200)
            self.assertEqual(reader.read_part(4), b"0123")

    def test_a_sender_that_vanishes_cuts_a_range_that_is_not_complete(self):
        client = self.writer(self.path("a"), b"0123")
        short = self.partial(self.path("a"), "0-1", "0-1")
        long = self.partial(self.path("a"), "2-9", "2-9")
        openly = self.partial(self.path("a"), "2-", "2-" + OPEN)
        client.reset()
        self.assertEqual(short.read_rest(), b"01")
        self.assertEqual(long.read_until_cut(), b"23")
        self.assertEqual(openly.read_until_cut(), b"23")

    def test_of_an_incomplete_object_there_are_no_ranges(self):
        client = self.writer(self.path("a"), b"0123")
        reader = self.follow(self.path("a"))
        client.reset()
        reader.read_until_cut()
        late, head = self.ask(self.path("a"), "2-")
        self.assertEqual(head.status, 200)
        self.assertEqual(late.read_until_cut(), b"0123")

    def test_head_has_no_range(self):
        self.writer(self.path("a"), b"0123")
        reply = self.connect().request("HEAD", self.path("a"), "Range: bytes=1-2")
        self.assertEqual(reply.status, 200)
        self.assertIsNone(reply["Content-Range"])

    def test_an_http_1_0_reader_sees_the_end_of_its_range(self):
        self.writer(self.path("a"), b"0123456789")
        reader = self.connect()
        reader.send_head("GET", self.path("a"), "Range: bytes=3-5", version="1.0")
        head = reader.read_head()
        self.assertEqual((head.status, head["Content-Range"]), (206, "bytes 3-5/*"))
        self.assertEqual(reader.read_to_close(), b"345")

    def test_ll_hls_parts_by_byte_range(self):
        """A player follows a growing segment, asking for each part as it is announced."""
        body = pattern(400_000)
        client = self.writer(self.path("seg.m4s"))
        for at in range(0, len(body), 40_000):
            hint = self.partial(self.path("seg.m4s"), f"{at}-", f"{at}-{OPEN}")
            part = self.partial(self.path("seg.m4s"), f"{at}-{at + 39_999}", f"{at}-{at + 39_999}")
            client.send_chunk(body[at:at + 40_000])
            self.assertEqual(part.read_rest(), body[at:at + 40_000])
            self.assertEqual(hint.read_part(40_000), body[at:at + 40_000])
            hint.close()
        self.assertEqual(client.end_put().status, 201)
        self.assertEqual(self.get(self.path("seg.m4s")).body, body)

    def test_a_range_far_behind_the_live_edge_comes_from_disk(self):
        body = pattern(20_000_000)
        client = self.writer(self.path("a"))
        for at in range(0, len(body), 1_000_000):
            client.send_chunk(body[at:at + 1_000_000])
        client.wait_taken()
        reader = self.partial(self.path("a"), "1234567-15000000", "1234567-15000000")
        self.assertEqual(reader.read_rest(), body[1234567:15000001])
        client.end_put()


class Several(Case):
    """multipart/byteranges (RFC 9110 14.6)."""

    def several(self, target, value, *headers):
        """The parts of a 206 as (first, last, length, type, bytes)."""
        with self.server.connect() as client:
            reply = client.get(target, "Range: bytes=" + value, *headers)
            self.assertEqual(client.get(target).status, 200)  # nothing is left over
        self.assertEqual(reply.status, 206, reply)
        self.assertIsNone(reply["Content-Range"])
        self.assertEqual(reply["Content-Length"], str(len(reply.body)))
        kind, boundary = re.fullmatch(r"(multipart/byteranges); boundary=(\S+)",
                                      reply["Content-Type"]).groups()
        pieces = (b"\r\n" + reply.body).split(b"\r\n--" + boundary.encode())
        self.assertEqual((pieces[0], pieces[-1]), (b"", b"--\r\n"))
        parts = []
        for piece in pieces[1:-1]:
            head, _, body = piece.partition(b"\r\n\r\n")
            fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
            first, last, length = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)",
                                               fields["Content-Range"]).groups()
            parts.append((int(first), int(last), int(length), fields["Content-Type"], body))
        return parts

    def test_several_ranges_come_in_one_body(self):
        body = pattern(100_000)
        self.put(self.path("a.mp4"), body)
        for value, wanted in (("0-0,2-2", [(0, 0), (2, 2)]),
                              ("0-9999,50000-59999", [(0, 9999), (50000, 59999)]),
                              ("90000-,0-9", [(90000, 99999), (0, 9)]),
                              ("5-6, -10", [(5, 6), (99990, 99999)]),
                              ("0-49999,50000-99999", [(0, 49999), (50000, 99999)])):
            parts = self.several(self.path("a.mp4"), value)
            self.assertEqual([part[:2] for part in parts], wanted, value)
            for first, last, length, kind, data in parts:
                self.assertEqual((length, kind), (100_000, "video/mp4"))
                self.assertEqual(data, body[first:last + 1])

    def test_large_ranges_of_large_objects(self):
        body = pattern(12_000_001)
        self.put(self.path("a"), body)
        parts = self.several(self.path("a"), "7-4000000,5000000-11000000,-3")
        self.assertEqual([part[4] for part in parts],
                         [body[7:4000001], body[5000000:11000001], body[-3:]])

    def test_ranges_are_read_from_disk_after_a_restart(self):
        body = pattern(5_000_000)
        self.put(self.path("a"), body)
        self.server.stop()
        self.server.start()
        parts = self.several(self.path("a"), "4000000-4999999,0-99,2000000-2999999")
        self.assertEqual([part[4] for part in parts],
                         [body[4000000:], body[:100], body[2000000:3000000]])

    def test_a_range_may_begin_and_end_anywhere_in_a_page(self):
        body = pattern(200_000)
        self.put(self.path("a"), body)
        self.server.stop()
        self.server.start()
        client = self.connect()
        for first in range(0, 8192, 273):
            for length in (16383, 16384, 16385, 20480, 65536, 70001):
                reply = client.get(self.path("a"), f"Range: bytes={first}-{first + length - 1}")
                self.assertEqual(reply.body, body[first:first + length])

    def test_what_selects_nothing_is_left_out(self):
        self.put(self.path("a"), b"0123456789")
        reply = self.get(self.path("a"), "Range: bytes=2-3,50-60")
        self.assertEqual((reply.status, reply.body, reply["Content-Range"]),
                         (206, b"23", "bytes 2-3/10"))
        reply = self.get(self.path("a"), "Range: bytes=50-60,10-")
        self.assertEqual((reply.status, reply["Content-Range"]), (416, "bytes */10"))

    def test_overlapping_or_too_many_ranges_get_the_whole(self):
        body = pattern(1000)
        self.put(self.path("a"), body)
        for value in ("0-5,5-9", "0-,0-", "0-999,-1", ",".join(f"{at}-{at}" for at in range(0, 34, 2)),
                      ",".join("0-" for _ in range(1000)), "0-1,x"):
            reply = self.get(self.path("a"), "Range: bytes=" + value)
            self.assertEqual((reply.status, reply.body), (200, body), value)
        value = ",".join(f"{at}-{at}" for at in range(0, 32, 2))
        self.assertEqual(len(self.several(self.path("a"), value)), 16)

    def test_if_range_is_respected(self):
        etag = self.put(self.path("a"), b"0123456789")["ETag"]
        self.assertEqual(len(self.several(self.path("a"), "0-1,4-5", "If-Range: " + etag)), 2)
        reply = self.get(self.path("a"), "Range: bytes=0-1,4-5", 'If-Range: "other"')
        self.assertEqual((reply.status, reply.body), (200, b"0123456789"))

    def test_an_empty_object_has_no_ranges(self):
        self.put(self.path("a"), b"")
        self.assertEqual(self.get(self.path("a"), "Range: bytes=0-0,2-3").status, 416)


if __name__ == "__main__":
    main()
