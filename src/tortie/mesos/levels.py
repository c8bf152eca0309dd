"""How much master and agent log: the original's levels 0 (what happens) to 3 (every step), raised for a while."""

from __future__ import annotations

import asyncio
import logging

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from tortie.base.errors import Invalid
from tortie.mesos.flags import seconds

HIGHEST = 3


class LogLevel:
    """Ours are two: 0, and everything above it. It is 0 again when the time is over."""

    def __init__(self) -> None:
        self.level = 0
        self._usual = logging.getLogger().level
        self._over: asyncio.TimerHandle | None = None

    def set(self, level: int, duration: float) -> None:
        """On the event loop. Raises Invalid."""
        if not 0 <= level <= HIGHEST:
            raise Invalid(f"Invalid level '{level}'.\n")
        if not duration > 0:
            raise Invalid("Invalid duration.\n")
        if self._over is not None:
            self._over.cancel()
        if self.level == 0:
            self._usual = logging.getLogger().level
        self.level = level
        logging.getLogger().setLevel(logging.DEBUG if level else self._usual)
        self._over = asyncio.get_running_loop().call_later(duration, self._return)

    def _return(self) -> None:
        self.level = 0
        logging.getLogger().setLevel(self._usual)

    async def toggle(self, request: Request) -> ASGIApp:
        """/logging/toggle; the level alone when nothing is asked for."""
        level, duration = request.query_params.get("level"), request.query_params.get("duration")
        if level is None and duration is None:
            return Response(f"{self.level}\n", media_type="text/plain")
        if level is None or not level.isdigit():
            raise Invalid("Expecting 'level=value' in query.\n")
        if duration is None:
            raise Invalid("Expecting 'duration=value' in query.\n")
        self.set(int(level[:9]), seconds(duration))
        return Response(status_code=200)
