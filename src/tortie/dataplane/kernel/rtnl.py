"""Routes, links and addresses by rtnetlink: list, change, and hear of changes."""

from __future__ import annotations

import errno
import ipaddress
import itertools
import os
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from tortie.base.delta import Delta
from tortie.base.errors import Unavailable
from tortie.dataplane.kernel.netlink import (
    NETLINK_ROUTE,
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_REPLACE,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    Message,
    attr,
    attributes,
    dump,
    failure,
    message,
    messages,
    open_socket,
    receive,
)
from tortie.dataplane.want import Route

NEWLINK, DELLINK, GETLINK = 16, 17, 18
NEWADDR, DELADDR, GETADDR = 20, 21, 22
NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26
LINK_GROUP, GROUPS = 1, (5, 7, 9, 11)  # addresses and routes of IPv4, of IPv6
# What the kernel gives to a route of IPv6 without a metric.
METRIC6 = 1024
PROTOCOL, MAIN_TABLE = 80, 254
UNIVERSE, LINK = 0, 253
UNICAST, BLACKHOLE = 1, 6
IFF_UP = 1
RTNH_F_ONLINK = 4
KINDS = {"blackhole": BLACKHOLE, "unicast": UNICAST, "onlink": UNICAST, "link": UNICAST}
NLM_F_EXCL = 0x200
ADDRESS_SIZES = {int(socket.AF_INET): 4, int(socket.AF_INET6): 16}
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY = 1, 4, 5, 6
ALREADY_GONE = (errno.ESRCH, errno.ENODEV)


@dataclass(frozen=True, slots=True)
class LinkState:
    """An interface as it is now."""

    index: int
    name: str
    up: bool
    mtu: int = 0


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """`state` None: the interface with this index is gone."""

    index: int
    state: LinkState | None


@dataclass(frozen=True, slots=True)
class RouteChanged:
    """A route of ours as the kernel has it now; None: gone."""

    destination: str
    route: Route | None


@dataclass(frozen=True, slots=True)
class AddressesChanged:
    """Some address of the interface with this index came or went."""

    index: int


@dataclass(frozen=True, slots=True)
class EventsLost:
    """List everything again."""


KernelEvent = LinkChanged | RouteChanged | AddressesChanged | EventsLost


