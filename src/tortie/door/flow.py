"""Bytes on their way from one connection to another: never more of them held than a little."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

HIGH = 256 * 1024


class Cut(Exception):
    """The bytes ended before their end."""


class Body:
    """What one side sends and the other reads. `throttle(True)` is called when too much waits, `throttle(False)` when
    that is over."""

    __slots__ = ("_ended", "_failure", "_held", "_parts", "_throttle", "_throttled", "_waiter")

    def __init__(self, throttle: Callable[[bool], None]) -> None:
        self._parts: list[bytes] = []
        self._held = 0
        self._ended = False
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._throttle = throttle
        self._throttled = False

    @property
    def ended(self) -> bool:
        """All has come; some of it may wait to be read."""
        return self._ended

    @property
    def waiting(self) -> bool:
        """Something has come that has not been read."""
        return bool(self._parts)

    def feed(self, data: bytes) -> None:
        self._parts.append(data)
        self._held += len(data)
        if self._held > HIGH and not self._throttled:
            self._throttled = True
            self._throttle(True)
        self._wake()

    def end(self) -> None:
        self._ended = True
        self._wake()

    def fail(self, error: Exception) -> None:
        """No more will come. What has come is still read first."""
        if not self._ended and self._failure is None:
            self._failure = error
            self._wake()

    async def read(self) -> bytes:
        """What has come since; empty at the end. Raises what `fail` was given."""
        while not self._parts:
            if self._ended:
                return b""
            if self._failure is not None:
                raise self._failure
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self.forget()
        return data

    def forget(self) -> None:
        """Drops what has come and not been read."""
        self._parts.clear()
        self._held = 0
        if self._throttled:
            self._throttled = False
            self._throttle(False)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Writing:
    """The sending half of a connection: `write` returns when the other side keeps up."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.paused = False
        self.lost = False
        self._waiter: asyncio.Future[None] | None = None

    async def write(self, data: bytes) -> None:
        """Raises Cut when the connection has ended."""
        if self.lost or self.transport is None or self.transport.is_closing():
            raise Cut("the connection has ended")
        self.transport.write(data)
        while self.paused:
            if self._waiter is None:
                self._waiter = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._waiter)
            if self.lost:
                raise Cut("the connection has ended")

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False
        self._wake()

    def lose(self) -> None:
        self.lost = True
        self.paused = False
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
