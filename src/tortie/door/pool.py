"""Connections to the servers behind the door, kept for a while for the next request."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections import deque

from tortie.door.flow import Cut
from tortie.door.outgoing import Head, NoAnswer, Outgoing
from tortie.door.services import Server

CONNECT_SECONDS = 5.0
IDLE_SECONDS, IDLE_MOST = 30.0, 64
"""How long an unused connection is kept, and how many to one server."""
Key = tuple[str, str, int]


class Pool:
    """Connections by server. `now` of kept ones is the loop's time."""

    def __init__(self) -> None:
        self._idle: dict[Key, deque[Outgoing]] = {}
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # As Admin Router: services in a cluster have certificates of their own making.
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE

    async def connection(self, server: Server, *, fresh: bool = False) -> Outgoing:
        """To this server, a kept one unless it must be `fresh`. Raises NoAnswer."""
        now = asyncio.get_running_loop().time()
        kept = self._idle.get(_key(server))
        while kept and not fresh:
            found = kept.pop()
            if not found.writing.lost and not found.transport.is_closing() and now - found.idle_since < IDLE_SECONDS:
                return found
            found.transport.abort()
        return await self._connect(server)

    async def _connect(self, server: Server) -> Outgoing:
        loop = asyncio.get_running_loop()
        name = f"{server.host}:{server.port}"
        tls = self._tls if server.scheme == "https" else None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, made = await loop.create_connection(
                    lambda: Outgoing(name), server.host, server.port, ssl=tls,
                    server_hostname=server.host if tls else None,
                )  # fmt: skip
        except TimeoutError:
            raise NoAnswer(f"{name} does not answer", status=504, untouched=True) from None
        except (OSError, UnicodeError) as error:
            raise NoAnswer(f"{name}: {_why(error)}", untouched=True) from error
        _find_the_dead(made.transport.get_extra_info("socket"))
        return made

    def keep(self, server: Server, connection: Outgoing) -> None:
        """For the next request; ended when it cannot serve one."""
        kept = self._idle.setdefault(_key(server), deque())
        if not connection.reusable or len(kept) >= IDLE_MOST:
            connection.transport.abort()
            return
        connection.idle_since = asyncio.get_running_loop().time()
        kept.append(connection)

    def sweep(self) -> None:
        """Ends those that nobody has used for long."""
        now = asyncio.get_running_loop().time()
        for key, kept in list(self._idle.items()):
            while kept and (kept[0].writing.lost or now - kept[0].idle_since >= IDLE_SECONDS):
                kept.popleft().transport.abort()
            if not kept:
                del self._idle[key]

    def close(self) -> None:
        for kept in self._idle.values():
            for connection in kept:
                connection.transport.abort()
        self._idle.clear()


def _why(error: Exception) -> str:
    """In the kernel's words, not in those of an event loop."""
    if isinstance(error, ConnectionError) and error.errno:
        return os.strerror(error.errno)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _key(server: Server) -> Key:
    return server.scheme, server.host, server.port


def _find_the_dead(sock: socket.socket) -> None:
    """A host that has gone is noticed by its silence towards the kernel: answers themselves may take for ever."""
    with contextlib.suppress(OSError):  # not a TCP socket
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 20)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 60_000)


async def fetch(
    pool: Pool,
    server: Server,
    path: str,
    *,
    method: str = "GET",
    seconds: float = 5.0,
    most: int = 64 << 20,
    lines: str = "",
) -> tuple[Head, bytes]:
    """A GET or HEAD of the door's own; `lines` are more header lines. Raises NoAnswer."""
    request = (
        f"{method} {server.base}{path} HTTP/1.1\r\nHost: {server.authority}\r\nUser-Agent: tortie-door\r\n"
        f"Accept: application/json\r\n{lines}\r\n"
    )
    try:
        async with asyncio.timeout(seconds):
            return await _fetched(pool, server, method, request, seconds, most)
    except TimeoutError:
        raise NoAnswer(f"{server.authority} did not answer in {seconds:g} s", status=504) from None


async def _fetched(
    pool: Pool, server: Server, method: str, request: str, seconds: float, most: int
) -> tuple[Head, bytes]:
    for fresh in (False, True):
        connection = await pool.connection(server, fresh=fresh)
        try:
            connection.begin(method)
            await connection.writing.write(request.encode("latin-1"))
            head = await connection.head(seconds)
            parts = bytearray()
            while chunk := await connection.body.read():
                parts += chunk
                if len(parts) > most:
                    raise NoAnswer(f"{server.authority} says more than {most} bytes")
            return head, bytes(parts)
        except (NoAnswer, Cut) as error:
            again = isinstance(error, Cut) or error.untouched
            if fresh or not again:
                raise error if isinstance(error, NoAnswer) else NoAnswer(str(error)) from error
        finally:
            pool.keep(server, connection)
    raise AssertionError("the second try returns or raises")
