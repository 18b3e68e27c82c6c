"""writer.py - a load of encoders whose every step stands in the acknowledgement log."""

import random
import threading
import time

from history import body_of
from rig import Closed
from wire import Client

GONE = (Closed, BrokenPipeError, ConnectionResetError, ConnectionRefusedError, TimeoutError)
MIB = 1 << 20


class Uploader:
    """One connection that logs what it does. Raises one of GONE when the daemon is gone."""

    def __init__(self, port, journal):
        self.port, self.journal = port, journal
        self.client = None

    def connection(self):
        if not self.client:
            self.client = Client(self.port)
            # A frozen disk delays replies; only a dead daemon is given up.
            self.client.sock.settimeout(60)
        return self.client

    def drop(self):
        if self.client:
            self.client.close()
        self.client = None

    def reply(self, method):
        reply = self.client.read_reply(method)
        if (reply["Connection"] or "").lower() == "close":
            self.drop()
        return reply.status

    def put(self, path, length, pieces=0, pause=0.0):
        """An upload by Content-Length, or in PIECES chunks with a PAUSE after each."""
        number = self.journal.begin("put", path, length, length)
        body = body_of(path, number, length)
        client = self.connection()
        try:
            if not pieces:
                client.send_head("PUT", path, f"Content-Length: {length}")
                client.send(body)
            else:
                client.begin_put(path)
                step = max(1, -(-length // pieces))
                for at in range(0, length, step):
                    client.send_chunk(body[at:at + step])
                    if pause:
                        time.sleep(pause)
                client.send(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused early: the reply may still be there
        status = self.reply("PUT")
        self.journal.end(number, status)
        return status

    def cut(self, path, length, sent):
        """An upload that is abandoned after SENT bytes."""
        number = self.journal.begin("cut", path, length, sent)
        client = self.connection()
        client.begin_put(path)
        client.send_chunk(body_of(path, number, length)[:sent])
        client.wait_taken()
        self.drop()
        self.journal.end(number, 0)

    def delete(self, path):
        number = self.journal.begin("delete", path)
        self.connection().send_head("DELETE", path)
        status = self.reply("DELETE")
        self.journal.end(number, status)
        return status


class Encoder(threading.Thread):
    """One uploader that acts at random on paths of its own, and now and then on everybody's."""

    def __init__(self, load, number, seed):
        super().__init__(daemon=True)
        self.load, self.number = load, number
        self.random = random.Random(seed)
        self.uploader = Uploader(load.port, load.journal)
        self.statuses = {}
        self.error = None
        self.acts = [(self.small, 40), (self.medium, 12), (self.large, 2), (self.slow, 5),
                     (self.playlist, 16), (self.bulky, 2),
                     (self.remove, 12), (self.abandon, 4), (self.shared, 7)]

        self.acts = [(act, load.weights.get(act.__name__, weight)) for act, weight in self.acts]

    def own(self, count, kind="m4s"):
        return f"/t{self.number}/{self.random.randrange(count):03}.{kind}"

    def small(self):
        return self.uploader.put(self.own(80), self.random.randrange(0, 5000))

    def medium(self):
        return self.uploader.put(self.own(80), 65536, pieces=self.random.choice((0, 2, 7)))

    def large(self):
        return self.uploader.put(self.own(12, "mp4"), self.random.randrange(MIB, 5 * MIB),
                                 pieces=self.random.choice((0, 40)))

    def slow(self):
        return self.uploader.put(self.own(20, "cmfv"), self.random.randrange(1000, 400_000),
                                 pieces=10, pause=self.random.random() * 0.03)

    def playlist(self):
        return self.uploader.put(self.own(3, "m3u8"), self.random.randrange(50, 3000), pieces=1)

    def bulky(self):
        """Replaced in one step, and larger than one record."""
        return self.uploader.put(self.own(2, "mpd"), self.random.randrange(50_000, 3 * MIB),
                                 pieces=self.random.choice((0, 5)))

    def remove(self):
        return self.uploader.delete(self.own(80))

    def abandon(self):
        length = self.random.randrange(100, 300_000)
        return self.uploader.cut(self.own(12, "aac"), length, self.random.randrange(1, length))

    def shared(self):
        path = f"/shared/{self.random.randrange(6)}.{self.random.choice(('m4s', 'm3u8'))}"
        if self.random.random() < 0.15:
            return self.uploader.delete(path)
        return self.uploader.put(path, self.random.randrange(60, 30_000),
                                 pieces=self.random.choice((0, 3)))

    def run(self):
        acts, weights = zip(*self.acts)
        try:
            while not self.load.stopping:
                try:
                    status = self.random.choices(acts, weights)[0]()
                    self.statuses[status] = self.statuses.get(status, 0) + 1
                except GONE:
                    self.uploader.drop()
                    if not self.load.goes_on:
                        return
                    time.sleep(0.05)
                time.sleep(self.load.pause)
        except BaseException as error:
            self.error = error
        finally:
            self.uploader.drop()


class Load:
    """Encoders at work, until stop() or, unless GOES_ON, until the daemon is gone."""

    def __init__(self, port, journal, seed, encoders=8, pause=0.001, goes_on=False, weights=None):
        """WEIGHTS: of acts that are to be more or less frequent, by name."""
        self.port, self.journal = port, journal
        self.pause, self.goes_on = pause, goes_on
        self.weights = weights or {}
        self.stopping = False
        self.encoders = [Encoder(self, number, seed * 1000 + number) for number in range(encoders)]
        for encoder in self.encoders:
            encoder.start()

    def stop(self):
        """Waits for the encoders' ends; the count of each status they saw."""
        self.stopping = True
        statuses = {}
        for encoder in self.encoders:
            encoder.join(120)
            if encoder.is_alive():
                raise AssertionError("an encoder hangs")
            if encoder.error:
                raise encoder.error
            for status, count in encoder.statuses.items():
                statuses[status] = statuses.get(status, 0) + count
        return statuses
