"""A datastore from its address."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from tortie.base.errors import Invalid, Unavailable
from tortie.store.port import Datastore

DEFAULT = "sqlite:///var/lib/tortie/store"
CONFIGURED = Path("/etc/tortie/store")
"""One line: the address of this host's store."""


def store_url(environ: Mapping[str, str] = os.environ, configured: Path = CONFIGURED) -> str:
    """The store of this host: what TORTIE_STORE names, else the host's configuration, else the embedded one."""
    if named := environ.get("TORTIE_STORE"):
        return named
    try:
        return configured.read_text(encoding="utf-8").strip() or DEFAULT
    except FileNotFoundError:
        return DEFAULT
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(f"{configured}: {error}") from error


def open_store(url: str | None = None, *, create: bool = True) -> Datastore:
    """Open the store at `url`: `sqlite:///DIRECTORY` or `etcd://HOST:PORT,…`; without one, this host's.

    An embedded store that is absent is made, or with `create` false Unavailable. Invalid says what is wrong with the
    address. Nothing of the other backend is imported.
    """
    url = store_url() if url is None else url
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise Invalid(f"store {url}: {error}") from error
    if parts.scheme == "sqlite":
        if parts.netloc or not parts.path:
            raise Invalid(f"store {url}: expected sqlite:///DIRECTORY")
        from tortie.store.sqlite.store import SqliteStore

        return SqliteStore(Path(parts.path), create=create)
    if parts.scheme in ("etcd", "etcds", "http", "https"):
        from tortie.store.etcd.store import EtcdStore

        return EtcdStore(url)
    raise Invalid(f"store {url}: unknown kind {parts.scheme or url!r}; known: sqlite, etcd, etcds")
