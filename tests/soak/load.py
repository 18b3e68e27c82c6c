"""load.py - the channels and viewers of `make soak`, who know what every byte must be.

A channel is an encoder: it PUTs a segment of two seconds in chunks while it grows, then its playlist, and deletes
an old segment now and then. Viewers come and go: at the live edge, from the beginning or from the middle of a segment,
to its end or not. Visitors read, range over and HEAD what is older, ask for what expired or was deleted, and LIST.

All of them live in one process and share the channels' memory, so each reply is judged by what was sent and
acknowledged before it was asked for. Bytes follow from path and offset. Whatever is wrong goes to Load.fail, and
whoever met it comes again on a new connection.
"""

import asyncio
import collections
import random
import socket
import struct
import time
import zlib

SEGMENT_SECONDS = 2.0
PATIENCE = 60  # no step of anybody's takes that long
GRACE = 30     # what is about to expire, or has just expired, may be there or not
WINDOW = 6     # segments that a playlist names
TABLE = random.Random(24).randbytes(4 << 20)


def content(path, begin, end):
    start = zlib.crc32(path.encode()) % (len(TABLE) // 2)
    return TABLE[start + begin:start + end]


def playlist(number):
    """The one that names NUMBER last."""
    first = max(0, number - WINDOW + 1)
    names = "".join(f"#EXTINF:2.0,\n{each}.m4s\n" for each in range(first, number + 1))
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n{names}# {number}\n".encode()


class Wrong(Exception):
    """Something that was promised was not so."""


def demand(holds, *what):
    if not holds:
        raise Wrong(" ".join(str(each) for each in what))


class Connection:
    """One of HTTP/1.1, kept."""

    @classmethod
    async def open(cls, port):
        self = cls()
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        return self

    def close(self, reset=False):
        if reset:
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                                            struct.pack("ii", 1, 0))
        self.writer.close()

    def send(self, method, target, *headers):
        self.writer.write("\r\n".join([f"{method} {target} HTTP/1.1", "Host: soak", *headers, "", ""]).encode())

    async def head(self):
        """Status and headers of the next reply."""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        return int(lines[0].split()[1]), {name.lower(): value.strip() for name, _, value in
                                          (line.partition(":") for line in lines[1:-2])}

    async def parts(self, headers):
        """The body as it comes, up to its regular end."""
        if "transfer-encoding" in headers:
            while size := int(await self.reader.readline(), 16):
                yield (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readexactly(2)
        else:
            left = int(headers.get("content-length", "0"))
            while left:
                part = await self.reader.read(min(left, 1 << 18))
                if not part:
                    raise asyncio.IncompleteReadError(b"", left)
                left -= len(part)
                yield part

    async def fetch(self, method, target, *headers):
        self.send(method, target, *headers)
        status, replied = await self.head()
        if method == "HEAD":
            return status, replied, b""
        return status, replied, b"".join([part async for part in self.parts(replied)])


class Segment:
    def __init__(self, path):
        self.path, self.begin = path, time.monotonic()
        self.sent = 0        # bytes that the daemon may have
        self.seen = 0        # bytes that it has for certain: a viewer got them
        self.ended = False   # its last byte went out: its size is SENT
        self.acked = False
        self.dying = False   # its DELETE went out
        self.gone = False    # and was answered


class Channel:
    def __init__(self, load, number):
        self.load, self.folder = load, f"/soak/{number}/"
        self.interval = random.uniform(0.04, 0.2)
        self.rate = random.uniform(25e3, 100e3)  # bytes a second
        self.segments, self.number = {}, 0
        self.listed = -1     # the last segment of the playlist that was acknowledged
        self.begun = asyncio.Event()

    async def run(self):
        connections = [await Connection.open(self.load.port) for _ in range(2)]
        await asyncio.sleep(random.uniform(0, SEGMENT_SECONDS))
        due = time.monotonic()
        while True:
            async with asyncio.timeout(PATIENCE):
                due = max(due + SEGMENT_SECONDS, time.monotonic() + SEGMENT_SECONDS / 2)
                await self.segment(connections[0], due)
                await self.playlist(connections[1])
                if random.random() < 0.05:
                    await self.delete(connections[0])
            for number in [number for number, segment in self.segments.items()
                           if segment.begin < time.monotonic() - self.load.ttl - 3 * GRACE]:
                del self.segments[number]
            self.number += 1

    async def segment(self, connection, due):
        segment = self.segments[self.number] = Segment(f"{self.folder}{self.number}.m4s")
        connection.send("PUT", segment.path, "Transfer-Encoding: chunked")
        self.begun.set()
        while time.monotonic() < due:
            size = int(self.rate * self.interval * random.uniform(0.5, 1.5))
            data = content(segment.path, segment.sent, segment.sent + size)
            segment.sent += size
            connection.writer.write(b"%x\r\n%b\r\n" % (size, data))
            await connection.writer.drain()
            await asyncio.sleep(self.interval)
        segment.ended = True
        connection.writer.write(b"0\r\n\r\n")
        status, _ = await connection.head()
        demand(status == 201, "PUT", segment.path, status)
        segment.acked = True
        self.load.counts["segments"] += 1

    async def playlist(self, connection):
        body = playlist(self.number)
        connection.send("PUT", self.folder + "index.m3u8", f"Content-Length: {len(body)}")
        connection.writer.write(body)
        status, _ = await connection.head()
        demand(status == (204 if self.listed >= 0 else 201), "PUT", self.folder + "index.m3u8", status)
        self.listed = self.number
        self.load.counts["playlists"] += 1

    async def delete(self, connection):
        segment = random.choice(self.certain() or [None])
        if segment:
            segment.dying = True
            status, _, _ = await connection.fetch("DELETE", segment.path)
            demand(status == 204, "DELETE", segment.path, status)
            segment.gone = True
            self.load.counts["deletions"] += 1

    def certain(self):
        """The segments that everybody must get now."""
        young = time.monotonic() - self.load.ttl + GRACE / 2
        return [each for each in self.segments.values() if each.acked and not each.dying and each.begin > young]

    def absent(self):
        """The segments that nobody may get any more."""
        old = time.monotonic() - self.load.ttl - GRACE
        return [each for each in self.segments.values() if each.gone or each.begin < old]


class Load:
    def __init__(self, port, channels, ttl):
        self.port, self.ttl = port, ttl
        self.channels = [Channel(self, number) for number in range(channels)]
        self.counts, self.wrong, self.late = collections.Counter(), [], 0.0

    def works(self):
        """Coroutines that go on until they are cancelled."""
        visits = (self.read_old, self.read_old, self.ask_for_what_is_gone, self.list)
        return ([channel.run() for channel in self.channels] + [self.watch_clock()]
                + [self.again(self.view, 0.5) for _ in range(2 * len(self.channels))]
                + [self.again(visit, 0.3) for visit in visits])

    def fail(self, what, error):
        self.counts["wrong"] += 1
        if len(self.wrong) < 20:
            self.wrong.append(f"{time.strftime('%H:%M:%S')} {what}: {error!r}")

    async def again(self, visit, pause):
        """VISIT, a coroutine function of a connection and a channel, as long as the run lasts."""
        while True:
            await asyncio.sleep(random.expovariate(1 / pause))
            channel = random.choice(self.channels)
            await channel.begun.wait()
            connection = await Connection.open(self.port)
            try:
                await visit(connection, channel)
            except (Wrong, OSError, EOFError, ValueError, TimeoutError) as error:
                self.fail(f"{visit.__name__} of {channel.folder}", error)
            finally:
                connection.close(reset=random.random() < 0.3)

    async def watch_clock(self):
        """How late this process is; what it measures and how it paces is worth no more than that."""
        while True:
            begin = time.monotonic()
            await asyncio.sleep(0.02)
            self.late = max(self.late, time.monotonic() - begin - 0.02)

    def living(self):
        """Bytes of what was sent, and neither expired nor was deleted."""
        young = time.monotonic() - self.ttl
        return sum(segment.sent for channel in self.channels for segment in channel.segments.values()
                   if segment.begin > young and not segment.gone)

    def late_ms(self):
        late, self.late = self.late, 0.0
        return late * 1000

    # ---- at the live edge ----

    async def view(self, connection, channel):
        """Follows a channel for half a minute or so, and leaves where it happens to be."""
        leave = time.monotonic() + random.expovariate(1 / 30)
        listed = channel.listed
        async with asyncio.timeout(PATIENCE):
            status, _, body = await connection.fetch("GET", channel.folder + "index.m3u8")
        if listed >= 0:
            demand(status == 200, "GET", channel.folder + "index.m3u8", status)
            number = int(body.rstrip().rpartition(b"# ")[2])
            demand(number >= listed and body == playlist(number), "a playlist of", number, "after one of", listed)
        number, first = channel.number, True
        while time.monotonic() < leave:
            async with asyncio.timeout(PATIENCE):
                if not await self.follow(connection, channel, number, leave, first and random.random() < 0.3):
                    return
            number, first = number + 1, False

    async def follow(self, connection, channel, number, leave, from_middle):
        """Reads a segment that grows, or is about to begin; False: left before its end."""
        path = f"{channel.folder}{number}.m4s"
        offset = channel.segments[number].seen // 2 if from_middle else 0
        connection.send("GET", path, *([f"Range: bytes={offset}-"] if offset else []))
        status, headers = await connection.head()
        if status == 416 and from_middle:
            # What was sent may not have arrived by half; then the daemon says how far it is.
            arrived = int(headers["content-range"].removeprefix("bytes */"))
            demand(arrived < offset, "GET", path, "from", offset, status, "at", arrived)
            async for _ in connection.parts(headers):
                pass
            return True
        demand(status == (206 if offset else 200), "GET", path, "from", offset, status)
        async for part in connection.parts(headers):
            segment = channel.segments[number]
            demand(part == content(path, offset, offset + len(part)), path, "has other bytes at", offset)
            offset += len(part)
            demand(offset <= segment.sent, path, "has", offset, "bytes of", segment.sent)
            segment.seen = max(segment.seen, offset)
            self.counts["bytes read live"] += len(part)
            if time.monotonic() > leave:
                return False
        segment = channel.segments[number]
        demand(segment.ended and offset == segment.sent, path, "ended after", offset, "bytes of", segment.sent)
        self.counts["segments read live"] += 1
        return True

    # ---- what is older ----

    async def read_old(self, connection, channel):
        """Some segments: whole, in part, or what HEAD tells of them."""
        for segment in random.sample(known := channel.certain(), min(3, len(known))):
            await asyncio.sleep(random.uniform(0, 0.2))
            if segment not in channel.certain():
                continue
            begin = random.choice((0, random.randrange(segment.sent)))
            method = random.choice(("GET", "GET", "HEAD"))
            try:
                async with asyncio.timeout(PATIENCE):
                    status, headers, body = await connection.fetch(method, segment.path, f"Range: bytes={begin}-")
            except EOFError:
                demand(segment.dying, segment.path, "was cut")
                return
            if status == 404:
                demand(segment.dying, segment.path, "is 404")
                continue
            left = segment.sent - begin if method == "GET" else segment.sent
            demand(status == (206 if method == "GET" else 200) and int(headers["content-length"]) == left,
                   method, segment.path, "from", begin, status, headers)
            if method == "GET":
                demand(body == content(segment.path, begin, segment.sent), segment.path, "has other bytes")
            self.counts["old segments read"] += 1

    async def ask_for_what_is_gone(self, connection, channel):
        for segment in random.sample(gone := channel.absent(), min(3, len(gone))):
            async with asyncio.timeout(PATIENCE):
                status, _, _ = await connection.fetch("HEAD", segment.path)
            demand(status == 404, "HEAD", segment.path, "which is gone:", status)
            self.counts["absences"] += 1

    async def list(self, connection, channel):
        await asyncio.sleep(random.uniform(0, 2))
        there = {segment.path for segment in channel.certain()}
        absent = {segment.path for segment in channel.absent()}
        async with asyncio.timeout(PATIENCE):
            status, _, body = await connection.fetch("LIST", channel.folder)
        listed = body.decode().splitlines()
        demand(status == 200 and listed == sorted(set(listed)), "LIST", channel.folder, status)
        dying = {segment.path for segment in channel.segments.values() if segment.dying}
        missing, extra = there - dying - set(listed), absent & set(listed)
        demand(not missing and not extra, "LIST", channel.folder, "misses", missing, "and has", extra)
        self.counts["lists"] += 1

    # ---- at the end ----

    def told(self):
        names = ("segments", "playlists", "deletions", "segments read live", "old segments read", "absences", "lists")
        return ["checked: " + ", ".join(f"{self.counts[name]} {name}" for name in names)
                + f"; {self.counts['bytes read live'] / 1e9:.3f} GB at the live edge"]

    def complaints(self):
        idle = [name for name in ("segments", "playlists", "segments read live", "old segments read", "lists")
                if not self.counts[name]]
        return (([f"{self.counts['wrong']} times something was wrong, first:", *self.wrong] if self.wrong else [])
                + [f"no {name} at all" for name in idle])
