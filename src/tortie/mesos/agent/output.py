"""A container's output as an endless reply: ProcessIO records with heartbeats between them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import anyio
from starlette.types import Receive, Scope, Send

from tortie.base.errors import TortieError
from tortie.mesos.agent.streams import Output, closing
from tortie.mesos.http import until_left
from tortie.mesos.media import Media
from tortie.wire import mesos as wire
from tortie.wire.agent_records import JSON, RECORDIO
from tortie.wire.mesos import agent_api as v1
from tortie.wire.mesos.binary import encode_protobuf
from tortie.wire.recordio import frame

log = logging.getLogger("agent")
BEAT = 30.0
PIECE = 1024 * 1024
"""One record holds so much at most: clients have limits."""


class OutputStream:
    """Sends what `output` gives, and no faster than the client reads. `ended` is called once, with whether all of it
    was sent."""

    def __init__(
        self,
        output: AsyncIterator[tuple[Output, bytes]],
        media: Media,
        ended: Callable[[bool], Awaitable[None]],
    ) -> None:
        self.output = output
        self.ended = ended
        self.beat = BEAT
        self.inner = media.reply_message
        kind = media.reply
        headers = {"Content-Type": kind, "Cache-Control": "no-cache"}
        if kind == RECORDIO:
            headers["Message-Content-Type"] = self.inner
        self.headers = [(k.lower().encode(), v.encode()) for k, v in headers.items()]
        self._one = anyio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        whole = False
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(until_left, receive, group.cancel_scope)
                # The client begins to send input when it has seen these, so they go before any output.
                await send({"type": "http.response.start", "status": 200, "headers": self.headers})
                group.start_soon(self._beats, send)
                whole = await self._pump(send)
                if whole:
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
                group.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await self.ended(whole)

    async def _pump(self, send: Send) -> bool:
        """False when it broke off: then the reply must not look like a whole one."""
        try:
            async with closing(self.output) as output:
                async for stream, data in output:
                    for start in range(0, len(data), PIECE):
                        part = v1.Data(type=stream, data=bytes(data[start : start + PIECE]))
                        await self._say(send, v1.ProcessIO(type="DATA", data=part))
        except (TortieError, OSError) as error:
            log.warning("an output broke off: %s", error)
            return False
        return True

    async def _beats(self, send: Send) -> None:
        interval = wire.Nanoseconds(nanoseconds=int(self.beat * 1e9))
        control = v1.Control(type="HEARTBEAT", heartbeat=v1.Heartbeat(interval=interval))
        while True:
            await anyio.sleep(self.beat)
            await self._say(send, v1.ProcessIO(type="CONTROL", control=control))

    async def _say(self, send: Send, message: v1.ProcessIO) -> None:
        body = wire.encode(message) if self.inner == JSON else encode_protobuf("agent.ProcessIO", message)
        async with self._one:
            await send({"type": "http.response.body", "body": frame(body), "more_body": True})
