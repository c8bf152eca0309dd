"""The desk where hands fetch their requests and bring their answers: each by a token that nobody else knows."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Invalid


class Said(msgspec.Struct):
    """What is brought of the hand that ran."""

    code: int
    out: str
    err: str


@dataclass(slots=True)
class Asked:
    """One request. `url`: where it is fetched, and where the answer goes."""

    url: str
    given: bytes
    said: Said | None = None


class Desk:
    """`address`: of this process's pages, as hosts reach it. `news` is told whenever something is heard."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.news = asyncio.Condition()
        self._asked: dict[str, Asked] = {}

    @contextmanager
    def asking(self, given: bytes) -> Iterator[Asked]:
        """Somebody waits for the answer as long as the block goes on."""
        token = secrets.token_hex(16)
        self._asked[token] = asked = Asked(f"{self.address}/v1/hands/{token}", given)
        try:
            yield asked
        finally:
            del self._asked[token]

    def given(self, token: str) -> bytes | None:
        """The request that a hand fetches; None when nobody waits for its answer any more."""
        asked = self._asked.get(token)
        return asked.given if asked else None

    async def answered(self, token: str, body: bytes) -> bool:
        """Whether somebody waits for this answer. Invalid when it is none."""
        asked = self._asked.get(token)
        if asked is None:
            return False
        try:
            asked.said = msgspec.json.decode(body, type=ready(Said))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Invalid(f"not an answer of a hand: {error}") from error
        await self.tell()
        return True

    async def tell(self) -> None:
        async with self.news:
            self.news.notify_all()

    async def hear(self, seconds: float) -> bool:
        """Returns when something has been heard, or false after so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), self.news:
                await self.news.wait()
                return True
        return False
