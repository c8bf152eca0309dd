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
NETWORK = "/tortie/v1/network-store"
"""Key of the cluster's store: the address of the network's, once every host has it. For who has no node."""


def store_url(
    environ: Mapping[str, str] = os.environ,
    configured: str | os.PathLike[str] = CONFIGURED,
    cluster: str | os.PathLike[str] = CLUSTER,
) -> str:
    """The network's store of this host: what TORTIE_STORE names, else the host's configuration, else the embedded one.

    Where only the cluster's is configured the embedded one is not the network's: it is asked as `network_of` says.
    """
    if named := environ.get("TORTIE_STORE"):
        return named
    if (line := _line(configured)) is not None:
        return line
    if os.path.exists(cluster):
        return network_of(cluster, configured)
    return DEFAULT


def network_of(cluster: str | os.PathLike[str], configured: str | os.PathLike[str] = CONFIGURED) -> str:
    """What the cluster's store says of the network's. NoNetworkStore, in words for a person, where it says nothing."""
    missing = f"this host knows no store of the network: there is no {configured}"
    try:
        store = open_store(_line(cluster) or DEFAULT, create=False)
        try:
            found = store.get(NETWORK)
        finally:
            store.close()
    except Unavailable as error:
        raise NoNetworkStore(f"{missing}, and the cluster's does not answer\n{error}") from error
    if found is None:
        raise NoNetworkStore(
            f"{missing}, and the cluster's names none\n"
            "the calico package does, once every host has the network; until then TORTIE_STORE can name one"
        )
    return found.value.decode()


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
