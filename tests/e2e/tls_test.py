#!/usr/bin/env python3
"""What TLS promises: handshakes, certificates of both sides, and how a connection begins and ends."""

import json
import os
import ssl
import subprocess
import threading
import unittest

from by_tls import AUTHORITY, CERTIFICATE, KEY, ByTls, TlsServer
from certificates import Authority, join, openssl
from harness import SANITIZED, SPILLWAY, Client, Closed, main, pattern, wait_until


class Speaking(ByTls):
    # Under a sanitizer a hundred handshakes keep the asker of /metrics waiting for longer than that.
    CONFIG = f"head_timeout = {'5s' if SANITIZED else '500ms'}\n"

    def test_both_versions_and_the_protocol(self):
        context = AUTHORITY.context()
        context.set_alpn_protocols(["h2", "http/1.1"])
        for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
            context.minimum_version = context.maximum_version = version
            client = self.connect(tls=context)
            self.assertEqual(client.sock.version(), name)
            self.assertEqual(client.sock.selected_alpn_protocol(), "http/1.1")
            self.assertEqual(client.get(self.path("none")).status, 404)

    def connect(self, **options):
        client = self.server.connect(**options)
        self.addCleanup(client.close)
        return client

    def test_a_client_that_wants_another_protocol_is_refused(self):
        failed = self.handshakes("failed")
        context = AUTHORITY.context()
        context.set_alpn_protocols(["h2"])
        with self.assertRaisesRegex(ssl.SSLError, "(?i)no.application.protocol"):
            self.server.connect(tls=context)
        self.wait_handshakes("failed", failed + 1)  # the client hears of it before it is counted

    def test_an_old_version_is_refused(self):
        failed = self.handshakes("failed")
        context = AUTHORITY.context()
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        with self.assertWarns(DeprecationWarning):
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        with self.assertRaisesRegex(ssl.SSLError, "(?i)protocol.version"):
            self.server.connect(tls=context)
        self.wait_handshakes("failed", failed + 1)

    def test_a_session_is_resumed(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            full, resumed = self.handshakes("full"), self.handshakes("resumed")
            context = AUTHORITY.context(version=version)
            with self.server.connect(tls=context) as client:
                client.get("/none")  # behind which the ticket comes
                session = client.sock.session
                self.assertFalse(client.sock.session_reused)
            for _ in range(8):  # of either worker
                with self.server.connect(tls=context, session=session) as client:
                    self.assertEqual(client.get("/none").status, 404)
                    self.assertTrue(client.sock.session_reused)
            self.assertEqual((self.handshakes("full"), self.handshakes("resumed")), (full + 1, resumed + 8))

    def test_a_session_of_a_client_that_only_uploads_is_resumed(self):
        context = AUTHORITY.context(version=ssl.TLSVersion.TLSv1_3)
        session = None
        for number in range(4):
            with self.server.connect(tls=context, session=session) as client:
                client.begin_put(self.path(number))
                client.send_chunk(pattern(100_000))
                self.assertEqual(client.end_put().status, 201)
                self.assertEqual(client.sock.session_reused, number > 0)
                session = session or client.sock.session

    def test_renegotiation_is_refused(self):
        run = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.server.port}", "-tls1_2"],
                             input=b"R\n", capture_output=True, check=False, timeout=60)
        self.assertIn(b"no renegotiation", run.stderr)

    def test_plain_http_gets_a_clean_close(self):
        failed = self.handshakes("failed")
        sock = self.connect_raw()
        sock.sendall(b"GET / HTTP/1.1\r\nHost: t\r\nX: " + b"x" * 20000 + b"\r\n\r\n")
        self.assertEqual(sock.recv(4096), b"")  # a reset would be an error
        self.wait_handshakes("failed", failed + 1)
        self.server.wait_log(r'TLS handshake failed peer=127.0.0.1:\d+ reason="[^"]+"')

    def test_garbage_harms_nobody(self):
        hello = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"
        for junk in (b"\x00" * 600, os.urandom(600), hello, hello * 60, b"\x16\x03\x01\xff\xff" + b"x" * 70000,
                     b"\x80\x2e\x01\x03\x01" + b"\x00" * 60):
            sock = self.connect_raw()
            try:
                sock.sendall(junk)
                while sock.recv(4096):
                    pass
            except ConnectionError:
                pass
        self.assert_serves()

    def test_a_flood_of_bad_handshakes_is_counted_and_does_not_fill_the_log(self):
        failed = self.handshakes("failed")
        for _ in range(100):
            self.connect_raw().sendall(b"GET / HTTP/1.1\r\n\r\n")
        self.wait_handshakes("failed", failed + 100)
        lines = sum("handshake failed" in (line or "") for line in self.server.log)
        self.assertLess(lines, 60)  # 20 in ten seconds

    def test_a_handshake_that_does_not_end_is_cut(self):
        abandoned = self.handshakes("abandoned")
        silent, slow = self.connect_raw(), self.connect_raw()
        slow.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100))
        self.assertEqual(silent.recv(1), b"")
        self.assertEqual(slow.recv(1), b"")
        self.wait_handshakes("abandoned", abandoned + 2)

    def test_a_head_that_does_not_end_gets_408(self):
        client = self.connect()
        client.send(b"GET / HTTP/1.1\r\n")
        self.assertEqual(client.read_reply().status, 408)
        client.expect_closed()

    def test_a_client_that_leaves_says_no_more(self):
        client = self.connect()
        self.assertEqual(client.get("/none").status, 404)
        client.sock.settimeout(15)
        client.sock.unwrap()  # waits for the other close_notify

    def test_100_continue(self):
        client = self.connect()
        client.send_head("PUT", self.path("a"), "Content-Length: 5", "Expect: 100-continue")
        self.assertEqual(client.read_head().status, 100)
        client.send(b"hello")
        self.assertEqual(client.read_reply("PUT").status, 201)
        self.assertEqual(client.get(self.path("a")).body, b"hello")

    def test_ranges_and_list(self):
        body = pattern(300_000)
        self.put(self.path("a"), body)
        client = self.connect()
        reply = client.get(self.path("a"), "Range: bytes=70000-199999")
        self.assertEqual((reply.status, reply.body), (206, body[70000:200000]))
        self.assertEqual(client.request("LIST", self.path("")).body, self.path("a\n").encode())

    def test_uploads_by_length_of_every_size_around_a_record(self):
        client = self.connect()
        for size in (0, 1, 16383, 16384, 16385, 65536, 3_000_001):
            body = pattern(size)
            # Head, body and the next request in as few records as there can be.
            client.send(b"PUT %s HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % (self.path("a").encode(), size) +
                        body + b"GET %s HTTP/1.1\r\nHost: t\r\n\r\n" % self.path("a").encode())
            self.assertIn(client.read_reply("PUT").status, (201, 204))
            self.assertEqual(client.read_reply().body, body)

    def test_a_refused_upload_leaves_the_connection_in_order(self):
        client = self.connect()
        put = b"PUT %s HTTP/1.1\r\nHost: t\r\nContent-Range: bytes 7-11/*\r\nContent-Length: 5\r\n\r\nhello"
        client.send(put % self.path("none").encode() + b"GET /none HTTP/1.1\r\nHost: t\r\n\r\n")
        self.assertEqual(client.read_reply("PUT").status, 416)
        self.assertEqual(client.read_reply().status, 404)

    def test_the_end_of_a_body_without_length_is_told_from_a_cut(self):
        for end in ("complete", "deleted"):
            writer = self.writer(self.path(end), b"one")
            reader = self.connect()
            reader.send_head("GET", self.path(end), version="1.0")
            self.assertEqual(reader.read_head().status, 200)
            self.assertEqual(reader.read_exactly(3), b"one")
            if end == "complete":
                writer.end_put()
            else:
                with self.server.connect() as other:
                    other.request("DELETE", self.path(end))
            with self.assertRaises(Closed) as closed:
                reader.read_exactly(1)
            # "end" is a close_notify; OpenSSL calls a FIN without one an unexpected end.
            self.assertEqual(str(closed.exception) == "end", end == "complete", closed.exception)

    def test_a_sender_that_vanishes_leaves_an_incomplete_object(self):
        writer = self.writer(self.path("a"), b"some")
        reader = self.follow(self.path("a"))
        writer.close()  # without close_notify
        with self.server.connect() as other:
            other.request("DELETE", self.path("a"))
        self.assertEqual(reader.read_until_cut(), b"some")

    def test_a_sender_that_never_reads_loses_nothing(self):
        """As ffmpeg: what it has not read when it closes makes a reset of that, which eats what it sent last."""
        body = pattern(1_000_000)
        for number in range(5):
            client = self.server.connect(tls=AUTHORITY.context(version=ssl.TLSVersion.TLSv1_3))
            client.begin_put(self.path(number))
            client.send_chunk(body)
            client.send(b"0\r\n\r\n")
            client.close()
        for number in range(5):
            with self.server.connect() as asker:
                wait_until(lambda a=asker, n=number: a.request("HEAD", self.path(n))["Content-Length"] == "1000000",
                           "all of it")

    def test_a_hundred_readers_of_one_growing_object(self):
        body = pattern(2_000_000)
        writer = self.writer(self.path("a"))
        readers = [self.follow(self.path("a")) for _ in range(100)]
        results = []
        threads = [threading.Thread(target=lambda r=reader: results.append(r.read_rest() == body))
                   for reader in readers]
        for thread in threads:
            thread.start()
        for at in range(0, len(body), 20_000):
            writer.send_chunk(body[at:at + 20_000])
        self.assertEqual(writer.end_put().status, 201)
        for thread in threads:
            thread.join(120)
        self.assertEqual(results, [True] * 100)


