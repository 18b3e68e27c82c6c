#!/usr/bin/env python3
"""Every bad head gets its error, and the next request on another connection is served."""

import os
import random
import socket

from harness import Case, main


class BadHeads(Case):
    def answer(self, request):
        """A connection on which REQUEST was sent."""
        client = self.connect()
        client.send(request)
        return client

    def refused(self, request, status, closes=True):
        client = self.answer(request)
        reply = client.read_reply()
        self.assertEqual(reply.status, status, f"{request[:120]!r} {reply}")
        self.assertTrue((reply["Content-Type"] or "").startswith("text/plain"), reply)
        self.assertRegex(reply.body, rb"\A[^\n]+\n\Z")
        if closes:
            client.expect_closed()
        self.assert_serves()

    def test_both_lengths_are_400(self):
        self.refused(b"PUT /x HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n"
                     b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400)
        self.refused(b"PUT /x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n"
                     b"Content-Length: 5\r\n\r\n0\r\n\r\n", 400)

    def test_two_lengths_are_400(self):
        self.refused(b"PUT /x HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n"
                     b"Content-Length: 6\r\n\r\nhello", 400)
        self.refused(b"PUT /x HTTP/1.1\r\nHost: t\r\nContent-Length: 5, 6\r\n\r\nhello", 400)

    def test_a_length_that_is_no_number_is_400(self):
        for value in (b"+5", b"-5", b"0x5", b"5 5", b"five", b"", b"5.0", b"99999999999999999999"):
            with self.subTest(value):
                self.refused(b"PUT /x HTTP/1.1\r\nHost: t\r\nContent-Length: %s\r\n\r\nhello"
                             % value, 400)

    def test_an_unknown_transfer_coding_is_refused(self):
        for value in (b"gzip", b"chunked, chunked", b"gzip, chunked", b"chunked, gzip",
                      b"xchunked", b"chunked;x"):
            with self.subTest(value):
                client = self.answer(b"PUT /x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: %s\r\n\r\n"
                                     b"0\r\n\r\n" % value)
                self.assertIn(client.read_reply().status, (400, 501))
                client.expect_closed()
                self.assert_serves()

    def test_two_transfer_encodings_are_refused(self):
        client = self.answer(b"PUT /x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n"
                             b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n")
        self.assertIn(client.read_reply().status, (400, 501))
        client.expect_closed()

    def test_a_bare_lf_is_400(self):
        self.refused(b"GET /x HTTP/1.1\nHost: t\n\n", 400)
        self.refused(b"GET /x HTTP/1.1\r\nHost: t\nA: b\r\n\r\n", 400)
        self.refused(b"GET /x HTTP/1.1\r\nHost: t\r\n\n", 400)

    def test_a_bare_cr_is_400(self):
        self.refused(b"GET /x HTTP/1.1\r\nHost: t\rA: b\r\n\r\n", 400)

    def test_a_folded_header_is_400(self):
        self.refused(b"GET /x HTTP/1.1\r\nHost: t\r\nA: b\r\n c\r\n\r\n", 400)
        self.refused(b"GET /x HTTP/1.1\r\nHost: t\r\nA: b\r\n\tc\r\n\r\n", 400)
        self.refused(b"GET /x HTTP/1.1\r\n Host: t\r\n\r\n", 400)

    def test_a_space_before_the_colon_is_400(self):
        self.refused(b"GET /x HTTP/1.1\r\nHost : t\r\n\r\n", 400)
        self.refused(b"PUT /x HTTP/1.1\r\nHost: t\r\nContent-Length : 5\r\n\r\nhello", 400)

    def test_a_header_without_a_name_or_colon_is_400(self):
        self.refused(b"GET /x HTTP/1.1\r\nHost: t\r\nnonsense\r\n\r\n", 400)
        self.refused(b"GET /x HTTP/1.1\r\nHost: t\r\n: value\r\n\r\n", 400)
        self.refused(b"GET /x HTTP/1.1\r\nHost: t\r\nA\x00B: value\r\n\r\n", 400)
        self.refused(b"GET /x HTTP/1.1\r\nHost: t\r\nA: val\x00ue\r\n\r\n", 400)

    def test_a_missing_or_second_host_is_400(self):
        self.refused(b"GET /x HTTP/1.1\r\n\r\n", 400)
        self.refused(b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400)

    def test_a_bad_escape_is_400(self):
        for path in (b"/%", b"/%4", b"/%zz", b"/a%2", b"/%4g"):
            with self.subTest(path):
                self.refused(b"GET %s HTTP/1.1\r\nHost: t\r\n\r\n" % path, 400, closes=False)
                self.refused(b"PUT %s HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n" % path,
                             400, closes=False)

    def test_an_encoded_nul_or_control_byte_is_400(self):
        for path in (b"/a%00b", b"/%0a", b"/%0D%0a", b"/%1f", b"/%7f"):
            with self.subTest(path):
                self.refused(b"GET %s HTTP/1.1\r\nHost: t\r\n\r\n" % path, 400, closes=False)

    def test_a_dot_segment_is_400(self):
        for path in (b"/.", b"/..", b"/a/../b", b"/a/./b", b"/a/..", b"/%2e%2E/b", b"/a/%2e",
                     b"/..%2fetc"):
            with self.subTest(path):
                self.refused(b"GET %s HTTP/1.1\r\nHost: t\r\n\r\n" % path, 400, closes=False)
        self.put("/heads/..a/.b/c..", b"these are names")
        self.assertEqual(self.get("/heads/..a/.b/c..").body, b"these are names")

    def test_a_path_over_1024_bytes_is_414(self):
        longest = "/" + "p" * 1023
        self.assertEqual(self.put(longest, b"long").status, 201)
        self.assertEqual(self.get(longest).body, b"long")
        self.assertEqual(self.get("/" + "%70" * 1023).body, b"long")
        self.assertEqual(self.list_text("/ppp"), [longest])
        self.refused(b"GET /%s HTTP/1.1\r\nHost: t\r\n\r\n" % (b"p" * 1024), 414, closes=False)
        self.refused(b"PUT /%s HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nhi" % (b"p" * 5000),
                     414, closes=False)

    def test_a_head_over_16_kib_is_431(self):
        for big in (b"A: " + b"x" * 17000, b"\r\n".join(b"H%d: %s" % (n, b"y" * 100)
                                                        for n in range(200))):
            client = self.answer(b"GET /x HTTP/1.1\r\nHost: t\r\n" + big + b"\r\n\r\n")
            self.assertEqual(client.read_reply().status, 431)
            self.assert_serves()

    def test_a_head_without_an_end_is_431(self):
        client = self.answer(b"GET /x HTTP/1.1\r\nHost: t\r\nA: " + b"x" * 20000)
        self.assertEqual(client.read_reply().status, 431)
        self.assert_serves()

    def test_an_unknown_method_is_501(self):
        for method in (b"BREW", b"PATCH", b"TRACE", b"CONNECT", b"PROPFIND", b"get", b"LISTS",
                       b"M-SEARCH"):
            with self.subTest(method):
                target = b"t:80" if method == b"CONNECT" else b"/x"
                client = self.answer(b"%s %s HTTP/1.1\r\nHost: t\r\n\r\n" % (method, target))
                self.assertEqual(client.read_reply().status, 501)
                self.assert_serves()

    def test_an_unsupported_version_is_505(self):
        for version in (b"HTTP/2.0", b"HTTP/0.9", b"HTTP/3.0"):
            with self.subTest(version):
                self.refused(b"GET /x %s\r\nHost: t\r\n\r\n" % version, 505)

    def test_a_request_line_that_is_none_is_400(self):
        for line in (b"GET", b"GET /x", b"GET  /x HTTP/1.1", b"GET /x  HTTP/1.1", b"/x HTTP/1.1",
                     b"GET /x http/1.1", b"GET /x HTTP/1.1 x",
                     b"G\x01T /x HTTP/1.1", b"GET /\x01x HTTP/1.1", b"GET /x HTTP/1.10"):
            with self.subTest(line):
                client = self.answer(line + b"\r\nHost: t\r\n\r\n")
                self.assertIn(client.read_reply().status, (400, 505))
                client.expect_closed()
                self.assert_serves()

    def test_a_target_without_a_slash_is_400(self):
        self.refused(b"GET x HTTP/1.1\r\nHost: t\r\n\r\n", 400, closes=False)
        self.refused(b"GET * HTTP/1.1\r\nHost: t\r\n\r\n", 400, closes=False)

    def test_an_unknown_expectation_is_417(self):
        client = self.answer(b"PUT /x HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n"
                             b"Expect: miracles\r\n\r\n")
        self.assertEqual(client.read_reply("PUT").status, 417)
        self.assert_serves()

    def test_a_tls_hello_is_ended(self):
        hello = bytes.fromhex("16030100f8010000f40303") + os.urandom(240)
        client = self.answer(hello)
        client.sock.shutdown(socket.SHUT_WR)
        client.read_to_close()
        self.assert_serves()

    def test_an_absolute_target_is_the_path_in_it(self):
        self.put("/heads/absolute", b"x")
        with self.server.connect() as client:
            self.assertEqual(client.get("http://elsewhere:80/heads/absolute").body, b"x")

    def test_empty_lines_before_a_request_are_skipped(self):
        client = self.answer(b"\r\nGET /nothing HTTP/1.1\r\nHost: t\r\n\r\n")
        self.assertIn(client.read_reply().status, (404, 400))
        self.assert_serves()

    def test_header_names_are_case_blind_and_values_trimmed(self):
        client = self.answer(b"PUT /heads/case HTTP/1.1\r\nhOsT: t\r\ncOnTeNt-lEnGtH:\t 2 \t\r\n"
                             b"X-Empty:\r\n\r\nhi")
        self.assertEqual(client.read_reply("PUT").status, 201)

    def test_a_smuggled_request_is_not_served(self):
        inner = b"PUT /heads/smuggled HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n"
        for head in (b"Content-Length: 0\r\nContent-Length: %d\r\n" % len(inner),
                     b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
                     b"Transfer-Encoding : chunked\r\n", b"Content-Length: 0x0\r\n"):
            client = self.answer(b"PUT /heads/outer HTTP/1.1\r\nHost: t\r\n" + head + b"\r\n" + inner)
            client.read_to_close()
        self.assertEqual(self.get("/heads/smuggled").status, 404)
        self.assertEqual(self.get("/heads/outer").status, 404)

    def test_garbage_never_ends_the_process(self):
        numbers = random.Random(20)
        good = (b"PUT /heads/garbage HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n"
                b"Expect: 100-continue\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
                b"GET /heads/garbage HTTP/1.1\r\nHost: t\r\nRange: bytes=0-\r\n\r\n")
        for _ in range(400):
            request = bytearray(good if numbers.random() < 0.8 else numbers.randbytes(300))
            for _ in range(numbers.randrange(1, 6)):
                at = numbers.randrange(len(request))
                kind = numbers.randrange(3)
                if kind == 0:
                    request[at] = numbers.randrange(256)
                elif kind == 1:
                    del request[at:at + numbers.randrange(1, 9)]
                else:
                    request[at:at] = numbers.randbytes(numbers.randrange(1, 4))
                request = request or bytearray(b"\n")
            client = self.connect()
            client.send(bytes(request))
            try:
                client.sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            client.read_to_close()
            client.close()
        self.assert_serves()

    def test_connections_that_say_nothing_or_half_a_head_harm_nobody(self):
        idle = [self.connect() for _ in range(300)]
        for number, client in enumerate(idle):
            client.send(b"GET /x HTTP/1.1\r\nHost: t\r\n"[:number % 25])
        self.assert_serves()
        for client in idle:
            client.reset()
        self.assert_serves()


class SlowHeads(Case):
    CONFIG = "head_timeout = 1s\n"

    def test_a_head_that_is_not_finished_in_time_is_408(self):
        client = self.connect()
        client.send(b"GET /x HTTP/1.1\r\nHost: t\r\n")
        self.assertEqual(client.read_reply().status, 408)
        client.expect_closed()
        self.assert_serves()

    def test_a_head_that_drips_is_408_too(self):
        client = self.connect()
        client.sock.settimeout(0.3)
        answer = b""
        head = b"GET /x HTTP/1.1\r\nA: " + b"x" * 200
        for at in range(len(head)):
            try:
                client.send(head[at:at + 1])
                answer = client.sock.recv(4096)
                break
            except TimeoutError:
                continue
        self.assertTrue(answer.startswith(b"HTTP/1.1 408 "), answer)

    def test_a_second_head_has_its_own_deadline(self):
        client = self.connect()
        self.assertEqual(client.get("/x").status, 404)
        client.expect_silence(1.5)
        self.assertEqual(client.get("/x").status, 404)
        client.send(b"GET /x HTTP")
        self.assertEqual(client.read_reply().status, 408)

    def test_a_body_may_take_longer_than_a_head(self):
        client = self.connect()
        client.send_head("PUT", self.path("a"), "Content-Length: 4")
        client.send(b"bo")
        client.expect_silence(2.2)
        client.send(b"dy")
        self.assertEqual(client.read_reply("PUT").status, 201)


if __name__ == "__main__":
    main()
