#!/usr/bin/env python3
"""Which version readers get: whole playlists, several writers, senders that vanish, rules."""

from harness import Case, main, pattern, wait_until


class Whole(Case):
    def test_a_playlist_is_404_until_its_upload_is_complete(self):
        client = self.writer(self.path("a.m3u8"), b"#EXTM3U\n", visible=False)
        self.assertEqual(self.get(self.path("a.m3u8")).status, 404)
        client.send_chunk(b"#EXT-X-ENDLIST\n")
        client.wait_taken()
        self.assertEqual(self.get(self.path("a.m3u8")).status, 404)
        self.assertEqual(client.end_put().status, 201)
        self.assertEqual(self.get(self.path("a.m3u8")).body, b"#EXTM3U\n#EXT-X-ENDLIST\n")

    def test_readers_get_the_old_playlist_until_the_new_one_is_complete(self):
        for name in ("a.m3u8", "a.mpd"):
            with self.subTest(name):
                self.put(self.path(name), b"old")
                client = self.writer(self.path(name), b"new ", visible=False)
                self.assertEqual(self.get(self.path(name)).body, b"old")
                client.send_chunk(b"and whole")
                client.wait_taken()
                reply = self.get(self.path(name))
                self.assertEqual((reply.status, reply.body), (200, b"old"))
                self.assertEqual(client.end_put().status, 204)
                self.assertEqual(self.get(self.path(name)).body, b"new and whole")

    def test_an_aborted_upload_leaves_the_old_playlist(self):
        old = self.put(self.path("a.m3u8"), b"old")
        for ending in ("close", "reset"):
            client = self.writer(self.path("a.m3u8"), b"half of the", visible=False)
            getattr(client, ending)()
            reply = self.get(self.path("a.m3u8"))
            self.assertEqual((reply.body, reply["ETag"]), (b"old", old["ETag"]))
        self.put(self.path("a.m3u8"), b"new")
        self.assertEqual(self.get(self.path("a.m3u8")).body, b"new")

    def test_an_aborted_first_upload_leaves_nothing(self):
        self.writer(self.path("a.m3u8"), b"half of the", visible=False).close()
        self.assertEqual(self.get(self.path("a.m3u8")).status, 404)
        self.assertEqual(self.list_text(self.path("")), [])

    def test_the_playlist_completed_last_is_served(self):
        first = self.writer(self.path("a.m3u8"), b"first", visible=False)
        second = self.writer(self.path("a.m3u8"), b"second", visible=False)
        self.assertIn(second.end_put().status, (201, 204))
        self.assertEqual(self.get(self.path("a.m3u8")).body, b"second")
        self.assertEqual(first.end_put().status, 204)
        self.assertEqual(self.get(self.path("a.m3u8")).body, b"first")

    def test_a_playlist_on_one_connection_again_and_again(self):
        client, reader = self.connect(), self.connect()
        for number in range(100):
            body = b"#EXTM3U %d\n" % number * (number + 1)
            client.begin_put(self.path("a.m3u8"))
            client.send_chunk(body)
            self.assertEqual(client.end_put().status, 201 if number == 0 else 204)
            self.assertEqual(reader.get(self.path("a.m3u8")).body, body)


