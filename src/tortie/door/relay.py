"""One request on its way to a server behind the door, and its answer on the way back: both at once, unbuffered."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from tortie.door import headers
from tortie.door.flow import Body, Cut
from tortie.door.incoming import Incoming
from tortie.door.outgoing import Head, NoAnswer, Outgoing
from tortie.door.pool import Pool
from tortie.door.refusal import Refusal
from tortie.door.requests import Request
from tortie.door.services import Server

SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
"""Asked twice, these do what they do once."""

Write = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Way:
    """Where a request goes. `elsewhere` is asked for another server when `server` cannot be reached."""

    server: Server
    path: str
    prefix: str = ""
    elsewhere: Callable[[], Awaitable[Server | None]] | None = None


async def relay(
    request: Request, client: Incoming, way: Way, pool: Pool, *, seconds: float, guarded: bool = False
) -> None:
    """Answers the request with the server's answer. Refusal when there is none; Cut when it ends too early."""
    try:
        await _relay(request, client, way, pool, seconds, guarded)
    except NoAnswer as error:
        other = await way.elsewhere() if way.elsewhere and error.untouched and not client.answered else None
        if other is None or other == way.server:
            raise Refusal(error.status, str(error)) from error
        try:
            await _relay(request, client, replace(way, server=other), pool, seconds, guarded)
        except NoAnswer as again:
            raise Refusal(again.status, str(again)) from again


async def _relay(request: Request, client: Incoming, way: Way, pool: Pool, seconds: float, guarded: bool) -> None:
    server = way.server
    # A client of HTTP/1.0 may name no host.
    host = request.host or server.authority.encode()
    who = headers.Client(client.address, host, client.scheme, way.prefix, guarded)
    path = server.base + way.path
    head = headers.request_head(
        request.method, path, request.fields, who, framing=request.framing, upgrade=request.websocket
    )
    plain = request.framing == "none" and request.method in SAFE and not request.websocket
    connection = await pool.connection(server, fresh=not plain)
    try:
        try:
            await _exchange(request, client, way, connection, head, seconds)
        except NoAnswer as error:
            if not (plain and error.untouched and not client.answered):
                raise
            connection.transport.abort()
            connection = await pool.connection(server, fresh=True)
            await _exchange(request, client, way, connection, head, seconds)
    finally:
        pool.keep(server, connection)


async def _exchange(
    request: Request, client: Incoming, way: Way, connection: Outgoing, head: bytes, seconds: float
) -> None:
    """The request to the server and its answer back."""
    expected = request.version == "1.1" and b"100-continue" in headers.words(request.fields, b"expect")
    connection.begin(request.method, (lambda interim: _tell(client, interim)) if expected else None)
    upload: asyncio.Task[None] | None = None
    try:
        try:
            await connection.writing.write(head)
            if request.framing != "none":
                upload = asyncio.create_task(_upload(request, connection))
        except Cut as error:
            raise NoAnswer(f"{connection.name} ended the connection", untouched=connection.used > 1) from error
        answer = await connection.head(seconds)
        if answer.status == 101:
            await _tunnel(request, client, connection, answer)
        else:
            await _answer(request, client, way, connection, answer)
    finally:
        if upload is not None and not upload.done():
            upload.cancel()
            connection.transport.abort()


def _tell(client: Incoming, interim: Head) -> None:
    """An answer like 100 Continue, which is no answer yet."""
    if not client.answered and not client.transport.is_closing():
        client.transport.write(headers.response_head(interim.status, interim.reason, interim.fields))


async def _upload(request: Request, connection: Outgoing) -> None:
    """The body, as it comes. What goes wrong is told to whoever waits for the answer."""
    try:
        while data := await request.body.read():
            await connection.writing.write(_chunk(data) if request.framing == "chunked" else data)
        if request.framing == "chunked":
            await connection.writing.write(b"0\r\n\r\n")
    except Cut:
        # Either side has gone: a server that answers before the end of the body may say so by closing.
        return
    except Refusal as refusal:
        connection.give_up(refusal)


async def _answer(request: Request, client: Incoming, way: Way, connection: Outgoing, head: Head) -> None:
    framing = headers.response_framing(head.fields, head.status, request.method)
    chunked = framing in ("chunked", "close") and request.version == "1.1"
    if framing in ("chunked", "close") and not chunked:
        client.last = True
    if not request.body.ended:
        client.last = True
    fields = _fields(request, way, head)
    first = headers.response_head(head.status, head.reason, fields, chunked=chunked, close=client.last)
    client.answered = True
    if framing == "none":
        await client.send(first)
        return
    body = connection.body
    try:
        if not body.waiting and not body.ended:
            await client.send(first)
            first = b""
        while data := await body.read():
            first += _chunk(data) if chunked else data
            if not body.ended:
                await client.send(first)
                first = b""
    except NoAnswer as error:
        raise Cut(str(error)) from error
    if chunked:
        first += b"0\r\n\r\n"
    if first:
        await client.send(first)


def _fields(request: Request, way: Way, head: Head) -> headers.Fields:
    """The answer's header fields, its redirects seen from outside."""
    authorities = {way.server.authority.encode(), f"{way.server.host}:{way.server.port}".encode(), request.host}
    return [
        (name, headers.relocated(value, authorities=authorities, prefix=way.prefix))
        if name.lower() in (b"location", b"content-location") else (name, value)
        for name, value in head.fields
    ]  # fmt: skip


async def _tunnel(request: Request, client: Incoming, connection: Outgoing, head: Head) -> None:
    """After an upgrade: bytes both ways, until either side ends."""
    if not request.websocket:
        raise NoAnswer(f"{connection.name} changes to a protocol that nobody asked for")
    inward = client.take_over()
    client.answered = True
    await client.send(headers.response_head(101, head.reason, head.fields, upgrade=True))
    ways = [
        asyncio.create_task(_pump(inward, connection.writing.write)),
        asyncio.create_task(_pump(connection.body, client.send)),
    ]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in ways:
            task.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        connection.transport.close()


async def _pump(source: Body, write: Write) -> None:
    with contextlib.suppress(Cut, NoAnswer):  # the other direction ends with this one
        while data := await source.read():
            await write(data)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
