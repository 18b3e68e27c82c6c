#!/usr/bin/env python3
"""The dialogues in dialogues/, by varnishtest: the wire as another implementation reads it."""

import glob
import os
import subprocess
import tempfile

from edges import program
from harness import PATIENCE, Case, main

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "dialogues")


class Dialogues(Case):
    """Each file is one test; see below."""

    CONFIG = 'rule "/grow/*" { hold = 10s }\n'

    @classmethod
    def setUpClass(cls):
        cls.varnishtest = program("varnishtest")
        super().setUpClass()

    def hold(self, dialogue):
        with tempfile.TemporaryDirectory(prefix="spillway-dialogue-") as folder:
            done = subprocess.run(
                (self.varnishtest, "-t", str(PATIENCE * 2), f"-Dport={self.server.port}", dialogue),
                stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                env=dict(os.environ, TMPDIR=folder))
        self.assertEqual(done.returncode, 0, done.stdout[-4000:] + done.stderr)


for file in sorted(glob.glob(os.path.join(FOLDER, "*.vtc"))):
    name = os.path.basename(file).removesuffix(".vtc")
    setattr(Dialogues, "test_" + name, lambda self, file=file: self.hold(file))

if __name__ == "__main__":
    main()
