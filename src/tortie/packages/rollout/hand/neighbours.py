"""Whether containers here and containers on other hosts would find each other's hosts, whatever policy says.

A packet from a container of this host to one of another host is sent with so few hops left that the other host has to
give it up where it would hand it to its container: its kernel says so before any policy is asked, and says it to the
sender's container. So one answer shows this host's route there, the other host's route to its container, and its route
back here. The answer is read as it arrives: no container needs to take it.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

HOPS = 4
SECONDS = 1.0
PORT = 33434
_HEADER = struct.Struct("!BBHHHBBH4s4s")
_UDP = struct.Struct("!HHHH")
_IP_PROTOCOL, _ICMP, _UDP_NUMBER = 9, 1, 17
_TIME_EXCEEDED, _UNREACHABLE, _PORT = 11, 3, 3
_ETH_P_IP = 0x0800
_SO_ATTACH_FILTER = 26
# Classic BPF: an IPv4 packet of ICMP is taken, all others are left to the kernel.
_ONLY_ICMP = struct.pack("HBBI" * 4, 0x30, 0, 0, _IP_PROTOCOL, 0x15, 0, 1, _ICMP, 0x06, 0, 0, 512, 0x06, 0, 0, 0)


@dataclass(frozen=True)
class Answer:
    """What a host said to the packet with this token to this address. `exceeded`: it had no hops left."""

    sender: str
    target: str
    token: int
    exceeded: bool


def probe(source: str, target: str, token: int, hops: int) -> bytes:
    """The packet. Without a source it is the host's own address; the kernel sums up the header."""
    udp = _UDP.pack(token, PORT, _UDP.size, 0)
    own = socket.inet_aton(source) if source else bytes(4)
    whole = _HEADER.size + len(udp)
    return _HEADER.pack(0x45, 0, whole, 0, 0, hops, _UDP_NUMBER, 0, own, socket.inet_aton(target)) + udp


def understood(packet: bytes) -> Answer | None:
    """None for what is no answer to a probe."""
    start = (packet[0] & 15) * 4 if packet else 0
    inner = packet[start + 8 :]
    if start < _HEADER.size or len(inner) < _HEADER.size:
        return None
    kind, code = packet[start], packet[start + 1]
    port = (inner[0] & 15) * 4
    if inner[9] != _UDP_NUMBER or len(inner) < port + 4:
        return None
    token, to = struct.unpack_from("!HH", inner, port)
    if to != PORT or not (kind == _TIME_EXCEEDED or (kind == _UNREACHABLE and code == _PORT)):
        return None
    return Answer(
        socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(inner[16:20]), token, exceeded=kind == _TIME_EXCEEDED
    )


def arrived(peer: Mapping[str, Any], answer: Answer) -> bool:
    """Whether it was the host of the container that answered, or the container itself."""
    if answer.target not in peer["workloads"]:
        return False
    return answer.sender in peer["addresses"] or (not answer.exceeded and answer.sender == answer.target)


def asked_for(known: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Those peers that are called so, by name or by address, and have a container to ask for."""
    wanted = frozenset(names)
    return {
        name: peer
        for name, peer in known["peers"].items()
        if peer["workloads"] and not wanted.isdisjoint((name, *peer["addresses"]))
    }


def silent(known: Mapping[str, Any], names: Iterable[str], seconds: float = SECONDS) -> dict[str, str]:
    """Of these peers those that do not answer, with the reason."""
    left, said = asked_for(known, names), dict[str, str]()
    if not left:
        return {}
    source = next(iter(known["own"]), "")
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_IP)) as ear:
        program = ctypes.create_string_buffer(_ONLY_ICMP)
        address = ctypes.addressof(program)
        ear.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(_ONLY_ICMP) // 8, address))
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as mouth:
            token = 33000 + (os.getpid() + int(time.monotonic() * 10)) % 20000
            # A router on the way gives the packet up first: one hop more then.
            for hops in range(1, HOPS + 1):
                said = {name: _send(mouth, source, peer, token + hops, hops) for name, peer in left.items()}
                if not all(said.values()):
                    _listen(ear, left, token + hops, seconds)
                if not left:
                    break
    return {name: said[name] or "no answer" for name in left}


def _send(mouth: socket.socket, source: str, peer: Mapping[str, Any], token: int, hops: int) -> str:
    """Why no packet could be sent to any of its containers."""
    why, sent = "", False
    for target in peer["workloads"]:
        try:
            mouth.sendto(probe(source, target, token, hops), (target, 0))
            sent = True
        except OSError as error:
            why = error.strerror or str(error)
    return "" if sent else why


def _listen(ear: socket.socket, left: dict[str, Any], token: int, seconds: float) -> None:
    """Takes those that answer out of `left`."""
    ends = time.monotonic() + seconds
    while left and (patience := ends - time.monotonic()) > 0:
        ear.settimeout(patience)
        try:
            answer = understood(ear.recv(512))
        except TimeoutError:
            return
        if answer is not None and answer.token == token:
            for name in [name for name, peer in left.items() if arrived(peer, answer)]:
                del left[name]
