#!/usr/bin/env python3
"""What LIST and the admin listener's /list promise."""

import json
import time
import urllib.parse

from harness import Case, main


class List(Case):
    CONFIG = "resume_window = 0s\n"

    def names(self, *names):
        """Stores NAMES; returns their paths."""
        client = self.connect()
        for name in names:
            self.assertIn(client.put(self.path(name), name.encode()).status, (201, 204))
        return [self.path(urllib.parse.unquote(name)) for name in names]

    def ask(self, target, *headers):
        reply = self.connect().request("LIST", target, *headers)
        self.assertEqual(reply.status, 200, reply)
        return reply

    def test_paths_come_one_a_line_as_plain_text(self):
        paths = self.names("a", "b", "c")
        reply = self.ask(self.path(""))
        self.assertTrue(reply["Content-Type"].startswith("text/plain"))
        self.assertEqual(reply.body.decode(), "".join(path + "\n" for path in paths))

    def test_paths_come_in_byte_order(self):
        names = ("b", "a/b", "a", "B", "a-b", "a.b", "%c3%a9", "%ff", "10", "9", "z", "a%7eb")
        self.names(*names)
        expected = sorted(urllib.parse.unquote_to_bytes(self.path(name)) for name in names)
        self.assertEqual(self.ask(self.path("")).body.splitlines(), expected)

    def test_a_prefix_is_any_beginning_of_a_path(self):
        self.names("seg1", "seg2", "seg10", "other")
        self.assertEqual(self.list_text(self.path("seg1")),
                         [self.path("seg1"), self.path("seg10")])
        self.assertEqual(self.list_text(self.path("nothing")), [])
        self.assertEqual(self.list_text(self.path("s%65g2")), [self.path("seg2")])

    def test_the_root_lists_all(self):
        paths = self.names("x", "y")
        everything = self.list_text("/")
        self.assertEqual([path for path in everything if path.startswith(self.path(""))], paths)
        self.assertEqual(everything, sorted(everything))

    def test_growing_objects_are_listed(self):
        client = self.writer(self.path("growing"), b"123")
        self.assertEqual(self.list_text(self.path("")), [self.path("growing")])
        row, = self.list_json(self.path(""))
        self.assertEqual((row["state"], row["size"]), ("live", 3))
        client.end_put()
        row, = self.list_json(self.path(""))
        self.assertEqual((row["state"], row["size"]), ("complete", 3))

    def test_an_object_is_listed_as_soon_as_its_upload_began(self):
        for number in range(50):
            self.writer(self.path(f"{number:02}"))
            self.assertEqual(len(self.list_text(self.path(""))), number + 1)

    def test_deleted_objects_are_not_listed(self):
        client = self.connect()
        for number in range(50):
            target = self.path(f"{number:02}")
            client.put(target, b"x")
            self.assertEqual(self.list_text(target), [target])
            self.assertEqual(client.request("DELETE", target).status, 204)
            self.assertEqual(self.list_text(target), [])

    def test_a_replaced_object_is_listed_once(self):
        for _ in range(5):
            self.names("a")
        self.assertEqual(self.list_text(self.path("")), [self.path("a")])

    def test_ndjson_tells_everything(self):
        etag = self.put(self.path("a.m4s"), b"12345")["ETag"]
        self.writer(self.path("b.ts"), b"half").close()
        self.follow(self.path("b.ts")).read_until_cut()
        reply = self.ask(self.path(""), "Accept: application/x-ndjson")
        self.assertTrue(reply["Content-Type"].startswith("application/x-ndjson"))
        one, two = [json.loads(line) for line in reply.body.decode().splitlines()]
        self.assertEqual(one["path"], self.path("a.m4s"))
        self.assertEqual((one["size"], one["type"], one["state"]),
                         (5, "video/iso.segment", "complete"))
        self.assertEqual(one["etag"].strip('"'), etag.strip('"'))
        self.assertIn("mtime", one)
        self.assertIn("expires", one)
        self.assertEqual((two["path"], two["state"]), (self.path("b.ts"), "incomplete"))
        self.assertFalse(two.get("etag"))
        self.assertEqual(self.ask(self.path("") + "?format=ndjson").body, reply.body)

    def test_ndjson_survives_odd_names(self):
        target = self.path('quote"back%5cslash')
        self.connect().put(target, b"x")
        self.connect().put(self.path("%ff-not-utf8"), b"x")
        rows = self.list_json(self.path(""))
        self.assertEqual(rows[0]["path"], self.path('quote"back\\slash'))
        self.assertEqual(len(rows), 2)

    def test_limit_and_after_page_through(self):
        paths = self.names(*(f"{number:03}" for number in range(25)))
        self.assertEqual(self.list_text(self.path("") + "?limit=10"), paths[:10])
        pages, after = [], ""
        while True:
            page = self.list_text(self.path("") + "?limit=10" + after)
            if not page:
                break
            pages += page
            after = "&after=" + urllib.parse.quote(page[-1])
        self.assertEqual(pages, paths)
        self.assertEqual(self.list_text(self.path("") + "?after=" + paths[20]), paths[21:])
        self.assertEqual(self.list_text(self.path("") + "?limit=5&after=" + self.path("0035")),
                         paths[4:9])

    def test_a_bad_limit_is_400(self):
        for limit in ("x", "-1", "1x", "99999999999999999999999"):
            reply = self.connect().request("LIST", f"/?limit={limit}")
            self.assertEqual(reply.status, 400, limit)

    def test_the_admin_listener_lists_too(self):
        paths = self.names("a", "b")
        client = self.connect_admin()
        reply = client.get("/list?prefix=" + urllib.parse.quote(self.path("")))
        self.assertEqual(reply.status, 200)
        self.assertEqual(reply.body.decode().splitlines(), paths)
        reply = client.get("/list?limit=1&format=ndjson&prefix=" + self.path(""))
        self.assertEqual(json.loads(reply.body)["path"], paths[0])
        everything = client.get("/list").body.splitlines()
        self.assertEqual({path.encode() for path in paths} - set(everything), set())

    def test_a_list_for_http_1_0_ends_with_the_connection(self):
        paths = self.names("a")
        client = self.connect()
        client.send_head("LIST", self.path(""), version="1.0")
        head = client.read_head()
        self.assertFalse(head.chunked)
        self.assertEqual(client.read_body(head).decode().splitlines(), paths)


