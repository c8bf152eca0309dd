"""GET /flows and /flows-filter-hints on the node's socket."""

from __future__ import annotations

import json
import math
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tortie.base.errors import Invalid
from tortie.node.flows import answer
from tortie.node.flows.reader import FlowReader

ALIVE_SECONDS = 15.0


def routes(reader: FlowReader, node: str) -> list[Route]:
    """`watch=true`: server-sent events, a flow each, as they come; with `startTimeGte` what is known first."""
    book = reader.records.book

    async def listed(request: Request) -> Response:
        try:
            asked = answer.question(request.query_params, time.time())
        except Invalid as error:
            return _wrong(error)
        found = []
        if not asked.watch or asked.since is not None:
            before = math.inf if asked.before is None else asked.before
            found = answer.flows(book.intervals(asked.since or 0, before), asked)
        if asked.watch:
            events = _events(reader, found[::-1], asked)
            return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        return JSONResponse({"node": node, "reason": reader.reason, **_wrapped(found)})

    async def hinted(request: Request) -> Response:
        try:
            return JSONResponse(_wrapped(answer.hints(book.intervals(), request.query_params.get("type", ""))))
        except Invalid as error:
            return _wrong(error)

    return [Route("/flows", listed), Route("/flows-filter-hints", hinted)]


def _wrong(error: Invalid) -> Response:
    return JSONResponse({"reasons": error.problems}, status_code=400)


def _wrapped(items: Sequence[Any]) -> dict[str, Any]:
    return {"total": {"totalResults": len(items), "totalPages": 1}, "items": items}


async def _events(reader: FlowReader, known: Sequence[dict[str, Any]], asked: answer.Question) -> AsyncIterator[bytes]:
    """An empty comment now and then tells a reader that has gone from one that has nothing to read."""
    with reader.listen() as news:
        yield b":\n\n"
        for flow in known:
            yield _event(flow)
        while True:
            interval = None
            with anyio.move_on_after(ALIVE_SECONDS):
                try:
                    interval = await news.receive()
                except anyio.EndOfStream:
                    # It did not keep up with what came.
                    return
            if interval is None:
                yield b":\n\n"
                continue
            for flow in reversed(answer.flows([interval], asked)):
                yield _event(flow)


def _event(flow: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(flow)}\n\n".encode()
