"""A container's network namespace, and the pair of interfaces that joins it to the host: by netlink in two batches.

The container's end is made inside its namespace, so it is never seen on the host and never moved. `inside` does the
same for a person's own command, one step after another; this is for runtimes that start containers by the dozen.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import stat
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TypeVar

from tortie.base.errors import Conflict, Invalid, NotFound, Unavailable
from tortie.dataplane.kernel.inside import GATEWAY, GATEWAY6
from tortie.dataplane.kernel.netlink import (
    NETLINK_ROUTE,
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_REPLACE,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    attr,
    attributes,
    dump,
    failure,
    message,
    nested,
    receive,
    text,
)
from tortie.dataplane.kernel.rtnl import (
    DELLINK,
    GETADDR,
    GETLINK,
    IFF_UP,
    LINK,
    MAIN_TABLE,
    NEWADDR,
    NEWLINK,
    NEWROUTE,
    NLM_F_EXCL,
    RTA_DST,
    RTA_GATEWAY,
    RTA_OIF,
    UNICAST,
    UNIVERSE,
)
from tortie.dataplane.kernel.veth import HOST_MAC

T = TypeVar("T")

NEWNEIGH, NEWRULE, DELRULE = 28, 32, 33
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINKINFO, IFLA_NET_NS_FD = 1, 3, 4, 18, 28
INFO_KIND, INFO_DATA, VETH_PEER = 1, 2, 1
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS, NODAD = 1, 2, 8, 0x02
NDA_DST, NDA_LLADDR, PERMANENT = 1, 2, 0x80
FRA_SRC, FRA_PRIORITY, FRA_TABLE, TO_TABLE = 2, 6, 15, 1
RTA_TABLE, TABLE_IN_ATTRIBUTE = 15, 252
PROTOCOL_STATIC = 4
LOOPBACK = 1
"""The index of `lo` in every namespace."""
TABLES = 5000
"""A further interface's own table of routes is this plus its index."""
CLONE_NEWNET = 0x40000000
SECONDS = 10.0
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """`addresses` without masks. `mtu` 0: the kernel's."""

    host: str
    inside: str
    mac: str
    mtu: int
    addresses: Sequence[str]
    forwarding: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """An interface of a namespace as it is now; addresses without masks."""

    index: int
    mac: str
    up: bool
    addresses: Sequence[str]


class Sandbox:
    """One namespace by its open descriptor, which stays the caller's. Every call blocks."""

    def __init__(self, fd: int) -> None:
        """NotFound when the descriptor is no network namespace any more, Invalid when it is that of this process."""
        self._fd = fd
        if not is_namespace(fd):
            raise NotFound("it is no network namespace")
        if stamp_of(fd) == own_stamp():
            raise Invalid("plugin's netns and netns from CNI_NETNS should not be the same")

    def interfaces(self) -> dict[str, Seen]:
        """Every interface by name."""
        with self._socket() as sock:
            return _interfaces(sock)

    def join(self, pair: Pair) -> None:
        """Makes the pair, both ends up, the container's with its addresses and routes, the host's without any.

        Conflict when a name is taken on either side; after any failure neither end is left.
        """
        with self._socket(_settings(pair)) as inside:
            there = _interfaces(inside)
            if pair.inside in there:
                raise Conflict(f"interface {pair.inside} exists in the container already")
            with open_rtnl() as host:
                ask(host, [_new_pair(pair, self._fd)], f"interface {pair.host}")
                try:
                    index = _index(inside, pair.inside)
                    first = not _is_joined(there)
                    ask(inside, _configuration(pair, index, first=first), f"interface {pair.inside}")
                except BaseException:
                    ask(host, [deletion(pair.host)], f"interface {pair.host}")
                    raise

    def forget(self, addresses: Sequence[str], interface_index: int) -> None:
        """Takes the rules out that lead to an interface's own table; what is not there is fine."""
        with self._socket() as sock:
            for address in addresses:
                ask(sock, [_rule(DELRULE, address, interface_index)], f"rule for {address}", fine=(errno.ENOENT,))

    def _socket(self, first: Callable[[], None] | None = None) -> socket.socket:
        """A socket of that namespace, whichever one its user is in. `first` is called there before it is made."""

        def open_there() -> socket.socket:
            if _libc.setns(self._fd, CLONE_NEWNET) != 0:
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code))
            if first is not None:
                first()
            return open_rtnl()

        try:
            return _apart(open_there)
        except OSError as error:
            raise Unavailable(f"network namespace: {error.strerror}") from error


