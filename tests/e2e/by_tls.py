"""by_tls.py - a spillway that speaks TLS, and tests that talk to it so."""

import socket
import unittest

from certificates import Authority
from harness import Case, Client, Server, wait_until

AUTHORITY = Authority()
unittest.addModuleCleanup(AUTHORITY.remove)
CERTIFICATE, KEY = AUTHORITY.issue("localhost")
CONTEXT = AUTHORITY.context()
HANDSHAKE = "spillway_tls_handshakes_total"


class TlsServer(Server):
    """Its port is that of TLS."""

    def __init__(self, config="", args=()):
        super().__init__(f'listen_tls = "127.0.0.1:0"\n'
                         f'tls_certificate = "{CERTIFICATE}"\ntls_key = "{KEY}"\n' + config, args)

    def start(self):
        took = super().start()
        self.plain_port = self.port
        self.port = int(self.wait_log(r"listening on \S+:(\d+) with TLS$").group(1))
        return took

    def connect(self, **options):
        return Client(self.port, **{"tls": CONTEXT, **options})


class ByTls(Case):
    @classmethod
    def setUpClass(cls):
        cls.server = TlsServer(cls.CONFIG, cls.ARGS)
        try:
            cls.server.start()
        except BaseException:
            cls.server.remove()
            raise

    def connect_raw(self):
        sock = socket.create_connection(("127.0.0.1", self.server.port), 15)
        self.addCleanup(sock.close)
        return sock

    def handshakes(self, result):
        return self.server.metrics()[f'{HANDSHAKE}{{result="{result}"}}']

    def wait_handshakes(self, result, count):
        wait_until(lambda: self.handshakes(result) == count, f"{count} handshakes to be {result}")
