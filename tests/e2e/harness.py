"""harness.py - a spillway of one's own, and tests that share it.

A test program imports this, derives its classes from Case and ends in main().
Each class gets one daemon with a data directory of its own, on free ports of the
loopback; it must end with status 0 and without a word from a sanitizer.
"""

import ctypes
import faulthandler
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest

from subject import PATIENCE, SANITIZED, SPILLWAY, pattern, wait_until
from wire import Client, Closed

__all__ = ["PATIENCE", "SANITIZED", "SPILLWAY", "Case", "Client", "Closed", "Server", "grow", "main", "pattern",
           "wait_until", "with_parent_dies"]

PR_SET_PDEATHSIG = 1
SANITIZER = re.compile(
    r"ERROR: AddressSanitizer|ERROR: LeakSanitizer|WARNING: ThreadSanitizer|runtime error:|check failed:"
)


def with_parent_dies():
    """Runs in the child: no daemon outlives a test that was killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Server:
    """One daemon on one data directory, which may be started again and again."""

    def __init__(self, config="", args=(), data=None):
        self.home = tempfile.mkdtemp(prefix="spillway-e2e-")
        self.data = data or os.path.join(self.home, "data")
        self.config = os.path.join(self.home, "spillway.conf")
        self.write_config(config)
        self.args = list(args)
        self.process = None
        self.log = []
        self.news = threading.Condition()
        self.port = self.admin = None

    def write_config(self, text):
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(text)

    def command(self):
        return [SPILLWAY, "-c", self.config, "-d", self.data,
                "-l", "127.0.0.1:0", "-a", "127.0.0.1:0", *self.args]

    def spawn(self):
        """Starts the daemon and does not wait for it to be ready."""
        self.log = []
        env = dict(os.environ, ASAN_OPTIONS="detect_leaks=1:abort_on_error=0",
                   UBSAN_OPTIONS="print_stacktrace=1")
        env.setdefault("TSAN_OPTIONS", "halt_on_error=0")
        self.process = self.popen(self.command(), env)
        self.reader = threading.Thread(target=self.read_log, args=(self.process.stderr,), daemon=True)
        self.reader.start()

    def popen(self, command, env, **options):
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, preexec_fn=with_parent_dies, env=env, **options)

    def read_log(self, pipe):
        for line in pipe:
            with self.news:
                self.log.append(line.decode("utf-8", "backslashreplace").rstrip("\n"))
                self.news.notify_all()
        with self.news:
            self.log.append(None)
            self.news.notify_all()

    def start(self):
        """Starts the daemon; returns the seconds until it said that it listens."""
        begin = time.monotonic()
        self.spawn()
        self.port = int(self.wait_log(r"(?<!admin )listening on \S+:(\d+)\s*$").group(1))
        took = time.monotonic() - begin
        self.admin = int(self.wait_log(r"admin listening on \S+:(\d+)\s*$").group(1))
        return took

    def wait_log(self, pattern, after=0):
        """The match of the first line, at or after number AFTER, that PATTERN is found in."""
        end = time.monotonic() + PATIENCE
        with self.news:
            while True:
                for line in self.log[after:]:
                    match = line is not None and re.search(pattern, line)
                    if match:
                        return match
                left = end - time.monotonic()
                if left <= 0 or None in self.log:
                    raise AssertionError(f"the log never said {pattern!r}:\n{self.log_text()}")
                self.news.wait(left)

    def reload(self):
        """SIGHUP; returns what the log said up to the end of the reload."""
        seen = len(self.log)
        self.process.send_signal(signal.SIGHUP)
        self.wait_log(r"reloaded file=|reload refused", seen)
        return "\n".join(self.log[seen:])

    def log_text(self):
        return "\n".join(line for line in self.log if line is not None)

    def wait_exit(self):
        """The exit status; the whole log is there afterwards."""
        try:
            status = self.process.wait(PATIENCE * 2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the daemon did not end:\n{self.log_text()}") from None
        self.reader.join(PATIENCE)
        self.process.stderr.close()
        self.process = None
        report = SANITIZER.search(self.log_text())
        if report:
            raise AssertionError("the daemon reported a fault of its own:\n" + self.log_text())
        return status

    def stop(self):
        """SIGTERM; the daemon must end with status 0."""
        self.process.send_signal(signal.SIGTERM)
        status = self.wait_exit()
        if status != 0:
            raise AssertionError(f"SIGTERM ended the daemon with {status}:\n{self.log_text()}")

    def kill(self):
        """SIGKILL, as a crash."""
        self.process.kill()
        self.wait_exit()

    def remove(self):
        """Stops what runs and leaves nothing behind."""
        try:
            if self.process:
                self.stop()
        finally:
            if self.process:
                self.process.kill()
                self.process.wait()
                self.process = None
            shutil.rmtree(self.home, ignore_errors=True)

    def connect(self, **options):
        return Client(self.port, **options)

    def connect_admin(self):
        return Client(self.admin)

    def metrics(self):
        """What /metrics says, by name and labels."""
        with self.connect_admin() as admin:
            text = admin.get("/metrics").body.decode()
        return {name: float(value) for name, value in
                (line.rsplit(" ", 1) for line in text.splitlines() if line[:1] not in ("", "#"))}

    def rss_anon(self):
        """The daemon's own memory in bytes, without mapped files."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return int(re.search(r"RssAnon:\s+(\d+) kB", status.read()).group(1)) * 1024