class Renewal(ByTls):
    def setUp(self):
        certificate, key = AUTHORITY.issue("localhost")
        self.write(certificate, key)
        self.assertRegex(self.server.reload(), "certificate loaded")

    def write(self, certificate, key, more=""):
        self.server.write_config(f'listen_tls = "127.0.0.1:0"\n'
                                 f'tls_certificate = "{certificate}"\ntls_key = "{key}"\n{more}')

    def serial(self, client):
        return int(client.sock.getpeercert()["serialNumber"], 16)

    def test_new_handshakes_see_the_new_one_and_old_connections_go_on(self):
        writer = self.writer(self.path("a"), b"one")
        reader = self.follow(self.path("a"))
        old = self.serial(self.connect())
        stop = threading.Event()
        failures = []

        def load():
            while not stop.is_set():
                with self.server.connect() as client:
                    if client.get("/none").status != 404:
                        failures.append(client)

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(5):
            certificate, key = AUTHORITY.issue("localhost")
            self.write(certificate, key)
            self.assertRegex(self.server.reload(), "certificate loaded")
            writer.send_chunk(b"more")
            new = self.serial(self.connect())
            self.assertGreater(new, old)
            old = new
        stop.set()
        for thread in threads:
            thread.join(60)
        self.assertEqual(failures, [])
        self.assertEqual(writer.end_put().status, 201)
        self.assertEqual(reader.read_rest(), b"one" + b"more" * 5)

    def test_a_bad_file_is_refused_and_the_old_one_stays(self):
        old = self.serial(self.connect())
        certificate, _ = AUTHORITY.issue("localhost")
        _, key = AUTHORITY.issue("localhost")
        self.write(certificate, key)
        self.assertRegex(self.server.reload(), r"reload refused.*the key is not that of the certificate")
        self.write(certificate, "/nowhere/key.pem")
        self.assertRegex(self.server.reload(), r"reload refused.*/nowhere/key.pem: No such file or directory")
        self.assertEqual(self.serial(self.connect()), old)

    def test_what_another_context_vouched_for_is_not_resumed(self):
        context = AUTHORITY.context()
        with self.server.connect(tls=context) as client:
            client.get("/none")
            session = client.sock.session
        self.assertRegex(self.server.reload(), "certificate loaded")
        with self.server.connect(tls=context, session=session) as client:
            self.assertEqual(client.get("/none").status, 404)
            self.assertFalse(client.sock.session_reused)


