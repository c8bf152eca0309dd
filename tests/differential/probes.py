"""Packets with a number in them, sent from any party of the network, and the numbers that arrived where.

A raw socket gets a copy of what is for its namespace behind the input hook: what a host's table let in.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tests.differential.net import raw, within

from tortie.policy.verdict import Packet

TCP, UDP, ICMP, ICMPV6 = socket.IPPROTO_TCP, socket.IPPROTO_UDP, socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6
KINDS = ((socket.AF_INET, TCP), (socket.AF_INET, UDP), (socket.AF_INET, ICMP),
         (socket.AF_INET6, TCP), (socket.AF_INET6, UDP), (socket.AF_INET6, ICMPV6))  # fmt: skip
MAGIC = 0x70726F62
SYN, IP_PKTINFO = 2, 8
UNSENT = (101, 113, 1)  # no route, no way, refused by the sender's own table


@dataclass(frozen=True, slots=True)
class Probe:
    """One packet from one party to another; `number` is in it."""

    number: int
    source: str
    destination: str
    packet: Packet


class Prober:
    """`netns`: the namespace of each party."""

    def __init__(self, netns: Mapping[str, str]) -> None:
        self._sockets: dict[tuple[str, int, int], socket.socket] = {}
        self._party: dict[int, tuple[str, int, int]] = {}
        self._poller = select.poll()
        for party, name in netns.items():
            made = within(name, lambda: {kind: raw(*kind) for kind in KINDS})
            for (family, protocol), sock in made.items():
                self._sockets[(party, family, protocol)] = sock
                self._party[sock.fileno()] = (party, family, protocol)
                self._poller.register(sock, select.POLLIN)

    def close(self) -> None:
        for sock in self._sockets.values():
            sock.close()

    def send(self, probes: Iterable[Probe]) -> None:
        for probe in probes:
            packet = probe.packet
            family = socket.AF_INET6 if ":" in packet.source else socket.AF_INET
            sock = self._sockets[(probe.source, family, packet.protocol)]
            try:
                sock.sendmsg([body(probe)], [from_address(packet.source)], 0, (packet.destination, 0))
            except OSError as error:
                if error.errno not in UNSENT:
                    raise

    def collect(self, arrived: Callable[[str, int, str], bool], quiet: float, deadline: float) -> None:
        """Read until `arrived` says that it has all, or nothing came for `quiet` seconds, or the deadline."""
        end = time.monotonic() + deadline
        while (left := end - time.monotonic()) > 0:
            ready = self._poller.poll(min(quiet, left) * 1000)
            if not ready:
                return
            enough = False
            for fd, _ in ready:
                party, family, protocol = self._party[fd]
                for number, source in self._read(self._sockets[(party, family, protocol)], family, protocol):
                    enough = arrived(party, number, source) or enough
            if enough:
                return

    def _read(self, sock: socket.socket, family: int, protocol: int) -> list[tuple[int, str]]:
        found: list[tuple[int, str]] = []
        while True:
            try:
                data, (source, *_) = sock.recvfrom(2048)
            except BlockingIOError:
                return found
            start = (data[0] & 15) * 4 if family == socket.AF_INET else 0
            number = number_of(protocol, data[start:])
            if number is not None:
                found.append((number, source))


def from_address(source: str) -> tuple[int, int, bytes]:
    if ":" in source:
        return socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, socket.inet_pton(socket.AF_INET6, source) + bytes(4)
    return socket.IPPROTO_IP, IP_PKTINFO, bytes(4) + socket.inet_aton(source) + bytes(4)


def body(probe: Probe) -> bytes:
    packet = probe.packet
    ports = struct.pack("!HH", packet.source_port, packet.destination_port)
    if packet.protocol == TCP:
        segment = ports + struct.pack("!IIBBHHH", probe.number, 0, 5 << 4, SYN, 1024, 0, 0)
        return with_checksum(packet, segment, 16)
    mark = struct.pack("!II", MAGIC, probe.number)
    if packet.protocol == UDP:
        return with_checksum(packet, ports + struct.pack("!HH", 8 + len(mark), 0) + mark, 6)
    kind, code = packet.icmp or (8, 0)
    message = struct.pack("!BBHHH", kind, code, 0, probe.number & 0xFFFF, probe.number >> 16 & 0xFFFF) + mark
    # The kernel fills in the checksum of ICMPv6, and of TCP and UDP over IPv6.
    return message[:2] + struct.pack("!H", checksum(message)) + message[4:] if packet.protocol == ICMP else message


def number_of(protocol: int, data: bytes) -> int | None:
    """The number of a probe; None for everything else, answers to probes among it."""
    if protocol == TCP:
        return int.from_bytes(data[4:8], "big") if len(data) >= 20 and data[13] == SYN else None
    if data[8:12] != struct.pack("!I", MAGIC) or len(data) < 16 or (protocol != UDP and data[0] in (0, 129)):
        return None
    return int.from_bytes(data[12:16], "big")


def with_checksum(packet: Packet, segment: bytes, place: int) -> bytes:
    if ":" in packet.source:
        return segment
    ends = socket.inet_aton(packet.source) + socket.inet_aton(packet.destination)
    found = checksum(ends + struct.pack("!HH", packet.protocol, len(segment)) + segment)
    return segment[:place] + struct.pack("!H", found) + segment[place + 2 :]


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF
