"""wire.py - a client that sees every byte of one connection."""

import re
import socket
import ssl
import struct

from subject import PATIENCE, wait_until


class Reply:
    """A reply's head, and its body once that was read."""

    def __init__(self, lines):
        match = re.fullmatch(rb"(HTTP/1\.[01]) (\d{3}) ([^\r\n]*)", lines[0])
        if not match:
            raise AssertionError(f"not a status line: {lines[0]!r}")
        self.version = match.group(1).decode()
        self.status = int(match.group(2))
        self.reason = match.group(3).decode()
        self.headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(b":")
            if not colon:
                raise AssertionError(f"not a header line: {line!r}")
            self.headers.append((name.decode().lower(), value.strip().decode()))
        names = [name for name, _ in self.headers]
        if len(names) != len(set(names)):
            raise AssertionError(f"a header comes twice: {self.headers}")
        self.body = b""

    def __getitem__(self, name):
        """The value of header NAME, or None."""
        return dict(self.headers).get(name.lower())

    @property
    def chunked(self):
        return (self["Transfer-Encoding"] or "").lower() == "chunked"

    def __repr__(self):
        return f"<{self.status} {self.reason} {self.headers} {self.body[:80]!r}>"


class Closed(Exception):
    """The daemon ended the connection."""


class Client:
    """One connection, of TLS if that is a context. Reads raise Closed at its end, which says how it came,
    and AssertionError when nothing comes."""

    def __init__(self, port, host="127.0.0.1", rcvbuf=None, tls=None, session=None, source=None):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.settimeout(PATIENCE)
        if source:
            self.sock.bind((source, 0))
        self.sock.connect((host, port))
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname="localhost", suppress_ragged_eofs=False,
                                        session=session)
        self.server_port = port
        self.buffer = b""
        self.payload = b""  # decoded from chunks, not yet asked for

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Ends the connection with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    # sending

    def send(self, data):
        self.sock.sendall(data)

    def send_head(self, method, target, *headers, version="1.1"):
        lines = [f"{method} {target} HTTP/{version}", "Host: test", *headers, "", ""]
        self.send("\r\n".join(lines).encode("latin-1"))

    def begin_put(self, target, *headers, method="PUT"):
        """A chunked upload that goes on with send_chunk and ends with end_put."""
        self.send_head(method, target, "Transfer-Encoding: chunked", *headers)

    def send_chunk(self, data):
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def end_put(self):
        self.send(b"0\r\n\r\n")
        return self.read_reply("PUT")

    def request(self, method, target, *headers, body=None, version="1.1"):
        if body is not None:
            headers = (*headers, f"Content-Length: {len(body)}")
        self.send_head(method, target, *headers, version=version)
        if body:
            self.send(body)
        return self.read_reply(method)

    def put(self, target, body, *headers):
        return self.request("PUT", target, *headers, body=body)

    def get(self, target, *headers):
        return self.request("GET", target, *headers)

    def wait_taken(self):
        """Returns when the daemon has read everything that was sent so far."""
        ours = self.sock.getsockname()[1]
        wait_until(lambda: ours not in unread_ports(self.server_port), "the daemon to read")

    # receiving

    def fill(self):
        try:
            data = self.sock.recv(262144)
        except ConnectionResetError:
            raise Closed("reset") from None
        except ssl.SSLEOFError:
            raise Closed("cut") from None
        except TimeoutError:
            raise AssertionError(f"nothing came; so far: {self.buffer[:200]!r}") from None
        if not data:
            raise Closed("end")
        self.buffer += data

    def read_line(self):
        while b"\r\n" not in self.buffer:
            self.fill()
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def read_exactly(self, count):
        parts = [self.buffer]
        have = len(self.buffer)
        while have < count:
            self.buffer = b""
            self.fill()
            parts.append(self.buffer)
            have += len(self.buffer)
        data = b"".join(parts)
        self.buffer = data[count:]
        return data[:count]

    def read_head(self):
        lines = [self.read_line()]
        while True:
            line = self.read_line()
            if not line:
                return Reply(lines)
            lines.append(line)

    def read_chunk(self):
        """The payload of the next chunk; b"" for the final one, whose trailer is read too."""
        line = self.read_line()
        if not re.fullmatch(rb"[0-9a-fA-F]{1,16}", line):
            raise AssertionError(f"not a chunk size: {line!r}")
        size = int(line, 16)
        if size == 0:
            while self.read_line():
                pass
            return b""
        data = self.read_exactly(size + 2)
        if data[-2:] != b"\r\n":
            raise AssertionError("a chunk does not end in CRLF")
        return data[:-2]

    def read_part(self, count):
        """Exactly COUNT bytes of a chunked body, however it is cut into chunks."""
        while len(self.payload) < count:
            chunk = self.read_chunk()
            if not chunk:
                raise AssertionError(f"the body ended {count - len(self.payload)} bytes early")
            self.payload += chunk
        data, self.payload = self.payload[:count], self.payload[count:]
        return data

    def read_rest(self):
        """The rest of a chunked body up to its final chunk."""
        parts = [self.payload]
        self.payload = b""
        while True:
            chunk = self.read_chunk()
            if not chunk:
                return b"".join(parts)
            parts.append(chunk)

    def read_until_cut(self):
        """The rest of a chunked body that must be cut without the final chunk."""
        parts = [self.payload]
        self.payload = b""
        try:
            while True:
                chunk = self.read_chunk()
                if not chunk:
                    raise AssertionError("the body ended as if it were whole")
                parts.append(chunk)
        except Closed:
            return b"".join(parts)

    def read_to_close(self):
        """Everything up to the end of the connection."""
        parts = [self.buffer]
        try:
            while True:
                self.buffer = b""
                self.fill()
                parts.append(self.buffer)
        except Closed:
            return b"".join(parts)

    def read_body(self, reply, method="GET"):
        if method == "HEAD" or reply.status in (204, 304) or reply.status < 200:
            return b""
        if reply.chunked:
            return self.read_rest()
        length = reply["Content-Length"]
        if length is not None:
            return self.read_exactly(int(length))
        return self.read_to_close()

    def read_reply(self, method="GET"):
        reply = self.read_head()
        while reply.status == 100:
            reply = self.read_head()
        reply.body = self.read_body(reply, method)
        return reply

    def expect_closed(self):
        """The daemon ends the connection and says nothing more."""
        rest = self.read_to_close()
        if rest:
            raise AssertionError(f"more came: {rest[:200]!r}")

    def expect_silence(self, seconds=0.2):
        """Nothing comes for SECONDS, neither bytes nor the end."""
        if self.buffer or self.payload:
            raise AssertionError(f"more came: {(self.payload + self.buffer)[:200]!r}")
        self.sock.settimeout(seconds)
        try:
            data = self.sock.recv(4096)
        except TimeoutError:
            return
        finally:
            self.sock.settimeout(PATIENCE)
        raise AssertionError(f"more came: {data[:200]!r}" if data else "the connection was ended")


def unread_ports(server_port):
    """Client ports whose bytes lie unread in the daemon's sockets (proc_pid_net(5), rx_queue)."""
    ports = set()
    with open("/proc/net/tcp", encoding="ascii") as table:
        next(table)
        for row in table:
            fields = row.split()
            if int(fields[1].split(":")[1], 16) != server_port:
                continue
            if int(fields[4].split(":")[1], 16):
                ports.add(int(fields[2].split(":")[1], 16))
    return ports
