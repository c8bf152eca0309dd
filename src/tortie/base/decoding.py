"""Types that msgspec decodes into, made ready for threads."""

from __future__ import annotations

import threading
from typing import TypeVar

import msgspec

T = TypeVar("T")

_ready: set[object] = set()
_one_at_a_time = threading.Lock()


def ready(kind: type[T]) -> type[T]:
    """The same type, once msgspec knows all of it. Say so wherever a type is decoded into.

    msgspec learns a struct when it is first decoded into, and keeps what it has learned with the struct before it has
    learned it all: a second thread that comes meanwhile meets a field without a type, and the process dies of it.
    """
    if kind not in _ready:
        with _one_at_a_time:
            msgspec.json.Decoder(kind)
            _ready.add(kind)
    return kind