def is_namespace(fd: int) -> bool:
    """Whether it is a namespace at all: a runtime's file is a plain one once the namespace has been unmounted."""
    found = os.fstat(fd)
    return stat.S_ISREG(found.st_mode) and found.st_dev == os.stat("/proc/self/ns/net").st_dev


def stamp_of(fd: int) -> str:
    """`device:inode`, empty when it is no namespace."""
    if not is_namespace(fd):
        return ""
    found = os.fstat(fd)
    return f"{found.st_dev}:{found.st_ino}"


def own_stamp() -> str:
    found = os.stat("/proc/self/ns/net")
    return f"{found.st_dev}:{found.st_ino}"


def _apart(call: Callable[[], T]) -> T:
    """The call's result, from a thread that ends with it: a namespace that was entered is entered by a thread."""
    with ThreadPoolExecutor(1, "sandbox") as thread:
        return thread.submit(call).result()


def _settings(pair: Pair) -> Callable[[], None]:
    """What /proc/sys must say in the namespace before an address is set."""
    wanted = {"/proc/sys/net/ipv4/ip_forward": "1" if pair.forwarding else "0"}
    if any(":" in address for address in pair.addresses):
        wanted |= {
            "/proc/sys/net/ipv6/conf/all/disable_ipv6": "0",
            "/proc/sys/net/ipv6/conf/default/disable_ipv6": "0",
            "/proc/sys/net/ipv6/conf/lo/disable_ipv6": "0",
            "/proc/sys/net/ipv6/conf/all/forwarding": "1" if pair.forwarding else "0",
        }

    def write() -> None:
        for path, value in wanted.items():
            with open(path, "r+") as file:
                if file.read().strip() != value:
                    file.seek(0)
                    file.write(value)

    return write


