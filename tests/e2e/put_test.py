#!/usr/bin/env python3
"""What PUT and POST promise: replies, framing, connections, limits."""

from harness import Case, main, pattern, wait_until

EMPTY_ETAG = '"99aa06d3014798d86001c324468d497f"'  # XXH3-128 of no bytes


class Replies(Case):
    def test_a_new_object_is_answered_201_with_etag_and_empty_body(self):
        reply = self.connect().put(self.path("a"), b"hello")
        self.assertEqual(reply.status, 201)
        self.assertEqual(reply["Content-Length"], "0")
        self.assertRegex(reply["ETag"], r'^"[0-9a-f]{32}"$')

    def test_a_replaced_object_is_answered_204_with_etag_and_empty_body(self):
        self.put(self.path("a"), b"one")
        client = self.connect()
        reply = client.put(self.path("a"), b"two two")
        self.assertEqual(reply.status, 204)
        self.assertRegex(reply["ETag"], r'^"[0-9a-f]{32}"$')
        client.expect_silence()
        self.assertEqual(self.get(self.path("a")).body, b"two two")

    def test_the_etag_is_derived_from_the_bytes_alone(self):
        one = self.put(self.path("a"), b"same bytes", "Content-Type: video/mp4")
        two = self.put(self.path("b"), b"same bytes")
        other = self.put(self.path("c"), b"same bytez")
        again = self.put(self.path("a"), b"same bytes")
        self.assertEqual(one["ETag"], two["ETag"])
        self.assertEqual(one["ETag"], again["ETag"])
        self.assertNotEqual(one["ETag"], other["ETag"])
        self.assertEqual(self.put(self.path("d"), b"")["ETag"], EMPTY_ETAG)

    def test_the_etag_does_not_depend_on_how_the_body_was_cut(self):
        body = pattern(100_001)
        whole = self.put(self.path("whole"), body)
        client = self.connect()
        client.begin_put(self.path("pieces"))
        for at in range(0, len(body), 997):
            client.send_chunk(body[at:at + 997])
        self.assertEqual(client.end_put()["ETag"], whole["ETag"])

    def test_post_is_the_same_as_put(self):
        client = self.connect()
        self.assertEqual(client.request("POST", self.path("a"), body=b"one").status, 201)
        self.assertEqual(client.request("POST", self.path("a"), body=b"two").status, 204)
        client.begin_put(self.path("b"), method="POST")
        client.send_chunk(b"chunked")
        self.assertEqual(client.end_put().status, 201)
        self.assertEqual(client.get(self.path("a")).body, b"two")
        self.assertEqual(client.get(self.path("b")).body, b"chunked")

    def test_the_root_names_no_object(self):
        reply = self.connect().put("/", b"no")
        self.assertTrue(400 <= reply.status < 500, reply)
        self.assertNotIn("/", self.list_text())

    def test_the_name_is_the_decoded_path_without_the_query(self):
        self.put(self.path("a%20b%2fc?x=1"), b"named")
        self.assertEqual(self.get(self.path("a%20b/c")).body, b"named")
        self.assertEqual(self.get(self.path("%61%20b/c?other")).body, b"named")
        self.assertIn(self.path("a b/c"), self.list_text())

    def test_a_path_and_a_path_below_it_are_both_objects(self):
        self.put(self.path("a"), b"short")
        self.put(self.path("a/b"), b"long")
        self.assertEqual(self.get(self.path("a")).body, b"short")
        self.assertEqual(self.get(self.path("a/b")).body, b"long")

    def test_slashes_are_bytes_like_others(self):
        self.put("//host/" + self.path("x"), b"double")
        self.assertEqual(self.get("//host/" + self.path("x")).body, b"double")
        self.assertEqual(self.get("/host/" + self.path("x")).status, 404)

    def test_a_malformed_content_range_is_400_and_never_an_overwrite(self):
        self.put(self.path("a"), b"original")
        for value in ("bytes 3-/*", "bytes x", "bytes 8-7/*", "bytes 0-7", "rows 0-7/*", ""):
            with self.subTest(value), self.server.connect() as client:
                reply = client.put(self.path("a"), b"overwrit", "Content-Range: " + value)
                self.assertEqual(reply.status, 400, reply)
        self.assertEqual(self.get(self.path("a")).body, b"original")

    def test_a_content_range_elsewhere_than_the_end_changes_nothing(self):
        self.put(self.path("a"), b"original")
        with self.server.connect() as client:
            reply = client.put(self.path("a"), b"over", "Content-Range: bytes 0-3/*")
        self.assertGreaterEqual(reply.status, 400, reply)
        self.assertEqual(self.get(self.path("a")).body, b"original")

    def test_a_refusal_has_at_most_one_short_line(self):
        reply = self.connect().put(self.path("a"), b"x", "Content-Range: nonsense")
        self.assertLessEqual(reply.body.count(b"\n"), 1)
        self.assertLess(len(reply.body), 200)


