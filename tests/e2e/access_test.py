#!/usr/bin/env python3
"""Who may read, write, delete and list: addresses, passwords, tokens."""

import base64
import ctypes
import hashlib
import json
import os
import select
import signal
import subprocess
import threading
import time
import unittest

from harness import PATIENCE, SPILLWAY, Case, Server, main, wait_until, with_parent_dies

PASSWORD = "correct horse battery staple"
TOKEN = "a-long-random-token-that-nobody-guesses"
CHEAP = "$2b$04$abcdefghijklmnopqrstuu"
SLOW = "$2b$12$abcdefghijklmnopqrstuu"  # some 250 ms


def crypt(password, setting):
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    return library.crypt(password.encode(), setting.encode()).decode()


def basic(user, password):
    return "Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


ANN = basic("ann", PASSWORD)
BOB = basic("bob", PASSWORD)
WRONG = basic("ann", "wrong")
BEARER = f"Authorization: Bearer {TOKEN}"


class AccessCase(Case):
    """RULES are the configuration behind the two files."""

    RULES = ""

    @classmethod
    def setUpClass(cls):
        cls.server = Server("", cls.ARGS)
        cls.write_secrets()
        cls.server.write_config(cls.files() + cls.RULES)
        try:
            cls.server.start()
        except BaseException:
            cls.server.remove()
            raise

    @classmethod
    def tearDownClass(cls):
        log = cls.server
        super().tearDownClass()
        for secret in (PASSWORD, TOKEN, ANN.split()[-1]):
            assert secret not in log.log_text(), "a secret is in the log"

    @classmethod
    def files(cls):
        home = cls.server.home
        return f'user_file = "{home}/users"\ntoken_file = "{home}/tokens"\n'

    @classmethod
    def write_secrets(cls, users=("ann", "bob"), password=PASSWORD, token=TOKEN):
        with open(cls.server.home + "/users", "w", encoding="ascii") as file:
            file.write("# users\n")
            for user in users:
                file.write(f"{user}:{crypt(password, CHEAP)}\n")
        with open(cls.server.home + "/tokens", "w", encoding="ascii") as file:
            file.write(f"ci:{hashlib.sha256(token.encode()).hexdigest()}\n")

    def ask(self, method, target, *headers, body=None):
        with self.server.connect() as client:
            reply = client.request(method, target, *headers, body=body)
        for secret in (PASSWORD.encode(), TOKEN.encode(), ANN.split()[-1].encode()):
            self.assertNotIn(secret, reply.body)
            self.assertNotIn(secret, repr(reply.headers).encode())
        return reply

    def status(self, method, target, *headers, body=None):
        return self.ask(method, target, *headers, body=body).status

    def checks(self):
        return self.server.metrics()["spillway_password_checks_total"]