class Rtnl:
    """One socket to ask and change, one to listen; both belong to the network namespace they were made in."""

    def __init__(self) -> None:
        self._sock = open_socket(NETLINK_ROUTE)
        self.events = open_socket(NETLINK_ROUTE, [LINK_GROUP, *GROUPS])
        self.events.setblocking(False)
        self._sequence = itertools.count(1)
        self._names: dict[int, str] = {}

    def close(self) -> None:
        self._sock.close()
        self.events.close()

    def links(self) -> dict[int, LinkState]:
        """Every interface by index."""
        found = dump(self._sock, GETLINK, bytes(16), next(self._sequence))
        listed = {state.index: state for state in map(_link, found)}
        self._names = {index: state.name for index, state in listed.items()}
        return listed

    def device_of(self, address: str) -> str | None:
        """The interface that has this IPv4 address."""
        raw = socket.inet_aton(address)
        for found in dump(self._sock, GETADDR, struct.pack("=BBBBI", socket.AF_INET, 0, 0, 0, 0), next(self._sequence)):
            fields = dict(attributes(found.body[8:]))
            if fields.get(2, fields.get(1)) == raw:
                return self._name(int(struct.unpack_from("=I", found.body, 4)[0]))
        return None

    def addresses(self) -> dict[str, list[str]]:
        """The addresses of the host by interface."""
        found: dict[str, list[str]] = {}
        for part in dump(
            self._sock, GETADDR, struct.pack("=BBBBI", socket.AF_UNSPEC, 0, 0, 0, 0), next(self._sequence)
        ):
            fields = dict(attributes(part.body[8:]))
            name = self._name(int(struct.unpack_from("=I", part.body, 4)[0]))
            if name is not None and (raw := fields.get(2, fields.get(1))) is not None:
                found.setdefault(name, []).append(str(ipaddress.ip_address(raw)))
        return {name: sorted(held) for name, held in found.items()}

    def routes(self) -> dict[str, Route]:
        """Every route of ours, by destination."""
        found: dict[str, Route] = {}
        for family in (socket.AF_INET, socket.AF_INET6):
            body = struct.pack("=BBBBBBBBI", family, 0, 0, 0, MAIN_TABLE, PROTOCOL, 0, 0, 0)
            listed = dump(self._sock, GETROUTE, body, next(self._sequence))
            found |= dict(route for part in listed if (route := self._route(part)) is not None)
        return found

    def apply(self, change: Delta[str, Route], have: Mapping[str, Route]) -> dict[str, str]:
        """Drop, then put; the destinations that failed, with the reason. Dropping an absent route is no failure.

        A route of somebody else to the same destination is left alone: that is a failure.
        """
        failed: dict[str, str] = {}
        for destination in sorted(change.drop):
            try:
                body = self._body(destination, have.get(destination, Route("any")))
            except OSError:
                continue  # a device takes its routes along
            code = self._ask(DELROUTE, 0, body)
            if code and code not in ALREADY_GONE:
                failed[destination] = os.strerror(code)
        # Those without a gateway first: what goes by another's gateway may need them.
        for destination, route in sorted(change.put.items(), key=lambda put: (put[1].kind != "link", put[0])):
            try:
                body = self._body(destination, route)
            except OSError:
                failed[destination] = f"no interface {route.device}"
                continue
            flags = NLM_F_CREATE | (NLM_F_REPLACE if destination in have else NLM_F_EXCL)
            code = self._ask(NEWROUTE, flags, body)
            if code == errno.EEXIST:
                failed[destination] = "somebody else has a route to it"
            elif code:
                failed[destination] = os.strerror(code)
        return failed

    def read(self) -> list[KernelEvent]:
        """What has happened since the last call; empty when nothing has."""
        found: list[KernelEvent] = []
        while True:
            try:
                data = self.events.recv(1 << 20)
            except BlockingIOError:
                return found
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    found.append(EventsLost())
                    continue
                raise Unavailable(f"rtnetlink: {error.strerror}") from error
            for part in messages(data):
                event = self._event(part)
                if event is not None:
                    found.append(event)

    def _event(self, part: Message) -> KernelEvent | None:
        if part.kind in (NEWLINK, DELLINK):
            state = _link(part)
            if part.body[0] != socket.AF_UNSPEC:
                return None
            if part.kind == DELLINK:
                self._names.pop(state.index, None)
                return LinkChanged(state.index, None)
            self._names[state.index] = state.name
            return LinkChanged(state.index, state)
        if part.kind in (NEWADDR, DELADDR):
            return AddressesChanged(int(struct.unpack_from("=I", part.body, 4)[0]))
        if part.kind in (NEWROUTE, DELROUTE):
            route = self._route(part)
            if route is not None:
                return RouteChanged(route[0], route[1] if part.kind == NEWROUTE else None)
        return None

    def _route(self, part: Message) -> tuple[str, Route] | None:
        """(destination, route) if it is one of ours."""
        family, size, _, _, table, protocol, _, kind, flags = struct.unpack_from("=BBBBBBBBI", part.body)
        if family not in ADDRESS_SIZES or table != MAIN_TABLE or protocol != PROTOCOL:
            return None
        fields = dict(attributes(part.body[12:]))
        destination = f"{ipaddress.ip_address(fields.get(RTA_DST, bytes(ADDRESS_SIZES[family])))}/{size}"
        if kind == BLACKHOLE:
            return destination, Route("blackhole")
        device = self._name(int(struct.unpack("=I", fields[RTA_OIF])[0])) if RTA_OIF in fields else None
        metric = int(struct.unpack("=I", fields.get(RTA_PRIORITY, bytes(4)))[0])
        if kind != UNICAST or device is None or metric != (METRIC6 if family == socket.AF_INET6 else 0):
            return destination, Route("other", device or "")
        via = str(ipaddress.ip_address(fields[RTA_GATEWAY])) if RTA_GATEWAY in fields else ""
        gatewayed = "onlink" if flags & RTNH_F_ONLINK else "unicast"
        return destination, Route(gatewayed if via else "link", device, via)

    def _body(self, destination: str, route: Route) -> bytes:
        """OSError when the device is not there."""
        net = ipaddress.ip_network(destination)
        family = socket.AF_INET if net.version == 4 else socket.AF_INET6
        kind = KINDS.get(route.kind, 0)
        scope = LINK if route.kind == "link" and family == socket.AF_INET else UNIVERSE
        flags = RTNH_F_ONLINK if route.kind == "onlink" else 0
        head = struct.pack("=BBBBBBBBI", family, net.prefixlen, 0, 0, MAIN_TABLE, PROTOCOL, scope, kind, flags)
        parts = [head, attr(RTA_DST, net.network_address.packed)]
        if route.kind in ("unicast", "onlink", "link"):
            parts.append(attr(RTA_OIF, struct.pack("=I", socket.if_nametoindex(route.device))))
        if route.via:
            parts.append(attr(RTA_GATEWAY, ipaddress.ip_address(route.via).packed))
        return b"".join(parts)

    def _ask(self, kind: int, flags: int, body: bytes) -> int:
        """The errno of the answer, 0 when it was done."""
        seq = next(self._sequence)
        self._sock.send(message(kind, NLM_F_REQUEST | NLM_F_ACK | flags, seq, body))
        while True:
            for found in receive(self._sock, 10.0):
                if found.seq == seq and found.kind == NLMSG_ERROR:
                    return failure(found)

    def _name(self, index: int) -> str | None:
        if index not in self._names:
            try:
                self._names[index] = socket.if_indextoname(index)
            except OSError:
                return None
        return self._names[index]


def _link(part: Message) -> LinkState:
    index, flags = struct.unpack_from("=iI", part.body, 4)
    fields = dict(attributes(part.body[16:]))
    name = fields.get(3, b"").rstrip(b"\0").decode(errors="replace")
    mtu = int(struct.unpack("=I", fields[4])[0]) if 4 in fields else 0
    return LinkState(index, name, bool(flags & IFF_UP), mtu)
