#!/usr/bin/env python3
"""Caches in front of the origin do the right thing with what grows, breaks off, changes and goes."""

import threading

from edges import Nginx, TrafficServer, Varnish
from harness import Case, Closed, main, pattern, wait_until

VIEWERS = 100


class Viewer(threading.Thread):
    """Reads TARGET through an edge to its end, whichever it is."""

    def __init__(self, edge, target):
        super().__init__(daemon=True)
        self.client = edge.connect()
        self.client.send_head("GET", target)
        self.status = None
        self.body = b""
        self.whole = False
        self.fault = None
        self.start()

    def run(self):
        try:
            head = self.client.read_head()
            self.status = head.status
            if head.chunked:
                while chunk := self.client.read_chunk():
                    self.body += chunk
            else:
                self.body = self.client.read_exactly(int(head["Content-Length"]))
            self.whole = True
        except Closed:
            pass
        except Exception as fault:  # told by finish, in the test's own thread
            self.fault = fault
        finally:
            self.client.close()

    def finish(self):
        self.join(60)
        if self.fault:
            raise self.fault
        return self


class EdgeCase(Case):
    EDGE = None
    CONFIG = "resume_window = 100ms\n"
    HALF = b"half"  # so much of a segment that everybody who reads it has some
    gets_seen = 0

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        try:
            cls.edge = cls.EDGE(cls.server.port)
        except BaseException:
            cls.server.remove()
            raise

    @classmethod
    def tearDownClass(cls):
        try:
            cls.edge.remove()
        finally:
            super().tearDownClass()

    def origin_gets(self):
        """GETs that the origin had since the last call, without those of this function."""
        gets = self.server.metrics()['spillway_requests_total{method="GET"}']
        news, self.gets_seen = gets - self.gets_seen - 1, gets
        return news

    def fetch(self, target, *headers):
        with self.edge.connect() as client:
            return client.get(target, *headers)

    def viewers(self, target, count=VIEWERS):
        return [Viewer(self.edge, target) for _ in range(count)]

    # What every cache must get right.

    def test_a_viewer_gets_each_part_as_it_comes(self):
        writer = self.writer(self.path("a.m4s"), b"one")
        viewer = self.edge.connect()
        self.addCleanup(viewer.close)
        viewer.send_head("GET", self.path("a.m4s"))
        self.assertEqual(viewer.read_head().status, 200)
        self.assertEqual(viewer.read_part(3), b"one")
        writer.send_chunk(b"two")
        self.assertEqual(viewer.read_part(3), b"two")
        self.assertEqual(writer.end_put().status, 201)
        self.assertEqual(viewer.read_rest(), b"")

    def test_what_was_cut_is_never_taken_for_whole(self):
        target = self.path("a.m4s")
        writer = self.writer(target, self.HALF)
        early = self.viewers(target, 10)
        wait_until(lambda: all(viewer.body for viewer in early), "the viewers to have the first half")
        writer.close()
        for viewer in early:
            self.assertFalse(viewer.finish().whole)
            self.assertTrue(self.HALF.startswith(viewer.body))
        for viewer in self.viewers(target, 3):
            viewer.finish()
            self.assertFalse(viewer.status == 200 and viewer.whole)  # an error page may be whole
        self.put(target, b"now it is whole")
        self.assertEqual(self.fetch(target).body, b"now it is whole")

    def test_a_deletion_cuts_the_viewers_of_what_grows(self):
        target = self.path("a.m4s")
        self.writer(target, self.HALF)
        viewers = self.viewers(target, 10)
        wait_until(lambda: all(viewer.body for viewer in viewers), "the viewers to have the first half")
        with self.server.connect() as client:
            self.assertEqual(client.request("DELETE", target).status, 204)
        for viewer in viewers:
            self.assertFalse(viewer.finish().whole)
        self.assertEqual(self.fetch(target).status, 404)

    def test_who_asks_early_does_not_pin_the_404(self):
        self.assertEqual(self.fetch(self.path("a.m4s")).status, 404)
        self.put(self.path("a.m4s"), b"here")
        self.assertEqual(self.fetch(self.path("a.m4s")).body, b"here")

    def test_a_replaced_playlist_is_seen_within_its_second(self):
        target = self.path("a.m3u8")
        for number in range(3):
            body = b"#EXTM3U %d" % number
            self.put(target, body)
            wait_until(lambda body=body: self.fetch(target).body == body, "the edge to have the new playlist")

    def test_a_finished_segment_is_fetched_once(self):
        body = pattern(300000)
        self.put(self.path("a.m4s"), body)
        self.origin_gets()
        for _ in range(10):
            self.assertEqual(self.fetch(self.path("a.m4s")).body, body)
        self.assertEqual(self.origin_gets(), 1)

    def test_ranges_and_conditions_hold_behind_the_edge(self):
        body = pattern(100000)
        self.put(self.path("a.m4s"), body)
        whole = self.fetch(self.path("a.m4s"))
        part = self.fetch(self.path("a.m4s"), "Range: bytes=500-999")
        self.assertEqual((part.status, part.body), (206, body[500:1000]))
        self.assertEqual(part["Content-Range"], "bytes 500-999/100000")
        again = self.fetch(self.path("a.m4s"), f"If-None-Match: {whole['ETag']}")
        self.assertEqual(again.status, 304)

    def test_uploads_do_not_pass_the_edge(self):
        with self.edge.connect() as client:
            self.assertIn(client.put(self.path("a"), b"no").status, (403, 405))
        self.assertEqual(self.get(self.path("a")).status, 404)


