"""Names of others: pass a query on to a resolver and its reply back, unchanged and uncached."""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tortie.dns.config import split_address
from tortie.dns.message import REFUSED, SERVFAIL, Question, error
from tortie.dns.zone import wire_name

_MAX_OPEN = 512


@dataclass(slots=True)
class Forwarder:
    """Zones by their wire name with their resolvers, and the resolvers for all other names.

    Each resolver is asked in turn over the transport of the query until one answers within `timeout` seconds.
    """

    zones: Mapping[bytes, Sequence[str]] = field(default_factory=dict)
    others: Sequence[str] = ()
    timeout: float = 5.0
    recursion: bool = True
    _open: int = 0

    def resolvers(self, name: bytes) -> Sequence[str]:
        """The longest zone that the name lies in decides."""
        at = 0
        while name[at]:
            if (found := self.zones.get(name[at:])) is not None:
                return found
            at += name[at] + 1
        return self.others

    async def ask(self, query: bytes, question: Question, *, tcp: bool) -> bytes:
        """The reply for the asker: REFUSED without a resolver, SERVFAIL when none answers or too many are waiting."""
        resolvers = self.resolvers(question.name)
        if not resolvers:
            return error(question, REFUSED, recursion=self.recursion)
        if self._open >= _MAX_OPEN:
            return error(question, SERVFAIL, recursion=self.recursion)
        self._open += 1
        try:
            for resolver in resolvers:
                reply = await self._one(resolver, query, question, tcp=tcp)
                if reply is not None:
                    return query[:2] + reply[2:]
        finally:
            self._open -= 1
        return error(question, SERVFAIL, recursion=self.recursion)

    async def _one(self, resolver: str, query: bytes, question: Question, *, tcp: bool) -> bytes | None:
        sent = secrets.token_bytes(2) + query[2:]
        host, port = split_address(resolver, 53)
        try:
            async with asyncio.timeout(self.timeout):
                return await (_tcp if tcp else _udp)(host, port, sent, question)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return None


def make_zones(zones: Mapping[str, Sequence[str]]) -> dict[bytes, Sequence[str]]:
    return {wire_name(zone): hosts for zone, hosts in zones.items()}


def _answers(reply: bytes, sent: bytes, question: Question) -> bool:
    """Only a reply to this very question is taken: its id, its response bit, its question."""
    size = len(question.raw)
    return (
        len(reply) >= 12
        and reply[:2] == sent[:2]
        and bool(reply[2] & 0x80)
        and (reply[4:6] == b"\0\0" or reply[12 : 12 + size].lower() == question.raw.lower())
    )


async def _udp(host: str, port: int, sent: bytes, question: Question) -> bytes:
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, (host, port))
        await loop.sock_sendall(sock, sent)
        while True:
            reply = await loop.sock_recv(sock, 65535)
            if _answers(reply, sent, question):
                return reply


async def _tcp(host: str, port: int, sent: bytes, question: Question) -> bytes | None:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(struct.pack("!H", len(sent)) + sent)
        await writer.drain()
        (size,) = struct.unpack("!H", await reader.readexactly(2))
        reply = await reader.readexactly(size)
        return reply if _answers(reply, sent, question) else None
    finally:
        writer.close()
