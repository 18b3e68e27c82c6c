#!/usr/bin/env python3
"""What is promised to readers holds with TLS too: the same tests again."""

import get_test
import kept_test
from by_tls import ByTls
from harness import main


class Growing(ByTls, get_test.Growing):
    """Everything that holds for readers of growing objects."""


class Kept(ByTls, kept_test.Kept):
    """Later requests of a connection, pipelined ones, replies that nobody reads for a while."""

    # TLS ends both directions at once.
    test_a_client_that_stopped_sending_gets_all_of_the_reply = None


class Memory(ByTls, get_test.Memory):
    """A reader that stopped pins a record, and no more."""


class SlowReader(ByTls, get_test.SlowReader):
    """A reader that takes nothing is cut."""


if __name__ == "__main__":
    main(600)
