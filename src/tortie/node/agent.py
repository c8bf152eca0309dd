"""The agent of one host: follows the store and the kernel, and keeps the kernel as the policy wants it.

Nothing is written to the kernel before the store was read whole and the interfaces are listed. While the store is away
the kernel stays as it is and is kept so. Ending the agent removes nothing.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from functools import partial

import anyio
import anyio.lowlevel
import anyio.to_thread

from tortie.base.errors import TortieError
from tortie.base.heap import growing
from tortie.dataplane.kernel.rtnl import AddressesChanged, EventsLost, LinkChanged, LinkState, RouteChanged
from tortie.dataplane.render.settings import Settings
from tortie.dataplane.routes import Backend
from tortie.dataplane.tunnels import KINDS, Link
from tortie.node.applier import Applier
from tortie.node.before import Before
from tortie.node.bird import Bird
from tortie.node.brain import Brain
from tortie.node.flows.reader import FlowReader
from tortie.node.foreign import ForeignTables
from tortie.node.gate import Gate
from tortie.node.health import CountErrors, Counts, Health, Signal
from tortie.node.intake import Intake
from tortie.node.routing import Routing
from tortie.node.tunnel_ends import settle_ends
from tortie.store.client import Client
from tortie.store.follow import follow
from tortie.store.port import Datastore

PREFIX = "/calico/"
# A storm of changes makes one pass in this time; a few after a pause never wait for it.
PASS_SECONDS, PASSES_AT_ONCE = 0.02, 5
RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 10.0
FOREIGN_SECONDS = 5.0
# As long may one thing hold up everything else that this process does.
SLICE_SECONDS = 0.01
STUCK_SECONDS = 90.0
# So many changes at once are mostly new things that stay.
MANY = 1000

log = logging.getLogger("tortie.node")


class Agent:
    """Implements `ports.EndpointGate` for the plug-ins of the same process."""

    def __init__(
        self,
        node: str,
        address: str,
        *,
        own_table: bool = True,
        address6: str | None = None,
        backend: Backend = "direct",
        bird: Bird | None = None,
        before: Before | None = None,
    ) -> None:
        self.brain = Brain(node, address, backend, address6)
        self.counts = Counts()
        self.health = Health()
        self.foreign = ForeignTables()
        before = before or Before()
        self._applier = Applier(self.brain, self.health, self.counts, before, own_table=own_table)
        self.bird = bird or Bird()
        self._routing = Routing(self.brain, self.health, self.bird)
        self._links: dict[int, LinkState] = {}
        self._intake = Intake()
        self.flows = FlowReader(self.brain, self._wake, before)
        self._dirty = True
        self._due = 0.0
        self._changed = Signal()
        self._done = Signal()
        gate = Gate(self.brain, self.health, self._applier, self._done)
        self.missing = gate.missing
        self.wait_programmed = gate.wait_programmed
        self.wait_removed = gate.wait_removed

    async def run(self, datastore: Datastore) -> None:
        """Until cancelled; the kernel's state stays."""
        errors = CountErrors(self.counts)
        log.addHandler(errors)
        self.flows.open()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._follow_store, datastore)
                tasks.start_soon(self._follow_kernel)
                tasks.start_soon(self._keep)
                tasks.start_soon(self._keep_ends, Client(datastore))
                tasks.start_soon(self._routing.keep, self._changed)
                tasks.start_soon(self._watch_foreign)
                tasks.start_soon(self.flows.run, self._done)
        finally:
            log.removeHandler(errors)
            self._applier.close()

    # what is learned

    async def _follow_store(self, datastore: Datastore) -> None:
        while True:
            try:
                async for whole, events in follow(datastore, PREFIX):
                    self.counts.store_events += len(events)
                    self.counts.resyncs += whole
                    if whole:
                        self._intake.replace(events)
                        log.info("store read keys=%d", len(events))
                    else:
                        self._intake.add(events)
                    self.counts.events_merged = self._intake.merged
                    self.health.store_reason = ""
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
        addresses = False
        for event in self._applier.rtnl.read():
            self.counts.kernel_events += 1
            match event:
                case LinkChanged():
                    self._learn_link(event.index, event.state)
                case RouteChanged():
                    self.brain.routes.learn(event.destination, event.route)
                case AddressesChanged():
                    addresses = True
                    self._note_tunnels(self._links.get(event.index))
                case EventsLost():
                    log.warning("kernel events were lost: listing again")
                    self._applier.routes_known = False
                    self._list_links()
        if addresses:
            self._learn_uplink()
            # An interface's last address takes the routes by it along, in silence.
            self._applier.routes_known = False
        self._wake()

    def _list_links(self) -> None:
        self._links = self._applier.rtnl.links()
        self._applier.tunnels.stale = True
        self._applier.configured.clear()
        self._learn_uplink()
        self.brain.set_up(link.name for link in self._links.values() if link.up)
        self.health.links_listed = True

    def _learn_uplink(self) -> None:
        addresses = self._applier.rtnl.addresses()
        self.brain.set_addresses(addresses)
        self.brain.ways.set_links(
            {link.name: Link(addresses.get(link.name, ()), link.mtu, link.up) for link in self._links.values()}
        )

    def _note_tunnels(self, *links: LinkState | None) -> None:
        """After an event about a tunnel: its MAC or something else that is not kept here may have changed."""
        if {link.name for link in links if link} & KINDS.keys():
            self._applier.tunnels.stale = True

    def _learn_link(self, index: int, state: LinkState | None) -> None:
        old = self._links.pop(index, None)
        if state is not None:
            self._links[index] = state
        self._note_tunnels(old, state)
        if old == state:
            return
        if any(self.brain.ways.measures(link.name) for link in (old, state) if link):
            self._learn_uplink()
        if old is not None and (state is None or not state.up or state.name != old.name):
            self._applier.configured.discard(old.name)
            self.brain.set_link(old.name, up=False)
            if state is not None and state.name != old.name:
                # Its routes went along to the new name.
                self._applier.routes_known = False
        if state is not None:
            self.brain.set_link(state.name, up=state.up)

    async def _keep_ends(self, client: Client) -> None:
        """This host's Node has the tunnel ends that the pools ask for."""
        ways = self.brain.ways
        while True:
            if not (self.health.store_in_sync and ways.ends_missing()):
                self.health.tunnel_reason = ""
                await self._changed.wait()
                continue
            try:
                settle = partial(settle_ends, client, self.brain.node, ways.tunnels(), now=time.time())
                await anyio.to_thread.run_sync(settle)
                self.health.tunnel_reason = ""
            except TortieError as error:
                self.health.tunnel_reason = str(error)
                log.warning("tunnel ends of this host: %s", error)
            # What was written comes back by the watch.
            with anyio.move_on_after(RETRY_SECONDS):
                while ways.ends_missing():
                    await self._changed.wait()

    def _wake(self) -> None:
        self._dirty = True
        self._changed.set()

    # what is done

    async def _keep(self) -> None:
        """Pass after pass while something is to do; after a failure again, later each time."""
        while True:
            if self._intake:
                await self._learn_store()
            if self._dirty and self.health.store_in_sync and self.health.links_listed:
                started = time.monotonic()
                self._dirty = False
                await self._applier.run()
                self._dirty = self._dirty or not self._applier.routes_known
                self._done.set()
                self._due = max(self._due, started - PASSES_AT_ONCE * PASS_SECONDS) + PASS_SECONDS
                await anyio.sleep(max(0.0, self._due - time.monotonic()))
            news = self._changed.next()
            with anyio.move_on_after(self._patience()):
                await self._wait_changed(news)

    async def _learn_store(self) -> None:
        """All that the store has said so far, in slices: nothing of it is seen apart, and the rest of the process goes
        on meanwhile."""
        whole, events = self._intake.take()
        if whole:
            events = [*self.brain.absent_from(event.key for event in events), *events]
        with growing() if len(events) > MANY else nullcontext():
            turn = time.monotonic()
            for _ in self.brain.learn_all(events):
                if time.monotonic() - turn > SLICE_SECONDS:
                    await anyio.lowlevel.checkpoint()
                    turn = time.monotonic()
        if whole:
            self.health.store_in_sync = True
        self.counts.largest_batch = max(self.counts.largest_batch, len(events))
        # Who was woken when the news came has looked too early.
        self._wake()

    def _patience(self) -> float:
        """How long to wait for news before the next pass."""
        if self._intake:
            return 0.0
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
        health = self.health
        return bool(health.route_failures or health.sysctl_problems or health.tunnel_problems)

    async def _wait_changed(self, news: anyio.Event) -> None:
        """Until something was learned (`news`: since before anybody looked), or somebody else changed the table, or its
        owner died."""
        async with anyio.create_task_group() as tasks:

            async def wait(what: Callable[[], Awaitable[None]]) -> None:
                await what()
                tasks.cancel_scope.cancel()

            tasks.start_soon(wait, news.wait)
            if self._applier.table.notices is not None:
                tasks.start_soon(wait, self._noticed)

    async def _watch_foreign(self) -> None:
        """What others' tables do to workloads: as soon as there is something to do, and now and then."""
        await self._done.wait()
        while True:
            settings = self.brain.table.settings
            uplink = self._applier.rtnl.device_of(self.brain.address) or ""
            settle = partial(self.foreign.settle, uplink, settings.interface_prefixes, accept=settings.foreign_accept)
            await anyio.to_thread.run_sync(settle)
            with anyio.move_on_after(FOREIGN_SECONDS):
                await self._settings_changed(settings)

    async def _settings_changed(self, before: Settings) -> None:
        while self.brain.table.settings == before:
            await self._done.wait()

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

    def applied(self, key: str) -> int:
        """The revision of an endpoint that is in force; 0: none."""
        return self._applier.applied.get(key, 0)

    async def pass_done(self) -> None:
        """Until the end of the pass that is going on, or of the next one."""
        await self._done.wait()

    @property
    def ready(self) -> bool:
        """Store read, first pass done, and the kernel as it is wanted."""
        return self.health.store_in_sync and self.health.passed and not self._applier.failed_in_row

    @property
    def pending(self) -> int:
        """Changes of the store that wait to be looked at."""
        return len(self._intake)

    @property
    def interfaces(self) -> int:
        """Workloads' interfaces with their settings."""
        return len(self._applier.configured)

    def stuck(self, now: float) -> float:
        """For how many seconds a pass has not come to its end, where that is longer than any takes."""
        began = self.counts.pass_began
        return now - began if began is not None and now - began > STUCK_SECONDS else 0.0

    def not_ready(self) -> list[str]:
        """What is missing for readiness."""
        reasons = [self.health.store_reason, self.health.table_reason]
        return [reason for reason in reasons if reason]
