"""supervised.py - a daemon under a supervisor, as systemd is one: tests play its part.

The supervisor holds the listening sockets, so that none is refused while the daemon is not there,
is told when the daemon is ready, and hears of it regularly.
"""

import os
import select
import socket
import sys
import time

from harness import PATIENCE, Server

# Runs between us and the daemon: moves the sockets to where sd_listen_fds(3) expects them.
STARTER = """
import fcntl, os, sys
high = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 1000) for fd in sys.argv[1].split(",")]
for number, fd in enumerate(high):
    os.dup2(fd, 3 + number)
os.closerange(3 + len(high), 1000 + len(high))
os.environ["LISTEN_PID"] = os.environ["WATCHDOG_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


class Supervised(Server):
    """A Server whose sockets outlive it. WATCHDOG: seconds without a sign of life that it is allowed."""

    def __init__(self, config="", args=(), watchdog=None):
        super().__init__(config, args)
        self.watchdog = watchdog
        self.sockets = {name: socket.create_server(("127.0.0.1", 0), backlog=1024)
                        for name in ("media", "admin")}
        self.words = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.words.bind(os.path.join(self.home, "notify"))

    def command(self):
        command = super().command()
        # Nothing can be bound there: what is inherited comes instead.
        return ["192.0.2.1:9" if word == "127.0.0.1:0" else word for word in command]

    def popen(self, command, env, **options):
        fds = [sock.fileno() for sock in self.sockets.values()]
        env.update(LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=":".join(self.sockets),
                   NOTIFY_SOCKET=self.words.getsockname())
        if self.watchdog:
            env.update(WATCHDOG_USEC=str(int(self.watchdog * 1e6)))
        starter = [sys.executable, "-c", STARTER, ",".join(map(str, fds))]
        return super().popen(starter + command, env, pass_fds=fds, **options)

    def hear(self, word, patience=PATIENCE):
        """The seconds until the daemon said WORD; what it says before that is dropped."""
        begin = time.monotonic()
        while True:
            left = begin + patience - time.monotonic()
            if left <= 0 or not select.select([self.words], [], [], left)[0]:
                raise AssertionError(f"the daemon did not say {word} within {patience} s")
            if word in self.words.recv(4096).decode().splitlines():
                return time.monotonic() - begin

    def hears(self, word, seconds):
        """Whether the daemon says WORD within SECONDS."""
        try:
            self.hear(word, seconds)
        except AssertionError:
            return False
        return True

    def forget(self):
        """Drops what was said so far."""
        while select.select([self.words], [], [], 0)[0]:
            self.words.recv(4096)

    def remove(self):
        super().remove()
        for sock in (*self.sockets.values(), self.words):
            sock.close()
