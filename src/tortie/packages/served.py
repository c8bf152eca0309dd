"""Our own repository for other clusters: the packages of the product as an index, signed anew every day."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import anyio.to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tortie.packages import signing
from tortie.packages.media import REPOSITORY
from tortie.packages.repositories import utc_now
from tortie.packages.seal import sealed
from tortie.packages.sources import built_in

RENEWED_AFTER = timedelta(days=1)


class ServedRepository:
    """`key` is the private key. The serial is the time of signing: a second service signs with a later one."""

    def __init__(self, key: Path, clock: Callable[[], datetime] = utc_now) -> None:
        self._key = key
        self._clock = clock
        self._made: tuple[datetime, bytes, bytes] | None = None
        self._making = asyncio.Lock()

    async def current(self) -> tuple[bytes, bytes]:
        """The index and its signature."""
        async with self._making:
            now = self._clock()
            if self._made is None or now - self._made[0] > RENEWED_AFTER:
                index = sealed(built_in(), serial=int(now.timestamp()), now=now)
                self._made = now, index, await anyio.to_thread.run_sync(signing.sign, index, self._key)
            return self._made[1], self._made[2]

    def application(self) -> Starlette:
        routes = [Route("/repository", self.index), Route("/repository.sig", self.signature)]
        return Starlette(routes=routes, middleware=[Middleware(GZipMiddleware)])

    async def index(self, request: Request) -> Response:
        data, _ = await self.current()
        return _tagged(request, data, REPOSITORY.format(4))

    async def signature(self, request: Request) -> Response:
        _, signature = await self.current()
        return _tagged(request, signature, "text/plain; charset=utf-8")


def _tagged(request: Request, data: bytes, kind: str) -> Response:
    tag = f'"{hashlib.sha256(data).hexdigest()[:20]}"'
    headers = {"Content-Type": kind, "ETag": tag, "Cache-Control": "no-cache"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(data, headers=headers)