class BehindVarnish(EdgeCase):
    EDGE = Varnish

    def age(self, target):
        with self.edge.connect() as client:
            return int(client.request("HEAD", target)["Age"])

    def test_a_hundred_viewers_of_a_growing_segment_are_one_get_at_the_origin(self):
        target = self.path("a.m4s")
        body = pattern(400000)
        self.origin_gets()
        writer = self.writer(target, body[:100000])
        viewers = self.viewers(target, VIEWERS // 2)
        wait_until(lambda: all(len(viewer.body) == 100000 for viewer in viewers), "the first viewers")
        writer.send_chunk(body[100000:300000])
        # Not only those who come in its first second: a segment grows for several.
        wait_until(lambda: self.age(target) >= 2, "the segment to be older")
        viewers += self.viewers(target, VIEWERS // 2)
        wait_until(lambda: all(len(viewer.body) == 300000 for viewer in viewers), "all viewers")
        writer.send_chunk(body[300000:])
        self.assertEqual(writer.end_put().status, 201)
        for viewer in viewers:
            viewer.finish()
            self.assertTrue(viewer.whole)
            self.assertEqual(viewer.body, body)
        self.assertEqual(self.origin_gets(), 1)

    def test_what_was_cut_is_not_shown_to_who_comes_later(self):
        target = self.path("a.m4s")
        writer = self.writer(target, self.HALF)
        early = self.viewers(target, 1)[0]
        wait_until(lambda: early.body, "the viewer to have the first half")
        writer.close()
        early.finish()
        for viewer in self.viewers(target, 20):
            self.assertEqual(viewer.finish().status, 503)
        self.put(target, b"now it is whole")
        self.assertEqual(self.fetch(target).body, b"now it is whole")

    def test_a_purge_takes_a_segment_out(self):
        self.put(self.path("a.m4s"), b"old")
        self.assertEqual(self.fetch(self.path("a.m4s")).body, b"old")
        self.put(self.path("a.m4s"), b"new")
        with self.edge.connect() as client:
            self.assertEqual(client.request("PURGE", self.path("a.m4s")).status, 200)
        self.assertEqual(self.fetch(self.path("a.m4s")).body, b"new")


class BehindNginx(EdgeCase):
    EDGE = Nginx


class BehindTrafficServer(EdgeCase):
    EDGE = TrafficServer
    HALF = pattern(100000)  # all but the first read what is in the cache already: whole fragments

    def test_viewers_of_a_growing_segment_share_what_is_fetched(self):
        target = self.path("a.m4s")
        self.origin_gets()
        writer = self.writer(target, self.HALF)
        viewers = self.viewers(target, 1)
        wait_until(lambda: viewers[0].body == self.HALF, "the first viewer")
        viewers += self.viewers(target, VIEWERS - 1)
        wait_until(lambda: all(len(viewer.body) > len(self.HALF) // 2 for viewer in viewers), "all viewers")
        writer.send_chunk(self.HALF)
        wait_until(lambda: all(len(viewer.body) > len(self.HALF) for viewer in viewers), "what was added")
        self.assertEqual(writer.end_put().status, 201)
        for viewer in viewers:
            viewer.finish()
            self.assertTrue(viewer.whole)
            self.assertEqual(viewer.body, 2 * self.HALF)
        self.assertLess(self.origin_gets(), VIEWERS // 10)  # who came first, and some who came too soon


del EdgeCase  # it has no edge of its own

if __name__ == "__main__":
    main()
