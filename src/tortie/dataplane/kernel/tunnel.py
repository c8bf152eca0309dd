"""Tunnel interfaces of this namespace and the far ends that VXLAN is told of."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from tortie.base.errors import Unavailable
from tortie.dataplane.kernel import sysctl
from tortie.dataplane.tunnels import VXLAN6, Device, Neighbour

PERMANENT = 0x80
SELF = 0x02
NODAD = 0x02
LINK_SCOPE = 253
AF_BRIDGE = 7
NO_KIND = (errno.EOPNOTSUPP, errno.ENODEV, errno.ENOTSUP)


def ensure(device: Device) -> bool:
    """The interface as wanted, up; True when it had to be made anew (its routes and far ends are gone then).

    Unavailable, with the reason, when it cannot be had; an interface that is otherwise than wanted is replaced.
    """
    try:
        with IPRoute() as ip:
            found = _find(ip, device.name)
            made = found is None or not _fits(ip, found, device)
            if made:
                if found is not None:
                    ip.link("del", index=found["index"])
                _make(ip, device)
            index = ip.link_lookup(ifname=device.name)[0]
            link = ip.get_links(index)[0]
            if link.get_attr("IFLA_MTU") != device.mtu:
                ip.link("set", index=index, mtu=device.mtu)
            _address(ip, index, device)
            if link["state"] != "up":
                ip.link("set", index=index, state="up")
            return made
    except NetlinkError as error:
        if error.code in NO_KIND:
            raise Unavailable(f"interface {device.name}: this kernel has no {device.kind}") from error
        raise Unavailable(f"interface {device.name}: {error.args[-1]}") from error
    except OSError as error:
        raise Unavailable(f"interface {device.name}: {error.strerror}") from error


def exists(name: str, kind: str) -> bool:
    """Whether there is an interface of this name and kind."""
    try:
        with IPRoute() as ip:
            found = _find(ip, name)
            return found is not None and _kind(found) == kind
    except (NetlinkError, OSError) as error:
        raise Unavailable(f"interface {name}: {error}") from error


def idle(name: str) -> bool:
    """Whether nobody uses an interface of this name: there is none, or it is down and has no address."""
    try:
        with IPRoute() as ip:
            found = _find(ip, name)
            return found is None or (found["state"] != "up" and not ip.get_addr(index=found["index"]))
    except (NetlinkError, OSError) as error:
        raise Unavailable(f"interface {name}: {error}") from error


def remove(name: str, kind: str) -> bool:
    """Remove a tunnel's interface; False when there is none of this name and kind."""
    try:
        with IPRoute() as ip:
            found = _find(ip, name)
            if found is None or _kind(found) != kind:
                return False
            if kind == "ipip":  # the kernel's own fallback interface cannot be removed
                ip.flush_addr(index=found["index"])
                ip.link("set", index=found["index"], state="down")
            else:
                ip.link("del", index=found["index"])
            return True
    except (NetlinkError, OSError) as error:
        raise Unavailable(f"interface {name}: {error}") from error


def neighbours(name: str) -> dict[str, Neighbour]:
    """The far ends that a VXLAN interface knows, by tunnel address: those with both a MAC and a host."""
    try:
        with IPRoute() as ip:
            found = ip.link_lookup(ifname=name)
            if not found:
                return {}
            macs = {
                entry.get_attr("NDA_DST"): entry.get_attr("NDA_LLADDR")
                for entry in ip.get_neighbours(family=_family(name == VXLAN6), ifindex=found[0])
                if entry["state"] & PERMANENT
            }
            hosts = {
                entry.get_attr("NDA_LLADDR"): entry.get_attr("NDA_DST")
                for entry in ip.get_neighbours(family=AF_BRIDGE, ifindex=found[0])
            }
    except (NetlinkError, OSError) as error:
        raise Unavailable(f"far ends of {name}: {error}") from error
    return {address: Neighbour(mac, hosts.get(mac) or "") for address, mac in macs.items()}


def put(name: str, wanted: Mapping[str, Neighbour]) -> dict[str, str]:
    """Tell a VXLAN interface of far ends, by tunnel address; those that failed, with the reason."""
    failed: dict[str, str] = {}
    with IPRoute() as ip:
        for address, far in wanted.items():
            try:
                index = ip.link_lookup(ifname=name)[0]
                ip.fdb("replace", ifindex=index, lladdr=far.mac, dst=far.host, flags=SELF, state=PERMANENT)
                ip.neigh("replace", ifindex=index, dst=address, lladdr=far.mac, state="permanent")
            except IndexError:
                failed[address] = f"no interface {name}"
            except (NetlinkError, OSError) as error:
                failed[address] = str(error.args[-1])
    return failed


