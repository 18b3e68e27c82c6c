#!/usr/bin/env python3
"""HAProxy spreads paths over two origins: each has its own, and keeps them when the other goes."""

import unittest

from edges import HAProxy
from harness import Server, grow, main, pattern, wait_until

PATHS = [f"/live/{stream}/{number}.m4s" for stream in ("news", "sport") for number in range(30)]
FAIL_OVER = 30  # seconds, on a busy machine; two checks of a second each, otherwise


class Spread(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.origins = []
        try:
            for _ in range(2):
                cls.origins.append(Server())
                cls.origins[-1].start()
            cls.edge = HAProxy(cls.origins)
        except BaseException:
            for origin in cls.origins:
                origin.remove()
            raise
        for path in PATHS:
            cls.ask("PUT", path, body=cls.body(path))

    @classmethod
    def tearDownClass(cls):
        cls.edge.remove()
        for origin in cls.origins:
            origin.remove()

    @staticmethod
    def body(path):
        return pattern(2000, len(path)) + path.encode()

    @classmethod
    def ask(cls, method, path, body=None):
        """A request through HAProxy, on a connection of its own."""
        with cls.edge.connect() as client:
            return client.request(method, path, body=body)

    @staticmethod
    def stored(origin, prefix="/live/"):
        with origin.connect() as client:
            return set(client.request("LIST", prefix).body.decode().split())

    def test_each_path_is_on_one_origin_and_both_are_used(self):
        first, second = (self.stored(origin) for origin in self.origins)
        self.assertEqual(first & second, set())
        self.assertEqual(first | second, set(PATHS))
        self.assertGreater(min(len(first), len(second)), len(PATHS) // 4)

    def test_what_was_put_is_read_and_deleted_where_it_is(self):
        paths = [f"/again/{number}" for number in range(20)]
        for path in paths:
            self.assertEqual(self.ask("PUT", path, body=self.body(path)).status, 201)
            self.assertEqual(self.ask("PUT", path, body=b"new").status, 204)  # not 201: it was there
            self.assertEqual(self.ask("GET", path + "?v=1").body, b"new")  # a query is no part of a name
        for path in paths:
            self.assertEqual(self.ask("DELETE", path).status, 204)
            self.assertEqual(self.ask("GET", path).status, 404)
        self.assertEqual([self.stored(origin, "/again/") for origin in self.origins], [set(), set()])

    def test_parts_go_through_in_both_directions_as_they_come(self):
        with self.edge.connect() as writer, self.edge.connect() as reader:
            grow(writer, reader, "/grows/1.m4s", b"one")
            writer.send_chunk(b"two")
            self.assertEqual(reader.read_part(3), b"two")
            self.assertEqual(writer.end_put().status, 201)
            self.assertEqual(reader.read_rest(), b"")

    def test_who_is_no_encoder_only_reads(self):
        path, unused = PATHS[0], "/stranger"
        with self.edge.connect(source="127.0.0.9") as stranger:
            self.assertEqual(stranger.request("GET", path).body, self.body(path))
            self.assertEqual(stranger.request("HEAD", path).status, 200)
            for method, target, body in (("DELETE", path, None), ("LIST", "/live/", None), ("PUT", path, b"other"),
                                         ("POST", unused, b"other")):
                with self.edge.connect(source="127.0.0.9") as again:
                    self.assertEqual(again.request(method, target, body=body).status, 403)
        self.assertEqual(self.ask("GET", path).body, self.body(path))
        self.assertEqual(self.ask("GET", unused).status, 404)

    def test_a_list_is_asked_of_each_origin_itself(self):
        self.assertEqual(self.ask("LIST", "/live/").status, 405)

    def test_an_origin_that_goes_takes_only_its_own_paths_along(self):
        here, there = self.origins
        kept, lost = self.stored(here), self.stored(there)
        one = min(lost)
        there.kill()
        try:
            # At first its paths are 503; nothing is stored elsewhere by chance.
            self.assertIn(self.ask("PUT", one, body=b"elsewhere").status, (503, 201))
            wait_until(lambda: self.ask("HEAD", one).status != 503, "its paths to fall to the other", FAIL_OVER)
            for path in lost - {one}:
                self.assertEqual(self.ask("GET", path).status, 404)
            for path in kept:
                self.assertEqual(self.ask("GET", path).body, self.body(path))
            self.assertIn(self.ask("PUT", one, body=b"elsewhere").status, (201, 204))
            self.assertEqual(self.ask("GET", one).body, b"elsewhere")
            self.assertEqual(self.stored(here), kept | {one})
        finally:
            with here.connect() as client:
                client.request("DELETE", one)
            there.args = ["-l", f"127.0.0.1:{there.port}", "-a", f"127.0.0.1:{there.admin}"]
            there.start()
        # With all that it acknowledged, and where it was.
        wait_until(lambda: self.ask("GET", one).body == self.body(one), "its paths to come back", FAIL_OVER)
        for path in PATHS:
            self.assertEqual(self.ask("GET", path).body, self.body(path))


if __name__ == "__main__":
    main()
