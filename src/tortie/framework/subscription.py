"""The framework's side of the Mesos v1 scheduler API: one stream of events, calls in order on another connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import aiohttp

from tortie.base.errors import Invalid, TortieError, Unavailable
from tortie.wire import mesos
from tortie.wire.recordio import Deframer

PATH = "/api/v1/scheduler"
MISSED_BEATS = 5
ANSWER_SECONDS = 60.0
REMOVED = ("Framework has been removed", "Completed framework attempted to re-register")
log = logging.getLogger("framework.subscription")


class FrameworkRemoved(TortieError):
    """The master will never take this framework id again."""


@dataclass(slots=True)
class Stream:
    """One subscription: who we are to the master while it lasts."""

    url: str
    id: str
    framework: str


class Subscription:
    """Keeps a subscription to whichever of `masters` leads, and hands its events to `on_events`: in order, as many at
    once as have come.

    `answer_seconds`: so long a master may take to answer, and to say that we are subscribed; from then on it has to
    send its heartbeats. Calls made while there is no subscription are dropped: what they were for is found again after
    the next one.
    """

    def __init__(
        self,
        masters: Sequence[str],
        info: Callable[[], mesos.FrameworkInfo],
        on_events: Callable[[Sequence[mesos.Event]], Awaitable[None]],
        on_disconnect: Callable[[], Awaitable[None]],
        *,
        max_pause: float = 15.0,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self.masters = [master if "//" in master else f"http://{master}" for master in masters]
        self.info = info
        self.on_events = on_events
        self.on_disconnect = on_disconnect
        self.max_pause = max_pause
        self.answer_seconds = answer_seconds
        self.leader: str | None = None
        self.subscriptions = 0
        self._stream: Stream | None = None
        self._calls: asyncio.Queue[tuple[Stream, mesos.Call]] = asyncio.Queue()
        self._refused = False
        self._patience: asyncio.Timeout | None = None

    def send(self, calls: Sequence[mesos.Call]) -> None:
        """Queues calls for the present subscription, in this order."""
        if self._stream is None:
            return
        for call in calls:
            call.framework_id = mesos.ID(value=self._stream.framework)
            self._calls.put_nowait((self._stream, call))

    async def run(self) -> None:
        """Until cancelled. Raises FrameworkRemoved when the master refuses the framework id."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            sender = asyncio.ensure_future(self._send_calls(session))
            try:
                await self._keep_following(session)
            finally:
                sender.cancel()
                await asyncio.gather(sender, return_exceptions=True)

    async def _keep_following(self, session: aiohttp.ClientSession) -> None:
        pause, turn = 0.2, 0
        while True:
            subscriptions = self.subscriptions
            try:
                await self._follow(session, self.masters[turn % len(self.masters)])
            except (Unavailable, Invalid) as error:
                pause = 0.2 if self.subscriptions > subscriptions else pause
                log.warning("master: %s; next try in %.1f s", error, pause)
            turn += 1
            await asyncio.sleep(pause)
            pause = min(pause * 2, self.max_pause)

    async def _follow(self, session: aiohttp.ClientSession, master: str) -> None:
        """One subscription from beginning to end."""
        self._refused = False
        try:
            async with await self._subscribe(session, master) as reply:
                where = f"{reply.url.scheme}://{reply.url.authority}"
                await self._read(reply, where)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unavailable(f"{master}: {error or type(error).__name__}") from error
        finally:
            if self._stream is not None:
                self._stream = None
                await asyncio.shield(self.on_disconnect())

    async def _subscribe(self, session: aiohttp.ClientSession, master: str) -> aiohttp.ClientResponse:
        """The beginning of its answer. A process that is stopped takes connections and says nothing: Unavailable."""
        info = self.info()
        call = mesos.Call(type="SUBSCRIBE", framework_id=info.id, subscribe=mesos.Subscribe(framework_info=info))
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        try:
            async with asyncio.timeout(self.answer_seconds):
                reply = await session.post(master + PATH, data=mesos.encode(call), headers=headers)
                if reply.status == 200:
                    return reply
                async with reply:
                    raise Unavailable(f"{master} answered {reply.status} {(await reply.text())[:200]}")
        except TimeoutError as error:
            raise Unavailable(f"{master}: {str(error) or f'no answer for {self.answer_seconds:g} s'}") from error

    async def _read(self, reply: aiohttp.ClientResponse, where: str) -> None:
        deframer, patience = Deframer(), self.answer_seconds
        stream_id = reply.headers.get("Mesos-Stream-Id", "")
        while True:
            data = await self._next(reply, patience)
            if not data:
                raise Unavailable(f"{where} closed the stream")
            events = [event for record in deframer.feed(data) if (event := _event(record)) is not None]
            for event in events:
                if event.type == "SUBSCRIBED" and event.subscribed is not None:
                    self.leader = where
                    self.subscriptions += 1
                    self._stream = Stream(where + PATH, stream_id, event.subscribed.framework_id.value)
                    patience = (event.subscribed.heartbeat_interval_seconds or 15.0) * MISSED_BEATS
            await self.on_events(events)
            for error in (event.error for event in events if event.type == "ERROR" and event.error is not None):
                raise _refusal(error.message)

    async def _next(self, reply: aiohttp.ClientResponse, patience: float) -> bytes:
        """The next bytes; Unavailable when heartbeats stay away or a call was refused."""
        try:
            async with asyncio.timeout(0 if self._refused else patience) as self._patience:
                return await reply.content.readany()
        except TimeoutError as error:
            said = "a call was refused" if self._refused else f"no heartbeat for {patience:.0f} s"
            raise Unavailable(said) from error
        finally:
            self._patience = None

    def _begin_anew(self) -> None:
        """The subscription is of no use any more: whoever reads it stops."""
        self._refused = True
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(0)

    async def _send_calls(self, session: aiohttp.ClientSession) -> None:
        while True:
            stream, call = await self._calls.get()
            if stream is not self._stream:
                continue
            headers = {"Content-Type": "application/json", "Mesos-Stream-Id": stream.id}
            body = mesos.encode(call)
            try:
                limit = aiohttp.ClientTimeout(total=30, sock_connect=5)
                async with session.post(stream.url, data=body, headers=headers, timeout=limit) as reply:
                    if reply.status != 202:
                        log.warning("master refused %s: %d %s", call.type, reply.status, (await reply.text())[:300])
                    if reply.status in (307, 403, 404, 503) or (reply.status == 400 and call.type != "ACCEPT"):
                        self._begin_anew()
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                log.warning("%s did not reach the master: %s", call.type, error or type(error).__name__)
                self._begin_anew()


def _event(record: bytes) -> mesos.Event | None:
    try:
        return mesos.decode(record, mesos.Event, "Event")
    except Invalid as error:
        log.error("an event of the master cannot be read: %s: %.300r", error, record)
        return None


def _refusal(message: str) -> TortieError:
    if message in REMOVED:
        return FrameworkRemoved(message)
    return Unavailable(message)


def framework_info(
    *,
    name: str,
    user: str,
    role: str,
    hostname: str,
    webui_url: str,
    failover_timeout: float,
    framework_id: str | None,
    principal: str | None = None,
) -> mesos.FrameworkInfo:
    """Who we say we are. Partition awareness: a lost agent's tasks are unreachable, not lost."""
    return mesos.FrameworkInfo(
        user=user,
        name=name,
        id=mesos.ID(value=framework_id) if framework_id else None,
        failover_timeout=failover_timeout,
        checkpoint=True,
        role=role,
        hostname=hostname,
        principal=principal,
        webui_url=webui_url,
        capabilities=[mesos.Capability(type="PARTITION_AWARE"), mesos.Capability(type="TASK_KILLING_STATE")],
    )
