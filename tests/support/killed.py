"""Ends a piece of work before one of its changes, as kill -9 does, to see whether what is left can be gone on with."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection
from typing import Any

KILLED = 77


def killed_before(count: int, changes: Collection[str], act: Callable[[], bool]) -> bool:
    """Does `act` in a process that ends before its `count`th change: an audited event of these, or a file opened to be
    written. False when it came to its end, and said True. AssertionError when it failed."""
    child = os.fork()
    if child == 0:
        left = count

        def hook(event: str, given: tuple[Any, ...]) -> None:
            nonlocal left
            writes = event == "open" and isinstance(given[2], int) and given[2] & (os.O_WRONLY | os.O_RDWR)
            if event in changes or writes:
                left -= 1
                if left == 0:
                    os._exit(KILLED)

        code = 1
        try:
            sys.addaudithook(hook)
            code = 0 if act() else 1
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, KILLED), f"ended with {code} at {count}"
    return code == KILLED
