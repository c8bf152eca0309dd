"""A datastore from its address."""

from __future__ import annotations

import os
from collections.abc import Mapping

from tortie.base.errors import Invalid, Unavailable
from tortie.store.port import Datastore

DEFAULT = "sqlite:///var/lib/tortie/store"
CONFIGURED = "/etc/tortie/store"
"""One line: the address of this host's store."""
CLUSTER = "/etc/tortie/cluster-store"
"""The same of the cluster's store, where the host's is the network's: written where the two are kept apart."""


def store_url(environ: Mapping[str, str] = os.environ, configured: str | os.PathLike[str] = CONFIGURED) -> str:
    """The store of this host: what TORTIE_STORE names, else the host's configuration, else the embedded one."""
    if named := environ.get("TORTIE_STORE"):
        return named
    try:
        with open(configured, encoding="utf-8") as file:
            return file.read().strip() or DEFAULT
    except FileNotFoundError:
        return DEFAULT
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(f"{configured}: {error}") from error


def cluster_store_url(
    environ: Mapping[str, str] = os.environ,
    cluster: str | os.PathLike[str] = CLUSTER,
    configured: str | os.PathLike[str] = CONFIGURED,
) -> str:
    """The store of this host's cluster, where that is not the network's: what a rollout was told to keep apart."""
    if environ.get("TORTIE_STORE") or not os.path.exists(cluster):
        return store_url(environ, configured)
    return store_url(environ, cluster)


def open_store(url: str | None = None, *, create: bool = True) -> Datastore:
    """Open the store at `url`: `sqlite:///DIRECTORY` or `etcd://HOST:PORT,…`; without one, this host's.

    An embedded store that is absent is made, or with `create` false Unavailable. Invalid says what is wrong with the
    address. Nothing of the other backend is imported.
    """
    url = store_url() if url is None else url
    scheme, colon, rest = url.partition(":")
    if scheme == "sqlite" and colon:
        if not rest.startswith("///") or len(rest) == 3:
            raise Invalid(f"store {url}: expected sqlite:///DIRECTORY")
        from tortie.store.sqlite.store import SqliteStore

        return SqliteStore(rest[2:], create=create)
    if scheme in ("etcd", "etcds", "http", "https") and rest.startswith("//"):
        from tortie.store.etcd.store import EtcdStore

        return EtcdStore(url)
    raise Invalid(f"store {url}: unknown kind {(scheme if colon else url)!r}; known: sqlite, etcd, etcds")
