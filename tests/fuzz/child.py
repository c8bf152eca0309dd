"""One target of the long run, in a process of its own."""

from __future__ import annotations

import sys

from tests.fuzz.__main__ import fuzz

if __name__ == "__main__":
    fuzz(sys.argv[1:])