class LongNames(Case):
    """Paths that are longer than a key of the catalog may be."""

    def test_long_paths_come_in_byte_order_from_memory_and_from_disk(self):
        numbers = [f"{number * 7919 % 40:02}" for number in range(40)]
        paths = []
        client = self.connect()
        for length in (470, 479, 480, 481, 600, 1000):
            stem = "/" + "n" * (length - 1)
            paths += [stem + number for number in numbers]
            paths.append(stem)
        for path in paths:
            self.assertEqual(client.put(path, path.encode()).status, 201)
        paths.sort()
        for _ in range(2):
            self.assertEqual(self.list_text("/"), paths)
            for length in (479, 480, 481, 500, 600, 601, 1000, 1001):
                prefix = "/" + "n" * (length - 1)
                self.assertEqual(self.list_text(prefix),
                                 [path for path in paths if path.startswith(prefix)], length)
            pages, after = [], ""
            while True:
                page = self.list_text("/?limit=7" + after)
                if not page:
                    break
                pages += page
                after = "&after=" + page[-1]
            self.assertEqual(pages, paths)
            for path in paths:
                self.assertEqual(self.get(path).body, path.encode())
            self.server.stop()
            self.server.start()


class LongList(Case):
    COUNT = 5000

    def test_a_list_of_many_pages_is_whole_and_does_not_stall_others(self):
        client = self.connect()
        prefix = self.path("")
        client.send(b"".join(b"PUT %s%05d HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\nx"
                             % (prefix.encode(), number) for number in range(self.COUNT)))
        for _ in range(self.COUNT):
            self.assertEqual(client.read_reply("PUT").status, 201)
        expected = [f"{prefix}{number:05}" for number in range(self.COUNT)]
        self.assertEqual(self.list_text(prefix), expected)
        slow = self.connect(rcvbuf=4096)
        slow.send_head("LIST", prefix)
        self.assert_serves()
        begin = time.monotonic()
        self.assertEqual(self.get(expected[7]).body, b"x")
        self.assertLess(time.monotonic() - begin, 5)
        self.assertEqual(slow.read_reply("LIST").body.decode().splitlines(), expected)
        self.assertEqual(self.list_text(prefix + "?limit=2500")[-1], expected[2499])

    def test_names_come_and_go_during_a_list(self):
        client, other = self.connect(), self.connect()
        prefix = self.path("")
        for number in range(0, 3000, 2):
            client.put(f"{prefix}{number:05}", b"x")
        slow = self.connect(rcvbuf=4096)
        slow.send_head("LIST", prefix)
        for number in range(1, 200, 2):
            other.put(f"{prefix}{number:05}", b"x")
        rows = slow.read_reply("LIST").body.decode().splitlines()
        self.assertEqual(rows, sorted(set(rows)))
        stable = {f"{prefix}{number:05}" for number in range(0, 3000, 2)}
        self.assertEqual(stable - set(rows), set())


if __name__ == "__main__":
    main()
