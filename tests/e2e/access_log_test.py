#!/usr/bin/env python3
"""Each request gets one line in the access log, at its end, however it ends."""

import json
import os
import signal
import unittest

from harness import Case, Server, main, wait_until


class Log(Case):
    """One worker, so that lines are in the order of the requests' ends."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server(args=["-w", "1", "-o", "access_log_format=json", "-o", "head_timeout=300ms"])
        cls.file = os.path.join(cls.server.home, "access.log")
        cls.server.args += ["-o", f"access_log={cls.file}"]
        cls.server.start()

    def setUp(self):
        self.seen = len(self.all_lines())

    def all_lines(self, file=None):
        with open(file or self.file, encoding="ascii") as log:
            return [json.loads(line) for line in log.read().splitlines()]

    def lines(self, count):
        """The COUNT lines that this test made, and no more."""
        wait_until(lambda: len(self.all_lines()) >= self.seen + count, f"{count} lines")
        # The next request's line would come behind any that is late.
        fence = f"/fence/{len(self.all_lines())}"
        with self.server.connect() as client:
            client.request("OPTIONS", fence)
        wait_until(lambda: self.all_lines()[-1]["path"] == fence, "the last line")
        lines = self.all_lines()[self.seen:-1]
        self.assertEqual(len(lines), count, lines)
        return lines

    def one(self, **expected):
        line, = self.lines(1)
        self.check(line, **expected)
        return line

    def check(self, line, **expected):
        self.assertEqual({key: line[key] for key in expected}, expected, line)

    def test_a_put(self):
        self.put(self.path("a"), b"x" * 1000, "User-Agent: Lavf/1", "Referer: http://here/")
        line = self.one(method="PUT", path=self.path("a"), status=201, received=1000, sent=0, end="whole",
                        object="complete", agent="Lavf/1", referer="http://here/", peer="127.0.0.1",
                        protocol="HTTP/1.1")
        self.assertLessEqual(line["first_byte"], line["seconds"])
        self.assertRegex(line["time"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

    def test_reads_of_a_kept_connection(self):
        """The first goes through evhttp, the others are answered directly."""
        target = self.path("a")
        self.put(target, b"x" * 1000)
        client = self.connect()
        for _ in range(3):
            client.get(target + "?token=secret")
        client.get(target, "Range: bytes=10-19")
        client.get(target, "If-None-Match: *")
        client.request("HEAD", target)
        client.get(target + "/none")
        lines = self.lines(8)[1:]
        self.assertEqual([(line["status"], line["sent"]) for line in lines],
                         [(200, 1000)] * 3 + [(206, 10), (304, 0), (200, 0), (404, 24)])
        for line in lines[:-1]:
            self.check(line, path=target, object="complete", end="whole")
        self.check(lines[-1], object="-")

    def test_a_large_object(self):
        self.put(self.path("a"), bytes(5 << 20))
        self.get(self.path("a"))
        self.check(self.lines(2)[1], status=200, sent=5 << 20, end="whole", object="complete")

    def test_a_growing_object_that_is_completed(self):
        writer = self.writer(self.path("a"), b"first")
        reader = self.follow(self.path("a"))
        reader.read_part(5)
        writer.send_chunk(b"second")
        writer.end_put()
        reader.read_rest()
        lines = {line["method"]: line for line in self.lines(3)}  # the HEAD is writer()'s
        self.check(lines["GET"], status=200, sent=11, end="whole", object="live")
        self.check(lines["PUT"], status=201, received=11, end="whole", object="complete")
        self.assertGreater(lines["PUT"]["seconds"], 0)

    def test_a_sender_and_a_reader_that_vanish(self):
        writer = self.writer(self.path("a"), b"first")
        reader = self.follow(self.path("a"))
        reader.read_part(5)
        reader.close()
        self.check(self.lines(2)[1], method="GET", status=200, sent=5, end="cut", object="live")
        self.seen = len(self.all_lines())
        writer.close()
        self.one(method="PUT", status=499, received=5, end="cut", object="incomplete")

    def test_a_reader_that_is_cut(self):
        writer = self.writer(self.path("a"), b"first")
        reader = self.follow(self.path("a"))
        reader.read_part(5)
        with self.server.connect() as client:
            client.request("DELETE", self.path("a"))
        reader.read_until_cut()
        self.assertEqual(writer.end_put().status, 410)
        lines = {line["method"]: line for line in self.lines(4)}
        self.check(lines["GET"], status=200, sent=5, end="cut", object="live")
        self.check(lines["DELETE"], status=204, end="whole")
        self.check(lines["PUT"], status=410, end="whole")

    def test_what_is_no_request(self):
        client = self.connect()
        client.send(b"GARBAGE\x01\"\\ \r\n\r\n")
        client.read_reply()
        client.expect_closed()
        self.one(method="-", path="-", status=400, end="whole", object="-")

    def test_a_head_that_never_ends(self):
        client = self.connect()
        client.send(b"GET / HTTP/1.1\r\n")
        client.read_reply()
        self.one(method="-", status=408)

    def test_connections_without_a_request(self):
        self.connect().close()
        self.lines(0)

    def test_the_admin_listener_and_lists(self):
        with self.server.connect_admin() as admin:
            admin.get("/healthz")
            admin.get("/list?prefix=/")
        self.list_text()
        lines = self.lines(3)
        self.assertEqual([line["path"] for line in lines], ["/healthz", "/list", "/"])
        self.assertEqual(lines[2]["method"], "LIST")

    def test_credentials_stay_out(self):
        self.get(self.path("a"), "Authorization: Basic c2VjcmV0", "Referer: http://x/?secret=1")
        self.lines(1)
        with open(self.file, encoding="ascii") as log:
            text = log.read()
        self.assertNotIn("secret", text)
        self.assertNotIn("c2VjcmV0", text)

    def test_renamed_and_reopened(self):
        self.get(self.path("before"))
        self.lines(1)
        os.rename(self.file, self.file + ".1")
        self.get(self.path("between"))
        self.server.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: os.path.exists(self.file), "the new file")
        self.get(self.path("after"))
        wait_until(lambda: self.all_lines(), "a line in the new file")
        paths = [line["path"] for line in self.all_lines(self.file + ".1") + self.all_lines()]
        for name in ("before", "between", "after"):
            self.assertEqual(paths.count(self.path(name)), 1, paths)
        self.assertEqual(paths[-1], self.path("after"))


class Elsewhere(unittest.TestCase):
    def serve(self, *args):
        server = Server(args=args)
        self.addCleanup(server.remove)
        server.start()
        return server

    def test_combined_lines_on_standard_error(self):
        server = self.serve("-o", "access_log=stderr")
        with server.connect() as client:
            client.get("/none", 'User-Agent: "quoted" \\')
        line = server.wait_log(r"^127\.0\.0\.1 - - .*").group()
        self.assertRegex(line, r'^127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/20\d\d:\d\d:\d\d:\d\d \+0000\] '
                               r'"GET /none HTTP/1\.1" 404 24 "-" "\\"quoted\\" \\\\" in=0 '
                               r'time=0\.\d{6} first=0\.\d{6} object=- end=whole$')

    def test_nothing_by_default(self):
        server = self.serve()
        with server.connect() as client:
            client.get("/none")
        server.process.send_signal(signal.SIGUSR1)  # harmless then
        with server.connect() as client:
            client.get("/none")
        server.stop()
        self.assertNotIn("/none", server.log_text())

    def test_a_file_that_cannot_be_opened_is_said(self):
        server = Server(args=["-o", "access_log=/nowhere/at/all"])
        server.spawn()
        self.assertEqual(server.wait_exit(), 1)
        self.assertIn("can't open the access log /nowhere/at/all: No such file", server.log_text())
        server.remove()

    def test_a_disk_that_does_not_answer_delays_nobody(self):
        server = Server(args=["-w", "1"])
        self.addCleanup(server.remove)
        fifo = os.path.join(server.home, "fifo")
        os.mkfifo(fifo)
        server.args += ["-o", f"access_log={fifo}"]
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        server.start()
        agent = "User-Agent: " + "x" * 1000
        with server.connect() as client:
            for _ in range(800):
                self.assertEqual(client.get("/none", agent).status, 404)
        server.wait_log("lines of the access log are dropped")
        dropped = server.metrics()["spillway_access_log_dropped_total"]
        self.assertGreater(dropped, 0)
        os.set_blocking(reader, True)
        got = b""
        while got.count(b"\n") < 800 - dropped:
            got += os.read(reader, 65536)
        server.wait_log("the access log is written again")
        os.close(reader)


if __name__ == "__main__":
    main()
