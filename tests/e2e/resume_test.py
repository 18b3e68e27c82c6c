#!/usr/bin/env python3
"""Uploads in parts, senders that vanish and come back, two senders of one path, preconditions."""

import random
import threading

from harness import PATIENCE, Case, Closed, main, pattern, wait_until


class Parts(Case):
    """PUT with Content-Range: append at the present end, and only there."""

    CONFIG = 'object_max = 1MiB\nresume_window = 0s\nrule "/keep/*" { existing = refuse }\n'

    def append(self, target, first, body, last=None, total="*"):
        """The reply to BODY at FIRST."""
        last = first + len(body) - 1 if last is None else last
        with self.server.connect() as client:
            return client.put(target, body, f"Content-Range: bytes {first}-{last}/{total}")

    def append_chunked(self, target, value, *parts):
        client = self.connect()
        client.begin_put(target, "Content-Range: " + value)
        for part in parts:
            client.send_chunk(part)
        return client.end_put()

    def test_parts_at_the_end_are_appended(self):
        body = pattern(300_000)
        for at in range(0, len(body), 50_000):
            reply = self.append(self.path("a.ts"), at, body[at:at + 50_000])
            self.assertEqual(reply.status, 204 if at else 201, reply)
            got = self.get(self.path("a.ts"))
            self.assertEqual((got.status, got.body), (200, body[:at + 50_000]))
            self.assertEqual(got["ETag"], reply["ETag"])
        self.assertEqual(self.put(self.path("b.ts"), body)["ETag"], reply["ETag"])

    def test_post_is_the_same(self):
        self.put(self.path("a"), b"one ")
        reply = self.connect().request("POST", self.path("a"), "Content-Range: bytes 4-6/*", body=b"two")
        self.assertEqual(reply.status, 204)
        self.assertEqual(self.get(self.path("a")).body, b"one two")

    def test_the_length_of_a_part_need_not_be_known(self):
        reply = self.append_chunked(self.path("a"), "bytes 0-*/*", b"one ", b"two ")
        self.assertEqual(reply.status, 201)
        reply = self.append_chunked(self.path("a"), "bytes 8-*/*", b"three")
        self.assertEqual(reply.status, 204)
        self.assertEqual(self.get(self.path("a")).body, b"one two three")
        self.assertEqual(self.append_chunked(self.path("a"), "bytes 13-*/*").status, 204)
        self.assertEqual(self.get(self.path("a")).body, b"one two three")

    def test_a_part_is_readable_while_it_arrives(self):
        self.put(self.path("a"), b"one ")
        client = self.writer(self.path("a"), b"two ", headers=("Content-Range: bytes 4-*/*",))
        reader = self.follow(self.path("a"))
        self.assertEqual(reader.read_part(8), b"one two ")
        client.send_chunk(b"three")
        self.assertEqual(reader.read_part(5), b"three")
        self.assertEqual(client.end_put().status, 204)
        self.assertEqual(reader.read_rest(), b"")

    def test_each_part_completes_the_object_as_it_is_whatever_the_total(self):
        self.assertEqual(self.append(self.path("a"), 0, b"one ", total=11).status, 201)
        got = self.get(self.path("a"))
        self.assertEqual((got["Content-Length"], got.body), ("4", b"one "))
        self.assertEqual(self.append(self.path("a"), 4, b"two", total=11).status, 204)
        self.assertEqual(self.get(self.path("a")).body, b"one two")

    def test_any_other_offset_is_416_with_the_length_and_changes_nothing(self):
        was = self.put(self.path("a"), b"original")
        for first in (0, 1, 7, 9, 100, 1_000_000):
            reply = self.append(self.path("a"), first, b"over")
            self.assertEqual(reply.status, 416, reply)
            self.assertEqual(reply["Content-Range"], "bytes */8")
            reply = self.append_chunked(self.path("a"), f"bytes {first}-*/*", b"over")
            self.assertEqual((reply.status, reply["Content-Range"]), (416, "bytes */8"))
        got = self.get(self.path("a"))
        self.assertEqual((got.body, got["ETag"]), (b"original", was["ETag"]))

    def test_an_offset_into_nothing_is_416_and_makes_nothing(self):
        reply = self.append(self.path("a"), 5, b"five")
        self.assertEqual((reply.status, reply["Content-Range"]), (416, "bytes */0"))
        self.assertEqual(self.get(self.path("a")).status, 404)
        self.assertEqual(self.list_text(self.path("")), [])

    def test_an_empty_object_is_appended_to_at_0(self):
        self.put(self.path("a"), b"")
        self.assertEqual(self.append(self.path("a"), 0, b"first").status, 204)
        self.assertEqual(self.get(self.path("a")).body, b"first")

    def test_malformed_ranges_are_400_and_never_an_overwrite(self):
        self.put(self.path("a"), b"original")
        for value in ("bytes 8-/*", "bytes 8", "bytes 8-7/*", "bytes 8-11", "bytes=8-11/*", "8-11/*",
                      "bytes 8-11/11", "bytes 8-11/x", "bytes -11/*", "bytes */12", "bytes +8-11/*",
                      "bytes 8-18446744073709551615/*", "bytes 8-99999999999999999999/*",
                      "rows 8-11/*", "bytes 8-11/12/13", ""):
            with self.subTest(value), self.server.connect() as client:
                reply = client.put(self.path("a"), b"over", "Content-Range: " + value)
                self.assertEqual(reply.status, 400, reply)
                with self.server.connect() as other:
                    reply = other.put(self.path("a"), b"over", "Content-Range: bytes 8-11/*",
                                      "Content-Range: bytes 8-11/*")
                    self.assertEqual(reply.status, 400, reply)
        self.assertEqual(self.get(self.path("a")).body, b"original")

    def test_a_declared_length_that_contradicts_is_400_before_the_body(self):
        self.put(self.path("a"), b"original")
        for length in (0, 3, 5):
            client = self.connect()
            client.send_head("PUT", self.path("a"), "Content-Range: bytes 8-11/*",
                             f"Content-Length: {length}", "Expect: 100-continue")
            self.assertEqual(client.read_head().status, 400)
        self.assertEqual(self.get(self.path("a")).body, b"original")

    def test_a_chunked_part_that_is_too_long_is_400_and_no_byte_is_out_of_place(self):
        self.put(self.path("a"), b"original")
        client = self.connect()
        client.begin_put(self.path("a"), "Content-Range: bytes 8-11/*")
        client.send_chunk(b"more")
        client.send_chunk(b"too much")
        client.send(b"0\r\n\r\n")
        self.assertEqual(client.read_reply("PUT").status, 400)
        reader = self.follow(self.path("a"))
        self.assertEqual(reader.read_until_cut(), b"originalmore")

    def test_a_chunked_part_that_is_too_short_is_400_and_never_complete(self):
        self.put(self.path("a"), b"original")
        client = self.writer(self.path("a"), b"mo", headers=("Content-Range: bytes 8-11/*",))
        reader = self.follow(self.path("a"))
        self.assertEqual(client.end_put().status, 400)
        self.assertEqual(reader.read_until_cut(), b"originalmo")
        reply = wait_until(lambda: (r := self.append(self.path("a"), 10, b"re")).status != 409 and r,
                           "the part to be stored")
        self.assertEqual(reply.status, 204)
        self.assertEqual(self.get(self.path("a")).body, b"originalmore")

    def test_what_is_being_written_is_409(self):
        client = self.writer(self.path("a"), b"one ")
        for first in (0, 4, 5):
            self.assertEqual(self.append(self.path("a"), first, b"two").status, 409)
        self.assertEqual(client.end_put().status, 201)
        self.assertEqual(self.append(self.path("a"), 4, b"two").status, 204)
        self.assertEqual(self.get(self.path("a")).body, b"one two")

    def test_a_playlist_is_appended_to_in_one_step(self):
        self.put(self.path("a.m3u8"), b"#EXTM3U\n")
        client = self.writer(self.path("a.m3u8"), b"one\n", headers=("Content-Range: bytes 8-*/*",))
        self.assertEqual(self.get(self.path("a.m3u8")).body, b"#EXTM3U\n")
        self.assertEqual(client.end_put().status, 204)
        self.assertEqual(self.get(self.path("a.m3u8")).body, b"#EXTM3U\none\n")

    def test_object_max_counts_from_the_start(self):
        self.put(self.path("a"), pattern(1_000_000))
        client = self.connect()
        client.send_head("PUT", self.path("a"), "Content-Range: bytes 1000000-1099999/*",
                         "Content-Length: 100000", "Expect: 100-continue")
        self.assertEqual(client.read_head().status, 413)
        reply = self.append_chunked(self.path("a"), "bytes 1000000-*/*", b"x" * 50_000)
        self.assertEqual(reply.status, 413)

    def test_existing_refuse_holds_for_parts_too(self):
        target = "/keep/" + self._testMethodName
        self.assertEqual(self.append(target, 0, b"one ").status, 201)
        self.assertEqual(self.append(target, 4, b"two").status, 409)
        self.assertEqual(self.get(target).body, b"one ")

    def test_gstreamer_style_parts_on_one_connection(self):
        """souphttpclientsink: the same path again and again, each with what was added."""
        body, client, at = pattern(200_000), self.connect(), 0
        while at < len(body):
            part = body[at:at + 7_777]
            reply = client.put(self.path("a.ts"), part,
                               f"Content-Range: bytes {at}-{at + len(part) - 1}/*")
            self.assertEqual(reply.status, 204 if at else 201)
            at += len(part)
        self.assertEqual(self.get(self.path("a.ts")).body, body)

    def test_parts_survive_a_restart(self):
        self.append(self.path("a"), 0, b"one ")
        self.append(self.path("a"), 4, b"two ")
        self.server.stop()
        self.server.start()
        self.assertEqual(self.append(self.path("a"), 4, b"no").status, 416)
        self.assertEqual(self.append(self.path("a"), 8, b"three").status, 204)
        self.assertEqual(self.get(self.path("a")).body, b"one two three")