def drop(name: str, gone: Mapping[str, Neighbour], keep: frozenset[str]) -> dict[str, str]:
    """Forget far ends; the entry of a MAC in `keep` stays. What is gone already is no failure."""
    failed: dict[str, str] = {}
    with IPRoute() as ip:
        found = ip.link_lookup(ifname=name)
        for address, far in gone.items() if found else ():
            try:
                _quietly(ip.neigh, "del", ifindex=found[0], dst=address, lladdr=far.mac)
                if far.mac not in keep and far.host:
                    _quietly(ip.fdb, "del", ifindex=found[0], lladdr=far.mac, dst=far.host, flags=SELF)
            except (NetlinkError, OSError) as error:
                failed[address] = str(error.args[-1])
    return failed


def _quietly(call: Any, *words: Any, **fields: Any) -> None:
    try:
        call(*words, **fields)
    except NetlinkError as error:
        if error.code not in (errno.ENOENT, errno.ENODEV, errno.ESRCH):
            raise


def _find(ip: IPRoute, name: str) -> Any:
    found = ip.link_lookup(ifname=name)
    return ip.get_links(found[0])[0] if found else None


def _kind(link: Any) -> str:
    info = link.get_attr("IFLA_LINKINFO")
    return str(info.get_attr("IFLA_INFO_KIND")) if info is not None else ""


def _fits(ip: IPRoute, link: Any, device: Device) -> bool:
    if _kind(link) != device.kind:
        return False
    if device.kind == "ipip":
        return True
    data = link.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA")
    parent = ip.link_lookup(ifname=device.parent)
    return (
        data.get_attr("IFLA_VXLAN_ID") == device.vni
        and data.get_attr("IFLA_VXLAN_PORT") == device.port
        and data.get_attr("IFLA_VXLAN_LOCAL6" if device.version == 6 else "IFLA_VXLAN_LOCAL") == device.local
        and [data.get_attr("IFLA_VXLAN_LINK")] == list(parent)
        and not data.get_attr("IFLA_VXLAN_LEARNING")
        and link.get_attr("IFLA_ADDRESS") == device.mac
    )


def _make(ip: IPRoute, device: Device) -> None:
    if device.kind == "ipip":
        ip.link("add", ifname=device.name, kind="ipip", ipip_local=device.local)
        return
    parent = ip.link_lookup(ifname=device.parent)
    if not parent:
        raise OSError(errno.ENODEV, f"no interface {device.parent}")
    ip.link(
        "add",
        ifname=device.name,
        kind="vxlan",
        address=device.mac,
        vxlan_id=device.vni,
        vxlan_port=device.port,
        **{"vxlan_local6" if device.version == 6 else "vxlan_local": device.local},
        vxlan_link=parent[0],
        vxlan_learning=0,
        mtu=device.mtu,
    )


def _address(ip: IPRoute, index: int, device: Device) -> None:
    """Its own address alone, but for what the kernel gives each interface for its link."""
    size, six = (128, {"flags": NODAD}) if device.version == 6 else (32, {})
    if six:
        # A host may have its new interfaces without IPv6; and no far end tells this one of routes.
        settings = f"net/ipv6/conf/{device.name}"
        failed = sysctl.write({f"{settings}/disable_ipv6": "0", f"{settings}/accept_ra": "0"})
        if failed:
            raise OSError(errno.EIO, "; ".join(f"{name}: {why}" for name, why in failed.items()))
    have = {
        (entry.get_attr("IFA_ADDRESS"), entry["prefixlen"])
        for entry in ip.get_addr(index=index, family=_family(bool(six)))
        if entry["scope"] != LINK_SCOPE
    }
    if (device.address, size) not in have:
        ip.addr("add", index=index, address=device.address, prefixlen=size, **six)
    for address, length in have - {(device.address, size)}:
        ip.addr("del", index=index, address=address, prefixlen=length)


def _family(six: bool) -> int:
    return socket.AF_INET6 if six else socket.AF_INET
