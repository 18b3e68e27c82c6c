#!/usr/bin/env python3
"""Clients that are slow on purpose, or too many: they are ended, and nobody else notices."""

import os
import resource
import select
import threading
import time

from harness import SANITIZED, Case, Closed, Server, main, pattern, wait_until

MANY = 100 if SANITIZED else 300
KERNEL_BUFFERS_MAX = 128 << 20  # of a connection: more than any tcp_rmem and tcp_wmem together


class Neighbour(threading.Thread):
    """A live stream and its reader, who checks every byte, for as long as the block lasts."""

    def __init__(self, case):
        super().__init__(daemon=True)
        self.case = case
        self.writer = case.writer(case.path("stream"), b"begin")
        self.reader = case.follow(case.path("stream"))
        self.over = threading.Event()
        self.parts = 0
        self.trouble = None

    def run(self):
        try:
            assert self.reader.read_part(5) == b"begin"
            while not self.over.wait(0.01) or self.parts < 10:  # a block may be short
                part = pattern(5000, self.parts)
                self.writer.send_chunk(part)
                assert self.reader.read_part(len(part)) == part, f"part {self.parts} is wrong"
                self.parts += 1
        except BaseException as error:  # shown in the test's own thread
            self.trouble = error

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *unused):
        self.over.set()
        self.join()
        if self.trouble:
            raise self.trouble
        self.case.assertEqual(self.writer.end_put().status, 201)
        self.case.assertEqual(self.reader.read_rest(), b"")


def connections(server):
    return server.metrics()["spillway_connections"]


