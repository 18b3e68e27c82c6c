#!/usr/bin/env python3
"""A rule's hold: who asks early for a segment waits for it to begin."""

import time

from harness import Case, main, pattern, wait_until


class Hold(Case):
    CONFIG = 'rule "/soon/*" { hold = 1m }\nrule "/short/*" { hold = 300ms }\nresume_window = 0s\n'

    def soon(self, name):
        return f"/soon/{self._testMethodName}/{name}"

    def ask(self, target, *headers):
        client = self.connect()
        client.send_head("GET", target, *headers)
        return client

    def test_a_reader_waits_until_the_upload_begins_and_follows_it(self):
        readers = [self.ask(self.soon("a.m4s")) for _ in range(20)]
        readers[0].expect_silence()
        client = self.connect()
        client.begin_put(self.soon("a.m4s"))  # not a byte of the body yet
        for reader in readers:
            head = reader.read_head()
            self.assertEqual(head.status, 200)
            self.assertTrue(head.chunked)
        client.send_chunk(b"first ")
        for reader in readers:
            self.assertEqual(reader.read_part(6), b"first ")
        client.send_chunk(b"last")
        self.assertEqual(client.end_put().status, 201)
        for reader in readers:
            self.assertEqual(reader.read_rest(), b"last")
            self.assertEqual(reader.get(self.soon("a.m4s")).status, 200)

    def test_then_it_is_404_and_not_cached(self):
        begin = time.monotonic()
        reply = self.get("/short/nothing")
        self.assertGreaterEqual(time.monotonic() - begin, 0.29)
        self.assertEqual((reply.status, reply["Cache-Control"]), (404, "no-store"))

    def test_the_connection_goes_on_afterwards(self):
        client = self.connect()
        for _ in range(3):
            self.assertEqual(client.get("/short/nothing").status, 404)
        self.assertEqual(client.put(self.path("a"), b"x").status, 201)

    def test_elsewhere_and_for_head_nothing_waits(self):
        self.assertEqual(self.get(self.path("a")).status, 404)
        self.assertEqual(self.connect().request("HEAD", self.soon("a")).status, 404)
        self.assertEqual(self.connect().request("DELETE", self.soon("a")).status, 404)

    def test_a_playlist_begins_when_it_is_whole(self):
        reader = self.ask(self.soon("a.m3u8"))
        client = self.writer(self.soon("a.m3u8"), b"#EXTM3U\n", visible=False)
        reader.expect_silence()
        self.assertEqual(client.end_put().status, 201)
        reply = reader.read_reply()
        self.assertEqual((reply.status, reply.body), (200, b"#EXTM3U\n"))

    def test_what_was_deleted_is_waited_for_again(self):
        self.put(self.soon("a"), b"old")
        self.connect().request("DELETE", self.soon("a"))
        reader = self.ask(self.soon("a"))
        reader.expect_silence()
        self.put(self.soon("a"), b"new")
        reply = reader.read_head()
        self.assertEqual(reply.status, 200)
        self.assertEqual(reader.read_body(reply), b"new")

    def test_a_range_of_a_segment_that_is_about_to_begin(self):
        reader = self.ask(self.soon("a"), "Range: bytes=0-")
        client = self.writer(self.soon("a"))
        head = reader.read_head()
        self.assertEqual((head.status, head["Content-Range"]), (206, "bytes 0-9007199254740991/*"))
        client.send_chunk(b"part")
        self.assertEqual(reader.read_part(4), b"part")

    def test_readers_that_leave_while_they_wait_harm_nobody(self):
        readers = [self.ask(self.soon("a")) for _ in range(50)]
        for reader in readers[::2]:
            reader.reset()
        for reader in readers[1::4]:
            reader.close()
        self.put(self.soon("a"), b"here")
        for reader in readers[3::4]:
            head = reader.read_head()
            self.assertEqual(reader.read_body(head), b"here")

    def test_uploads_and_early_readers_at_random(self):
        body = pattern(2000)
        client = self.connect()
        for number in range(200):
            reader = self.ask(self.soon(f"{number}"))
            if number % 3 == 0:
                reader.wait_taken()
            self.assertEqual(client.put(self.soon(f"{number}"), body).status, 201)
            head = reader.read_head()
            self.assertEqual((head.status, reader.read_body(head)), (200, body))
            reader.close()

    def test_many_wait_for_paths_that_never_come(self):
        readers = [self.ask(f"/short/{self._testMethodName}/{number}") for number in range(300)]
        for reader in readers:
            self.assertEqual(reader.read_reply().status, 404)

    def test_a_stop_ends_the_wait(self):
        reader = self.ask(self.soon("never"))
        reader.expect_silence()
        self.server.stop()
        self.server.start()
        reader.read_to_close()

    def test_after_a_restart_what_is_there_is_served_at_once(self):
        self.put(self.soon("a"), b"kept")
        self.server.stop()
        self.server.start()
        wait_until(lambda: self.get(self.soon("a")).body == b"kept", "the object")


if __name__ == "__main__":
    main()