class Writers(Case):
    def test_a_newcomer_becomes_current_when_it_is_complete(self):
        first = self.writer(self.path("a"), b"first ")
        on_first = self.follow(self.path("a"))
        second = self.writer(self.path("a"), b"second")
        still_first = self.follow(self.path("a"))
        self.assertEqual(still_first.read_part(6), b"first ")
        self.assertEqual(second.end_put().status, 204)
        reply = self.get(self.path("a"))
        self.assertEqual((reply.body, reply["Content-Length"]), (b"second", "6"))
        first.send_chunk(b"goes on")
        self.assertEqual(on_first.read_part(13), b"first goes on")
        self.assertEqual(first.end_put().status, 204)
        self.assertEqual(on_first.read_rest(), b"")
        self.assertEqual(still_first.read_rest(), b"goes on")
        self.assertEqual(self.get(self.path("a")).body, b"second")

    def test_a_newcomer_that_dies_leaves_the_first_writer_alone(self):
        first = self.writer(self.path("a"), b"first ")
        self.writer(self.path("a"), b"second").reset()
        first.send_chunk(b"goes on")
        self.assertEqual(first.end_put().status, 201)
        self.assertEqual(self.get(self.path("a")).body, b"first goes on")

    def test_a_first_writer_that_dies_does_not_stop_the_newcomer(self):
        first = self.writer(self.path("a"), b"first ")
        second = self.writer(self.path("a"), b"second")
        first.reset()
        second.send_chunk(b" goes on")
        self.assertEqual(second.end_put().status, 204)
        self.assertEqual(self.get(self.path("a")).body, b"second goes on")

    def test_two_encoders_with_identical_segments_never_stop_each_other(self):
        body = pattern(200_000)
        one, two = self.connect(), self.connect()
        for number in range(20):
            target = self.path(f"seg{number}.m4s")
            for client in (one, two):
                client.begin_put(target)
            for at in range(0, len(body), 50_000):
                for client in (one, two):
                    client.send_chunk(body[at:at + 50_000])
            self.assertIn(one.end_put().status, (201, 204))
            self.assertIn(two.end_put().status, (201, 204))
            self.assertEqual(self.get(target).body, body)

    def test_a_live_version_is_current_as_soon_as_its_upload_begins(self):
        self.put(self.path("a"), b"old")
        client = self.connect()
        client.begin_put(self.path("a"))
        client.send_chunk(b"new")
        reader = self.connect()
        wait_until(lambda: reader.request("HEAD", self.path("a"))["Content-Length"] is None, "the new version")
        reader.send_head("GET", self.path("a"))
        head = reader.read_head()
        self.assertTrue(head.chunked, head)
        self.assertEqual(reader.read_part(3), b"new")
        self.assertEqual(client.end_put().status, 204)


class Vanishing(Case):
    """The sender is gone before the end, for good: readers must not take the object for whole."""

    CONFIG = "resume_window = 100ms\n"

    def vanish(self, ending, headers=None):
        target = self.path(ending)
        if headers:
            client = self.connect()
            client.send_head("PUT", target, *headers)
            client.send(b"half")
            client.wait_taken()
        else:
            client = self.writer(target, b"half")
        reader = self.follow(target)
        self.assertEqual(reader.read_part(4), b"half")
        if ending == "shutdown":
            client.sock.shutdown(1)
        else:
            getattr(client, ending)()
        self.assertEqual(reader.read_until_cut(), b"")
        later = self.follow(target)
        self.assertEqual(later.read_until_cut(), b"half")
        with self.server.connect() as asker:
            head = asker.request("HEAD", target)
        self.assertEqual(head.status, 200)
        self.assertIsNone(head["ETag"])
        states = [row["state"] for row in self.list_json(target)]
        self.assertEqual(states, ["incomplete"])
        self.assertEqual(self.put(target, b"whole").status, 204)
        self.assertEqual(self.get(target).body, b"whole")

    def test_readers_are_cut_when_the_sender_closes(self):
        self.vanish("close")

    def test_readers_are_cut_when_the_sender_resets(self):
        self.vanish("reset")

    def test_readers_are_cut_when_the_sender_ends_its_side_only(self):
        self.vanish("shutdown")

    def test_readers_are_cut_when_an_upload_by_length_ends_early(self):
        self.vanish("close", headers=("Content-Length: 5",))

    def test_an_empty_unfinished_object_is_cut_too(self):
        client = self.writer(self.path("a"))
        reader = self.follow(self.path("a"))
        client.close()
        self.assertEqual(reader.read_until_cut(), b"")
        self.assertEqual(self.follow(self.path("a")).read_until_cut(), b"")

    def test_an_http_1_0_reader_of_an_incomplete_object_sees_no_clean_length(self):
        self.writer(self.path("a"), b"half").close()
        with self.server.connect() as client:
            client.send_head("GET", self.path("a"), version="1.0")
            head = client.read_head()
            self.assertIsNone(head["Content-Length"])

    def test_an_incomplete_object_is_not_cacheable_for_long(self):
        self.writer(self.path("a.m4s"), b"half").close()
        self.follow(self.path("a.m4s")).read_until_cut()
        with self.server.connect() as client:
            client.send_head("GET", self.path("a.m4s"))
            self.assertNotIn("immutable", client.read_head()["Cache-Control"] or "")


