"""Listeners and servers of every front."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route
from tests.support.waiting import PATIENCE

from tortie.web.serve import serve, tcp_listener


def test_replies_on_a_kept_connection_do_not_wait_for_the_clients_acknowledgement() -> None:
    async def story() -> None:
        listener = tcp_listener("127.0.0.1", 0)
        accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def met(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            plain = writer.get_extra_info("socket")
            accepted.set_result(plain.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(met, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            assert await accepted != 0
            writer.close()

    asyncio.run(story())


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """An application that only starts and ends."""
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


def test_a_server_of_a_task_group_ends_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        listener = tcp_listener("127.0.0.1", 0)
        async with anyio.create_task_group() as group:
            group.start_soon(serve, nothing, [listener])
            _, writer = await asyncio.open_connection(*listener.getsockname())
            await anyio.wait_all_tasks_blocked()
            writer.close()
            group.cancel_scope.cancel()

    with caplog.at_level(logging.ERROR):
        anyio.run(story)
    assert caplog.text == ""


async def endless(_request: Request) -> StreamingResponse:
    async def events() -> AsyncIterator[bytes]:
        while True:
            yield b"data: 1\n\n"
            await asyncio.sleep(0.1)

    return StreamingResponse(events(), media_type="text/event-stream")


async def quiet(_request: Request) -> StreamingResponse:
    async def events() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"
        await asyncio.get_running_loop().create_future()

    return StreamingResponse(events(), media_type="text/event-stream")


@pytest.mark.parametrize("stream", [endless, quiet])
def test_a_stream_that_is_cut_at_the_end_is_no_failure(stream: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        listener = tcp_listener("127.0.0.1", 0)
        serving = asyncio.ensure_future(serve(Starlette(routes=[Route("/", stream)]), [listener]))
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b"data: 1"), PATIENCE)
        serving.cancel()
        rest = await asyncio.wait_for(reader.read(), PATIENCE)
        assert not rest.endswith(b"0\r\n\r\n"), "a cut is seen as one"
        await asyncio.wait({serving}, timeout=PATIENCE)
        assert serving.cancelled()
        writer.close()

    with caplog.at_level(logging.WARNING):
        asyncio.run(story())
    assert caplog.text == ""


@pytest.mark.parametrize("steps", [0, 1, 3, 8])
def test_a_server_that_is_ended_while_it_starts_takes_no_more_connections(steps: int) -> None:
    async def story() -> None:
        listener = tcp_listener("127.0.0.1", 0)
        address = listener.getsockname()
        serving = asyncio.ensure_future(serve(nothing, [listener]))
        for _ in range(steps):
            await asyncio.sleep(0)
        serving.cancel()
        await asyncio.wait({serving})
        if steps == 0:  # it never began: the listener is still the caller's
            listener.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address)

    asyncio.run(story())
