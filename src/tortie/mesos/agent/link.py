"""The agent's line to its master: one subscription to read, posts to speak. It is rebuilt for ever."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

import aiohttp
import anyio

from tortie.base.errors import TortieError, Unavailable
from tortie.mesos.protocol import PATH, AgentCall, AgentSubscribe, MasterMessage
from tortie.wire import mesos as wire
from tortie.wire.recordio import Deframer

log = logging.getLogger("agent")
FIRST_WAIT = 0.5
LONGEST_WAIT = 5.0
ANSWER = 30.0


class MasterLink:
    """`greeting` makes the words to begin with, `heard` is given each message of the master."""

    def __init__(
        self, master: str, greeting: Callable[[], AgentSubscribe], heard: Callable[[MasterMessage], None]
    ) -> None:
        self.url = f"http://{master}{PATH}"
        self.master = master
        self.greeting = greeting
        self.heard = heard
        self.silence = 75.0
        self._stream: str | None = None
        self._session: aiohttp.ClientSession | None = None
        self._agent_id: wire.ID | None = None

    @property
    def connected(self) -> bool:
        return self._agent_id is not None

    async def run(self) -> None:
        wait = FIRST_WAIT
        told = False
        while True:
            began = anyio.current_time()
            try:
                await self._subscription()
                problem = "the master hung up"
            except (aiohttp.ClientError, OSError, TimeoutError, TortieError) as error:
                problem = str(error) or type(error).__name__
            finally:
                self._stream = self._agent_id = None
            if anyio.current_time() - began > LONGEST_WAIT:
                wait, told = FIRST_WAIT, False
            if not told:
                log.warning("master %s: %s; trying again", self.master, problem)
                told = True
            await anyio.sleep(wait * random.uniform(0.5, 1.0))
            wait = min(wait * 2, LONGEST_WAIT)

    async def _subscription(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
            call = AgentCall(type="SUBSCRIBE", subscribe=self.greeting())
            async with session.post(self.url, data=wire.encode(call)) as reply:
                if reply.status != 200:
                    raise Unavailable(f"HTTP {reply.status}: {(await reply.text())[:200]}")
                self._session, self._stream = session, reply.headers.get("Mesos-Stream-Id")
                await self._listen(reply)

    async def _listen(self, reply: aiohttp.ClientResponse) -> None:
        deframer = Deframer()
        while True:
            with anyio.fail_after(self.silence):
                data = await reply.content.readany()
            if not data:
                return
            for record in deframer.feed(data):
                message = wire.decode(record, MasterMessage, "MasterMessage")
                if message.registered is not None:
                    self._agent_id = message.registered.agent_id
                    self.silence = message.registered.ping_timeout
                if message.type == "PING":
                    await self.say(AgentCall(type="PONG"))
                self.heard(message)

    async def say(self, call: AgentCall) -> bool:
        """Whether the master took it. False while there is no line."""
        if self._session is None or self._stream is None or self._agent_id is None:
            return False
        call.agent_id = self._agent_id
        try:
            async with self._session.post(
                self.url,
                data=wire.encode(call),
                headers={"Mesos-Stream-Id": self._stream},
                timeout=aiohttp.ClientTimeout(total=ANSWER),
            ) as reply:
                if reply.status != 202:
                    log.warning(
                        "master %s refused %s: HTTP %d %s", self.master, call.type, reply.status, await reply.text()
                    )
                return reply.status == 202
        except (aiohttp.ClientError, OSError, TimeoutError, RuntimeError) as error:
            log.warning("master %s did not take %s: %s", self.master, call.type, error)
            return False