class Credentials(AccessCase):
    RULES = """
rule "/w/*"       { write_user = any }
rule "/ann/*"     { write_user = ann  delete_user = {ann, bob} }
rule "/t/*"       { write_token = any }
rule "/both/*"    { write_user = ann  write_token = ci }
rule "/r/*"       { read_user = any }
rule "/shared/*"  { read_user = any  cache_control = "public, max-age=9" }
rule "/rt/*"      { read_token = ci }
rule "/l/*"       { list_user = any }
rule "/nobody/*"  { write_from = none }
rule "/ten/*"     { read_from = "10.0.0.0/8"  write_from = {"10.0.0.0/8", loopback} }
rule "/ten/all/*" { read_from = any }
rule "/strict/*"  { write_from = "10.0.0.0/8"  write_user = any }
rule "/w/free/*"  { write_user = off }
"""

    def test_without_rules_one_machine_notices_nothing(self):
        target = self.path("x")
        self.assertEqual(self.status("PUT", target, body=b"x"), 201)
        self.assertEqual(self.ask("GET", target).body, b"x")
        self.assertEqual(self.status("LIST", target), 200)
        self.assertEqual(self.status("DELETE", target), 204)

    def test_a_write_needs_its_user(self):
        for method in ("PUT", "POST"):
            reply = self.ask(method, "/w/x", body=b"x")
            self.assertEqual(reply.status, 401)
            self.assertRegex(reply["WWW-Authenticate"], r'^Basic realm="spillway"')
            self.assertNotIn("Bearer", reply["WWW-Authenticate"])
            self.assertEqual(reply.body.count(b"\n"), 1)
            self.assertIn(self.status(method, "/w/x", ANN, body=b"x"), (201, 204))
            self.assertEqual(self.status(method, "/w/x", WRONG, body=b"x"), 401)
            self.assertEqual(self.status(method, "/w/x", basic("eve", PASSWORD), body=b"x"), 401)
            self.assertEqual(self.status(method, "/w/x", BEARER, body=b"x"), 401)
        self.assertEqual(self.ask("GET", "/w/x").body, b"x")

    def test_who_may_write_may_delete(self):
        self.status("PUT", "/w/d", ANN, body=b"x")
        self.assertEqual(self.status("DELETE", "/w/d"), 401)
        self.assertEqual(self.status("GET", "/w/d"), 200)
        self.assertEqual(self.status("DELETE", "/w/d", BOB), 204)

    def test_a_user_who_is_not_named_is_refused_for_good(self):
        self.assertEqual(self.status("PUT", "/ann/x", ANN, body=b"x"), 201)
        reply = self.ask("PUT", "/ann/x", BOB, body=b"x")
        self.assertEqual((reply.status, reply["WWW-Authenticate"]), (403, None))
        self.assertEqual(self.status("PUT", "/ann/x", basic("bob", "wrong"), body=b"x"), 401)
        self.assertEqual(self.status("DELETE", "/ann/x", BOB), 204)

    def test_tokens(self):
        reply = self.ask("PUT", "/t/x", body=b"x")
        self.assertEqual((reply.status, reply["WWW-Authenticate"]), (401, 'Bearer realm="spillway"'))
        self.assertEqual(self.status("PUT", "/t/x", BEARER, body=b"x"), 201)
        self.assertEqual(self.status("PUT", "/t/x", BEARER[:-1], body=b"x"), 401)
        self.assertEqual(self.status("PUT", "/t/x", BEARER + "x", body=b"x"), 401)
        digest = hashlib.sha256(TOKEN.encode()).hexdigest()
        self.assertEqual(self.status("PUT", "/t/x", f"Authorization: Bearer {digest}", body=b"x"), 401)
        self.assertEqual(self.status("PUT", "/t/x", ANN, body=b"x"), 401)

    def test_one_of_several_kinds_is_enough(self):
        reply = self.ask("PUT", "/both/x", body=b"x")
        self.assertEqual(reply.status, 401)
        self.assertRegex(reply["WWW-Authenticate"], "Basic .*, Bearer ")
        self.assertEqual(self.status("PUT", "/both/x", ANN, body=b"x"), 201)
        self.assertEqual(self.status("PUT", "/both/x", BEARER, body=b"x"), 204)

    def test_addresses(self):
        self.assertEqual(self.status("PUT", "/ten/x", body=b"x"), 201)
        reply = self.ask("GET", "/ten/x")
        self.assertEqual(reply.status, 403)
        self.assertIn(b"read_from", reply.body)
        self.assertEqual(self.status("GET", "/ten/all/x"), 404)  # the last rule wins per key
        self.assertEqual(self.status("PUT", "/ten/all/x", body=b"x"), 201)
        self.assertEqual(self.status("PUT", "/nobody/x", body=b"x"), 403)
        self.assertEqual(self.status("DELETE", "/nobody/x"), 403)

    def test_credentials_do_not_help_at_the_wrong_address(self):
        for headers in ((), (ANN,), (WRONG,)):
            reply = self.ask("PUT", "/strict/x", *headers, body=b"x")
            self.assertEqual((reply.status, reply["WWW-Authenticate"]), (403, None))

    def test_off_takes_back_what_an_earlier_rule_asks(self):
        self.assertEqual(self.status("PUT", "/w/free/x", body=b"x"), 201)

    def test_lists(self):
        self.assertEqual(self.status("LIST", "/l/"), 401)
        self.assertEqual(self.status("LIST", "/l/", ANN), 200)

    def test_reads(self):
        self.put("/r/x.m4s", b"bytes")
        for method in ("GET", "HEAD"):
            with self.server.connect() as client:  # one connection: the second reply is a direct one
                self.assertEqual(client.request(method, "/ten/all/none").status, 404)
                self.assertEqual(client.request(method, "/r/x.m4s").status, 401)
                self.assertEqual(client.request(method, "/r/x.m4s", ANN).status, 200)
                self.assertEqual(client.request(method, "/r/x.m4s", ANN).status, 200)
                self.assertEqual(client.request(method, "/r/x.m4s", WRONG).status, 401)
                self.assertEqual(client.request(method, "/r/x.m4s").status, 401)
                self.assertEqual(client.request(method, "/r/none", ANN).status, 404)
        self.assertEqual(self.ask("GET", "/r/x.m4s", ANN).body, b"bytes")

    def test_what_needs_credentials_is_for_no_shared_cache(self):
        for target in ("/r/c.m4s", "/rt/c.m4s", "/shared/c.m4s", "/open/c.m4s"):
            self.put(target, b"bytes")
        self.assertRegex(self.ask("GET", "/r/c.m4s", ANN)["Cache-Control"], "^private, max-age=")
        self.assertRegex(self.ask("GET", "/rt/c.m4s", BEARER)["Cache-Control"], "^private, ")
        self.assertEqual(self.ask("GET", "/shared/c.m4s", ANN)["Cache-Control"], "public, max-age=9")
        self.assertNotIn("private", self.ask("GET", "/open/c.m4s", ANN)["Cache-Control"])
        self.assertEqual(self.ask("GET", "/r/c.m4s")["Cache-Control"], "no-store")
        writer = self.writer("/r/grows.m4s", b"part", visible=False)
        wait_until(lambda: self.status("HEAD", "/r/grows.m4s", ANN) == 200, "the object")
        self.assertRegex(self.ask("HEAD", "/r/grows.m4s", ANN)["Cache-Control"], "^private, ")
        writer.end_put()

    def test_a_preflight_needs_nothing(self):
        reply = self.ask("OPTIONS", "/r/x", "Origin: http://x", "Access-Control-Request-Method: GET")
        self.assertEqual(reply.status, 204)
        self.assertIn("Authorization", reply["Access-Control-Allow-Headers"])

    def test_a_refusal_can_be_read_by_a_page(self):
        self.assertEqual(self.ask("GET", "/r/x")["Access-Control-Allow-Origin"], "*")

    def test_what_is_malformed_is_a_wrong_password(self):
        for value in ("Basic", "Basic !!!!", "Basic YTpi=", "Basic YQ==", "Bearer", "Digest x=y",
                      "Basic " + "YWFh" * 3000, "Basic " + base64.b64encode(b"ann\0:x").decode(),
                      "Bearer " + "x" * 12000):
            with self.subTest(value[:20]):
                self.assertEqual(self.status("PUT", "/both/y", f"Authorization: {value}", body=b"x"), 401)
        self.assertEqual(self.status("PUT", "/w/y", ANN, ANN, body=b"x"), 401)
        self.assertEqual(self.status("PUT", "/w/y", "Authorization: Basic " + "Y" * 20000, body=b"x"), 431)

    def test_a_password_costs_crypt_once(self):
        self.status("GET", "/r/x", BOB)
        before = self.checks()
        for _ in range(10):
            self.assertEqual(self.status("PUT", "/w/once", BOB, body=b"x") // 100, 2)
        self.assertEqual(self.checks(), before)
        other = basic("bob", "some other guess")
        for _ in range(3):
            self.assertEqual(self.status("PUT", "/w/once", other, body=b"x"), 401)
        self.assertEqual(self.checks(), before + 1)

    def test_expect_is_answered_401_early_and_then_100(self):
        for headers in ((), (basic("ann", "not checked before"),)):
            client = self.connect()
            client.send_head("PUT", "/w/e", "Expect: 100-continue", "Transfer-Encoding: chunked", *headers)
            self.assertEqual(client.read_head().status, 401)
        client = self.connect()
        client.send_head("PUT", "/w/e", "Expect: 100-continue", "Transfer-Encoding: chunked",
                         basic("ann", PASSWORD))
        self.assertEqual(client.read_head().status, 100)
        client.send_chunk(b"bytes")
        self.assertEqual(client.end_put().status, 201)

    def test_a_refused_body_does_not_end_the_connection(self):
        client = self.connect()
        client.begin_put("/w/k")
        client.send_chunk(bytes(100000))
        self.assertEqual(client.end_put().status, 401)
        self.assertEqual(client.put("/w/k", b"bytes", ANN).status, 201)

    def test_who_leaves_during_the_check_harms_nobody(self):
        for number in range(20):
            with self.server.connect() as client:
                client.send_head("GET", "/r/x", basic("ann", f"guess {number}"))
        self.assert_serves()


class Clients(AccessCase):
    RULES = 'rule "/live/*" { write_user = ann  write_token = ci }\n'

    def url(self, path, user=""):
        return f"http://{user}127.0.0.1:{self.server.port}{path}"

    def test_curl(self):
        for who, code in ((("-u", f"ann:{PASSWORD}"), b"201"), (("-u", "ann:no"), b"401"),
                          (("-H", BEARER), b"204"), ((), b"401")):
            done = subprocess.run(
                ["curl", "-s", "-o", os.devnull, "-w", "%{http_code}", *who, "-T", "-", self.url("/live/c")],
                input=bytes(2_000_000), capture_output=True, timeout=PATIENCE * 2, check=False)
            self.assertEqual(done.stdout, code, done)
        self.assertEqual(len(self.ask("GET", "/live/c").body), 2_000_000)

    def test_ffmpeg(self):
        """It asks first without credentials and Expect, and again with them."""
        user = f"ann:{PASSWORD.replace(' ', '%20')}@"
        done = subprocess.run(
            ["ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=64x64:rate=10",
             "-t", "2", "-f", "mpegts", "-method", "PUT", self.url("/live/f.ts", user)],
            capture_output=True, timeout=PATIENCE * 2, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        body = self.ask("GET", "/live/f.ts").body
        self.assertGreater(len(body), 188)
        self.assertEqual((len(body) % 188, body[:1]), (0, b"G"))

    def test_ffmpeg_hls(self):
        user = f"ann:{PASSWORD.replace(' ', '%20')}@"
        done = subprocess.run(
            ["ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=64x64:rate=10",
             "-t", "3", "-g", "10", "-f", "hls", "-hls_time", "1", "-hls_list_size", "2", "-method", "PUT",
             "-hls_flags", "delete_segments", self.url("/live/h/i.m3u8", user)],
            capture_output=True, timeout=PATIENCE * 2, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        playlist = self.ask("GET", "/live/h/i.m3u8").body.decode()
        names = [line for line in playlist.splitlines() if line.endswith(".ts")]
        self.assertGreater(len(names), 0)
        for name in names:
            self.assertEqual(self.status("GET", "/live/h/" + os.path.basename(name)), 200)


class Reload(AccessCase):
    RULES = 'rule "*" { write_user = any  write_token = any }\n'

    def test_other_secrets_hold_after_a_reload_and_uploads_go_on(self):
        self.assertEqual(self.status("PUT", "/x", ANN, body=b"x"), 201)
        writer = self.writer("/in/flight", b"one ", headers=(ANN,))
        self.write_secrets(users=("bob",), password="new", token="new")
        self.assertEqual(self.status("PUT", "/x", ANN, body=b"x"), 204)  # not yet
        self.server.reload()
        self.assertEqual(self.status("PUT", "/x", ANN, body=b"x"), 401)
        self.assertEqual(self.status("PUT", "/x", BOB, body=b"x"), 401)
        self.assertEqual(self.status("PUT", "/x", BEARER, body=b"x"), 401)
        self.assertEqual(self.status("PUT", "/x", basic("bob", "new"), body=b"x"), 204)
        self.assertEqual(self.status("PUT", "/x", "Authorization: Bearer new", body=b"x"), 204)
        writer.send_chunk(b"two")
        self.assertEqual(writer.end_put().status, 201)
        self.assertEqual(self.ask("GET", "/in/flight").body, b"one two")
        self.write_secrets()
        with open(self.server.home + "/users", "a", encoding="ascii") as file:
            file.write("broken\n")
        self.assertRegex(self.server.reload(), r"refused.*users:4: ")
        self.assertEqual(self.status("PUT", "/x", basic("bob", "new"), body=b"x"), 204)
        self.write_secrets()
        self.server.reload()
        self.assertEqual(self.status("PUT", "/x", ANN, body=b"x"), 204)


class Log(AccessCase):
    RULES = 'rule "/w/*" { write_user = ann  write_token = ci }\nrule "/r/*" { read_user = any }\n'

    @classmethod
    def files(cls):
        cls.log = cls.server.home + "/access.log"
        return super().files() + f'access_log = "{cls.log}"\naccess_log_format = json\n'

    def test_the_access_log_names_who_was_shown_to_ask(self):
        wrong_name = basic("eve\xff", PASSWORD)
        for method, target, headers, status, user in (
                ("PUT", "/w/x", (ANN,), 201, "ann"),      # checked first
                ("PUT", "/w/x", (ANN,), 204, "ann"),      # known
                ("PUT", "/w/x", (BEARER,), 204, "ci"),
                ("PUT", "/w/x", (BOB,), 403, "bob"),      # known, and may not
                ("PUT", "/w/x", (WRONG,), 401, "-"),
                ("PUT", "/w/x", (wrong_name,), 401, "-"),
                ("PUT", "/w/x", (BEARER + "x",), 401, "-"),
                ("PUT", "/w/x", (), 401, "-"),
                ("GET", "/w/x", (ANN,), 200, "-"),        # nobody asked
                ("GET", "/r/x", (BOB,), 404, "bob")):
            self.assertEqual(self.status(method, target, *headers, body=b"x" if method == "PUT" else None), status)
        with self.server.connect() as client:  # one connection: nobody inherits a name
            for header in (BOB, "X: y", BOB):
                client.get("/r/y", header)
        wait_until(lambda: len(self.lines()) >= 13, "13 lines")
        # Each worker writes in its own order.
        self.assertEqual(sorted((line["method"], line["status"], line["user"]) for line in self.lines()), sorted([
            ("PUT", 201, "ann"), ("PUT", 204, "ann"), ("PUT", 204, "ci"), ("PUT", 403, "bob"), ("PUT", 401, "-"),
            ("PUT", 401, "-"), ("PUT", 401, "-"), ("PUT", 401, "-"), ("GET", 200, "-"), ("GET", 404, "bob"),
            ("GET", 404, "bob"), ("GET", 401, "-"), ("GET", 404, "bob")]))
        with open(self.log, encoding="ascii") as file:
            text = file.read()
        for secret in (PASSWORD, TOKEN, ANN.split()[-1], "eve", hashlib.sha256(TOKEN.encode()).hexdigest()):
            self.assertNotIn(secret, text)

    def lines(self):
        with open(self.log, encoding="ascii") as file:
            return [json.loads(line) for line in file.read().splitlines()]


class Admin(AccessCase):
    RULES = "admin_user = ann\nadmin_token = ci\nadmin_from = {loopback}\n"

    def test_the_admin_listener_asks_too(self):
        with self.server.connect_admin() as admin:
            for target in ("/metrics", "/healthz", "/list?prefix=/", "/nothing"):
                self.assertEqual(admin.get(target).status, 401)
            self.assertEqual(admin.request("DELETE", "/list?prefix=/x").status, 401)
            self.assertEqual(admin.get("/metrics", ANN).status, 200)
            self.assertEqual(admin.get("/metrics", BEARER).status, 200)
            self.assertEqual(admin.get("/metrics", BOB).status, 403)
            self.assertEqual(admin.request("DELETE", "/list?prefix=/x", ANN).status, 200)
        self.assertEqual(self.status("PUT", "/y", body=b"x"), 201)


class Guesses(AccessCase):
    RULES = 'drain_timeout = 500ms\nrule "/g/*" { write_user = any }\n'
    ARGS = ("-w", "1")

    @classmethod
    def write_secrets(cls, users=("ann",), password=PASSWORD, token=TOKEN):
        with open(cls.server.home + "/users", "w", encoding="ascii") as file:
            file.write(f"ann:{crypt(password, SLOW)}\n")
        with open(cls.server.home + "/tokens", "w", encoding="ascii"):
            pass

    def test_a_flood_of_guesses_is_bounded_and_others_are_served(self):
        self.assertEqual(self.status("PUT", "/g/x", ANN, body=b"x"), 201)
        guessers = [self.connect() for _ in range(400)]
        for number, client in enumerate(guessers):
            client.send_head("PUT", "/g/x", basic("ann", f"guess {number}"), "Content-Length: 0")
        wait = select.poll()
        for client in guessers:
            wait.register(client.sock, select.POLLIN)
        clients = {client.sock.fileno(): client for client in guessers}
        statuses = []

        def have_503():
            for descriptor, _ in wait.poll(0):
                wait.unregister(descriptor)
                statuses.append(clients[descriptor].read_reply("PUT").status)
            return 503 in statuses
        wait_until(have_503, "a guess too many to be refused")
        self.assertLessEqual(set(statuses), {401, 503})
        self.put("/open", b"served meanwhile")
        self.assertEqual(self.get("/open").body, b"served meanwhile")
        self.assertEqual(self.status("PUT", "/g/x", ANN, body=b"x"), 204)  # known
        # A stop does not make the checks that nobody waits for any more.
        begin = time.monotonic()
        self.server.stop()
        self.assertLess(time.monotonic() - begin, 15)


class Mistakes(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.remove)

    def refuse(self, text, *words):
        self.server.write_config(text)
        done = subprocess.run([SPILLWAY, "-t", "-c", self.server.config, "-d", self.server.data],
                              capture_output=True, text=True, timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, 1, text)
        for word in words:
            self.assertIn(word, done.stderr)
        self.server.spawn()  # a start says the same
        self.assertNotEqual(self.server.wait_exit(), 0)
        for word in words:
            self.assertIn(word, self.server.log_text())

    def write(self, name, text):
        with open(f"{self.server.home}/{name}", "w", encoding="ascii") as file:
            file.write(text)
        return f"{self.server.home}/{name}"

    def test_each_is_named_with_file_line_and_reason(self):
        users = self.write("users", f"ann:{crypt('x', CHEAP)}\n")
        bad = self.write("bad", "# hello\nann:plaintext\n")
        conf = self.server.config
        for text, *words in (
                ('\nrule "/*" { write_from = "10.0.0.0/99" }\n', f"{conf}:2:", "10.0.0.0/99"),
                ('rule "/*" { write_from = "10.0.0.1/8" }\n', f"{conf}:1:", "bits behind"),
                ('rule "/*" { write_from = "example.com" }\n', f"{conf}:1:", "example.com"),
                ('rule "/*" { write_from = {} }\n', "empty list"),
                ('\n\nrule "/*" {\n write_user = bob\n}\n' + f'user_file = "{users}"\n',
                 f"{conf}:4:", "'bob' is not in", users),
                ('rule "/*" { write_user = any }\n', f"{conf}:1:", "no user_file"),
                ('rule "/*" { read_token = any }\n', f"{conf}:1:", "no token_file"),
                (f'user_file = "{users}"\nrule "/*" {{ read_user = {{ann, off}} }}\n', f"{conf}:2:", "alone"),
                ('rule "/*" { write_certificate = any }\n', f"{conf}:1: write_certificate:", "no tls_client_ca"),
                (f'tls_client_ca = "{users}"\nrule "/*" {{ list_certificate = e1 }}\n', f"{conf}:2:", "no listen_tls"),
                ('rule "/*" { read_certificate = {off, any} }\n', f"{conf}:1:", "alone"),
                ('rule "/*" { delete_certificate = "" }\n', f"{conf}:1:", "not a name in a certificate"),
                ('admin_certificate = any\n', f"{conf}:1:", "admin_certificate"),
                (f'user_file = "{users}"\nadmin_user = eve\n', f"{conf}:2:", "'eve' is not in"),
                ('user_file = "/nonexistent/users"\n', "/nonexistent/users: No such file"),
                (f'user_file = "{bad}"\n', f"{bad}:2:", "hash"),
                (f'token_file = "{users}"\n', f"{users}:1:", "SHA-256")):
            with self.subTest(text):
                self.refuse(text, *words)
                self.assertNotIn("plaintext", self.server.log_text())


NAMESPACE = """
ip link set lo up && ip addr add 192.0.2.7/32 dev lo && ip -6 addr add 2001:db8::7/128 dev lo nodad && exec "$@"
"""


def namespaces_work():
    return subprocess.run(["unshare", "-r", "-n", "sh", "-c", NAMESPACE, "sh", "true"],
                          capture_output=True, check=False).returncode == 0


@unittest.skipUnless(namespaces_work(), "no network namespaces here, or no ip(8)")
class Elsewhere(unittest.TestCase):
    """Clients from 192.0.2.7 and 2001:db8::7, in a network namespace of the test's own."""

    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.remove)
        self.addCleanup(self.leave)

    def enter(self, config=""):
        self.server.write_config(config)
        command = [SPILLWAY, "-c", self.server.config, "-d", self.server.data, "-w", "1",
                   "-l", "0.0.0.0:3000", "-l", "[::]:3000", "-a", "0.0.0.0:3001"]
        self.process = subprocess.Popen(
            ["unshare", "-r", "-n", "sh", "-c", NAMESPACE, "sh", *command],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            preexec_fn=with_parent_dies)
        self.server.log = []
        self.reader = threading.Thread(target=self.server.read_log, args=(self.process.stderr,))
        self.reader.start()
        self.server.wait_log("admin listening on")

    def leave(self):
        self.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.process.wait(PATIENCE), 0, self.server.log_text())
        self.reader.join(PATIENCE)
        self.process.stderr.close()

    def curl(self, host, *args):
        """The status and the body of a request from HOST to itself."""
        done = subprocess.run(
            ["nsenter", "-t", str(self.process.pid), "-U", "-n", "--preserve-credentials", "curl", "-s", "-g",
             "-w", "\n%{http_code}", *args[:-1], f"http://{host}{args[-1]}"],
            capture_output=True, text=True, timeout=PATIENCE, check=False)
        body, _, code = done.stdout.rpartition("\n")
        return int(code), body

    def test_only_this_machine_changes_and_lists_until_a_rule_says_otherwise(self):
        self.enter()
        put = ("-X", "PUT", "-d", "bytes")
        for host in ("127.0.0.1:3000", "[::1]:3000"):
            self.assertIn(self.curl(host, *put, "/x")[0], (201, 204))
            self.assertEqual(self.curl(host, "-X", "LIST", "/")[0], 200)
        for host in ("192.0.2.7:3000", "[2001:db8::7]:3000"):
            self.assertEqual(self.curl(host, "/x"), (200, "bytes"))
            for args, key in (((*put, "/x"), "write_from"), (("-X", "POST", "-d", "y", "/y"), "write_from"),
                              (("-X", "DELETE", "/x"), "delete_from"), (("-X", "LIST", "/"), "list_from")):
                code, body = self.curl(host, *args)
                self.assertEqual(code, 403)
                self.assertIn(key, body)
                self.assertEqual(body.count("\n"), 1)
            self.assertEqual(self.curl(host, "-X", "OPTIONS", "/x")[0], 204)
        self.assertEqual(self.curl("192.0.2.7:3001", "/healthz")[0], 200)  # as the operator bound it

    def test_a_rule_opens_it_for_an_address(self):
        self.enter('admin_from = loopback\n'
                   'rule "/four/*" { write_from = "192.0.2.0/24"  list_from = any }\n'
                   'rule "/six/*" { write_from = "2001:db8::/32" }\n')
        four, six = "192.0.2.7:3000", "[2001:db8::7]:3000"
        put = ("-X", "PUT", "-d", "bytes")
        self.assertEqual(self.curl(four, *put, "/four/x")[0], 201)
        self.assertEqual(self.curl(six, *put, "/four/x")[0], 403)
        self.assertEqual(self.curl(six, *put, "/six/x")[0], 201)
        self.assertEqual(self.curl(four, *put, "/six/x")[0], 403)
        self.assertEqual(self.curl("127.0.0.1:3000", *put, "/six/x")[0], 403)
        self.assertEqual(self.curl(six, "-X", "LIST", "/four/")[0], 200)
        self.assertEqual(self.curl(six, "-X", "LIST", "/six/")[0], 403)
        self.assertEqual(self.curl(four, "-X", "DELETE", "/four/x")[0], 204)
        code, body = self.curl("192.0.2.7:3001", "/healthz")
        self.assertEqual((code, "admin_from" in body), (403, True))
        self.assertEqual(self.curl("127.0.0.1:3001", "/healthz")[0], 200)


if __name__ == "__main__":
    main()
