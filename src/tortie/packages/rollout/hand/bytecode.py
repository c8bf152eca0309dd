"""Byte code that was made elsewhere: where it lies beside its source, and how it says which source it is of."""

from __future__ import annotations

import sys
from importlib.util import MAGIC_NUMBER, source_hash
from pathlib import PurePosixPath

_UNCHECKED_HASH = (1).to_bytes(4, "little")
MAGIC = MAGIC_NUMBER.hex()
"""What this Python reads; another patch version of it mostly reads the same."""


def path_of(source: str) -> str:
    """Where Python looks for the byte code of a source."""
    path = PurePosixPath(source)
    return str(path.parent / "__pycache__" / f"{path.stem}.{sys.implementation.cache_tag}.pyc")


def header(source: bytes) -> bytes:
    """What byte code of this source begins with that is never compared with the file beside it when it is loaded."""
    return MAGIC_NUMBER + _UNCHECKED_HASH + source_hash(source)
