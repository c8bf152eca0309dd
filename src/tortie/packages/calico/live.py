"""The rollout for everybody who watches it: read once, encoded once, sent as what is different."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec

from tortie.base.errors import NotFound
from tortie.packages.calico.board import difference
from tortie.packages.rollout import book
from tortie.packages.rollout.inventory import Plan
from tortie.packages.rollout.machine import Rollout
from tortie.store.port import Datastore

LOOK_SECONDS = 0.2
BEAT_SECONDS = 10.0
KEPT = 64
"""Differences for those who are slow; who is slower still gets everything anew."""

Board = dict[str, Any]


class Look:
    """The rollout and its plan as the store has them; each is decoded only when it is another one."""

    def __init__(self, store: Datastore) -> None:
        self._store = store
        self._written: book.Written | None = None
        self._plan: Plan | None = None

    def seen(self) -> tuple[Rollout | None, Plan | None]:
        try:
            self._written = book.current(self._store, self._written)
            last = self._written.rollout
            if self._plan is None or self._plan.digest != last.plan:
                self._plan = book.current_plan(self._store)
        except NotFound:
            return None, None
        return last, self._plan


class Live:
    """`read` is asked only while somebody watches."""

    def __init__(self, read: Callable[[], Awaitable[Board]]) -> None:
        self._read = read
        self._board: Board | None = None
        self._version = 0
        self._changes: deque[tuple[int, bytes]] = deque(maxlen=KEPT)
        self._whole: tuple[int, bytes] = (0, b"")
        self._watching = 0
        self._looking: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._turn = asyncio.Lock()

    async def stream(self) -> AsyncIterator[bytes]:
        """Everything first, then what becomes different; a beat with the server's time when nothing does."""
        self._watching += 1
        try:
            await self._look()
            if self._looking is None:
                self._looking = asyncio.create_task(self._keep_looking())
            mine = self._version
            yield self._everything()
            while True:
                if self._version == mine:
                    if not await self._heard():
                        yield _event("beat", {"time": time.time()})
                    continue
                missed = [change for version, change in self._changes if version > mine]
                whole = len(missed) != self._version - mine
                mine = self._version
                yield self._everything() if whole else b"".join(missed)
        finally:
            self._watching -= 1
            if not self._watching and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    async def _heard(self) -> bool:
        """Whether there is news; False when there has been none for a while. Raises what ended the looking."""
        news = self._news
        if self._looking is not None and self._looking.done():
            self._looking.result()
        try:
            async with asyncio.timeout(BEAT_SECONDS):
                await news.wait()
        except TimeoutError:
            return False
        return True

    async def _keep_looking(self) -> None:
        try:
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                await self._look()
        finally:
            self._tell()

    async def _look(self) -> None:
        async with self._turn:
            self._take(await self._read())

    def _take(self, board: Board) -> None:
        if board == self._board:
            return
        changed = difference(self._board, board) if self._board is not None else None
        self._board, self._version = board, self._version + 1
        if changed is None:
            self._changes.clear()
        else:
            self._changes.append((self._version, _event("change", {**changed, "time": time.time()})))
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _everything(self) -> bytes:
        if self._whole[0] != self._version:
            self._whole = self._version, _event("rollout", {**(self._board or {}), "time": time.time()})
        return self._whole[1]


def _event(kind: str, contents: Board) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + msgspec.json.encode(contents) + b"\n\n"
