"""Events to subscribers by HTTP: each POSTed to every URL, in order; who does not answer is left alone for a while."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec

from tortie.base.errors import Invalid

PATIENCE = aiohttp.ClientTimeout(total=10)
OUTSTANDING = 1024
OUTSTANDING_BYTES = 16 * 1024 * 1024
MOST = 100
LONGEST_SKIP = 3600.0
log = logging.getLogger("marathon.callbacks")


def check_url(url: str) -> str:
    """The URL of a subscriber. Raises Invalid."""
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError as error:
        raise Invalid(f"{url}: {error}") from error
    if not parts.scheme:
        raise Invalid(f"no protocol: {url}")
    if parts.scheme not in ("http", "https"):
        raise Invalid(f"unknown protocol: {parts.scheme}")
    if not usable or any(c.isspace() for c in url):
        raise Invalid(f"no host in: {url}")
    return url


@dataclass(slots=True)
class Subscriber:
    """`failures` in a row; nothing is sent before `skip_until`. `waiting`: bytes in the queue."""

    queue: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    waiting: int = 0
    failures: int = 0
    skip_until: float = 0.0
    loop: asyncio.Future[None] | None = None

    def put(self, body: bytes) -> None:
        """The oldest make room where too much waits."""
        while self.queue.qsize() and (
            self.queue.qsize() >= OUTSTANDING or self.waiting + len(body) > OUTSTANDING_BYTES
        ):
            self.waiting -= len(self.queue.get_nowait())
        self.waiting += len(body)
        self.queue.put_nowait(body)

    async def next(self) -> bytes:
        body = await self.queue.get()
        self.waiting -= len(body)
        return body

    def answered(self, ok: bool, now: float) -> None:
        """After n failures in a row, 2^n seconds of silence."""
        self.failures = 0 if ok else self.failures + 1
        self.skip_until = 0.0 if ok else now + min(2.0 ** min(self.failures, 60), LONGEST_SKIP)


class Callbacks:
    """A listener of the broadcast; `urls` says who wants to hear. What comes while one is skipped is lost to it.

    `expand` gives an event the form in which it is sent.
    """

    def __init__(
        self,
        urls: Callable[[], Iterable[str]],
        expand: Callable[[dict[str, Any]], dict[str, Any]],
        clock: Callable[[], float],
    ) -> None:
        self.urls = urls
        self.expand = expand
        self.clock = clock
        self._subscribers: dict[str, Subscriber] = {}
        self._session: aiohttp.ClientSession | None = None

    def heard(self, event: dict[str, Any]) -> None:
        """Queues an event for everybody."""
        if self._session is None:
            return
        wanted = list(self.urls())
        for gone in self._subscribers.keys() - set(wanted):
            self._end(self._subscribers.pop(gone))
        body = msgspec.json.encode(self.expand(event)) if wanted else b""
        for url in wanted:
            self._known(url, self._session).put(body)

    def _known(self, url: str, session: aiohttp.ClientSession) -> Subscriber:
        subscriber = self._subscribers.get(url)
        if subscriber is None:
            subscriber = self._subscribers[url] = Subscriber()
            subscriber.loop = asyncio.ensure_future(self._deliver(session, url, subscriber))
        return subscriber

    async def run(self) -> None:
        """Until cancelled; before and after it nothing is sent."""
        async with aiohttp.ClientSession(timeout=PATIENCE) as session:
            self._session = session
            try:
                await asyncio.Event().wait()
            finally:
                self._session = None
                loops = [self._end(subscriber) for subscriber in self._subscribers.values()]
                self._subscribers.clear()
                await asyncio.gather(*(loop for loop in loops if loop is not None), return_exceptions=True)

    @staticmethod
    def _end(subscriber: Subscriber) -> asyncio.Future[None] | None:
        if subscriber.loop is not None:
            subscriber.loop.cancel()
        return subscriber.loop

    async def _deliver(self, session: aiohttp.ClientSession, url: str, subscriber: Subscriber) -> None:
        headers = {"Content-Type": "application/json"}
        while True:
            body = await subscriber.next()
            if self.clock() < subscriber.skip_until:
                continue
            try:
                async with session.post(url, data=body, headers=headers, allow_redirects=False) as reply:
                    ok, said = 200 <= reply.status < 300, f"answered {reply.status}"
            except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
                ok, said = False, str(error) or type(error).__name__
            subscriber.answered(ok, self.clock())
            if not ok:
                log.warning("subscriber %s: %s; skipped for a while, %d times in a row", url, said, subscriber.failures)
