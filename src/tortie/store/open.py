"""A datastore from its address."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from tortie.base.errors import Invalid
from tortie.store.port import Datastore
from tortie.store.sqlite.store import SqliteStore

DEFAULT = "sqlite:///var/lib/tortie/store"


def open_store(url: str = DEFAULT, *, create: bool = True) -> Datastore:
    """Open the store at `url`: `sqlite:///DIRECTORY`. One that is absent is made, or with `create` false Unavailable.

    Invalid says what is wrong with the address.
    """
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        if parts.netloc or not parts.path:
            raise Invalid(f"store {url}: expected sqlite:///DIRECTORY")
        return SqliteStore(Path(parts.path), create=create)
    raise Invalid(f"store {url}: unknown kind {parts.scheme or url!r}; known: sqlite")
