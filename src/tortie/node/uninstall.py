"""Takes everything of the node out of this host's kernel, and nothing of others."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from tortie.base.delta import Delta
from tortie.base.errors import Conflict, TortieError
from tortie.dataplane.kernel import nft, tunnel
from tortie.dataplane.kernel.netlink import NETLINK_NETFILTER, open_socket
from tortie.dataplane.kernel.rtnl import Rtnl
from tortie.dataplane.tunnels import KINDS
from tortie.dataplane.want import TABLE
from tortie.node import foreign
from tortie.node.bird import Bird


def uninstall(prefixes: Sequence[str], bird: Bird, *, force: bool) -> list[str]:
    """What was removed; the table goes last. Conflict, and nothing done, while a node owns the table, or (without
    `force`) while workloads are there: nothing would guard them any more."""
    rtnl = Rtnl()
    with open_socket(NETLINK_NETFILTER) as sock:
        try:
            present = _own(sock)
            left = sorted(link.name for link in rtnl.links().values() if link.name.startswith(tuple(prefixes)))
            if left and not force:
                raise Conflict(f"{len(left)} workloads are still here ({left[0]} is one): nothing would guard them")
            done = [*foreign.remove(), *_end(bird), *_drop_routes(rtnl), *_drop_tunnels()]
            if present:
                nft.drop_table(sock)
                done.append(f"table {TABLE}")
            return done
        finally:
            rtnl.close()


def _own(sock: socket.socket) -> bool:
    """Whether there is a table of ours; it is this process's from now on."""
    if nft.table_flags(sock) is None:
        return False
    try:
        nft.take_table(sock, nft.OWNER | nft.PERSIST)
    except TortieError as error:
        # One that was made without these flags is nobody's.
        if (nft.table_flags(sock) or 0) & nft.OWNER:
            raise Conflict(f"table {TABLE} belongs to a node that runs: end that first") from error
    return True


def _end(bird: Bird) -> list[str]:
    if not bird.alive():
        return []
    bird.stop()
    return ["BIRD and its routes"]


def _drop_routes(rtnl: Rtnl) -> list[str]:
    routes = rtnl.routes()
    failed = rtnl.apply(Delta({}, frozenset(routes)), routes) if routes else {}
    return [f"route {destination}" for destination in sorted(routes.keys() - failed.keys())]


def _drop_tunnels() -> list[str]:
    return [f"interface {name}" for name, kind in KINDS.items() if tunnel.remove(name, kind)]
