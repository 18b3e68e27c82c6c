"""certificates.py - a certificate authority in a temporary directory, made by openssl(1)."""

import os
import shutil
import ssl
import subprocess
import tempfile
import time

LEDGER = """[ca]
default_ca = here
[here]
database = {stem}.db
serial = {stem}.serial
new_certs_dir = {stem}
default_md = sha256
policy = names
[names]
commonName = supplied
"""


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


def join(path, *others):
    """Adds to the file PATH, which may not be there yet, what is in the files OTHERS. PATH again."""
    with open(path, "a", encoding="ascii") as out:
        for name in others:
            with open(name, encoding="ascii") as file:
                out.write(file.read())
    return path


class Authority:
    """Signs certificates for servers and clients; PARENT vouches for it under NAME, or nobody does."""

    def __init__(self, parent=None, name=None):
        self.home = tempfile.mkdtemp(prefix="spillway-ca-")
        self.count = 0
        if parent:
            self.certificate, self.key = parent.issue(name, extension="basicConstraints=critical,CA:TRUE")
            return
        self.certificate, self.key = self.file("ca.pem"), self.file("ca.key")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-subj", "/CN=Test authority", "-keyout", self.key, "-out", self.certificate)

    def file(self, name):
        return os.path.join(self.home, name)

    def issue(self, common_name, days=2, extension="subjectAltName=DNS:localhost,IP:127.0.0.1", seconds=None):
        """A new certificate, good for DAYS or SECONDS; the paths of it and of its key."""
        self.count += 1
        stem = self.file(str(self.count))
        subject = f"/CN={common_name}" if common_name else "/O=Nameless"
        with open(stem + ".ext", "w", encoding="ascii") as file:
            file.write(extension + "\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject,
                "-keyout", stem + ".key", "-out", stem + ".csr")
        if seconds:
            self.sign_briefly(stem, seconds)
            return stem + ".pem", stem + ".key"
        openssl("x509", "-req", "-in", stem + ".csr", "-CA", self.certificate, "-CAkey", self.key,
                "-set_serial", str(self.count), "-days", str(days), "-extfile", stem + ".ext", "-out", stem + ".pem")
        return stem + ".pem", stem + ".key"

    def open_ledger(self, stem):
        os.mkdir(stem)
        for name, text in ((".db", ""), (".serial", f"{self.count:02x}\n"), (".cnf", LEDGER.format(stem=stem))):
            with open(stem + name, "w", encoding="ascii") as file:
                file.write(text)

    def revocations(self, *certificates):
        """The path of a list with CERTIFICATES."""
        self.count += 1
        stem = self.file(str(self.count))
        self.open_ledger(stem)
        ca = ("ca", "-config", stem + ".cnf", "-cert", self.certificate, "-keyfile", self.key)
        for certificate in certificates:
            openssl(*ca, "-revoke", certificate)
        openssl(*ca, "-gencrl", "-crldays", "2", "-out", stem + ".crl")
        return stem + ".crl"

    def sign_briefly(self, stem, seconds):
        """openssl-x509(1) knows days only."""
        self.open_ledger(stem)
        end = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + seconds))
        openssl("ca", "-batch", "-config", stem + ".cnf", "-in", stem + ".csr", "-cert", self.certificate,
                "-keyfile", self.key, "-enddate", end, "-extfile", stem + ".ext", "-out", stem + ".pem")

    def context(self, client=None, version=None):
        """What a client that trusts this authority connects with; CLIENT is its certificate and key."""
        context = ssl.create_default_context(cafile=self.certificate)
        if client:
            context.load_cert_chain(*client)
        if version:
            context.minimum_version = context.maximum_version = version
        return context

    def remove(self):
        shutil.rmtree(self.home, ignore_errors=True)
