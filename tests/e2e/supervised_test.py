#!/usr/bin/env python3
"""Under a supervisor: inherited sockets, signs of life, a stop that waits for what is under way."""

import contextlib
import ctypes
import errno
import os
import signal
import unittest

from harness import SANITIZED, Closed, grow, main
from supervised import Supervised

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WALL = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def thread_called(pid, name):
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/comm", encoding="ascii") as comm:
            if comm.read().strip() == name:
                return int(tid)
    raise AssertionError(f"no thread is called {name}")


@contextlib.contextmanager
def frozen(tid):
    """One thread stands still; the others of its process run on."""
    if libc.ptrace(PTRACE_SEIZE, tid, None, None) != 0:
        if ctypes.get_errno() == errno.EPERM:
            raise unittest.SkipTest("ptrace is not allowed here")
        raise OSError(ctypes.get_errno(), "ptrace")
    libc.ptrace(PTRACE_INTERRUPT, tid, None, None)
    os.waitpid(tid, WALL)
    try:
        yield
    finally:
        libc.ptrace(PTRACE_DETACH, tid, None, None)


class Restart(unittest.TestCase):
    def setUp(self):
        self.server = Supervised("drain_timeout = 20s\n")
        self.addCleanup(self.server.remove)
        self.server.start()

    def connect(self):
        client = self.server.connect()
        self.addCleanup(client.close)
        return client

    def grow(self):
        """An upload to /live, and a reader who has the first of it."""
        writer, reader = self.connect(), self.connect()
        grow(writer, reader, "/live", b"first ")
        return writer, reader

    def begin_stop(self):
        self.server.process.send_signal(signal.SIGTERM)
        self.server.wait_log("notice stopping")

    def test_inherited_sockets_are_served_instead_of_what_is_configured(self):
        self.assertEqual(self.server.port, self.server.sockets["media"].getsockname()[1])
        self.assertEqual(self.server.admin, self.server.sockets["admin"].getsockname()[1])
        self.server.hear("READY=1")
        self.assertEqual(self.connect().put("/a", b"a").status, 201)
        with self.server.connect_admin() as admin:
            self.assertEqual(admin.get("/readyz").status, 200)
            self.assertIn(b"/a", admin.get("/list?prefix=/").body)
        with self.server.connect() as client:
            self.assertEqual(client.get("/readyz").status, 404)

    def test_workers_share_one_socket(self):
        clients = [self.connect() for _ in range(64)]
        for number, client in enumerate(clients):
            client.send_head("PUT", f"/many/{number}", "Content-Length: 1")
        for client in clients:
            client.send(b"x")
        for client in clients:
            self.assertEqual(client.read_reply("PUT").status, 201)

    def test_who_connects_during_a_restart_is_answered(self):
        self.connect().put("/a", b"before")
        self.server.stop()
        clients = [self.connect() for _ in range(20)]
        for client in clients[:10]:
            client.send_head("GET", "/a")
        self.server.start()
        for client in clients[10:]:
            client.send_head("GET", "/a")
        for client in clients:
            self.assertEqual(client.read_reply().body, b"before")

    def test_a_stop_waits_for_uploads_and_their_readers(self):
        idle = self.connect()
        self.assertEqual(idle.get("/none").status, 404)
        writer, reader = self.grow()
        self.begin_stop()
        self.server.hear("STOPPING=1")
        idle.expect_closed()
        writer.send_chunk(b"second")
        self.assertEqual(reader.read_part(6), b"second")
        self.assertEqual(writer.end_put().status, 201)
        self.assertEqual(reader.read_rest(), b"")
        self.assertEqual(self.server.wait_exit(), 0)
        self.server.start()
        self.assertEqual(self.connect().get("/live").body, b"first second")

    def test_a_stop_does_not_wait_for_ever(self):
        self.server.stop()
        self.server.args += ["-o", "drain_timeout=300ms"]
        self.server.start()
        writer, reader = self.grow()
        self.begin_stop()
        self.assertRaises(Closed, writer.read_reply, "PUT")
        self.assertEqual(reader.read_until_cut(), b"")
        self.assertEqual(self.server.wait_exit(), 0)

    def test_a_reload_is_announced(self):
        self.server.hear("READY=1")
        self.server.process.send_signal(signal.SIGHUP)
        self.server.hear("RELOADING=1")
        self.server.hear("READY=1")


class Watchdog(unittest.TestCase):
    def test_no_sign_of_life_while_a_thread_is_stuck(self):
        watchdog = 8 if SANITIZED else 2
        server = Supervised(args=["-w", "2"], watchdog=watchdog)
        self.addCleanup(server.remove)
        server.start()
        server.hear("WATCHDOG=1")
        for name in ("worker-0", "worker-1", "persister"):
            with self.subTest(name):
                with frozen(thread_called(server.process.pid, name)):
                    stuck = len(server.log)
                    word = "persister" if name == "persister" else "worker"
                    server.wait_log("a thread does not move thread=" + word, after=stuck)
                    server.forget()
                    self.assertFalse(server.hears("WATCHDOG=1", watchdog / 2))
                server.hear("WATCHDOG=1")

    def test_signs_of_life_come_often_enough(self):
        server = Supervised(watchdog=4)
        self.addCleanup(server.remove)
        server.start()
        server.hear("WATCHDOG=1")
        self.assertLess(server.hear("WATCHDOG=1"), 2)

    def test_nobody_is_told_who_did_not_ask(self):
        server = Supervised()
        self.addCleanup(server.remove)
        server.start()
        server.hear("READY=1")
        self.assertFalse(server.hears("WATCHDOG=1", 0.5))


if __name__ == "__main__":
    main()
