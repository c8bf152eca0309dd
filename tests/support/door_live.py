"""A whole door in this process, and servers behind it that say what a test lets them say."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from tests.support.ports import free_port
from tests.support.waiting import PATIENCE, until
from tortie.door.cluster import Places
from tortie.door.links import Link
from tortie.door.run import Options, run
from tortie.door.services import Server
from tortie.door.site import About
from tortie.web.serve import Tls

Talk = Callable[["Conversation"], Awaitable[None]]


def on_the_loop(main: Callable[[], Awaitable[None]]) -> None:
    """On the kind of event loop that the program has."""

    async def awaited() -> None:
        await main()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(awaited())


@dataclass
class Conversation:
    """One connection to a server of a test."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def head(self) -> tuple[str, dict[str, str]]:
        """The request line and the fields, names in lower case."""
        text = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE)).decode("latin-1")
        first, *lines = text.split("\r\n")[:-2]
        return first, {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines}

    async def chunk(self) -> bytes:
        """One of a chunked body; empty at its end."""
        line = await asyncio.wait_for(self.reader.readline(), PATIENCE)
        if not line:
            raise asyncio.IncompleteReadError(b"", None)
        size = int(line, 16)
        data = await asyncio.wait_for(self.reader.readexactly(size), PATIENCE)
        await self.reader.readexactly(2)
        return data

    async def body(self, fields: Mapping[str, str]) -> bytes:
        """The whole of one, as its head announces it."""
        if "transfer-encoding" not in fields:
            return await asyncio.wait_for(self.reader.readexactly(int(fields.get("content-length", "0"))), PATIENCE)
        parts = []
        while part := await self.chunk():
            parts.append(part)
        return b"".join(parts)

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def gone(self) -> None:
        """Returns when the other side has ended the connection."""
        with contextlib.suppress(ConnectionError):
            while await asyncio.wait_for(self.reader.read(65536), PATIENCE):
                pass


@dataclass
class Behind:
    """A server behind the door: `asked` are the heads of all requests."""

    port: int
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    connections: int = 0
    open: int = 0


@asynccontextmanager
async def behind(talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncIterator[Behind]:
    """Each connection is one conversation."""
    found = Behind(free_port())

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.connections += 1
        found.open += 1
        try:
            await talk(Conversation(reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the door has gone
        finally:
            found.open -= 1
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", found.port, ssl=tls)
    try:
        yield found
    finally:
        server.close()


@asynccontextmanager
async def answering(answers: Mapping[str, Any]) -> AsyncIterator[Behind]:
    """A server that gives documents by path; a value that is a tuple is (status, header lines, body)."""

    async def talk(conversation: Conversation) -> None:
        while True:
            first, fields = await conversation.head()
            method, target, _ = first.split(" ")
            found.asked.append((first, fields))
            await conversation.body(fields)
            answer = answers.get(target.partition("?")[0], (404, "", b"nothing here"))
            status, lines, body = answer if isinstance(answer, tuple) else (200, "", json.dumps(answer).encode())
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
            head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
            await conversation.say(head.encode() + (b"" if method == "HEAD" else body))

    async with behind(talk) as found:
        yield found


def at(port: int) -> Server:
    return Server("127.0.0.1", port)


@asynccontextmanager
async def door(
    state: Path,
    *,
    masters: tuple[int, ...] = (),
    marathons: tuple[int, ...] = (),
    users: Path | None = None,
    token: Path | None = None,
    tls: Path | None = None,
    answer_seconds: float = 3600.0,
    marathon_user: tuple[str, str] | None = None,
    links: tuple[Link, ...] = (),
    **places: int,
) -> AsyncIterator[int]:
    """The port of a door that runs until the block ends."""
    port = free_port()
    options = Options(
        listen=[("127.0.0.1", port)],
        places=Places(
            masters=[at(one) for one in masters],
            marathons=[at(one) for one in marathons],
            marathon_user=marathon_user,
            **{name: at(one) for name, one in places.items()},
        ),
        about=About(address="127.0.0.1", hostname="here", cluster_id="c-1", version="1.9.2", links=links),
        state=state,
        users=users,
        token=token,
        tls=Tls(tls) if tls else None,
        answer_seconds=answer_seconds,
    )
    program = asyncio.ensure_future(run(options))
    try:
        await until(lambda: _open(port, program))
        yield port
    finally:
        program.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await program


async def _open(port: int, program: asyncio.Future[None]) -> bool:
    if program.done():
        program.result()
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@dataclass
class Reply:
    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def connect(port: int) -> Conversation:
    return Conversation(*await asyncio.open_connection("127.0.0.1", port))


async def raw(port: int, data: bytes) -> bytes:
    """All that is said to these bytes, to the end of the connection."""
    conversation = await connect(port)
    await conversation.say(data)
    try:
        return await asyncio.wait_for(conversation.reader.read(), PATIENCE)
    finally:
        conversation.writer.close()


async def ask(port: int, target: str, *, method: str = "GET", lines: str = "", body: bytes = b"") -> Reply:
    """One request on a connection of its own."""
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    head = f"{method} {target} HTTP/1.1\r\nHost: door.test\r\nConnection: close\r\n{length}{lines}\r\n"
    return parsed(await raw(port, head.encode("latin-1") + body), method)


def parsed(data: bytes, method: str = "GET") -> Reply:
    head, mark, body = data.partition(b"\r\n\r\n")
    assert mark, f"no answer: {data[:200]!r}"
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines}
    if fields.get("transfer-encoding") == "chunked" and method != "HEAD":
        body = joined(body)
    return Reply(int(first.split(" ")[1]), fields, body)


def joined(data: bytes) -> bytes:
    """A whole chunked body, without its frames."""
    parts: list[bytes] = []
    at = 0
    while True:
        end = data.index(b"\r\n", at)
        if not (count := int(data[at:end], 16)):
            assert data[end:] == b"\r\n\r\n"
            return b"".join(parts)
        parts.append(data[end + 2 : end + 2 + count])
        at = end + count + 4