class Vouching(ByTls):
    CONFIG = f'tls_client_ca = "{AUTHORITY.certificate}"\n'

    def test_a_client_with_a_good_certificate_and_one_without(self):
        for client in (AUTHORITY.issue("encoder", extension="extendedKeyUsage=clientAuth"), None):
            with self.server.connect(tls=AUTHORITY.context(client)) as connection:
                self.assertEqual(connection.get("/none").status, 404)

    def test_bad_certificates_are_refused(self):
        stranger = Authority()
        self.addCleanup(stranger.remove)
        for reason, client in (("unknown.ca", stranger.issue("encoder")),
                               ("certificate.expired", AUTHORITY.issue("encoder", days=-1)),
                               ("certificate", AUTHORITY.issue("e", extension="extendedKeyUsage=serverAuth"))):
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                # With 1.3 the client has done its part when it hears of it.
                with self.assertRaisesRegex(ssl.SSLError, "(?i)" + reason):
                    with self.server.connect(tls=AUTHORITY.context(client, version)) as connection:
                        connection.sock.recv(1)


USERS = AUTHORITY.file("users")
LOG = AUTHORITY.file("access.log")
CLIENT = "extendedKeyUsage=clientAuth"


def write_users():
    """bcrypt's hash of "secret"."""
    with open(USERS, "w", encoding="ascii") as file:
        file.write("ann:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n")