class Types(Case):
    BY_EXTENSION = {
        "m3u8": "application/vnd.apple.mpegurl", "mpd": "application/dash+xml",
        "m4s": "video/iso.segment", "mp4": "video/mp4", "m4v": "video/mp4", "m4a": "audio/mp4",
        "cmfv": "video/mp4", "cmfa": "audio/mp4", "cmft": "application/mp4",
        "cmfm": "application/mp4", "ts": "video/mp2t", "aac": "audio/aac", "ac3": "audio/ac3",
        "ec3": "audio/eac3", "vtt": "text/vtt", "ttml": "application/ttml+xml",
        "webm": "video/webm", "key": "application/octet-stream", "jpg": "image/jpeg",
        "png": "image/png", "json": "application/json", "html": "text/html",
        "js": "text/javascript", "css": "text/css",
    }

    def served_type(self, name, *headers):
        self.put(self.path(name), b"x", *headers)
        return self.get(self.path(name))["Content-Type"]

    def test_without_content_type_the_extension_decides(self):
        for extension, media_type in self.BY_EXTENSION.items():
            with self.subTest(extension):
                served = self.served_type("seg." + extension).split(";")[0]
                self.assertEqual(served.lower(), media_type)

    def test_octet_stream_counts_as_no_content_type(self):
        served = self.served_type("a.ts", "Content-Type: application/octet-stream")
        self.assertEqual(served.lower(), "video/mp2t")

    def test_a_content_type_is_stored(self):
        self.assertEqual(self.served_type("a.ts", "Content-Type: x-test/thing"), "x-test/thing")

    def test_an_unknown_extension_is_octet_stream(self):
        self.assertEqual(self.served_type("a.unknown"), "application/octet-stream")
        self.assertEqual(self.served_type("plain"), "application/octet-stream")


