#!/usr/bin/env python3
"""What the command line, the configuration file and the signals promise."""

import glob
import os
import shutil
import signal
import socket
import subprocess
import unittest

from harness import PATIENCE, SPILLWAY, Server, grow, main, wait_until

FORMAT_OFFSET = 8  # of the format version in a volume's header, see doc/FORMAT


class CommandLine(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.remove)

    def run_once(self, *args):
        """The daemon with ARGS, which must end by itself."""
        return subprocess.run([SPILLWAY, *args], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=PATIENCE, check=False)

    def check_config(self, text):
        """`spillway -t` on a file that holds TEXT."""
        self.server.write_config(text)
        return self.run_once("-t", "-c", self.server.config, "-d", self.server.data)

    def test_version_names_the_program(self):
        for flag in ("-V", "--version"):
            done = self.run_once(flag)
            self.assertEqual(done.returncode, 0)
            self.assertRegex(done.stdout, r"^spillway \d+\.\d+")

    def test_help_names_every_flag(self):
        for flag in ("-h", "--help"):
            done = self.run_once(flag)
            self.assertEqual(done.returncode, 0)
            for word in ("-c", "-d", "-l", "-a", "-w", "-o", "-t", "-V", "-h", "--config",
                         "--data-dir", "--listen", "--admin", "--workers", "--option", "--test"):
                self.assertIn(word, done.stdout)

    def test_an_unknown_flag_is_refused(self):
        for args in (("--nonsense",), ("-Z",), ("stray",), ("-w", "x"), ("-l", "nonsense")):
            with self.subTest(args):
                done = self.run_once("-c", self.server.config, "-d", self.server.data, *args)
                self.assertNotEqual(done.returncode, 0)
                self.assertNotEqual(done.stderr, "")

    def test_t_accepts_a_good_configuration(self):
        done = self.check_config('object_max = 1GiB\nrule "/live/*" { publish = live }\n'
                                 'rule "*.m3u8" { publish = whole  cache_control = "max-age=1" }\n'
                                 '# a comment\nhead_timeout = 500ms\n')
        self.assertEqual((done.returncode, done.stderr.count("error")), (0, 0), done.stderr)

    def test_mistakes_are_named_with_file_and_line(self):
        for number, (line, text) in enumerate((
                (1, "no_such_key = 1\n"),
                (2, "\nobject_max = many\n"),
                (3, "object_max = 1GiB\n\nobject_max = 2GiB\n"),
                (2, 'object_max = 1GiB\nrule "/x" { no_such_key = 1 }\n'),
                (2, 'object_max = 1GiB\nrule "/x" { publish = sometimes }\n'),
                (1, "head_timeout = 5 parsecs\n"),
                (1, "head_timeout = -5s\n"),
                (1, "object_max = 99999999999999999999GiB\n"),
                (2, '\nrule "/x" { publish = live  publish = whole }\n'))):
            with self.subTest(number, text=text):
                done = self.check_config(text)
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn(f"{self.server.config}:{line}:", done.stderr)

    def test_a_file_that_ends_in_the_middle_is_an_error(self):
        for text in ('rule "/x" {\n', 'rule "/x\n', "object_max =", "}"):
            with self.subTest(text):
                done = self.check_config(text)
                self.assertEqual(done.returncode, 1)
                self.assertIn(self.server.config, done.stderr)

    def test_a_missing_file_is_an_error_when_asked_for(self):
        done = self.run_once("-t", "-c", "/nonexistent/x.conf", "-d", self.server.data)
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nonexistent/x.conf", done.stderr)

    def test_an_option_wins_over_the_file(self):
        self.server.write_config("object_max = 1\n")
        self.server.args = ["-o", "object_max=1MiB"]
        self.server.start()
        with self.server.connect() as client:
            self.assertEqual(client.put("/x", b"12345").status, 201)

    def test_an_unknown_or_bad_option_is_refused(self):
        for option in ("nonsense=1", "object_max=lots", "object_max", "=1"):
            with self.subTest(option):
                done = self.run_once("-t", "-c", self.server.config, "-d", self.server.data,
                                     "-o", option)
                self.assertNotEqual(done.returncode, 0)
                self.assertNotEqual(done.stderr, "")

    def test_a_bad_data_directory_is_named(self):
        plain = os.path.join(self.server.home, "plain")
        with open(plain, "w", encoding="ascii"):
            pass
        for flags in (("-t",), ("-l", "127.0.0.1:0", "-a", "none")):
            done = self.run_once("-c", self.server.config, "-d", plain, *flags)
            self.assertEqual(done.returncode, 1)
            self.assertIn(plain, done.stderr)

    def test_a_bad_start_leaves_no_half_started_server(self):
        done = self.check_config("workers = 0\n")
        self.assertEqual(done.returncode, 1, done.stderr)


