"""Running a daemon's coroutine until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

from tortie.base.errors import TortieError


def run_until_stopped(main: Coroutine[Any, Any, None]) -> None:
    """Cancel `main` at SIGTERM or SIGINT and return; a TortieError of any of its tasks comes out plain."""

    async def watched() -> None:
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _cancel, task)
        await main

    try:
        asyncio.run(watched())
    except asyncio.CancelledError:
        return
    except BaseExceptionGroup as group:
        raise _first(group) from group


def _cancel(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure that a person should read: the first of ours, else the first of all."""
    flat: list[BaseException] = []
    pending: list[BaseException] = [group]
    while pending:
        error = pending.pop(0)
        if isinstance(error, BaseExceptionGroup):
            pending += error.exceptions
        else:
            flat.append(error)
    return next((error for error in flat if isinstance(error, TortieError)), flat[0])
