"""Python's collector of cycles, where much is made that stays."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def growing() -> Iterator[None]:
    """While values are made by the 100,000 that are not garbage and hold no cycles: the collector goes over them
    neither meanwhile (a quarter of the time that making them takes) nor later (a pause of a third of a second, now and
    then, for everybody who waits). What else is there at the end is never looked at again either."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was:
            gc.enable()