class Slow(Case):
    # Not shorter: a busy machine must not be taken for a slow client.
    CONFIG = "head_timeout = 2s\ningest_idle = 5s\nsend_timeout = 2s\nworkers = 2\nsync = off\n"

    def stand(self, *beginnings):
        """MANY connections that each sent one of BEGINNINGS."""
        clients = [self.connect(rcvbuf=4096) for _ in range(MANY)]
        for number, client in enumerate(clients):
            client.send(beginnings[number % len(beginnings)])
        return clients

    def wait_alone(self):
        """All are gone but the neighbour's two, and the asker."""
        wait_until(lambda: connections(self.server) <= 3, "the slow ones to be ended", 60)

    def drip(self, clients, text):
        """Sends TEXT on all of CLIENTS byte by byte, until they are cut or it ends."""
        left = list(clients)
        for byte in text:
            for client in list(left):
                try:
                    client.send(bytes([byte]))
                except OSError:
                    left.remove(client)
            if not left:
                return
            time.sleep(0.02)  # it is slowness that is tested

    def test_heads_that_drip_in_get_408(self):
        with Neighbour(self):
            clients = self.stand(b"G")
            self.drip(clients, b"ET /" + b"a" * 2000)
            for client in clients:
                try:
                    self.assertEqual(client.read_reply().status, 408)
                    client.expect_closed()
                except Closed as how:
                    self.assertEqual(str(how), "reset")  # it went on sending when it was told
            self.wait_alone()

    def test_silent_connections_and_half_heads_are_ended(self):
        with Neighbour(self):
            for client in self.stand(b"", b"\r", b"GET / HTTP/1.1\r\n", b"\r\n\r\n"):
                self.assertEqual(client.read_reply().status, 408)
                client.expect_closed()
            self.wait_alone()

    def test_bodies_that_stop_are_ended(self):
        before = self.server.rss_anon()
        with Neighbour(self):
            path = self.path("a").encode()
            clients = self.stand(
                b"PUT %s1 HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nx" % path,
                b"PUT %s2 HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab" % path,
                b"DELETE %s3 HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nx" % path,
                b"PUT %s4 HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n" % path)
            self.wait_alone()
            for client in clients:
                rest = client.read_to_close()
                self.assertNotIn(b" 201 ", rest)
        if not SANITIZED:
            self.assertLess(self.server.rss_anon() - before, 96 << 20)

    def test_a_body_that_drips_in_is_taken(self):
        with Neighbour(self):
            client = self.connect()
            client.begin_put(self.path("a"))
            for number in range(120):  # longer than ingest_idle in all, never silent for it
                client.send_chunk(b"%03d" % number)
                time.sleep(0.05)
            self.assertEqual(client.end_put().status, 201)

    def stock(self):
        self.put(self.path("large"), pattern(30_000_000))
        with self.connect() as client:
            names = [self.path("n" * 900 + f"{number:05}").encode() for number in range(1000)]
            client.send(b"".join(b"PUT %s HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n" % n for n in names))
            for _ in names:
                self.assertEqual(client.read_reply("PUT").status, 201)

    def keep_going(self, growing, over):
        while not over.wait(0.2):
            growing.send_chunk(b"more")

    def test_readers_that_take_nothing_are_ended_whatever_they_read(self):
        self.stock()
        growing, over = self.writer(self.path("growing"), pattern(30_000_000)), threading.Event()
        feeder = threading.Thread(target=self.keep_going, args=(growing, over), daemon=True)
        feeder.start()
        path = self.path("").encode()
        before = self.server.rss_anon()
        most = before
        with Neighbour(self):
            self.stand(b"GET %slarge HTTP/1.1\r\nHost: t\r\n\r\n" % path,
                       b"GET %slarge HTTP/1.1\r\nHost: t\r\nRange: bytes=1-20000000\r\n\r\n" % path,
                       b"GET %slarge HTTP/1.1\r\nHost: t\r\nRange: bytes=0-9999999,10000001-29000000\r\n\r\n" % path,
                       b"GET %sgrowing HTTP/1.1\r\nHost: t\r\n\r\n" % path,
                       b"GET %slarge HTTP/1.0\r\n\r\n" % path)
            for _ in range(10):
                self.connect(rcvbuf=4096).send_head("LIST", self.path(""))
            end = time.monotonic() + 60
            while connections(self.server) > 4:  # the feeder's is the fourth
                most = max(most, self.server.rss_anon())
                self.assertLess(time.monotonic(), end, "they were not ended")
                time.sleep(0.1)
        over.set()
        feeder.join()
        self.assertEqual(growing.end_put().status, 201)
        if not SANITIZED:
            self.assertLess(most - before, 128 << 20)

    def test_requests_without_end_and_nobody_who_reads_the_replies(self):
        self.put(self.path("a"), b"body")
        path = self.path("a").encode()
        requests = [b"HEAD %s HTTP/1.1\r\nHost: t\r\n\r\n" % path, b"GET %s HTTP/1.1\r\nHost: t\r\n\r\n" % path,
                    b"LIST %s HTTP/1.1\r\nHost: t\r\n\r\n" % path, b"OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n"]
        before = self.server.rss_anon()
        with Neighbour(self):
            clients = [self.connect(rcvbuf=4096) for _ in range(40)]
            for number, client in enumerate(clients):
                client.sock.setblocking(False)
                request = requests[number % len(requests)]
                client.requests = request * (65536 // len(request))
                client.sent = 0
            left = set(clients)
            # The kernel takes some thousand replies of each, and some megabytes of requests that nobody has
            # read: a busy machine needs its time for them. As long as there is movement nobody is slow.
            end = time.monotonic() + 60
            while left:
                self.assertLess(time.monotonic(), end, "they were not ended")
                ready = select.select([], [c.sock for c in left], [], 0.05)[1]
                for client in [c for c in left if c.sock in ready]:
                    try:
                        client.sent += client.sock.send(client.requests[client.sent % len(client.requests):])
                        self.assertLess(client.sent, KERNEL_BUFFERS_MAX, "all is answered, and nobody reads")
                        end = time.monotonic() + 60
                    except BlockingIOError:
                        pass
                    except OSError:
                        left.discard(client)
                if not ready and connections(self.server) <= 3:
                    break
            self.wait_alone()
        if not SANITIZED:
            self.assertLess(self.server.rss_anon() - before, 64 << 20)

    def test_ranges_by_the_thousand(self):
        body = pattern(1_000_000)
        self.put(self.path("a"), body)
        # Sets that are absurd, by their number or because they overlap, are not ranges at all.
        ranges = {"ascending": ",".join(f"{n}-{n}" for n in range(0, 3000, 2)),
                  "nested": ",".join(f"{n}-" for n in range(2500)),
                  "suffixes": ",".join(f"-{n}" for n in range(1, 2500))}
        before = self.server.rss_anon()
        with Neighbour(self):
            for name, text in ranges.items():
                for _ in range(20):
                    with self.connect() as client:
                        reply = client.get(self.path("a"), "Range: bytes=" + text)
                        self.assertEqual((reply.status, reply.body == body), (200, True), name)
        if not SANITIZED:
            self.assertLess(self.server.rss_anon() - before, 64 << 20)


class Crowded(Case):
    CONFIG = "connections_per_address = 4\n"

    def test_an_address_has_its_share(self):
        inside = [self.connect() for _ in range(4)]
        for client in inside:
            self.assertEqual(client.get("/none").status, 404)
        refused = self.connect()
        reply = refused.read_reply()  # without a request
        self.assertEqual(reply.status, 503)
        self.assertIn(b"address", reply.body)
        refused.expect_closed()
        with self.server.connect_admin() as admin:
            self.assertEqual(admin.get("/healthz").status, 200)
            self.assertIn(b"\nspillway_connections_refused_total 1\n", admin.get("/metrics").body)
        inside.pop().close()

        def gets_in():
            with self.server.connect() as client:
                try:
                    return client.get("/none").status == 404
                except OSError:  # refused while it was still sending
                    return False
        wait_until(gets_in, "a place to be free again")
        for client in inside:
            self.assertEqual(client.get("/none").status, 404)


class Full(Case):
    CONFIG = "connections_max = 3\nworkers = 1\n"  # several may each take one too many

    def test_who_comes_too_late_waits_until_somebody_leaves(self):
        inside = [self.connect() for _ in range(3)]
        for client in inside:
            self.assertEqual(client.get("/none").status, 404)
        late = self.connect()
        late.send_head("GET", "/none")
        late.expect_silence(0.5)
        with self.server.connect_admin() as admin:
            self.assertEqual(admin.get("/healthz").status, 200)
        inside.pop().close()
        self.assertEqual(late.read_reply().status, 404)
        for client in inside:
            self.assertEqual(client.get("/none").status, 404)


class FewDescriptors(Server):
    def command(self):
        return ["prlimit", "--nofile=64", *super().command()]


def open_descriptors(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def cpu_ticks(server):
    with open(f"/proc/{server.process.pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


class Descriptors(Case):
    CONFIG = "workers = 2\nvolume_size = 16MiB\nhead_timeout = 1h\n"

    @classmethod
    def setUpClass(cls):
        cls.server = FewDescriptors(cls.CONFIG)
        try:
            cls.server.start()
        except BaseException:
            cls.server.remove()
            raise

    def complaints(self):
        return [line for line in self.server.log if line and " warning " in line]

    def test_at_the_limit_accepting_pauses_and_nothing_breaks(self):
        sender = self.connect()
        self.assertEqual(sender.get("/none").status, 404)
        crowd = [self.connect() for _ in range(100)]  # most of them wait in the kernel
        self.assertEqual(crowd[0].get("/none").status, 404)
        before = cpu_ticks(self.server)
        body = pattern(40_000_000)  # three volumes
        self.assertEqual(sender.put(self.path("a"), body).status, 201)
        self.assertEqual(sender.get(self.path("a")).body, body)
        self.assertEqual(sender.request("LIST", self.path("")).status, 200)
        self.assertLess(open_descriptors(self.server), 64)
        time.sleep(1)  # in which nothing is to be done
        self.assertLess(cpu_ticks(self.server) - before, 150 * (10 if SANITIZED else 1))
        self.assertEqual(len(self.complaints()), 1, self.complaints())
        for client in crowd[:90]:
            client.close()
        for client in crowd[90:]:
            self.assertEqual(client.get("/none").status, 404)

    def test_without_any_descriptor_left_it_goes_on_too(self):
        sender = self.connect()
        self.assertEqual(sender.put(self.path("a"), b"before").status, 201)
        pid = self.server.process.pid
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (10, hard))
        try:
            late = self.connect()
            late.send_head("GET", self.path("a"))
            late.expect_silence(0.5)
            before = cpu_ticks(self.server)
            time.sleep(1)
            self.assertLess(cpu_ticks(self.server) - before, 30)
            self.assertEqual(sender.put(self.path("b"), b"during").status, 201)
            self.assertEqual(sender.get(self.path("b")).body, b"during")
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        self.assertEqual(late.read_reply().body, b"before")


if __name__ == "__main__":
    main()
