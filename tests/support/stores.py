"""Empty stores of every kind, for the tests that hold on each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.etcd_server import ETCD, etcd, wipe

Url = Callable[[Path], str]
BACKENDS = ("etcd", "sqlite")


@contextmanager
def backend(kind: str, directory: Path) -> Iterator[Url]:
    """An address with an empty store behind it, made in a directory or, for etcd, by emptying the one server."""
    if kind == "sqlite":
        yield lambda place: f"sqlite://{place}/store"
        return
    if ETCD is None:
        pytest.skip("no etcd on this machine (package etcd-server)")
    with etcd(directory) as server:

        def emptied(_: Path) -> str:
            wipe(server)
            return server.url

        yield emptied
