"""The sockets of the name server: UDP and TCP on one address, each query handed to `answer`."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tortie.base.errors import Unavailable
from tortie.dns.forward import Forwarder
from tortie.dns.limits import LARGE, LargeReplies
from tortie.dns.message import SERVFAIL, Forward, Question, bare_error, cut

log = logging.getLogger("dns")

Control = tuple[int, int, bytes]
Answerer = Callable[[bytes, bool], bytes | Forward | None]
_BATCH = 64
_MAX_TCP = 256
_MAX_TCP_OF_ONE = 64
_PIPELINE = 16
_TCP_IDLE = 10.0
_IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)
_CONTROL_SPACE = socket.CMSG_SPACE(64)
_MAX_QUERY = 4096


@dataclass(slots=True)
class Server:
    """Serve `answer` on one address and port until cancelled; what is not ours goes through `forwarder`."""

    host: str
    port: int
    answer: Answerer
    forwarder: Forwarder
    queries: int = 0
    _wild: bool = False
    _batch: int = 1
    _tcp_open: Counter[str] = field(default_factory=Counter)
    _large: LargeReplies = field(default_factory=LargeReplies)
    _sockets: list[socket.socket] = field(default_factory=list)

    def bind(self) -> None:
        """Unavailable names the address that is taken. Called before anything else starts."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        for kind, word in ((socket.SOCK_DGRAM, "udp"), (socket.SOCK_STREAM, "tcp")):
            sock = socket.socket(family, kind)
            sock.setblocking(False)
            if kind == socket.SOCK_STREAM:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((self.host, self.port))
            except OSError as error:
                sock.close()
                self.close()
                raise Unavailable(f"cannot listen on {self.host}:{self.port} ({word}): {error.strerror}") from error
            self._sockets.append(sock)
            self.port = sock.getsockname()[1]
        udp, tcp = self._sockets
        tcp.listen(128)
        self._wild = self.host in ("0.0.0.0", "::")
        if self.host == "0.0.0.0":
            udp.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        elif self.host == "::":
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()

    async def run(self) -> None:
        udp, tcp = self._sockets
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.TaskGroup() as group:
                loop.add_reader(udp.fileno(), self._drain, udp, group)
                server = await asyncio.start_server(self._connection, sock=tcp)
                async with server:
                    await server.serve_forever()
        finally:
            if udp.fileno() >= 0:
                loop.remove_reader(udp.fileno())
            self.close()

    def _drain(self, sock: socket.socket, group: asyncio.TaskGroup) -> None:
        """Answer what has arrived, a batch at most: other work on the loop gets its turn.

        A batch is as long as those before it were: asking a socket in vain costs as much as an answer.
        """
        back: list[Control] = []
        for _ in range(self._batch):
            try:
                if self._wild:
                    query, controls, _, peer = sock.recvmsg(_MAX_QUERY, _CONTROL_SPACE)
                    back = _source(controls)
                else:
                    query, peer = sock.recvfrom(_MAX_QUERY)
            except BlockingIOError:
                self._batch = max(1, self._batch // 2)
                return
            except OSError as error:  # an ICMP error of an earlier reply
                log.debug("receive: %s", error)
                return
            reply = self._answer(query, tcp=False)
            if isinstance(reply, Forward):
                group.create_task(self._pass_on(sock, query, reply.question, back, peer))
            elif reply is not None:
                self._say(sock, reply, back, peer)
        self._batch = min(2 * self._batch, _BATCH)

    def _say(self, sock: socket.socket, reply: bytes, back: list[Control], peer: Any) -> None:
        if len(reply) > LARGE and not self._large.allowed(peer[0], time.monotonic()):
            reply = cut(reply)
        _send(sock, reply, back, peer)

    def _answer(self, query: bytes, *, tcp: bool) -> bytes | Forward | None:
        self.queries += 1
        try:
            return self.answer(query, tcp)
        except Exception:  # one bad query must not stop the server; the fault is logged whole
            log.exception("fault while answering %s", query[:64].hex())
            return bare_error(query, SERVFAIL) if len(query) >= 12 else None

    async def _pass_on(
        self, sock: socket.socket, query: bytes, question: Question, back: list[Control], peer: Any
    ) -> None:
        self._say(sock, await self.forwarder.ask(query, question, tcp=False, asker=peer[0]), back, peer)

    async def ask(self, query: bytes) -> bytes | None:
        """What an asker over TCP would be told."""
        reply = self._answer(query, tcp=True)
        return await self.forwarder.ask(query, reply.question, tcp=True) if isinstance(reply, Forward) else reply

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = str((writer.get_extra_info("peername") or ("",))[0])
        if self._tcp_open.total() >= _MAX_TCP or self._tcp_open[peer] >= _MAX_TCP_OF_ONE:
            writer.close()
            return
        self._tcp_open[peer] += 1
        try:
            with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                await self._conversation(reader, writer, peer)
            await _closed(writer)
        finally:
            writer.transport.abort()
            self._tcp_open[peer] -= 1
            if not self._tcp_open[peer]:
                del self._tcp_open[peer]

    async def _conversation(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str) -> None:
        """Questions one after the other; what has to be asked elsewhere holds none of the others up (RFC 7766)."""
        slots = asyncio.Semaphore(_PIPELINE)
        elsewhere: set[asyncio.Task[None]] = set()
        try:
            while True:
                async with asyncio.timeout(_TCP_IDLE):
                    (size,) = struct.unpack("!H", await reader.readexactly(2))
                    query = await reader.readexactly(size)
                reply = self._answer(query, tcp=True)
                if reply is None:
                    return
                if not isinstance(reply, Forward):
                    await _write(writer, reply)
                    continue
                await slots.acquire()
                task = asyncio.create_task(self._fetch(writer, query, reply.question, peer))
                elsewhere.add(task)
                task.add_done_callback(elsewhere.discard)
                task.add_done_callback(lambda _: slots.release())
        except asyncio.IncompleteReadError:  # an asker may close its side and still wait
            await asyncio.gather(*elsewhere)
        finally:
            for task in elsewhere:
                task.cancel()

    async def _fetch(self, writer: asyncio.StreamWriter, query: bytes, question: Question, peer: str) -> None:
        with suppress(OSError, TimeoutError):
            await _write(writer, await self.forwarder.ask(query, question, tcp=True, asker=peer))


async def _write(writer: asyncio.StreamWriter, reply: bytes) -> None:
    """TimeoutError when the asker does not take it."""
    async with asyncio.timeout(_TCP_IDLE):
        writer.write(struct.pack("!H", len(reply)) + reply)
        await writer.drain()


async def _closed(writer: asyncio.StreamWriter) -> None:
    """Close; what an asker has not taken by then is thrown away, or it would hold the connection for ever."""
    try:
        async with asyncio.timeout(_TCP_IDLE):
            writer.close()
            await writer.wait_closed()
    except (OSError, TimeoutError):
        log.debug("connection ended with answers that were not taken")


def _source(controls: list[Control]) -> list[Control]:
    """Answer from the address that was asked: on a wildcard socket the kernel would choose by the route."""
    back = []
    for level, kind, data in controls:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            _, local, _ = struct.unpack("I4s4s", data[:12])
            back.append((level, kind, struct.pack("I4s4s", 0, local, bytes(4))))
        elif level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            back.append((level, kind, data))
    return back


def _send(sock: socket.socket, reply: bytes, back: list[Control], peer: Any) -> None:
    try:
        if back:
            sock.sendmsg([reply], back, 0, peer)
        else:
            sock.sendto(reply, peer)
    except OSError as error:  # full buffer, unreachable asker: the asker asks again
        log.debug("reply to %s: %s", peer, error)


def shuffler() -> random.Random:
    """Order of answers: no secret hangs on it, so a quick generator will do."""
    return random.Random()