def open_rtnl() -> socket.socket:
    """For requests: without events, with the buffers that sockets have."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_ROUTE)
    sock.bind((0, 0))
    return sock


def ask(sock: socket.socket, wanted: Sequence[tuple[int, int, bytes]], what: str, fine: Sequence[int] = ()) -> None:
    """All of them in one datagram; the first refusal that is not `fine` is raised once all have been answered."""
    parts = [
        message(kind, NLM_F_REQUEST | NLM_F_ACK | flags, at, body) for at, (kind, flags, body) in enumerate(wanted)
    ]
    try:
        sock.send(b"".join(parts))
    except OSError as error:
        raise Unavailable(f"{what}: {error.strerror}") from error
    answers: dict[int, int] = {}
    while len(answers) < len(parts):
        for found in receive(sock, SECONDS):
            if found.kind == NLMSG_ERROR:
                answers[found.seq] = failure(found)
    for at in sorted(answers):
        code = answers[at]
        if code and code not in fine:
            family = Conflict if code == errno.EEXIST else Unavailable
            raise family(f"{what}: {os.strerror(code)}")


def _interfaces(sock: socket.socket) -> dict[str, Seen]:
    addresses: dict[int, list[str]] = {}
    for found in dump(sock, GETADDR, struct.pack("=BBBBI", socket.AF_UNSPEC, 0, 0, 0, 0), 1):
        fields = dict(attributes(found.body[8:]))
        raw = fields.get(IFA_LOCAL, fields.get(IFA_ADDRESS))
        if raw is not None:
            addresses.setdefault(struct.unpack_from("=I", found.body, 4)[0], []).append(str(ip_address(raw)))
    listed = {}
    for found in dump(sock, GETLINK, bytes(16), 2):
        index, flags = struct.unpack_from("=iI", found.body, 4)
        fields = dict(attributes(found.body[16:]))
        name = fields.get(IFLA_IFNAME, b"").rstrip(b"\0").decode(errors="replace")
        mac = fields.get(IFLA_ADDRESS, b"").hex(":")
        listed[name] = Seen(index, mac, bool(flags & IFF_UP), tuple(addresses.get(index, ())))
    return listed


def _is_joined(there: dict[str, Seen]) -> bool:
    """Another interface of the container brings its routes already: ours is one beside it."""
    return any(seen.up for name, seen in there.items() if name != "lo" and seen.addresses)


def _index(sock: socket.socket, name: str) -> int:
    found = _interfaces(sock).get(name)
    if found is None:
        raise Unavailable(f"interface {name}: it vanished from the container")
    return found.index


def _link(index: int = 0, *, up: bool = False) -> bytes:
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, IFF_UP if up else 0, IFF_UP if up else 0)


def _mac(mac: str) -> bytes:
    return attr(IFLA_ADDRESS, bytes.fromhex(mac.replace(":", "")))


def _new_pair(pair: Pair, namespace: int) -> tuple[int, int, bytes]:
    size = attr(IFLA_MTU, struct.pack("=I", pair.mtu)) if pair.mtu else b""
    peer = _link() + text(IFLA_IFNAME, pair.inside) + _mac(pair.mac) + size
    peer += attr(IFLA_NET_NS_FD, struct.pack("=I", namespace))
    kind = text(INFO_KIND, "veth") + nested(INFO_DATA, attr(VETH_PEER, peer))
    body = _link(up=True) + text(IFLA_IFNAME, pair.host) + _mac(HOST_MAC) + size + nested(IFLA_LINKINFO, kind)
    return NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body


def deletion(name: str) -> tuple[int, int, bytes]:
    """The message that removes an interface."""
    return DELLINK, 0, _link() + text(IFLA_IFNAME, name)


def _configuration(pair: Pair, index: int, *, first: bool) -> list[tuple[int, int, bytes]]:
    """Loopback and interface up, addresses, the way to the host, and either the default route or a table of its own."""
    wanted = [(NEWLINK, 0, _link(LOOPBACK, up=True)), (NEWLINK, 0, _link(index, up=True))]
    table = MAIN_TABLE if first else TABLES + index
    gateways: dict[int, str] = {}
    for address in pair.addresses:
        wanted.append(_address(address, index))
        gateways[ip_address(address).version] = GATEWAY6 if ":" in address else GATEWAY
    for gateway in gateways.values():
        wanted.append(_neighbour(gateway, index))
        if ":" not in gateway:
            wanted.append(_route(f"{gateway}", 32, index, table))
        wanted.append(_route(gateway, 0, index, table))
    if not first:
        wanted += [_rule(NEWRULE, address, index) for address in pair.addresses]
    return wanted


def _address(address: str, index: int) -> tuple[int, int, bytes]:
    found = ip_address(address)
    family, bits = (socket.AF_INET6, 128) if found.version == 6 else (socket.AF_INET, 32)
    body = struct.pack("=BBBBI", family, bits, 0, 0, index)
    body += attr(IFA_LOCAL, found.packed) + attr(IFA_ADDRESS, found.packed)
    if found.version == 6:
        body += attr(IFA_FLAGS, struct.pack("=I", NODAD))
    return NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, body


def _neighbour(gateway: str, index: int) -> tuple[int, int, bytes]:
    found = ip_address(gateway)
    family = socket.AF_INET6 if found.version == 6 else socket.AF_INET
    body = struct.pack("=BxxxiHBB", family, index, PERMANENT, 0, 0)
    body += attr(NDA_DST, found.packed) + attr(NDA_LLADDR, bytes.fromhex(HOST_MAC.replace(":", "")))
    return NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, body


def _route(gateway: str, bits: int, index: int, table: int) -> tuple[int, int, bytes]:
    """To the gateway itself, on the link, or with no bits to everything by way of it."""
    found = ip_address(gateway)
    family = socket.AF_INET6 if found.version == 6 else socket.AF_INET
    scope = LINK if bits else UNIVERSE
    short = table if table < 256 else TABLE_IN_ATTRIBUTE
    head = struct.pack("=BBBBBBBBI", family, bits, 0, 0, short, PROTOCOL_STATIC, scope, UNICAST, 0)
    body = head + attr(RTA_DST if bits else RTA_GATEWAY, found.packed)
    body += attr(RTA_OIF, struct.pack("=I", index)) + attr(RTA_TABLE, struct.pack("=I", table))
    return NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body


def _rule(kind: int, address: str, index: int) -> tuple[int, int, bytes]:
    """What comes from this address goes by the interface's own table."""
    found = ip_address(address)
    family, bits = (socket.AF_INET6, 128) if found.version == 6 else (socket.AF_INET, 32)
    body = struct.pack("=BBBBBBBBI", family, 0, bits, 0, 0, 0, 0, TO_TABLE, 0)
    body += attr(FRA_SRC, found.packed) + attr(FRA_TABLE, struct.pack("=I", TABLES + index))
    body += attr(FRA_PRIORITY, struct.pack("=I", TABLES))
    return kind, NLM_F_CREATE | NLM_F_EXCL if kind == NEWRULE else 0, body