class Process(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.remove)

    def test_sigterm_and_sigint_end_it_with_0(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            self.server.start()
            self.server.process.send_signal(number)
            self.assertEqual(self.server.wait_exit(), 0)

    def test_sigterm_ends_it_soon_though_clients_do_nothing(self):
        self.server.start()
        with self.server.connect() as idle, self.server.connect() as half, \
                self.server.connect() as put, self.server.connect() as reader:
            idle.send_head("GET", "/x")
            idle.read_reply()
            half.send(b"GET /x HT")
            grow(put, reader, "/a", b"bytes")
            self.server.process.send_signal(signal.SIGTERM)
            self.assertEqual(reader.read_until_cut(), b"")
            self.assertEqual(self.server.wait_exit(), 0)

    def test_sigterm_finishes_replies_in_flight(self):
        self.server.start()
        body = bytes(20_000_000)
        with self.server.connect(rcvbuf=4096) as reader, self.server.connect() as client:
            client.put("/a", body)
            reader.send_head("GET", "/a")
            head = reader.read_head()
            self.server.process.send_signal(signal.SIGTERM)
            self.assertEqual(reader.read_body(head), body)
            self.assertEqual(self.server.wait_exit(), 0)

    def test_no_connection_is_accepted_after_sigterm(self):
        self.server.start()
        with self.server.connect() as put:
            put.begin_put("/a")
            put.send_chunk(b"open, so that the end takes a while")
            put.wait_taken()
            self.server.process.send_signal(signal.SIGTERM)

            def refused():
                try:
                    self.server.connect().close()
                except (ConnectionRefusedError, ConnectionResetError):
                    return True
                return False
            wait_until(refused, "the listener to close")
            self.assertEqual(self.server.wait_exit(), 0)

    @unittest.skipUnless(shutil.which("strace"), "needs strace")
    def test_a_start_that_is_refused_late_ends_with_1(self):
        self.server.start()
        done = subprocess.run(["strace", "-D", "-f", "-qq", "-o", os.devnull, "-e", "trace=flock",
                               "-e", "inject=flock:delay_enter=500000", SPILLWAY, "-c", self.server.config,
                               "-d", self.server.data, "-l", "127.0.0.1:0", "-a", "none"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(self.server.data, done.stderr)

    def test_a_second_server_on_one_directory_names_it_and_ends(self):
        self.server.start()
        second = Server(data=self.server.data)
        self.addCleanup(second.remove)
        second.spawn()
        self.assertNotEqual(second.wait_exit(), 0)
        self.assertIn(self.server.data, second.log_text())
        with self.server.connect() as client:
            self.assertEqual(client.put("/x", b"well").status, 201)

    def test_a_port_in_use_is_named(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = "127.0.0.1:%d" % taken.getsockname()[1]
            for flags in (("-l", address, "-a", "none"), ("-l", "127.0.0.1:0", "-a", address)):
                words = [SPILLWAY, "-c", self.server.config, "-d", self.server.data, *flags]
                done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE,
                                      check=False)
                self.assertEqual(done.returncode, 1)
                self.assertIn(address, done.stderr)

    def test_listeners_may_be_several(self):
        self.server.args = ["-l", "127.0.0.1:0"]
        self.server.start()
        wait_until(lambda: self.server.log_text().count("listening on") == 3, "three listeners")
        ports = [int(line.rsplit(":", 1)[1]) for line in self.server.log
                 if "listening on" in line and "admin" not in line]
        self.assertEqual(len(set(ports)), 2)
        for port in ports:
            self.server.port = port
            with self.server.connect() as client:
                self.assertIn(client.put("/x", b"well").status, (201, 204))

    def test_sighup_keeps_it_running_on_a_bad_file_and_says_why(self):
        self.server.start()
        seen = len(self.server.log)
        self.server.write_config("\nno_such_key = 1\n")
        self.server.process.send_signal(signal.SIGHUP)
        self.server.wait_log(r"spillway\.conf:2:.*no_such_key|no_such_key.*spillway\.conf:2:", seen)
        with self.server.connect() as client:
            self.assertEqual(client.put("/x", b"well").status, 201)

    def test_sighup_with_a_good_file_keeps_it_running(self):
        self.server.start()
        seen = len(self.server.log)
        self.server.process.send_signal(signal.SIGHUP)
        self.server.wait_log(r".", seen)
        with self.server.connect() as client:
            self.assertEqual(client.put("/x", b"well").status, 201)

    def test_one_worker_is_enough(self):
        self.server.args = ["-w", "1"]
        self.server.start()
        with self.server.connect() as put, self.server.connect() as reader:
            grow(put, reader, "/a", b"bytes")
            self.assertEqual(put.end_put().status, 201)
            self.assertEqual(reader.read_rest(), b"")

    def test_a_file_of_a_newer_format_is_refused_and_named(self):
        self.server.start()
        with self.server.connect() as client:
            client.put("/x", b"well")
        self.server.stop()
        volume = sorted(glob.glob(self.server.data + "/volumes/*.vol"))[0]
        with open(volume, "r+b") as file:
            file.seek(FORMAT_OFFSET)
            version = int.from_bytes(file.read(4), "little")
            file.seek(FORMAT_OFFSET)
            file.write((version + 1).to_bytes(4, "little"))
        for catalog in glob.glob(self.server.data + "/catalog*"):
            os.unlink(catalog)
        self.server.spawn()
        self.assertNotEqual(self.server.wait_exit(), 0)
        self.assertIn(os.path.basename(volume), self.server.log_text())
        self.assertIn("newer", self.server.log_text())


if __name__ == "__main__":
    main()
