"""/v2/eventSubscriptions: who gets events by HTTP."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from tortie.base.errors import Invalid
from tortie.marathon.api.replies import answer, message
from tortie.marathon.callbacks import MOST, check_url
from tortie.marathon.engine import Engine
from tortie.marathon.events import event

OFF = (
    "http event callback system is not running on this Marathon instance. "
    'Please re-start this instance with "--event_subscriber http_callback".'
)


class Subscriptions:
    """`fixed` are the URLs of the command line; None: there are no callbacks at all."""

    def __init__(self, engine: Engine, fixed: Sequence[str] | None) -> None:
        self.engine = engine
        self.fixed = fixed

    def urls(self) -> list[str]:
        """Everybody who is to be told."""
        stored = self.engine.brain.world.subscribers
        return list(dict.fromkeys((*(self.fixed or ()), *stored))) if self.fixed is not None else []

    async def list(self, _request: Request) -> Response:
        return message(OFF, 400) if self.fixed is None else answer({"callbackUrls": self.urls()})

    async def subscribe(self, request: Request) -> Response:
        return await self._change(request, "subscribe_event")

    async def unsubscribe(self, request: Request) -> Response:
        return await self._change(request, "unsubscribe_event")

    async def _change(self, request: Request, kind: str) -> Response:
        if self.fixed is None:
            return message(OFF, 400)
        url = check_url(request.query_params.get("callbackUrl", ""))
        client = request.client.host if request.client else ""

        def decide(now: float) -> dict[str, object]:
            world = self.engine.brain.world
            others = [known for known in world.subscribers if known != url]
            if kind == "subscribe_event" and len(others) >= MOST:
                raise Invalid(f"there are {MOST} subscribers already")
            world.put_subscribers([*others, url] if kind == "subscribe_event" else others)
            told = event(kind, now, clientIp=client, callbackUrl=url)
            world.out.events.append(told)
            return told

        return answer(await self.engine.do(decide))
