"""Names of others: pass a query on to a resolver and its reply back, unchanged and uncached."""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from tortie.dns.config import split_address
from tortie.dns.exchange import Fit, disguised, empty_handed, fit, undisguised
from tortie.dns.message import REFUSED, SERVFAIL, Question, cut, error, parse, udp_limit
from tortie.dns.zone import suffixes, wire_name

_MAX_OPEN = 512
_MAX_OF_ONE = 128
_NEXT_AFTER = 1.0
_AGAIN_AFTER = 1.5


@dataclass(slots=True)
class Forwarder:
    """Zones by their wire name with their resolvers, and the resolvers for all other names.

    The first `at_once` resolvers are asked together over the transport of the query, the next one whenever one fails
    or all stay silent for a second; the first that has something to say wins. `aliases`: zones that are another zone
    under their own name.
    """

    zones: Mapping[bytes, Sequence[str]] = field(default_factory=dict)
    others: Sequence[str] = ()
    timeout: float = 5.0
    recursion: bool = True
    at_once: int = 1
    aliases: Mapping[bytes, bytes] = field(default_factory=dict)
    _open: int = 0
    _of_one: Counter[str] = field(default_factory=Counter)

    def named(self) -> dict[str, Sequence[str]]:
        """The zones in words."""
        return {_words(zone): resolvers for zone, resolvers in self.zones.items()}

    def resolvers(self, name: bytes) -> Sequence[str]:
        """The longest zone that the name lies in decides."""
        for _, suffix in suffixes(name):
            if (found := self.zones.get(suffix)) is not None:
                return found
        return self.others

    async def ask(self, query: bytes, question: Question, *, tcp: bool, asker: str = "") -> bytes:
        """The reply for the asker: REFUSED without a resolver, SERVFAIL when none answers or too many are waiting."""
        for _, suffix in suffixes(question.name):
            if (real := self.aliases.get(suffix)) is not None:
                return await self._ask_renamed(query, question, (suffix, real), tcp=tcp, asker=asker)
        resolvers = self.resolvers(question.name)
        if not resolvers:
            return error(question, REFUSED, recursion=self.recursion)
        if self._open >= _MAX_OPEN or self._of_one[asker] >= _MAX_OF_ONE:
            return error(question, SERVFAIL, recursion=self.recursion)
        self._open += 1
        self._of_one[asker] += 1
        try:
            reply = await self._race(resolvers, query, question, tcp=tcp)
        finally:
            self._open -= 1
            self._of_one[asker] -= 1
            if not self._of_one[asker]:
                del self._of_one[asker]
        if reply is None:
            return error(question, SERVFAIL, recursion=self.recursion)
        return reply if tcp or len(reply) <= udp_limit(question) else cut(reply)

    async def _ask_renamed(
        self, query: bytes, question: Question, names: tuple[bytes, bytes], *, tcp: bool, asker: str
    ) -> bytes:
        from tortie.dns.rename import rename_query, rename_reply

        alias, real = names
        renamed = rename_query(query, question, alias, real)
        asked = parse(renamed)
        if not isinstance(asked, Question):
            return error(question, SERVFAIL, recursion=self.recursion)
        reply = rename_reply(await self.ask(renamed, asked, tcp=tcp, asker=asker), alias, real)
        if reply is None:
            return error(question, SERVFAIL, recursion=self.recursion)
        whole = undisguised(reply, query, question)
        return whole if tcp or len(whole) <= udp_limit(question) else cut(whole)

    async def _race(self, resolvers: Sequence[str], query: bytes, question: Question, *, tcp: bool) -> bytes | None:
        waiting = list(resolvers)
        asked: set[asyncio.Task[bytes | None]] = set()
        poor = None

        def ask_next(number: int) -> None:
            for resolver in waiting[:number]:
                asked.add(asyncio.create_task(self._one(resolver, query, question, tcp=tcp)))
            del waiting[:number]

        ask_next(self.at_once)
        try:
            while asked:
                pause = _NEXT_AFTER if waiting else None
                done, _ = await asyncio.wait(asked, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                asked -= done
                for reply in (task.result() for task in done):
                    if reply is not None and not empty_handed(reply):
                        return reply
                    poor = reply or poor
                ask_next(max(1, len(done)))
        finally:
            await _cancelled(asked)
        return poor

    async def _one(self, resolver: str, query: bytes, question: Question, *, tcp: bool) -> bytes | None:
        """One resolver's reply; None when it gives none in time. What may be forged is asked again over TCP."""
        sent = disguised(query, question, secrets.token_bytes(2 + len(question.raw)))
        host, port = split_address(resolver, 53)
        try:
            async with asyncio.timeout(self.timeout):
                reply = None if tcp else await _udp(host, port, sent, question)
                reply = reply or await _tcp(host, port, sent, question)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return None
        return undisguised(reply, query, question) if reply else None


def make_zones(zones: Mapping[str, Sequence[str]]) -> dict[bytes, Sequence[str]]:
    return {wire_name(zone): hosts for zone, hosts in zones.items()}


def _words(name: bytes) -> str:
    labels = [name[at + 1 : at + 1 + name[at]].decode("ascii", "replace") for at, _ in suffixes(name) if name[at]]
    return ".".join(labels)


async def _cancelled(tasks: Iterable[asyncio.Task[bytes | None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _udp(host: str, port: int, sent: bytes, question: Question) -> bytes | None:
    """From a port of its own. None when a reply came that is right but for the case of its letters."""
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, (host, port))
        while True:
            await loop.sock_sendall(sock, sent)
            with suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN_AFTER):
                    return await _fitting(sock, sent, question)


async def _fitting(sock: socket.socket, sent: bytes, question: Question) -> bytes | None:
    loop = asyncio.get_running_loop()
    while True:
        reply = await loop.sock_recv(sock, 65535)
        found = fit(reply, sent, question)
        if found is not Fit.NO:
            return reply if found is Fit.YES else None


async def _tcp(host: str, port: int, sent: bytes, question: Question) -> bytes | None:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(struct.pack("!H", len(sent)) + sent)
        await writer.drain()
        (size,) = struct.unpack("!H", await reader.readexactly(2))
        reply = await reader.readexactly(size)
        return reply if fit(reply, sent, question) is not Fit.NO else None
    finally:
        writer.close()