class Window(Case):
    """For resume_window readers wait for a sender that goes on."""

    CONFIG = 'resume_window = 1h\nrule "/grow/*" { existing = append }\n'

    def go_on(self, target, at):
        """A new sender where the old one stopped."""
        client = self.connect()
        client.begin_put(target, f"Content-Range: bytes {at}-*/*")
        return client

    def vanish(self, client):
        """Returns when the daemon knows that CLIENT is gone."""
        before = aborted(self.server)
        client.reset()
        wait_until(lambda: aborted(self.server) > before, "the sender to be missed")

    def test_readers_wait_and_get_the_rest_from_the_next_sender(self):
        first = self.writer(self.path("a"), b"one ")
        reader = self.follow(self.path("a"))
        self.assertEqual(reader.read_part(4), b"one ")
        self.vanish(first)
        reader.expect_silence()
        late = self.follow(self.path("a"))
        self.assertEqual(late.read_part(4), b"one ")
        second = self.go_on(self.path("a"), 4)
        second.send_chunk(b"two ")
        self.assertEqual(reader.read_part(4), b"two ")
        self.vanish(second)
        third = self.go_on(self.path("a"), 8)
        third.send_chunk(b"three")
        self.assertEqual(third.end_put().status, 204)
        self.assertEqual(reader.read_rest(), b"three")
        self.assertEqual(late.read_rest(), b"two three")
        whole = self.put(self.path("b"), b"one two three")
        got = self.get(self.path("a"))
        self.assertEqual((got.body, got["ETag"]), (b"one two three", whole["ETag"]))

    def test_the_present_length_is_told_to_who_guesses_wrong(self):
        first = self.writer(self.path("a"), b"one ")
        self.vanish(first)
        for at in (0, 3, 5):
            reply = self.go_on(self.path("a"), at).end_put()
            self.assertEqual((reply.status, reply["Content-Range"]), (416, "bytes */4"))
        reader = self.follow(self.path("a"))
        self.assertEqual(reader.read_part(4), b"one ")
        reader.expect_silence()
        second = self.go_on(self.path("a"), 4)
        self.assertEqual(second.end_put().status, 204)
        self.assertEqual(reader.read_rest(), b"")

    def test_under_existing_append_any_upload_goes_on(self):
        target = "/grow/" + self._testMethodName
        first = self.writer(target, b"one ")
        reader = self.follow(target)
        self.vanish(first)
        self.assertEqual(self.put(target, b"two").status, 204)
        self.assertEqual(reader.read_rest(), b"one two")

    def test_a_plain_upload_replaces_it_and_cuts_its_readers(self):
        first = self.writer(self.path("a"), b"one ")
        reader = self.follow(self.path("a"))
        self.vanish(first)
        self.assertEqual(self.put(self.path("a"), b"new").status, 204)
        self.assertEqual(reader.read_until_cut(), b"one ")
        self.assertEqual(self.get(self.path("a")).body, b"new")

    def test_a_deletion_cuts_its_readers(self):
        first = self.writer(self.path("a"), b"one ")
        reader = self.follow(self.path("a"))
        self.vanish(first)
        self.assertEqual(self.connect().request("DELETE", self.path("a")).status, 204)
        self.assertEqual(reader.read_until_cut(), b"one ")
        self.assertEqual(self.get(self.path("a")).status, 404)

    def test_who_is_refused_in_the_middle_is_not_waited_for(self):
        first = self.writer(self.path("a"), b"one ")
        reader = self.follow(self.path("a"))
        first.send(b"no chunk\r\n")
        self.assertEqual(first.read_reply("PUT").status, 400)
        self.assertEqual(reader.read_until_cut(), b"one ")

    def test_an_upload_by_length_is_resumed_from_another_connection(self):
        body = pattern(500_000)
        client = self.connect()
        client.send_head("PUT", self.path("a"), f"Content-Length: {len(body)}")
        client.send(body[:123_456])
        client.wait_taken()
        self.vanish(client)
        reply = self.connect().put(self.path("a"), body[123_456:],
                                   f"Content-Range: bytes 123456-{len(body) - 1}/{len(body)}")
        self.assertEqual(reply.status, 204)
        self.assertEqual(self.get(self.path("a")).body, body)


