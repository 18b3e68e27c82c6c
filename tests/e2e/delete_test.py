#!/usr/bin/env python3
"""What DELETE promises."""

import os

from harness import Case, main, pattern, wait_until


class Delete(Case):
    CONFIG = "resume_window = 0s\n"

    def delete(self, target, *headers):
        with self.server.connect() as client:
            return client.request("DELETE", target, *headers)

    def test_a_deleted_object_is_gone_at_once(self):
        self.put(self.path("a"), b"x")
        self.put(self.path("b"), b"y")
        reply = self.delete(self.path("a"))
        self.assertEqual((reply.status, reply.body), (204, b""))
        self.assertEqual(self.get(self.path("a")).status, 404)
        self.assertEqual(self.list_text(self.path("")), [self.path("b")])
        self.assertEqual(self.get(self.path("b")).body, b"y")

    def test_an_unknown_path_is_404(self):
        self.assertEqual(self.delete(self.path("a")).status, 404)

    def test_a_second_delete_is_404(self):
        self.put(self.path("a"), b"x")
        self.assertEqual(self.delete(self.path("a")).status, 204)
        self.assertEqual(self.delete(self.path("a")).status, 404)

    def test_the_name_is_free_again(self):
        self.put(self.path("a"), b"x")
        self.delete(self.path("a"))
        self.assertEqual(self.put(self.path("a"), b"again").status, 201)
        self.assertEqual(self.get(self.path("a")).body, b"again")

    def test_an_empty_chunked_body_is_taken_as_ffmpeg_sends_it(self):
        self.put(self.path("a"), b"x")
        client = self.connect()
        client.send_head("DELETE", self.path("a"), "Transfer-Encoding: chunked", "Accept: */*",
                         "Connection: keep-alive", "Icy-MetaData: 1", "User-Agent: Lavf/59.27.100")
        client.send(b"0\r\n\r\n")
        self.assertEqual(client.read_reply("DELETE").status, 204)
        self.assertEqual(client.get(self.path("a")).status, 404)

    def test_a_body_that_comes_late_is_taken_too(self):
        self.put(self.path("a"), b"x")
        client = self.connect()
        client.send_head("DELETE", self.path("a"), "Transfer-Encoding: chunked")
        client.wait_taken()
        client.send(b"0\r\n\r\n")
        self.assertEqual(client.read_reply("DELETE").status, 204)
        self.assertEqual(client.put(self.path("a"), b"next").status, 201)

    def test_a_body_by_length_is_swallowed(self):
        self.put(self.path("a"), b"x")
        client = self.connect()
        self.assertEqual(client.request("DELETE", self.path("a"), body=b"body").status, 204)
        self.assertEqual(client.get(self.path("a")).status, 404)

    def test_pipelined_deletes(self):
        client = self.connect()
        for number in range(100):
            client.put(self.path(str(number)), b"x")
        client.send(b"".join(b"DELETE %s HTTP/1.1\r\nHost: t\r\n\r\n"
                             % self.path(str(number)).encode() for number in range(100)))
        for _ in range(100):
            self.assertEqual(client.read_reply("DELETE").status, 204)
        self.assertEqual(self.list_text(self.path("")), [])

    def test_a_waiting_reader_is_cut_within_one_part(self):
        self.writer(self.path("a"), b"one")
        readers = [self.follow(self.path("a")) for _ in range(10)]
        for reader in readers:
            reader.read_part(3)
        self.assertEqual(self.delete(self.path("a")).status, 204)
        for reader in readers:
            self.assertEqual(reader.read_until_cut(), b"")

    def test_the_writer_of_a_deleted_object_gets_410(self):
        client = self.writer(self.path("a"), b"one")
        self.assertEqual(self.delete(self.path("a")).status, 204)
        try:
            client.send_chunk(b"two")
            client.send(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass
        self.assertEqual(client.read_reply("PUT").status, 410)
        self.assertEqual(self.get(self.path("a")).status, 404)
        self.assertEqual(self.list_text(self.path("")), [])

    def test_a_writer_that_goes_on_after_410_harms_nobody(self):
        client = self.writer(self.path("a"), b"one")
        self.delete(self.path("a"))
        try:
            for _ in range(100):
                client.send_chunk(pattern(10_000))
            client.send(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass
        self.assertEqual(self.get(self.path("a")).status, 404)
        self.assert_serves()

    def test_a_version_that_nobody_saw_yet_goes_too(self):
        self.put(self.path("a.m3u8"), b"old")
        client = self.writer(self.path("a.m3u8"), b"new", visible=False)
        self.assertEqual(self.delete(self.path("a.m3u8")).status, 204)
        self.assertEqual(self.get(self.path("a.m3u8")).status, 404)
        self.assertIn(client.end_put().status, (201, 410))

    def test_an_incomplete_object_can_be_deleted(self):
        self.writer(self.path("a"), b"half").close()
        self.follow(self.path("a")).read_until_cut()
        self.assertEqual(self.delete(self.path("a")).status, 204)
        self.assertEqual(self.get(self.path("a")).status, 404)

    def test_bad_paths_are_refused(self):
        self.assertEqual(self.delete("/a/../b").status, 400)
        self.assertTrue(400 <= self.delete("/").status < 500)

    def test_descriptors_do_not_pile_up(self):
        count = lambda: len(os.listdir(f"/proc/{self.server.process.pid}/fd"))
        self.put(self.path("warm"), b"x")
        before = count()
        for number in range(200):
            with self.server.connect() as client:
                client.put(self.path(str(number)), b"x" * 1000)
                client.request("DELETE", self.path(str(number)))
        wait_until(lambda: count() <= before + 5, f"descriptors to be {before} again")


if __name__ == "__main__":
    main()
