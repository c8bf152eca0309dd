"""The agent of one host: follows the store and the kernel, and keeps the kernel as the policy wants it.

Nothing is written to the kernel before the store was read whole and the interfaces are listed. While the store is away
the kernel stays as it is and is kept so. Ending the agent removes nothing.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Awaitable, Callable

import anyio
import anyio.to_thread

from tortie.base.errors import TortieError
from tortie.dataplane.kernel.rtnl import AddressesChanged, EventsLost, LinkChanged, LinkState, RouteChanged
from tortie.node.applier import Applier
from tortie.node.brain import Brain
from tortie.node.gate import Gate
from tortie.node.health import Counts, Health, Signal
from tortie.store.follow import follow
from tortie.store.port import Datastore

PREFIX = "/calico/"
# A storm of changes makes at most this many transactions a second; a single change never waits for it.
PASS_SECONDS = 0.02
RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 10.0

log = logging.getLogger("tortie.node")


class Agent:
    """Implements `ports.EndpointGate` for the plug-ins of the same process."""

    def __init__(self, node: str, address: str, *, own_table: bool = True) -> None:
        self.brain = Brain(node, address)
        self.counts = Counts()
        self.health = Health()
        self._applier = Applier(self.brain, self.health, self.counts, own_table=own_table)
        self._links: dict[int, LinkState] = {}
        self._dirty = True
        self._changed = Signal()
        self._done = Signal()
        gate = Gate(self.brain, self.health, self._applier, self._done)
        self.missing = gate.missing
        self.wait_programmed = gate.wait_programmed
        self.wait_removed = gate.wait_removed

    async def run(self, datastore: Datastore) -> None:
        """Until cancelled; the kernel's state stays."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._follow_store, datastore)
                tasks.start_soon(self._follow_kernel)
                tasks.start_soon(self._keep)
        finally:
            self._applier.close()

    # what is learned

    async def _follow_store(self, datastore: Datastore) -> None:
        while True:
            try:
                async for whole, events in follow(datastore, PREFIX):
                    self.counts.store_events += len(events)
                    if whole:
                        self.brain.replace(events)
                        self.health.store_in_sync, self.health.store_reason = True, ""
                        log.info("store read keys=%d", len(events))
                    else:
                        for event in events:
                            self.brain.learn(event)
                    self._wake()
            except TortieError as error:
                self.health.store_reason = str(error)
                log.warning("store is away, the kernel stays as it is: %s", error)
                await anyio.sleep(RETRY_SECONDS)

    async def _follow_kernel(self) -> None:
        self._list_links()
        self._wake()
        while True:
            await anyio.wait_readable(self._applier.rtnl.events)
            self._learn_kernel()

    def _learn_kernel(self) -> None:
        for event in self._applier.rtnl.read():
            match event:
                case LinkChanged():
                    self._learn_link(event.index, event.state)
                case RouteChanged():
                    self.brain.routes.learn(event.destination, event.route)
                case AddressesChanged():
                    self.brain.set_uplink(self._applier.rtnl.device_of(self.brain.address))
                case EventsLost():
                    log.warning("kernel events were lost: listing again")
                    self._applier.routes_known = False
                    self._list_links()
        self._wake()

    def _list_links(self) -> None:
        self._links = self._applier.rtnl.links()
        self._applier.configured.clear()
        self.brain.set_uplink(self._applier.rtnl.device_of(self.brain.address))
        self.brain.set_up(link.name for link in self._links.values() if link.up)
        self.health.links_listed = True

    def _learn_link(self, index: int, state: LinkState | None) -> None:
        old = self._links.pop(index, None)
        if state is not None:
            self._links[index] = state
        if old == state:
            return
        if old is not None and (state is None or not state.up or state.name != old.name):
            self._applier.configured.discard(old.name)
            self.brain.set_link(old.name, up=False)
            if state is not None and state.name != old.name:
                # Its routes went along to the new name.
                self._applier.routes_known = False
        if state is not None:
            self.brain.set_link(state.name, up=state.up)

    def _wake(self) -> None:
        self._dirty = True
        self._changed.set()

    # what is done

    async def _keep(self) -> None:
        """Pass after pass while something is to do; after a failure again, later each time."""
        while True:
            if self._dirty and self.health.store_in_sync and self.health.links_listed:
                started = time.monotonic()
                self._dirty = False
                await self._applier.run()
                self._dirty = self._dirty or not self._applier.routes_known
                self._done.set()
                await anyio.sleep(max(0.0, PASS_SECONDS - (time.monotonic() - started)))
            with anyio.move_on_after(self._patience()):
                await self._wait_changed()

    def _patience(self) -> float:
        """How long to wait for news before the next pass."""
        if self._applier.failed_in_row:
            self._dirty = True
            return min(MAX_RETRY_SECONDS, RETRY_SECONDS * self._applier.failed_in_row)
        ready = self.health.store_in_sync and self.health.links_listed
        if self._dirty and ready:
            return 0.0
        if self._troubled:
            self._dirty = True
            return MAX_RETRY_SECONDS
        return math.inf

    @property
    def _troubled(self) -> bool:
        """Something outside the table could not be done: it is tried again now and then."""
        return bool(self.health.route_failures or self.health.sysctl_problems)

    async def _wait_changed(self) -> None:
        """Until something was learned, or somebody else changed the table, or its owner died."""
        async with anyio.create_task_group() as tasks:

            async def wait(what: Callable[[], Awaitable[None]]) -> None:
                await what()
                tasks.cancel_scope.cancel()

            tasks.start_soon(wait, self._changed.wait)
            if self._applier.table.notices is not None:
                tasks.start_soon(wait, self._noticed)

    async def _noticed(self) -> None:
        notices = self._applier.table.notices
        if notices is None:
            return
        await anyio.wait_readable(notices)
        said = notices.recv(4096)
        self._applier.table_known = False
        self._dirty = True
        self.counts.repairs += 1
        if said:
            self.brain.table.forgive()
            log.warning("the table was changed by somebody else: reading it back")
        else:
            log.warning("the nftables child ended: starting it again")
            await anyio.to_thread.run_sync(self._applier.table.close)

    # what others may ask

    @property
    def child(self) -> int | None:
        """The process that owns the nftables socket."""
        return self._applier.table.pid

    async def pass_done(self) -> None:
        """Until the end of the pass that is going on, or of the next one."""
        await self._done.wait()

    @property
    def ready(self) -> bool:
        """Store read, first pass done, and the kernel as it is wanted."""
        return self.health.store_in_sync and self.health.passed and not self._applier.failed_in_row

    def not_ready(self) -> list[str]:
        """What is missing for readiness."""
        reasons = [self.health.store_reason, self.health.table_reason]
        return [reason for reason in reasons if reason]