class Framing(Case):
    CONFIG = "head_timeout = 120s\n"  # heads that come byte by byte, on a busy machine

    def test_a_body_by_content_length_comes_back(self):
        body = pattern(3_000_001)
        self.assertEqual(self.put(self.path("a"), body).status, 201)
        self.assertEqual(self.get(self.path("a")).body, body)

    def test_a_chunked_body_comes_back(self):
        body = pattern(3_000_001, seed=1)
        client = self.connect()
        client.begin_put(self.path("a"))
        at = 0
        for size in (1, 15, 16, 4095, 4096, 4097, 65535, 65536, 65537, 1_000_000, len(body)):
            if body[at:at + size]:
                client.send_chunk(body[at:at + size])
            at += size
        self.assertEqual(client.end_put().status, 201)
        self.assertEqual(self.get(self.path("a")).body, body)

    def test_empty_bodies_of_every_kind_make_empty_objects(self):
        client = self.connect()
        client.begin_put(self.path("chunked"))
        self.assertEqual(client.end_put().status, 201)
        self.assertEqual(client.put(self.path("length"), b"").status, 201)
        self.assertEqual(client.request("PUT", self.path("neither")).status, 201)
        for name in ("chunked", "length", "neither"):
            reply = client.get(self.path(name))
            self.assertEqual((reply.status, reply["Content-Length"]), (200, "0"))

    def split_everywhere(self, request, body):
        """Sends REQUEST in two pieces, cut at each of its bytes, on as many connections."""
        clients = []
        for cut in range(1, len(request)):
            client = self.connect()
            client.send(request.replace(b"NAME", b"%04d" % cut)[:cut])
            clients.append(client)
        for client in clients:
            client.wait_taken()
        for cut, client in enumerate(clients, start=1):
            client.send(request.replace(b"NAME", b"%04d" % cut)[cut:])
        for cut, client in enumerate(clients, start=1):
            self.assertEqual(client.read_reply("PUT").status, 201, f"cut at {cut}")
            reply = client.get(self.path(f"{cut:04}"))
            self.assertEqual(reply.body, body, f"cut at {cut}")
            self.assertEqual(client.put(self.path(f"{cut:04}"), b"next").status, 204)
            client.close()

    def test_a_chunked_upload_may_be_cut_at_every_byte(self):
        target = self.path("NAME").encode()
        request = (b"PUT %s HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
                   b"5\r\nhello\r\n00a;ext=\"1\"\r\n, world :)\r\n1\r\n\n\r\n0\r\nTrailer: x\r\n\r\n"
                   % target)
        self.split_everywhere(request, b"hello, world :)\n")

    def test_an_upload_by_length_may_be_cut_at_every_byte(self):
        request = b"PUT %s HTTP/1.1\r\nHost: t\r\nContent-Length: 12\r\n\r\nhello, world" \
            % self.path("NAME").encode()
        self.split_everywhere(request, b"hello, world")

    def test_an_upload_may_come_one_byte_at_a_time(self):
        request = (b"PUT %s HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
                   b"b\r\nhello world\r\n0\r\n\r\n" % self.path("a").encode())
        client = self.connect()
        for at in range(len(request)):
            client.send(request[at:at + 1])
            client.wait_taken()
        self.assertEqual(client.read_reply("PUT").status, 201)
        self.assertEqual(client.get(self.path("a")).body, b"hello world")

    def test_a_broken_chunk_is_never_taken_for_an_end(self):
        for number, bad in enumerate((b"zz\r\nxx\r\n", b"0x2\r\nxx\r\n", b"+2\r\nxx\r\n",
                                      b" 2\r\nxx\r\n", b"2\nxx\r\n", b"2\r\nxxx\r\n",
                                      b"\r\n", b"fffffffffffffffff\r\n", b"-1\r\n",
                                      b"8000000000000000\r\n" + b"x" * 100 + b"\r\n0\r\n\r\n")):
            with self.subTest(bad):
                target = self.path(str(number))
                client = self.writer(target, b"good")
                client.send(bad + b"0\r\n\r\n")
                client.sock.shutdown(1)
                answer = client.read_to_close()
                self.assertNotRegex(answer, rb"^HTTP/1.1 20")
                reader = self.follow(target)
                self.assertTrue(reader.read_until_cut().startswith(b"good"))
                self.assert_serves()

    def test_a_head_may_come_seconds_before_the_first_byte(self):
        client = self.writer(self.path("a"))
        reader = self.follow(self.path("a"))
        reader.expect_silence(1.5)
        client.send_chunk(b"late")
        self.assertEqual(reader.read_part(4), b"late")
        self.assertEqual(client.end_put().status, 201)
        self.assertEqual(reader.read_rest(), b"")

    def test_expect_100_continue_is_answered_before_the_body(self):
        client = self.connect()
        client.send_head("PUT", self.path("a"), "Content-Length: 4", "Expect: 100-continue")
        self.assertEqual(client.read_head().status, 100)
        client.send(b"body")
        self.assertEqual(client.read_reply("PUT").status, 201)
        client.begin_put(self.path("a"), "Expect: 100-Continue")
        self.assertEqual(client.read_head().status, 100)
        client.send_chunk(b"body two")
        self.assertEqual(client.end_put().status, 204)
        self.assertEqual(client.get(self.path("a")).body, b"body two")

    def test_a_body_that_does_not_wait_for_100_continue_works_too(self):
        client = self.connect()
        client.send_head("PUT", self.path("a"), "Content-Length: 4", "Expect: 100-continue")
        client.send(b"body")
        self.assertEqual(client.read_reply("PUT").status, 201)
        self.assertEqual(client.get(self.path("a")).body, b"body")

    def test_http_1_0_uploads_work(self):
        client = self.connect()
        reply = client.request("PUT", self.path("a"), body=b"old", version="1.0")
        self.assertEqual(reply.status, 201)
        self.assertEqual(self.get(self.path("a")).body, b"old")