class Case(unittest.TestCase):
    """A class of tests that share one daemon. CONFIG and ARGS are for that daemon."""

    CONFIG = ""
    ARGS = ()
    maxDiff = 2000

    @classmethod
    def setUpClass(cls):
        cls.server = Server(cls.CONFIG, cls.ARGS)
        try:
            cls.server.start()
        except BaseException:
            cls.server.remove()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.server.remove()

    def path(self, name):
        """A path that no other test uses."""
        return f"/{self._testMethodName}/{name}"

    def connect(self, **options):
        client = self.server.connect(**options)
        self.addCleanup(client.close)
        return client

    def connect_admin(self):
        client = self.server.connect_admin()
        self.addCleanup(client.close)
        return client

    def put(self, target, body, *headers):
        """An upload on a connection of its own, which must succeed."""
        with self.server.connect() as client:
            reply = client.put(target, body, *headers)
        self.assertIn(reply.status, (201, 204), reply)
        return reply

    def get(self, target, *headers):
        with self.server.connect() as client:
            return client.get(target, *headers)

    def follow(self, target, *headers):
        """A reader of a growing object, behind its reply's head."""
        reader = self.connect()
        reader.send_head("GET", target, *headers)
        head = reader.read_head()
        self.assertEqual(head.status, 200, head)
        self.assertTrue(head.chunked, head)
        return reader

    def writer(self, target, *parts, headers=(), visible=True):
        """An upload under way whose PARTS the daemon has read; VISIBLE: readers can find it."""
        client = self.connect()
        client.begin_put(target, *headers)
        for part in parts:
            client.send_chunk(part)
        client.wait_taken()
        if visible:
            with self.server.connect() as asker:
                wait_until(lambda: asker.request("HEAD", target).status == 200, target + " to exist")
        return client

    def list_text(self, prefix="/"):
        with self.server.connect() as client:
            reply = client.request("LIST", prefix)
        self.assertEqual(reply.status, 200, reply)
        return reply.body.decode("utf-8", "surrogateescape").split("\n")[:-1]

    def list_json(self, prefix="/"):
        with self.server.connect() as client:
            reply = client.request("LIST", prefix, "Accept: application/x-ndjson")
        self.assertEqual(reply.status, 200, reply)
        return [json.loads(line) for line in reply.body.decode().splitlines()]

    def assert_serves(self):
        """A request on another connection is served."""
        with self.server.connect() as client:
            self.assertIn(client.put("/assert/serves", b"well").status, (201, 204))
            self.assertEqual(client.get("/assert/serves").body, b"well")


def grow(writer, reader, target, first):
    """WRITER begins an upload to TARGET with FIRST and goes on when it likes; READER follows it, and has FIRST."""
    writer.begin_put(target)
    writer.send_chunk(first)
    wait_until(lambda: reader.request("HEAD", target).status == 200, target + " to exist")
    reader.send_head("GET", target)
    head, part = reader.read_head(), reader.read_part(len(first))
    if (head.status, part) != (200, first):
        raise AssertionError(f"{target}: {head}, {part!r}")


def main(limit_seconds=300):
    """Runs the tests of the calling program; it ends, whatever happens."""
    faulthandler.dump_traceback_later(limit_seconds * (4 if SANITIZED else 1), exit=True)
    unittest.main(module="__main__", verbosity=2)
