"""Waiting for a condition instead of for a time.

The deadlines are there to end a test that would wait for ever. They are far above what the slowest machine takes: how
fast a machine is says nothing about the code.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 90.0
"""Seconds."""

T = TypeVar("T")
Words = str | Callable[[], object]
"""What is waited for; a function is asked at the end of a wait in vain, to say what was there instead."""


def wait_until(condition: Callable[[], T], seconds: float = PATIENCE, message: Words = "the condition") -> T:
    """The first true answer of the condition; AssertionError says what did not come, and the last answer."""
    ends = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > ends:
            raise AssertionError(_in_vain(message, seconds, answer))
        time.sleep(0.02)
    return answer


async def until(condition: Callable[[], object], seconds: float = PATIENCE, message: Words = "the condition") -> None:
    """`wait_until` beside an event loop; the condition may be a coroutine."""
    ends = time.monotonic() + seconds
    while True:
        answer = condition()
        if inspect.isawaitable(answer):
            answer = await asyncio.wait_for(answer, seconds)
        if answer:
            return
        if time.monotonic() > ends:
            raise AssertionError(_in_vain(message, seconds, answer))
        await asyncio.sleep(0.02)


def _in_vain(message: Words, seconds: float, answer: object) -> str:
    words = message if isinstance(message, str) else message()
    return f"not within {seconds:g} s: {words}; the last answer was {answer!r}"