class WhoMay(ByTls):
    """Rules that ask for certificates."""

    CONFIG = f"""
user_file = "{USERS}"
access_log = "{LOG}"
access_log_format = json
tls_client_ca = "{AUTHORITY.certificate}"
rule "/live/*"      {{ write_certificate = any }}
rule "/live/main/*" {{ write_certificate = {{encoder1, "spiffe://studio/b"}} }}
rule "/live/open/*" {{ write_certificate = off }}
rule "/either/*"    {{ write_certificate = encoder1  write_user = ann }}
rule "/seen/*"      {{ read_certificate = encoder1  list_certificate = any }}
rule "/away/*"      {{ write_certificate = any  write_from = "10.0.0.0/8" }}
"""
    ANN = "Authorization: Basic YW5uOnNlY3JldA=="

    @classmethod
    def setUpClass(cls):
        write_users()
        cls.encoder1, cls.encoder2 = (AUTHORITY.issue(name, extension=CLIENT) for name in ("encoder1", "encoder2"))
        super().setUpClass()

    def ask(self, client, method, target, *headers, **options):
        """With the certificate CLIENT."""
        with self.server.connect(tls=AUTHORITY.context(client)) as connection:
            return connection.request(method, target, *headers, **options)

    def status(self, client, method, target, *headers, **options):
        return self.ask(client, method, target, *headers, **options).status

    def plain(self, method, target, *headers, **options):
        with Client(self.server.plain_port) as connection:
            return connection.request(method, target, *headers, **options)

    def test_a_write_needs_a_certificate(self):
        for method, word in (("PUT", b"writing"), ("POST", b"writing"), ("DELETE", b"deleting")):
            for reply, reason in ((self.plain(method, "/live/x", body=b"x"), b"needs TLS and a client certificate"),
                                  (self.plain(method, "/live/x", self.ANN, body=b"x"), b"needs TLS and a client cert"),
                                  (self.ask(None, method, "/live/x", body=b"x"), b"needs a client certificate")):
                self.assertEqual((reply.status, reply["WWW-Authenticate"]), (403, None))
                self.assertIn(word + b" here " + reason, reply.body)
                self.assertIn(b"write_certificate", reply.body)
                self.assertEqual(reply.body.count(b"\n"), 1)
        self.assertEqual(self.get("/live/x").status, 404)
        self.assertEqual(self.status(self.encoder2, "PUT", "/live/x", body=b"x"), 201)
        self.assertEqual(self.plain("GET", "/live/x").body, b"x")
        self.assertEqual(self.status(None, "DELETE", "/live/x"), 403)
        self.assertEqual(self.status(self.encoder2, "DELETE", "/live/x"), 204)

    def test_only_the_names_that_a_rule_has(self):
        by_uri = AUTHORITY.issue(None, extension="subjectAltName=URI:spiffe://studio/b")
        other = AUTHORITY.issue(None, extension="subjectAltName=URI:spiffe://studio/c,URI:spiffe://studio/b")
        both = AUTHORITY.issue("encoder2", extension="subjectAltName=URI:spiffe://studio/b,DNS:encoder1")
        longer = AUTHORITY.issue("encoder11", extension=CLIENT)
        target = "/live/main/x"
        self.assertEqual(self.status(self.encoder1, "PUT", target, body=b"x"), 201)
        self.assertEqual(self.status(by_uri, "PUT", target, body=b"x"), 204)
        for client in (self.encoder2, other, both, longer, AUTHORITY.issue("any", extension=CLIENT),
                       AUTHORITY.issue(None, extension=CLIENT)):
            reply = self.ask(client, "DELETE", target)
            self.assertEqual((reply.status, reply["WWW-Authenticate"]), (403, None))
        self.assertEqual(self.get(target).body, b"x")
        self.assertEqual(self.plain("PUT", "/live/open/x", body=b"x").status, 201)

    def test_a_certificate_or_a_password_is_enough(self):
        for client in (None, self.encoder2):
            reply = self.ask(client, "PUT", "/either/x", body=b"x")
            self.assertEqual((reply.status, reply["WWW-Authenticate"][:5]), (401, "Basic"))
            self.assertIn(self.status(client, "PUT", "/either/x", self.ANN, body=b"x"), (201, 204))
        self.assertEqual(self.status(self.encoder1, "PUT", "/either/x", body=b"x"), 204)
        self.assertEqual(self.status(self.encoder1, "PUT", "/away/x", body=b"x"), 403)

    def test_reads_and_lists_may_need_one_too(self):
        self.put("/seen/x.m4s", b"bytes")
        with self.server.connect() as client:  # kept: the second reply is a direct one
            self.assertEqual(client.get("/none").status, 404)
            self.assertEqual(client.get("/seen/x.m4s").status, 403)
        with self.server.connect(tls=AUTHORITY.context(self.encoder1)) as client:
            for _ in range(2):
                reply = client.get("/seen/x.m4s")
                self.assertEqual(reply.body, b"bytes")
                self.assertRegex(reply["Cache-Control"], "^private, ")
        self.assertEqual(self.status(self.encoder2, "GET", "/seen/x.m4s"), 403)
        self.assertEqual(self.status(None, "LIST", "/seen/"), 403)
        self.assertEqual(self.status(self.encoder2, "LIST", "/seen/"), 200)

    def test_a_resumed_session_is_still_that_of_the_client(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = AUTHORITY.context(self.encoder1, version)
            with self.server.connect(tls=context) as client:
                client.get("/none")
                session = client.sock.session
            with self.server.connect(tls=context, session=session) as client:
                self.assertTrue(client.sock.session_reused)
                self.assertIn(client.put("/live/main/r", b"x").status, (201, 204))

    def test_the_access_log_has_their_names(self):
        camera = AUTHORITY.issue('Camera 1"', extension=CLIENT)
        target = "/live/log"
        self.assertEqual(self.status(camera, "PUT", target, body=b"x"), 201)
        self.assertEqual(self.status(camera, "GET", target), 200)  # where nobody asks, too
        self.assertEqual(self.status(camera, "PUT", "/live/main/log", body=b"x"), 403)
        self.assertEqual(self.status(None, "PUT", target, body=b"x"), 403)
        self.assertEqual(self.status(camera, "PUT", "/either/log", self.ANN, body=b"x"), 201)

        def lines():
            with open(LOG, encoding="ascii") as file:
                return [json.loads(line) for line in file if "/log" in line]
        wait_until(lambda: len(lines()) >= 5, "five lines")
        self.assertEqual(sorted((line["method"], line["status"], line["user"]) for line in lines()),
                         [("GET", 200, 'Camera 1"'), ("PUT", 201, 'Camera 1"'), ("PUT", 201, "ann"),
                          ("PUT", 403, "-"), ("PUT", 403, 'Camera 1"')])

    def test_curl_and_ffmpeg_show_theirs(self):
        def run(*args, **options):
            return subprocess.run(args, capture_output=True, check=False, timeout=120, **options)

        certificate, key = self.encoder1
        url = f"https://localhost:{self.server.port}/live/main/"
        curl = ("curl", "-sS", "-f", "--cacert", AUTHORITY.certificate, "-T", "-", url + "c")
        self.assertEqual(run(*curl, input=b"x").returncode, 22)  # the status of 400 and more
        self.assertEqual(run(*curl, "--cert", certificate, "--key", key, input=bytes(300_000)).returncode, 0)
        self.assertEqual(len(self.get("/live/main/c").body), 300_000)
        opts = f"cert_file={certificate}:key_file={key}"
        for more, name in ((("-f", "mpegts", "-cert_file", certificate, "-key_file", key), "f.ts"),
                           (("-f", "dash", "-http_opts", opts), "f.mpd")):
            done = run("ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=64x64:rate=10",
                       "-t", "1", *more, "-method", "PUT", url + name)
            self.assertEqual(done.returncode, 0, done.stderr)
            with self.server.connect() as asker:  # it was let in; its last bytes may not be here yet
                wait_until(lambda a=asker, n=name: a.request("HEAD", "/live/main/" + n).status == 200, name)


class WhoMayLater(ByTls):
    """The same, with rules and authorities that change."""

    CONFIG = f'tls_client_ca = "{AUTHORITY.certificate}"\n'

    def write(self, rule, authority=AUTHORITY, file=None, asks=True):
        asking = f'tls_client_ca = "{file or authority.certificate}"\n' if asks else ""
        self.server.write_config(f'listen_tls = "127.0.0.1:0"\ntls_certificate = "{CERTIFICATE}"\n'
                                 f'tls_key = "{KEY}"\n{asking}{rule}')
        return self.server.reload()

    def connect_as(self, client):
        connection = self.server.connect(tls=AUTHORITY.context(client))
        self.addCleanup(connection.close)
        return connection

    def test_a_reload_holds_for_connections_that_are_there(self):
        stranger = Authority()
        self.addCleanup(stranger.remove)
        client, target = AUTHORITY.issue("encoder", extension=CLIENT), self.path("a")
        connection, writer = self.connect_as(client), self.connect_as(client)
        self.assertEqual(connection.put(target, b"x").status, 201)
        for rule, status in (("any", 204), ("other", 403), ("{other, encoder}", 204)):
            self.assertRegex(self.write(f'rule "*" {{ write_certificate = {rule} }}\n'), "reloaded")
            self.assertEqual(connection.put(target, b"x").status, status, rule)
        writer.begin_put(self.path("b"))
        writer.send_chunk(b"one ")
        writer.wait_taken()
        any_of_them = 'rule "*" { write_certificate = any }\n'
        self.assertRegex(self.write(any_of_them, stranger), "reloaded")
        reply = connection.put(target, b"x")
        self.assertEqual(reply.status, 403)
        self.assertIn(b"tls_client_ca", reply.body)
        writer.send_chunk(b"two")  # what has begun may end
        self.assertEqual(writer.end_put().status, 201)
        self.assertEqual(writer.put(target, b"x").status, 403)
        self.assertEqual(self.connect_as(stranger.issue("encoder", extension=CLIENT)).put(target, b"x").status, 204)
        self.assertRegex(self.write(any_of_them), "reloaded")
        self.assertEqual(connection.put(target, b"x").status, 204)

    def test_what_was_revoked_is_refused(self):
        rule = 'rule "*" { write_certificate = any }\n'
        good, bad = (AUTHORITY.issue("encoder", extension=CLIENT) for _ in range(2))
        self.assertRegex(self.write(rule), "reloaded")
        connections = [self.connect_as(client) for client in (good, bad)]
        for connection in connections:
            self.assertIn(connection.put(self.path("a"), b"x").status, (201, 204))
        both = join(AUTHORITY.file("with_crl.pem"), AUTHORITY.certificate, AUTHORITY.revocations(bad[0]))
        self.assertRegex(self.write(rule, file=both), "reloaded")
        self.assertEqual([connection.put(self.path("a"), b"x").status for connection in connections], [204, 403])
        self.assertEqual(self.connect_as(good).put(self.path("a"), b"x").status, 204)
        with self.assertRaisesRegex(ssl.SSLError, "(?i)revoked"):
            self.connect_as(bad).sock.recv(1)

    def test_who_is_vouched_for_by_what_was_revoked_is_refused(self):
        rule = 'rule "*" { write_certificate = any }\n'
        venues = [Authority(AUTHORITY, f"Venue {number}") for number in range(2)]
        for venue in venues:
            self.addCleanup(venue.remove)
        clients = [venue.issue("encoder", extension=CLIENT) for venue in venues]
        for venue, (certificate, _) in zip(venues, clients):
            join(certificate, venue.certificate)
        both = join(AUTHORITY.file("with_crls.pem"), AUTHORITY.certificate,
                    AUTHORITY.revocations(venues[1].certificate), *[venue.revocations() for venue in venues])
        self.assertRegex(self.write(rule, file=both), "reloaded")
        self.assertEqual(self.connect_as(clients[0]).put(self.path("a"), b"x").status, 201)
        with self.assertRaisesRegex(ssl.SSLError, "(?i)revoked"):
            self.connect_as(clients[1]).sock.recv(1)

    def test_who_was_not_asked_before_a_reload_is_sent_to_connect_again(self):
        self.assertRegex(self.write("", asks=False), "reloaded")
        client = AUTHORITY.issue("encoder", extension=CLIENT)
        connection = self.connect_as(client)
        self.assertEqual(connection.get(self.path("a")).status, 404)
        self.assertRegex(self.write('rule "*" { write_certificate = any }\n'), "reloaded")
        reply = connection.put(self.path("a"), b"x")
        self.assertEqual((reply.status, reply["Connection"]), (403, "close"))
        self.assertEqual(self.connect_as(client).put(self.path("a"), b"x").status, 201)

    def test_who_expires_may_not_go_on(self):
        self.assertRegex(self.write('rule "*" { write_certificate = any }\n'), "reloaded")
        seconds = 20 if SANITIZED else 3
        connection = self.connect_as(AUTHORITY.issue("encoder", extension=CLIENT, seconds=seconds))
        self.assertEqual(connection.put(self.path("a"), b"x").status, 201)
        wait_until(lambda: connection.put(self.path("a"), b"x").status == 403, "the certificate to expire")


class Tools(ByTls):
    def url(self, name):
        return f"https://localhost:{self.server.port}{self.path(name)}"

    def run_tool(self, *args, **options):
        run = subprocess.run(args, capture_output=True, check=False, timeout=120, **options)
        self.assertEqual(run.returncode, 0, run.stderr.decode(errors="replace"))
        return run.stdout

    def test_curl_sends_from_a_pipe_and_reads(self):
        body = pattern(1_234_567)
        curl = ("curl", "-sS", "-f", "--cacert", AUTHORITY.certificate)
        self.run_tool(*curl, "-T", "-", self.url("a"), input=body)
        self.assertEqual(self.run_tool(*curl, self.url("a")), body)
        self.assertEqual(self.run_tool(*curl, self.url("a"), self.url("a")), body * 2)

    def test_ffmpeg_pushes_a_playlist(self):
        self.run_tool("ffmpeg", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc=size=128x72:rate=10:duration=3",
                      "-c:v", "mpeg4", "-g", "10", "-f", "hls", "-hls_time", "1", "-hls_list_size", "0",
                      "-method", "PUT", "-http_persistent", "1", "-ca_file", AUTHORITY.certificate,
                      "-tls_verify", "1", self.url("index.m3u8"))
        # It leaves without waiting for the replies to its last requests.
        wait_until(lambda: b"index1.ts" in self.get(self.path("index.m3u8")).body, "the second segment")
        playlist = self.get(self.path("index.m3u8")).body.decode()
        segments = [line for line in playlist.splitlines() if line and not line.startswith("#")]
        self.assertGreaterEqual(len(segments), 2)
        for name in segments:
            self.assertEqual(self.get(self.path(name)).body[:1], b"G")  # MPEG-TS


class Settings(unittest.TestCase):
    def judge(self, **settings):
        """What -t says."""
        args = [item for key, value in settings.items() for item in ("-o", f"{key}={value}")]
        run = subprocess.run([SPILLWAY, "-t", "-c", "/dev/null", "-d", AUTHORITY.file("data"), *args],
                             capture_output=True, check=False, timeout=60)
        return run.returncode, (run.stdout + run.stderr).decode()

    def refused(self, reason, **settings):
        status, text = self.judge(listen_tls="127.0.0.1:0", **settings)
        self.assertEqual(status, 1, text)
        self.assertIn(reason, text)

    def test_good_files(self):
        both = AUTHORITY.file("both.pem")
        with open(both, "w", encoding="ascii") as out:
            for name in (CERTIFICATE, KEY):
                with open(name, encoding="ascii") as file:
                    out.write(file.read())
        for settings in ({"tls_certificate": CERTIFICATE, "tls_key": KEY}, {"tls_certificate": both},
                         {"tls_certificate": both, "tls_client_ca": AUTHORITY.certificate, "tls_min_version": "1.3"}):
            status, text = self.judge(listen_tls="127.0.0.1:0", **settings)
            self.assertEqual(status, 0, text)

    def test_bad_files_are_named_with_the_reason(self):
        encrypted, empty = AUTHORITY.file("encrypted.key"), AUTHORITY.file("empty.pem")
        openssl("pkey", "-in", KEY, "-aes128", "-passout", "pass:secret", "-out", encrypted)
        with open(empty, "w", encoding="ascii"):
            pass
        other = AUTHORITY.issue("other")[1]
        self.refused("listen_tls and tls_certificate need each other")
        self.refused(f"{encrypted}: the key is encrypted", tls_certificate=CERTIFICATE, tls_key=encrypted)
        self.refused(f"{other}: the key is not that of the certificate", tls_certificate=CERTIFICATE, tls_key=other)
        self.refused(f"{CERTIFICATE}: it has no private key", tls_certificate=CERTIFICATE)
        self.refused(f"{empty}: it has no certificate", tls_certificate=empty)
        self.refused("/nowhere: No such file", tls_certificate="/nowhere")
        self.refused("/nowhere: No such file", tls_certificate=CERTIFICATE, tls_key=KEY, tls_client_ca="/nowhere")

    def test_only_the_newest_version_may_be_spoken(self):
        server = TlsServer('tls_min_version = "1.3"\n')
        self.addCleanup(server.remove)
        server.start()
        with self.assertRaisesRegex(ssl.SSLError, "(?i)protocol.version"):
            server.connect(tls=AUTHORITY.context(version=ssl.TLSVersion.TLSv1_2))
        with server.connect() as client:
            self.assertEqual(client.get("/none").status, 404)


if __name__ == "__main__":
    main(600)
