"""The master at work: one cluster, its streams, its store and its clock."""

from __future__ import annotations

import logging
import random
import uuid

import anyio
import anyio.to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from tortie.mesos.clock import SteadyClock
from tortie.mesos.master import agents, frameworks, offers, registry
from tortie.mesos.master.cluster import Cluster, Effect, HangUp, Keep, Say
from tortie.mesos.master.state import Identity
from tortie.store.port import Datastore, Drop, Put, Write
from tortie.wire import mesos as wire

log = logging.getLogger("master")
BACKLOG = 10_000


class Master:
    """Requests change the cluster; `run` keeps what must be kept, then says what must be said, in order."""

    def __init__(self, cluster: Cluster, me: Identity, store: Datastore, *, allocation_interval: float = 1.0) -> None:
        self.cluster = cluster
        self.me = me
        self.store = store
        self.clock = SteadyClock()
        self.allocation_interval = allocation_interval
        self._streams: dict[str, MemoryObjectSendStream[bytes]] = {}
        self._wake = anyio.Event()
        self._shuffle = random.Random()

    async def recover(self) -> None:
        """Reads the registry; call it before the first request is served."""
        listing = await anyio.to_thread.run_sync(self.store.list, registry.PREFIX)
        registry.recover(self.cluster, ((kv.key, kv.value) for kv in listing.items), self.clock())
        log.info("recovered agents=%d frameworks=%d", len(self.cluster.recovered), len(self.cluster.frameworks))

    def open_stream(self) -> tuple[str, MemoryObjectReceiveStream[bytes]]:
        """A new stream and the end that its reader reads."""
        name = str(uuid.uuid4())
        send, receive = anyio.create_memory_object_stream[bytes](BACKLOG)
        self._streams[name] = send
        return name, receive

    def stream_ended(self, name: str) -> None:
        """The peer has left, or was hung up on: whoever spoke on this stream is disconnected."""
        if send := self._streams.pop(name, None):
            send.close()
        self.cluster.watchers.discard(name)
        now = self.clock()
        frameworks.disconnected(self.cluster, name, now)
        agents.disconnected(self.cluster, name, now)
        self.poke()

    def poke(self, *, allocate: bool = False) -> None:
        """Something changed: deliver it soon. `allocate`: make offers at once, too."""
        if allocate:
            offers.make(self.cluster, self.clock(), self._shuffle)
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled. A store that fails for good ends the master: nothing may be said that is not kept."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._deliver)
            group.start_soon(self._allocations)
            group.start_soon(self._beats)
            group.start_soon(self._pings)

    async def _deliver(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            effects = self.cluster.take_outbox()
            writes = [_write(effect) for effect in effects if isinstance(effect, Keep)]
            if writes:
                await anyio.to_thread.run_sync(self.store.commit, writes)
            for effect in effects:
                self._carry_out(effect)

    def _carry_out(self, effect: Effect) -> None:
        if isinstance(effect, HangUp):
            if send := self._streams.pop(effect.stream, None):
                send.close()
        elif isinstance(effect, Say) and (send := self._streams.get(effect.stream)):
            try:
                send.send_nowait(wire.encode(effect.message))
            except anyio.WouldBlock:
                log.warning("stream %s does not read what it is told, hanging up", effect.stream)
                self.stream_ended(effect.stream)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                log.debug("stream %s has ended", effect.stream)

    async def _allocations(self) -> None:
        while True:
            await anyio.sleep(self.allocation_interval)
            now = self.clock()
            offers.expire(self.cluster, now)
            frameworks.expire(self.cluster, now)
            agents.expire(self.cluster, now)
            self.poke(allocate=True)

    async def _beats(self) -> None:
        while True:
            await anyio.sleep(self.cluster.settings.heartbeat)
            for framework in self.cluster.frameworks.values():
                self.cluster.say(framework, wire.Event(type="HEARTBEAT"))
            self.cluster.announce("HEARTBEAT")
            self.poke()

    async def _pings(self) -> None:
        while True:
            await anyio.sleep(self.cluster.settings.ping_timeout)
            agents.ping(self.cluster)
            self.poke()


def _write(keep: Keep) -> Write:
    return Drop(keep.key) if keep.value is None else Put(keep.key, wire.encode(keep.value))
