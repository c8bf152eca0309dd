"""Pairs of virtual Ethernet interfaces between a host and its workloads."""

from __future__ import annotations

import errno
from collections.abc import Mapping

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from tortie.base.errors import Conflict, Unavailable

HOST_MAC = "ee:ee:ee:ee:ee:ee"


def create_pair(host: str, peer: str, peer_mac: str, mtu: int | None = None) -> None:
    """Make the pair in this namespace: the host's end up, the peer's down, because a runtime will move it.

    The host's MAC is part of the creation: there is no moment with another one. Conflict when a name is taken;
    after any failure neither end is left.
    """
    size = {} if mtu is None else {"mtu": mtu}
    try:
        with IPRoute() as ip:
            ip.link(
                "add",
                ifname=host,
                kind="veth",
                address=HOST_MAC,
                **size,
                peer={"ifname": peer, "address": peer_mac, **size},
            )
            try:
                ip.link("set", ifname=host, state="up")
            except BaseException:
                ip.link("del", ifname=host)
                raise
    except NetlinkError as error:
        family = Conflict if error.code == errno.EEXIST else Unavailable
        raise family(f"interface {host}: {error.args[-1]}") from error
    except OSError as error:
        raise Unavailable(f"interface {host}: {error.strerror}") from error


def delete(name: str) -> bool:
    """Remove an interface, and with it its pair. False when it was not there."""
    try:
        with IPRoute() as ip:
            ip.link("del", ifname=name)
    except NetlinkError as error:
        if error.code == errno.ENODEV:
            return False
        raise Unavailable(f"interface {name}: {error.args[-1]}") from error
    except OSError as error:
        raise Unavailable(f"interface {name}: {error.strerror}") from error
    return True


def names() -> Mapping[str, int]:
    """Every interface of this namespace: name to index."""
    try:
        with IPRoute() as ip:
            return {str(link.get_attr("IFLA_IFNAME")): int(link["index"]) for link in ip.get_links()}
    except (NetlinkError, OSError) as error:
        raise Unavailable(f"list of interfaces: {error}") from error
