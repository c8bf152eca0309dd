"""Conversations as packets show them, and what the kernel tells of them. Pure.

A conversation is named by the first packet as it is forwarded: its destination translated already, its source not yet.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

ICMP, ICMPV6 = 1, 58
WITH_PORTS = frozenset((6, 17, 33, 132, 136))
HOP_BY_HOP, ROUTING, FRAGMENT, OPTIONS = 0, 43, 44, 60
EXTENSIONS = frozenset((HOP_BY_HOP, ROUTING, FRAGMENT, OPTIONS))
# Request and reply.
ECHO = {ICMP: (8, 0), ICMPV6: (128, 129)}


class Five(NamedTuple):
    """Addresses as in the packet (4 or 16 bytes). Of an ICMP echo its identifier stands for the source port; what has
    no ports has 0."""

    source: bytes
    destination: bytes
    protocol: int
    source_port: int = 0
    destination_port: int = 0


@dataclass(frozen=True, slots=True)
class Decided:
    """A packet that a rule told of. `prefix`: what the rule says; `length`: of the whole packet."""

    prefix: str
    five: Five
    length: int


@dataclass(frozen=True, slots=True)
class Counted:
    """A conversation so far: what went its way, and back. `over`: the kernel has forgotten it."""

    five: Five
    packets: int
    length: int
    packets_back: int
    length_back: int
    over: bool = False


def packet_of(data: bytes) -> tuple[Five, int] | None:
    """Who speaks to whom, and the packet's length, from its beginning; None when that is not an IP packet's."""
    version = data[0] >> 4 if data else 0
    if version == 4 and len(data) >= 20:
        (length,) = struct.unpack_from(">H", data, 2)
        later = struct.unpack_from(">H", data, 6)[0] & 0x1FFF
        at = len(data) if later else (data[0] & 15) * 4
        return Five(data[12:16], data[16:20], data[9], *_ports(data[9], data, at)), length
    if version == 6 and len(data) >= 40:
        (length,) = struct.unpack_from(">H", data, 4)
        protocol, at = _transport(data)
        return Five(data[8:24], data[24:40], protocol, *_ports(protocol, data, at)), length + 40
    return None


def _transport(data: bytes) -> tuple[int, int]:
    """The protocol behind the extension headers of IPv6, and where it begins."""
    protocol, at = data[6], 40
    while protocol in EXTENSIONS and at + 8 <= len(data):
        if protocol == FRAGMENT and struct.unpack_from(">H", data, at + 2)[0] >> 3:
            return data[at], len(data)
        size = 8 if protocol == FRAGMENT else (data[at + 1] + 1) * 8
        protocol, at = data[at], at + size
    return protocol, at


def _ports(protocol: int, data: bytes, at: int) -> tuple[int, int]:
    if protocol in WITH_PORTS and at + 4 <= len(data):
        source, destination = struct.unpack_from(">HH", data, at)
        return source, destination
    if protocol in ECHO and at + 6 <= len(data) and data[at] in ECHO[protocol]:
        return struct.unpack_from(">H", data, at + 4)[0], 0
    return 0, 0


def forwarded(original: Mapping[int, bytes], reply: Mapping[int, bytes], protocol: int) -> Five | None:
    """From the two tuples of a conversation, by the kernel's numbers of their fields: it answers from where the packets
    went in the end."""
    source = original.get(ADDRESSES[0]) or original.get(ADDRESSES[1])
    destination = reply.get(ADDRESSES[0]) or reply.get(ADDRESSES[1])
    if source is None or destination is None:
        return None
    if protocol in ECHO:
        (number,) = struct.unpack(">H", original.get(IDS[protocol], b"\0\0"))
        return Five(source, destination, protocol, number)
    (source_port,) = struct.unpack(">H", original.get(SOURCE_PORT, b"\0\0"))
    (destination_port,) = struct.unpack(">H", reply.get(SOURCE_PORT, b"\0\0"))
    return Five(source, destination, protocol, source_port, destination_port)


# The fields of a tuple: of its addresses as they are, of its protocol's with PROTOCOL_PART added.
PROTOCOL_PART = 100
ADDRESSES = (1, 3)
SOURCE_PORT = PROTOCOL_PART + 2
IDS = {ICMP: PROTOCOL_PART + 4, ICMPV6: PROTOCOL_PART + 7}
