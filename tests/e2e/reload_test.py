#!/usr/bin/env python3
"""Blocking playlist reload of low-latency HLS: _HLS_msn and _HLS_part."""

import time

from harness import Case, main


def playlist(first, segments, parts=0, target=60, ended=False):
    """A media playlist with SEGMENTS of two parts each, and PARTS of the next one."""
    lines = ["#EXTM3U", f"#EXT-X-TARGETDURATION:{target}", "#EXT-X-PART-INF:PART-TARGET=0.5",
             "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES", f"#EXT-X-MEDIA-SEQUENCE:{first}"]
    for number in range(first, first + segments):
        lines += [f'#EXT-X-PART:DURATION=0.5,URI="{number}.{part}.m4s"' for part in range(2)]
        lines += ["#EXTINF:1.0,", f"{number}.m4s"]
    lines += [f'#EXT-X-PART:DURATION=0.5,URI="{first + segments}.{part}.m4s"' for part in range(parts)]
    if ended:
        lines.append("#EXT-X-ENDLIST")
    return ("\n".join(lines) + "\n").encode()


class Reload(Case):
    CONFIG = 'rule "/soon/*" { hold = 1m }\n'

    def ask(self, target, query, method="GET"):
        client = self.connect()
        client.send_head(method, f"{target}?{query}")
        return client

    def expect(self, client, body):
        reply = client.read_reply()
        self.assertEqual((reply.status, reply.body), (200, body))

    def test_what_is_there_is_served_at_once(self):
        body = playlist(10, 3, 1)
        self.put(self.path("a.m3u8"), body)
        for query in ("_HLS_msn=0", "_HLS_msn=10", "_HLS_msn=12", "_HLS_msn=12&_HLS_part=1",
                      "_HLS_msn=12&_HLS_part=2", "_HLS_msn=13&_HLS_part=0", "x=y&_HLS_msn=12"):
            self.expect(self.ask(self.path("a.m3u8"), query), body)

    def test_a_segment_is_waited_for(self):
        self.put(self.path("a.m3u8"), playlist(10, 3))
        askers = [self.ask(self.path("a.m3u8"), "_HLS_msn=13") for _ in range(10)]
        askers[0].expect_silence()
        self.put(self.path("a.m3u8"), playlist(10, 3, 1))  # not yet
        askers[0].expect_silence()
        body = playlist(11, 3)
        self.put(self.path("a.m3u8"), body)
        for asker in askers:
            self.expect(asker, body)

    def test_a_part_is_waited_for(self):
        self.put(self.path("a.m3u8"), playlist(10, 3, 0))
        first = self.ask(self.path("a.m3u8"), "_HLS_msn=13&_HLS_part=0")
        second = self.ask(self.path("a.m3u8"), "_HLS_msn=13&_HLS_part=1")
        after = self.ask(self.path("a.m3u8"), "_HLS_msn=13&_HLS_part=2")
        first.expect_silence()
        self.put(self.path("a.m3u8"), playlist(10, 3, 1))
        self.expect(first, playlist(10, 3, 1))
        second.expect_silence()
        self.put(self.path("a.m3u8"), playlist(10, 4, 0))
        self.expect(second, playlist(10, 4, 0))
        after.expect_silence()  # the first one of segment 14
        self.put(self.path("a.m3u8"), playlist(10, 4, 1))
        self.expect(after, playlist(10, 4, 1))

    def test_too_far_ahead_and_malformed_are_400(self):
        self.put(self.path("a.m3u8"), playlist(10, 3))
        for query in ("_HLS_msn=15", "_HLS_msn=999999", "_HLS_msn=13&_HLS_part=3", "_HLS_part=1",
                      "_HLS_msn=", "_HLS_msn=x", "_HLS_msn=-1", "_HLS_msn=13&_HLS_part=",
                      "_HLS_msn=99999999999999999999999"):
            self.assertEqual(self.ask(self.path("a.m3u8"), query).read_reply().status, 400, query)

    def test_after_three_target_durations_it_is_503(self):
        self.put(self.path("a.m3u8"), playlist(10, 3, target=1))
        begin = time.monotonic()
        reply = self.ask(self.path("a.m3u8"), "_HLS_msn=13").read_reply()
        self.assertEqual((reply.status, reply["Cache-Control"]), (503, "no-store"))
        self.assertGreaterEqual(time.monotonic() - begin, 2.9)

    def test_what_has_ended_is_served_at_once(self):
        body = playlist(10, 3, ended=True)
        self.put(self.path("a.m3u8"), body)
        self.expect(self.ask(self.path("a.m3u8"), "_HLS_msn=99"), body)

    def test_an_end_ends_the_wait(self):
        self.put(self.path("a.m3u8"), playlist(10, 3))
        asker = self.ask(self.path("a.m3u8"), "_HLS_msn=14")
        asker.expect_silence()
        self.put(self.path("a.m3u8"), playlist(10, 3, ended=True))
        self.expect(asker, playlist(10, 3, ended=True))

    def test_a_deletion_ends_the_wait(self):
        self.put(self.path("a.m3u8"), playlist(10, 3))
        asker = self.ask(self.path("a.m3u8"), "_HLS_msn=13")
        asker.expect_silence()
        self.connect().request("DELETE", self.path("a.m3u8"))
        self.assertEqual(asker.read_reply().status, 404)

    def test_what_is_no_media_playlist_never_waits(self):
        for name, body in (("m.m3u8", b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n"),
                           ("a.m4s", b"\x00\n\xff"), ("empty", b"")):
            self.put(self.path(name), body)
            self.expect(self.ask(self.path(name), "_HLS_msn=9"), body)

    def test_what_is_not_there_is_404_or_held_by_rule(self):
        self.assertEqual(self.ask(self.path("a"), "_HLS_msn=1").read_reply().status, 404)
        asker = self.ask("/soon/" + self._testMethodName, "_HLS_msn=1")
        asker.expect_silence()
        self.put("/soon/" + self._testMethodName, playlist(1, 1))
        self.assertEqual(asker.read_head().status, 200)

    def test_head_never_waits(self):
        self.put(self.path("a.m3u8"), playlist(10, 3))
        asker = self.ask(self.path("a.m3u8"), "_HLS_msn=13", method="HEAD")
        self.assertEqual(asker.read_reply("HEAD").status, 200)

    def test_after_a_restart_the_playlist_is_read_from_disk(self):
        self.put(self.path("a.m3u8"), playlist(10, 3))
        self.server.stop()
        self.server.start()
        self.expect(self.ask(self.path("a.m3u8"), "_HLS_msn=12"), playlist(10, 3))
        asker = self.ask(self.path("a.m3u8"), "_HLS_msn=13")
        asker.expect_silence()
        self.put(self.path("a.m3u8"), playlist(10, 4))
        self.expect(asker, playlist(10, 4))

    def test_who_leaves_while_waiting_harms_nobody(self):
        self.put(self.path("a.m3u8"), playlist(10, 3))
        askers = [self.ask(self.path("a.m3u8"), "_HLS_msn=13") for _ in range(20)]
        askers[0].expect_silence()
        for asker in askers[::2]:
            asker.reset()
        self.put(self.path("a.m3u8"), playlist(10, 4))
        for asker in askers[1::2]:
            self.expect(asker, playlist(10, 4))

    def test_a_player_follows_a_stream(self):
        self.put(self.path("a.m3u8"), playlist(0, 0, 1))
        player = self.connect()
        for step in range(1, 60):
            segments, parts = divmod(step, 2)
            player.send_head("GET", self.path("a.m3u8") + f"?_HLS_msn={segments}&_HLS_part={parts}")
            self.put(self.path("a.m3u8"), playlist(0, segments, parts + 1))
            self.expect(player, playlist(0, segments, parts + 1))


if __name__ == "__main__":
    main()