class Connections(Case):
    def test_a_connection_serves_many_uploads(self):
        client = self.connect()
        for number in range(200):
            self.assertEqual(client.put(self.path(str(number)), b"%d" % number).status, 201)
        for number in range(200):
            self.assertEqual(client.get(self.path(str(number))).body, b"%d" % number)

    def test_pipelined_requests_are_answered_in_order(self):
        target = self.path("a").encode()
        client = self.connect()
        client.send(b"PUT %(t)s HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\none"
                    b"GET %(t)s HTTP/1.1\r\nHost: t\r\n\r\n"
                    b"PUT %(t)s HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
                    b"3\r\ntwo\r\n0\r\n\r\n"
                    b"HEAD %(t)s HTTP/1.1\r\nHost: t\r\n\r\n"
                    b"GET %(t)s HTTP/1.1\r\nHost: t\r\nRange: bytes=1-1\r\n\r\n"
                    b"LIST %(t)s HTTP/1.1\r\nHost: t\r\n\r\n"
                    b"DELETE %(t)s HTTP/1.1\r\nHost: t\r\n\r\n"
                    b"GET %(t)s HTTP/1.1\r\nHost: t\r\n\r\n" % {b"t": target})
        self.assertEqual(client.read_reply("PUT").status, 201)
        self.assertEqual(client.read_reply("GET").body, b"one")
        self.assertEqual(client.read_reply("PUT").status, 204)
        self.assertEqual(client.read_reply("HEAD")["Content-Length"], "3")
        self.assertEqual(client.read_reply("GET").body, b"w")
        self.assertEqual(client.read_reply("LIST").body, target + b"\n")
        self.assertEqual(client.read_reply("DELETE").status, 204)
        self.assertEqual(client.read_reply("GET").status, 404)

    def test_a_thousand_pipelined_uploads_are_all_answered(self):
        client = self.connect()
        prefix = self.path("").encode()
        client.send(b"".join(b"PUT %s%d HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nhi"
                             % (prefix, number) for number in range(1000)))
        for _ in range(1000):
            self.assertEqual(client.read_reply("PUT").status, 201)
        self.assertEqual(len(self.list_text(prefix.decode())), 1000)

    def test_the_last_upload_of_a_client_that_does_not_wait_is_stored(self):
        # ffmpeg ends like this: the first answer finds nobody, and is itself answered with a reset.
        client = self.connect()
        client.send_head("PUT", self.path("a"), "Content-Length: 1")
        client.send(b"a")
        client.send_head("PUT", self.path("b"), "Content-Length: 4")
        client.send(b"last")
        client.close()
        wait_until(lambda: self.get(self.path("b")).body == b"last", "the last upload")

    def test_connection_close_is_honoured(self):
        client = self.connect()
        reply = client.put(self.path("a"), b"x", "Connection: close")
        self.assertEqual(reply.status, 201)
        client.expect_closed()

    def test_a_reply_to_a_keep_alive_client_does_not_announce_a_close(self):
        reply = self.connect().put(self.path("a"), b"x", "Connection: keep-alive")
        self.assertNotEqual((reply["Connection"] or "").lower(), "close")


class Limits(Case):
    CONFIG = "object_max = 1MiB\n"

    def test_a_declared_body_over_object_max_is_413_before_the_body(self):
        client = self.connect()
        client.send_head("PUT", self.path("a"), "Content-Length: 1048577")
        self.assertEqual(client.read_reply("PUT").status, 413)
        self.assertEqual(self.get(self.path("a")).status, 404)
        self.assert_serves()

    def test_a_413_reaches_a_client_that_goes_on_sending(self):
        client = self.connect()
        client.send_head("PUT", self.path("a"), "Content-Length: 3000000")
        try:
            client.send(pattern(3_000_000))
        except (ConnectionResetError, BrokenPipeError):
            self.fail("the connection was reset while the body was on its way")
        self.assertEqual(client.read_reply("PUT").status, 413)

    def test_expect_100_continue_over_object_max_gets_413_and_no_100(self):
        client = self.connect()
        client.send_head("PUT", self.path("a"), "Content-Length: 9999999", "Expect: 100-continue")
        self.assertEqual(client.read_head().status, 413)

    def test_a_body_of_object_max_is_taken(self):
        body = pattern(1 << 20)
        self.assertEqual(self.put(self.path("a"), body).status, 201)
        self.assertEqual(self.get(self.path("a")).body, body)

    def test_a_chunked_body_over_object_max_is_413_and_never_whole(self):
        client = self.writer(self.path("a"), pattern(1 << 19))
        reader = self.follow(self.path("a"))
        try:
            client.send_chunk(pattern(1 << 20))
        except (ConnectionResetError, BrokenPipeError):
            pass
        self.assertEqual(client.read_reply("PUT").status, 413)
        reader.read_until_cut()

    def test_an_object_over_object_max_does_not_replace_a_playlist(self):
        self.put(self.path("a.m3u8"), b"old")
        client = self.writer(self.path("a.m3u8"), pattern(1 << 19))
        try:
            client.send_chunk(pattern(1 << 20))
        except (ConnectionResetError, BrokenPipeError):
            pass
        self.assertEqual(client.read_reply("PUT").status, 413)
        self.assertEqual(self.get(self.path("a.m3u8")).body, b"old")


if __name__ == "__main__":
    main()