def aborted(server):
    """How many senders vanished so far."""
    return server.metrics()["spillway_ingest_aborted_total"]


class WindowEnds(Case):
    CONFIG = "resume_window = 100ms\n"

    def test_readers_are_cut_and_the_object_can_still_be_continued(self):
        first = self.writer(self.path("a"), b"one ")
        reader = self.follow(self.path("a"))
        first.reset()
        self.assertEqual(reader.read_until_cut(), b"one ")
        self.assertEqual(self.follow(self.path("a")).read_until_cut(), b"one ")
        def go_on():
            reply = self.connect().put(self.path("a"), b"two", "Content-Range: bytes 4-6/*")
            return reply.status != 409 and reply
        self.assertEqual(wait_until(go_on, "the part to be stored").status, 204)
        self.assertEqual(self.get(self.path("a")).body, b"one two")


class Takeover(Case):
    CONFIG = "writer_takeover = 1s\nresume_window = 1h\n"

    def test_a_second_sender_takes_over_from_a_silent_one(self):
        first = self.writer(self.path("a"), b"first ")
        on_first = self.follow(self.path("a"))
        second = self.writer(self.path("a"), b"second")

        def sees_second():
            second.send_chunk(b"!")
            reader = self.follow(self.path("a"))
            return reader.read_part(6) == b"second"
        wait_until(sees_second, "the second sender to take over")
        first.send_chunk(b"was not dead")
        self.assertEqual(first.end_put().status, 204)
        self.assertEqual(on_first.read_rest(), b"first was not dead")
        reader = self.follow(self.path("a"))
        second.send_chunk(b" is whole")
        self.assertEqual(second.end_put().status, 204)
        body = reader.read_rest()
        self.assertRegex(body, rb"^second!+ is whole$")
        self.assertEqual(self.get(self.path("a")).body, body)

    def test_a_second_sender_takes_over_at_once_from_one_that_vanished(self):
        first = self.writer(self.path("a"), b"first ")
        on_first = self.follow(self.path("a"))
        second = self.writer(self.path("a"), b"second")
        first.reset()
        self.assertEqual(on_first.read_until_cut(), b"first ")
        reader = self.follow(self.path("a"))
        self.assertEqual(reader.read_part(6), b"second")
        self.assertEqual(second.end_put().status, 204)
        self.assertEqual(reader.read_rest(), b"")


class SecondWriter(Case):
    CONFIG = 'rule "*" { second_writer = refuse }\n'

    def test_a_second_sender_can_be_refused(self):
        first = self.writer(self.path("a"), b"first")
        self.assertEqual(self.connect().put(self.path("a"), b"second").status, 409)
        self.assertEqual(first.end_put().status, 201)
        self.assertEqual(self.put(self.path("a"), b"second").status, 204)


class Redundancy(Case):
    """Two encoders with identical output on the same paths."""

    CONFIG = "resume_window = 500ms\nwriter_takeover = 500ms\n"

    def encode(self, seed, dies, segments, body, faults, meet):
        """Uploads every segment; dies at random in some and goes on with the next. All have begun
        a segment before one ends it."""
        chance, client = random.Random(seed), self.server.connect()
        try:
            for number in range(segments):
                target, dead = self.path(f"{number}.m4s"), dies and chance.random() < 0.5
                client.begin_put(target, "Expect: 100-continue")
                if client.read_head().status != 100:
                    raise AssertionError(f"{target} was refused")
                meet.wait(PATIENCE)
                end = chance.randrange(len(body)) if dead else len(body)
                for at in range(0, end, 20_000):
                    client.send_chunk(body[at:min(at + 20_000, end)])
                if dead:
                    client.reset()
                    client = self.server.connect()
                else:
                    status = client.end_put().status
                    if status not in (201, 204):
                        faults.append((target, status))
                meet.wait(PATIENCE)
        except (Closed, OSError, AssertionError, threading.BrokenBarrierError) as fault:
            meet.abort()
            faults.append(fault)
        finally:
            client.close()

    def run_encoders(self, *dying):
        body, faults, segments = pattern(150_000), [], 30
        meet = threading.Barrier(len(dying))
        threads = [threading.Thread(target=self.encode,
                                    args=(seed, dies, segments, body, faults, meet))
                   for seed, dies in enumerate(dying)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(faults, [])
        return [(self.path(f"{number}.m4s"), body) for number in range(segments)]

    def test_two_at_the_same_time_end_with_one_whole_object(self):
        for target, body in self.run_encoders(False, False):
            self.assertEqual(self.get(target).body, body)

    def test_one_that_dies_at_random_does_not_harm_the_other(self):
        for target, body in self.run_encoders(False, True):
            reply = self.get(target)
            self.assertEqual((reply.status, reply.body), (200, body), target)
            self.assertIsNotNone(reply["ETag"])

    def test_two_that_both_die_leave_nothing_that_looks_whole_and_is_not(self):
        for target, body in self.run_encoders(True, True, True):
            with self.server.connect() as client:
                client.send_head("GET", target)
                head = client.read_head()
                self.assertEqual(head.status, 200)
                if head.chunked:
                    self.assertTrue(body.startswith(client.read_until_cut()))
                else:
                    self.assertEqual(client.read_body(head), body)
            self.assertEqual(self.put(target, body).status, 204)

    def test_one_after_the_other_changes_nothing(self):
        body = pattern(50_000)
        first, second = self.put(self.path("a"), body), self.put(self.path("a"), body)
        self.assertEqual((first.status, second.status), (201, 204))
        self.assertEqual(first["ETag"], second["ETag"])


class Preconditions(Case):
    CONFIG = "resume_window = 0s\n"

    def test_if_none_match_star_creates_only(self):
        one = self.connect().put(self.path("a"), b"one", "If-None-Match: *")
        self.assertEqual(one.status, 201)
        two = self.connect().put(self.path("a"), b"two", "If-None-Match: *")
        self.assertEqual(two.status, 412)
        self.assertEqual(self.get(self.path("a")).body, b"one")
        self.connect().request("DELETE", self.path("a"))
        self.assertEqual(self.connect().put(self.path("a"), b"two", "If-None-Match: *").status, 201)

    def test_create_only_does_not_touch_what_is_being_written(self):
        first = self.writer(self.path("a"), b"one")
        self.assertEqual(self.connect().put(self.path("a"), b"two", "If-None-Match: *").status, 412)
        self.assertEqual(first.end_put().status, 201)
        self.assertEqual(self.get(self.path("a")).body, b"one")

    def test_create_only_may_replace_what_was_never_completed(self):
        self.writer(self.path("a"), b"half").reset()
        def create():
            reply = self.connect().put(self.path("a"), b"two", "If-None-Match: *")
            return reply.status != 412 and reply
        self.assertEqual(wait_until(create, "the sender to be missed").status, 204)
        self.assertEqual(self.get(self.path("a")).body, b"two")

    def test_of_two_that_create_one_playlist_one_fails(self):
        clients = [self.writer(self.path("a.m3u8"), b"%d" % number, visible=False,
                               headers=("If-None-Match: *",)) for number in range(2)]
        replies = [client.end_put().status for client in clients]
        self.assertEqual(replies, [201, 412])
        self.assertEqual(self.get(self.path("a.m3u8")).body, b"0")

    def test_if_match_replaces_that_version_only(self):
        one = self.put(self.path("a"), b"one")["ETag"]
        two = self.connect().put(self.path("a"), b"two", "If-Match: " + one)
        self.assertEqual(two.status, 204)
        for condition in ("If-Match: " + one, 'If-Match: "other"', "If-None-Match: " + two["ETag"],
                          "If-Unmodified-Since: Sat, 01 Jan 2000 00:00:00 GMT"):
            reply = self.connect().put(self.path("a"), b"three", condition)
            self.assertEqual(reply.status, 412, condition)
        self.assertEqual(self.get(self.path("a")).body, b"two")
        for condition in (f'If-Match: "x", {two["ETag"]}', "If-Match: *", "If-None-Match: " + one):
            reply = self.connect().put(self.path("a"), b"two", condition)
            self.assertEqual(reply.status, 204, condition)

    def test_if_match_needs_something_to_match(self):
        self.assertEqual(self.connect().put(self.path("a"), b"one", "If-Match: *").status, 412)
        self.assertEqual(self.get(self.path("a")).status, 404)

    def test_a_growing_object_has_no_tag_to_match(self):
        client = self.writer(self.path("a"), b"one")
        reply = self.connect().put(self.path("a"), b"two", 'If-Match: "any"')
        self.assertEqual(reply.status, 412)
        self.assertEqual(client.end_put().status, 201)

    def test_preconditions_hold_for_parts_too(self):
        one = self.put(self.path("a"), b"one ")["ETag"]
        part = "Content-Range: bytes 4-6/*"
        self.assertEqual(self.connect().put(self.path("a"), b"two", part, 'If-Match: "x"').status, 412)
        self.assertEqual(self.connect().put(self.path("a"), b"two", part, "If-Match: " + one).status, 204)
        self.assertEqual(self.get(self.path("a")).body, b"one two")

    def test_a_precondition_is_refused_before_the_body(self):
        self.put(self.path("a"), b"one")
        client = self.connect()
        client.send_head("PUT", self.path("a"), "If-None-Match: *", "Content-Length: 3",
                         "Expect: 100-continue")
        self.assertEqual(client.read_head().status, 412)

    def test_delete_respects_them_too(self):
        one = self.put(self.path("a"), b"one")["ETag"]
        for condition in ('If-Match: "other"', "If-None-Match: *", "If-None-Match: " + one):
            self.assertEqual(self.connect().request("DELETE", self.path("a"), condition).status, 412)
        self.assertEqual(self.get(self.path("a")).body, b"one")
        self.assertEqual(
            self.connect().request("DELETE", self.path("a"), "If-Match: " + one).status, 204)
        self.assertEqual(self.get(self.path("a")).status, 404)

    def test_they_are_judged_after_a_restart_too(self):
        one = self.put(self.path("a"), b"one")["ETag"]
        self.server.stop()
        self.server.start()
        self.assertEqual(self.connect().put(self.path("a"), b"two", "If-None-Match: *").status, 412)
        self.assertEqual(self.connect().put(self.path("b"), b"b", "If-None-Match: *").status, 201)
        self.assertEqual(self.connect().put(self.path("a"), b"two", "If-Match: " + one).status, 204)


if __name__ == "__main__":
    main()
