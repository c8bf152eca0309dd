"""A packet that may go so many hops and no further, and what kernels say of it, in both families. Values only."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import ip_address

PORT = 33434
IPV4, IPV6 = 4, 6
ETHER = {IPV4: 0x0800, IPV6: 0x86DD}
_FOUR = struct.Struct("!BBHHHBBH4s4s")
_SIX = struct.Struct("!IHBB16s16s")
_UDP = struct.Struct("!HHHH")
_UDP_NUMBER = 17
_ICMP = {IPV4: 1, IPV6: 58}
_PROTOCOL_AT = {IPV4: 9, IPV6: 6}
_EXCEEDED = {IPV4: 11, IPV6: 3}
_NO_PORT = {IPV4: (3, 3), IPV6: (1, 4)}


@dataclass(frozen=True)
class Answer:
    """What a host said to the packet with this token to this address. `exceeded`: it had no hops left."""

    sender: str
    target: str
    token: int
    exceeded: bool


def family(address: str) -> int:
    return IPV6 if ":" in address else IPV4


def probe(source: str, target: str, token: int, hops: int) -> bytes:
    """The packet, of the target's family. Of IPv4 also without a source: the kernel that routes it has one."""
    if family(target) == IPV6:
        own, to = (ip_address(address).packed for address in (source, target))
        pseudo = own + to + struct.pack("!II", _UDP.size, _UDP_NUMBER)
        summed = _sum(pseudo + _UDP.pack(token, PORT, _UDP.size, 0)) or 0xFFFF
        udp = _UDP.pack(token, PORT, _UDP.size, summed)
        return _SIX.pack(6 << 28, len(udp), _UDP_NUMBER, hops, own, to) + udp
    udp = _UDP.pack(token, PORT, _UDP.size, 0)
    own, to = (ip_address(address or "0.0.0.0").packed for address in (source, target))
    fields = (0x45, 0, _FOUR.size + len(udp), 0, 0, hops, _UDP_NUMBER)
    return _FOUR.pack(*fields, _sum(_FOUR.pack(*fields, 0, own, to)), own, to) + udp


def _sum(data: bytes) -> int:
    """The internet's checksum."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def understood(packet: bytes) -> Answer | None:
    """None for what is no answer to a probe."""
    version, sender, _, payload = _outer(packet)
    if version not in _ICMP or len(payload) < 8:
        return None
    inner, _, target, udp = _outer(payload[8:])
    if inner != version or payload[8 + _PROTOCOL_AT[version]] != _UDP_NUMBER or len(udp) < 4:
        return None
    token, port = struct.unpack_from("!HH", udp)
    exceeded = payload[0] == _EXCEEDED[version]
    if port != PORT or not (exceeded or (payload[0], payload[1]) == _NO_PORT[version]):
        return None
    return Answer(sender, target, token, exceeded)


def _outer(packet: bytes) -> tuple[int, str, str, bytes]:
    """(family, source, destination, what is inside); family 0 for what is cut off or neither."""
    version = packet[0] >> 4 if packet else 0
    if version == IPV6 and len(packet) >= _SIX.size:
        return IPV6, str(ip_address(packet[8:24])), str(ip_address(packet[24:40])), packet[_SIX.size :]
    if version == IPV4 and len(packet) >= _FOUR.size:
        start = max((packet[0] & 15) * 4, _FOUR.size)
        return IPV4, str(ip_address(packet[12:16])), str(ip_address(packet[16:20])), packet[start:]
    return 0, "", "", b""


def only_answers(version: int) -> bytes:
    """Classic BPF: what may be an answer of this family is taken, all other packets are left to the kernel."""
    load, equal, give = (0x30, 0, 0, _PROTOCOL_AT[version]), (0x15, 0, 1, _ICMP[version]), 0x06
    return struct.pack("HBBI" * 4, *load, *equal, give, 0, 0, 512, give, 0, 0, 0)