class IdleSender(Case):
    CONFIG = "ingest_idle = 1s\nresume_window = 0s\n"

    def test_a_silent_sender_counts_as_vanished(self):
        self.writer(self.path("a"), b"half")
        reader = self.follow(self.path("a"))
        self.assertEqual(reader.read_until_cut(), b"half")

    def test_a_slow_sender_does_not(self):
        client = self.writer(self.path("a"), b"0")
        reader = self.follow(self.path("a"))
        for number in range(1, 6):
            reader.read_part(1)
            reader.expect_silence(0.4)
            client.send_chunk(b"%d" % number)
        self.assertEqual(client.end_put().status, 201)
        self.assertEqual(reader.read_rest(), b"5")


class Rules(Case):
    CONFIG = """
        rule "/grow/*" { existing = append }
        rule "/keep/*" { existing = refuse }
        rule "/slow/*" { publish = whole }
        rule "/slow/live/*" { publish = live }
        rule "*.odd" { content_type = "x-odd/thing" cache_control = "max-age=7" }
        rule "/now/*" { publish = live }
    """

    def path(self, name):
        prefix, _, rest = name.partition("/")
        return f"/{prefix}/{self._testMethodName}/{rest}"

    def test_existing_append_appends(self):
        self.assertEqual(self.put(self.path("grow/a"), b"one ").status, 201)
        self.assertEqual(self.put(self.path("grow/a"), b"two ").status, 204)
        self.assertEqual(self.put(self.path("grow/a"), b"three").status, 204)
        self.assertEqual(self.get(self.path("grow/a")).body, b"one two three")

    def test_an_appended_object_has_the_etag_of_all_its_bytes(self):
        self.put(self.path("grow/a"), b"one ")
        last = self.put(self.path("grow/a"), b"two")
        self.assertEqual(last["ETag"], self.put(self.path("other/a"), b"one two")["ETag"])

    def test_appending_to_what_is_being_written_is_409(self):
        client = self.writer(self.path("grow/a"), b"one ")
        with self.server.connect() as other:
            self.assertEqual(other.put(self.path("grow/a"), b"two").status, 409)
        self.assertEqual(client.end_put().status, 201)
        self.assertEqual(self.get(self.path("grow/a")).body, b"one ")

    def test_existing_refuse_is_409(self):
        self.assertEqual(self.put(self.path("keep/a"), b"one").status, 201)
        with self.server.connect() as client:
            self.assertEqual(client.put(self.path("keep/a"), b"two").status, 409)
        self.assertEqual(self.get(self.path("keep/a")).body, b"one")

    def test_a_refused_name_is_free_again_after_delete(self):
        self.put(self.path("keep/a"), b"one")
        with self.server.connect() as client:
            self.assertEqual(client.request("DELETE", self.path("keep/a")).status, 204)
        self.assertEqual(self.put(self.path("keep/a"), b"two").status, 201)

    def test_publish_whole_holds_for_any_path(self):
        client = self.writer(self.path("slow/a"), b"part", visible=False)
        self.assertEqual(self.get(self.path("slow/a")).status, 404)
        self.assertEqual(client.end_put().status, 201)
        self.assertEqual(self.get(self.path("slow/a")).body, b"part")

    def test_the_last_matching_rule_wins(self):
        target = f"/slow/live/{self._testMethodName}"
        client = self.writer(target, b"part")
        self.assertEqual(self.follow(target).read_part(4), b"part")
        self.assertEqual(client.end_put().status, 201)

    def test_a_rule_wins_over_the_default_for_playlists(self):
        client = self.writer(self.path("now/a.m3u8"), b"part")
        self.assertEqual(self.follow(self.path("now/a.m3u8")).read_part(4), b"part")
        self.assertEqual(client.end_put().status, 201)

    def test_a_rule_sets_content_type_and_cache_control(self):
        self.put(self.path("any/a.odd"), b"x", "Content-Type: video/mp4")
        reply = self.get(self.path("any/a.odd"))
        self.assertEqual(reply["Content-Type"], "x-odd/thing")
        self.assertEqual(reply["Cache-Control"], "max-age=7")


if __name__ == "__main__":
    main()
