"""edges.py - caches in front of a daemon, with the recipes of conf/edge as they are shipped.

Only ports and folders are changed. What is not installed skips the tests that need it.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

from harness import with_parent_dies
from subject import PATIENCE, wait_until
from wire import Client

RECIPES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "conf", "edge")
SBIN = "/usr/sbin:/sbin:" + os.environ.get("PATH", "")


def program(name):
    """Where NAME is; a test that needs it is skipped when it is not there."""
    found = shutil.which(name, path=SBIN)
    if not found:
        raise unittest.SkipTest(f"{name} is not installed")
    return found


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class Edge:
    """One process in a folder of its own, that listens on PORT."""

    def __init__(self):
        self.home = tempfile.mkdtemp(prefix="spillway-edge-")
        self.port = free_port()
        self.process = None

    def recipe(self, name, changes):
        """The text of a recipe after CHANGES, a list of (old, new) each of which must be there."""
        with open(os.path.join(RECIPES, name), encoding="utf-8") as file:
            text = file.read()
        for old, new in changes:
            if old not in text:
                raise AssertionError(f"{name} does not say {old!r} any more")
            text = text.replace(old, new)
        path = os.path.join(self.home, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def start(self, *command):
        with open(os.path.join(self.home, "output"), "wb") as output:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output,
                                            stderr=subprocess.STDOUT, preexec_fn=with_parent_dies,
                                            cwd=self.home)
        try:
            # Varnish compiles its recipe with a C compiler first: on a busy machine that takes a while.
            wait_until(lambda: listens(self.port) or self.process.poll() is not None,
                       "the edge to listen", PATIENCE * 4)
            if self.process.poll() is not None:
                raise AssertionError("the edge ended:\n" + self.output())
        except BaseException:
            self.remove()
            raise

    def output(self):
        with open(os.path.join(self.home, "output"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def connect(self, **options):
        return Client(self.port, **options)

    def remove(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)


class Varnish(Edge):
    def __init__(self, origin_port):
        daemon = program("varnishd")
        super().__init__()
        vcl = self.recipe("varnish.vcl", [('.port = "3000"', f'.port = "{origin_port}"')])
        self.start(daemon, "-F", "-j", "none", "-n", os.path.join(self.home, "work"),
                   "-a", f"127.0.0.1:{self.port}", "-f", vcl, "-s", "default,64m",
                   "-p", "thread_pool_min=50", "-p", "thread_pools=1")


class Nginx(Edge):
    def __init__(self, origin_port):
        daemon = program("nginx")
        super().__init__()
        cache = os.path.join(self.home, "cache")
        recipe = self.recipe("nginx.conf", [
            ("listen 80;", f"listen 127.0.0.1:{self.port};"),
            ("server 127.0.0.1:3000;", f"server 127.0.0.1:{origin_port};"),
            ("/var/cache/nginx/spillway", cache)])
        main = os.path.join(self.home, "main.conf")
        owner = "user root;\n" if os.geteuid() == 0 else ""
        with open(main, "w", encoding="utf-8") as file:
            file.write(f"{owner}daemon off;\npid {self.home}/pid;\nerror_log {self.home}/errors;\n"
                       "events {}\nhttp {\naccess_log off;\n"
                       + "".join(f"{kind}_temp_path {self.home}/{kind};\n" for kind in
                                 ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
                       + f"include {recipe};\n}}\n")
        self.start(daemon, "-p", self.home, "-c", main)


class TrafficServer(Edge):
    """Its files are found by a run-root; it keeps the user that it is started by."""

    RUNROOT = """prefix: {home}
exec_prefix: {home}
bindir: /usr/bin
sbindir: /usr/bin
libdir: /usr/lib/trafficserver
libexecdir: /usr/lib/trafficserver/modules
datadir: {home}
includedir: {home}
infodir: {home}
mandir: {home}
sysconfdir: {home}/trafficserver
localstatedir: {home}/state
runtimedir: {home}/state
logdir: {home}/state
cachedir: {home}/cache
"""

    def __init__(self, origin_port):
        daemon = program("traffic_server")
        super().__init__()
        for folder in ("trafficserver", "state", "cache"):
            os.mkdir(os.path.join(self.home, folder))
        self.recipe("trafficserver/records.config", [("server_ports STRING 80", f"server_ports STRING {self.port}")])
        self.recipe("trafficserver/ip_allow.yaml", [])
        self.recipe("trafficserver/remap.config", [("127.0.0.1:3000", f"127.0.0.1:{origin_port}")])
        for name, text in (("trafficserver/storage.config", f"{self.home}/cache 64M\n"),
                           ("runroot.yaml", self.RUNROOT.format(home=self.home))):
            with open(os.path.join(self.home, name), "w", encoding="utf-8") as file:
                file.write(text)
        self.start("env", "PROXY_CONFIG_ADMIN_USER_ID=#-1", daemon, f"--run-root={self.home}/runroot.yaml")


class HAProxy(Edge):
    """Spreads paths over ORIGINS, two servers."""

    def __init__(self, origins):
        daemon = program("haproxy")
        super().__init__()
        # 127.0.0.1 is an encoder, other addresses of this machine are not.
        changes = [("bind :80", f"bind 127.0.0.1:{self.port}"), ("127.0.0.0/8", "127.0.0.1")]
        for number, origin in enumerate(origins, 1):
            host = f"10.20.0.{10 + number}"
            changes.append((f"{host}:3000 addr {host} port 3001",
                            f"127.0.0.1:{origin.port} addr 127.0.0.1 port {origin.admin}"))
        self.start(daemon, "-db", "-f", self.recipe("haproxy.cfg", changes))
