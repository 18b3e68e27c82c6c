"""peers.py - the servers that `make bench` compares, each on a free port of the loopback.

A peer is started with what its own documents recommend for speed: two workers, sendfile, caches of open
files, no access log, connections that are kept for as long as the client likes. All of them keep their files in one
temporary directory. Nobody but the peer itself is asked to sync what it stores.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

from harness import Server, with_parent_dies  # noqa: E402

PATIENCE = 20
TICKS = os.sysconf("SC_CLK_TCK")

NGINX = """
worker_processes 2;
worker_rlimit_nofile 65536;
daemon off;
pid {home}/nginx.pid;
error_log {home}/nginx.log crit;
events {{ worker_connections 32768; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    open_file_cache max=65536 inactive=600s;
    open_file_cache_valid 600s;
    client_max_body_size 0;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    server {{
        listen 127.0.0.1:{port} reuseport;
        root {home}/files;
        location / {{ dav_methods PUT DELETE; create_full_put_path on; }}
    }}
}}
"""

LIGHTTPD = """
server.document-root = "{home}/files"
server.port = {port}
server.bind = "127.0.0.1"
server.max-worker = {workers}
server.max-fds = 65536
server.max-connections = 32768
server.network-backend = "sendfile"
server.max-keep-alive-requests = 1000000000
server.max-keep-alive-idle = 600
server.stat-cache-engine = "simple"
server.errorlog = "{home}/lighttpd.log"
"""

VARNISH = """
vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{backend}"; }}
sub vcl_backend_response {{ set beresp.ttl = 1h; }}
"""


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def find(program):
    """Its path, or None. Servers are in sbin, which is not in everybody's PATH."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def descendants(pid):
    """PID and all that it forked."""
    found = [pid]
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
            for child in file.read().split():
                found += descendants(int(child))
    return found


def cpu_seconds(pid):
    """User and system time of a server: all its processes and threads."""
    ticks = 0
    for one in descendants(pid):
        with open(f"/proc/{one}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS


class Spillway:
    """The daemon that $SPILLWAY names, as a peer."""

    name = "spillway"

    def __init__(self, home, args=(), cores=None):
        del home  # its data directory is made by the tests' own harness
        self.server = Server(args=args)
        everywhere = os.sched_getaffinity(0)
        if cores:
            os.sched_setaffinity(0, cores)
        try:
            self.start_s = self.server.start()
        finally:
            os.sched_setaffinity(0, everywhere)
        self.port, self.pid = self.server.port, self.server.process.pid

    def store(self, path, body):
        with self.server.connect() as client:
            assert client.put("/" + path, body).status in (201, 204)

    def stop(self):
        self.server.remove()


class Process:
    """A peer that is a program with a configuration file."""

    def __init__(self, home, command, port):
        self.home, self.port = home, port
        # In a session of its own: lighttpd ends its workers by a signal to everybody in its process group.
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=open(os.path.join(home, "errors"), "ab"), preexec_fn=with_parent_dies,
            start_new_session=True)
        self.pid = self.process.pid
        end = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    self.stop()
                    with open(os.path.join(home, "errors"), encoding="utf-8", errors="replace") as file:
                        raise RuntimeError(f"{command[0]} did not start: {file.read()[-500:]}") from None
                time.sleep(0.05)

    def store(self, path, body):
        """For those who serve files."""
        path = os.path.join(self.home, "files", path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(body)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def folder(home, name):
    """HOME/NAME with a place for files, open to servers that change their user."""
    path = os.path.join(home, name)
    os.makedirs(os.path.join(path, "files"), exist_ok=True)
    for each in (home, path, os.path.join(path, "files")):
        os.chmod(each, 0o777)
    return path


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def nginx(home):
    place, port = folder(home, "nginx"), free_port()
    conf = write(os.path.join(place, "nginx.conf"), NGINX.format(home=place, port=port))
    peer = Process(place, [find("nginx"), "-c", conf, "-p", place, "-e", place + "/nginx.log"], port)
    peer.name = "nginx"
    return peer


def lighttpd(home, workers=2):
    place, port = folder(home, f"lighttpd-{workers}"), free_port()
    conf = write(os.path.join(place, "lighttpd.conf"),
                 LIGHTTPD.format(home=place, port=port, workers=workers))
    peer = Process(place, [find("lighttpd"), "-D", "-f", conf], port)
    peer.name = "lighttpd"
    return peer


def bare(home, size):
    """No server, but the system calls that one can't do without (bare.c)."""
    place, port = folder(home, f"bare-{size}"), free_port()
    tool = os.path.join(os.environ.get("BENCH", "./tests/bench"), "bare")
    peer = Process(place, [tool, "--port", str(port), "--size", str(size)], port)
    peer.name = "bare loop"
    return peer


def varnish(home, backend):
    """An edge of BACKEND's port."""
    place, port = folder(home, f"varnish-{backend}"), free_port()
    vcl = write(os.path.join(place, "edge.vcl"), VARNISH.format(backend=backend))
    peer = Process(place, [find("varnishd"), "-F", "-n", place + "/n", "-a", f"127.0.0.1:{port}",
                           "-f", vcl, "-s", "malloc,2G", "-p", "thread_pools=2",
                           "-p", "thread_pool_min=200", "-p", "thread_pool_max=8000",
                           "-p", "timeout_idle=600"], port)
    peer.name = "Varnish"
    return peer
