"""A datastore from its address."""

from __future__ import annotations

import os
from collections.abc import Mapping

from tortie.base.errors import Invalid, NoNetworkStore, Unavailable
from tortie.store.port import Datastore

DEFAULT = "sqlite:///var/lib/tortie/store"
CONFIGURED = "/etc/tortie/store"
"""One line: the address of this host's store."""
CLUSTER = "/etc/tortie/cluster-store"
"""The same of the cluster's store, where the host's is the network's: written where the two are kept apart."""


def store_url(
    environ: Mapping[str, str] = os.environ,
    configured: str | os.PathLike[str] = CONFIGURED,
    cluster: str | os.PathLike[str] = CLUSTER,
) -> str:
    """The network's store of this host: what TORTIE_STORE names, else the host's configuration, else the embedded one.

    NoNetworkStore where only the cluster's is configured: the embedded one is not the network's there.
    """
    if named := environ.get("TORTIE_STORE"):
        return named
    if (line := _line(configured)) is not None:
        return line
    if os.path.exists(cluster):
        raise no_network_store(configured)
    return DEFAULT


def no_network_store(configured: str | os.PathLike[str] = CONFIGURED) -> NoNetworkStore:
    """In words for a person."""
    return NoNetworkStore(
        f"this host knows no store of the network: there is no {configured}\n"
        "the calico package writes it on each host that it rolls; anywhere else TORTIE_STORE names it"
    )


def _line(path: str | os.PathLike[str]) -> str | None:
    """What the file says; None when it is absent."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip() or DEFAULT
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(f"{path}: {error}") from error


def cluster_store_url(
    environ: Mapping[str, str] = os.environ,
    cluster: str | os.PathLike[str] = CLUSTER,
    configured: str | os.PathLike[str] = CONFIGURED,
) -> str:
    """The store of this host's cluster: where that is kept apart from the network's, the one that is configured so."""
    if named := environ.get("TORTIE_STORE"):
        return named
    return _line(cluster) or _line(configured) or DEFAULT


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
