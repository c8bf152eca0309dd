"""The agent of one host: follows the store and the kernel, and keeps the kernel as the policy wants it.

Nothing is written to the kernel before the store was read whole and the interfaces are listed. While the store is away
the kernel stays as it is and is kept so. Ending the agent removes nothing.
"""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Awaitable, Callable, Sequence

import anyio
import anyio.to_thread

from tortie.base.errors import TortieError, Unavailable
from tortie.dataplane import interfaces
from tortie.dataplane.kernel import sysctl
from tortie.dataplane.kernel.protocol import Change, Opened
from tortie.dataplane.kernel.rtnl import AddressesChanged, EventsLost, LinkChanged, LinkState, RouteChanged, Rtnl
from tortie.dataplane.kernel.table import KernelTable
from tortie.dataplane.ledger import ElementChange, Plan
from tortie.dataplane.render import base
from tortie.dataplane.want import Have
from tortie.node.brain import Brain
from tortie.node.health import Counts, Health, Signal
from tortie.store.follow import follow
from tortie.store.port import Datastore

PREFIX = "/calico/"
# A storm of changes makes at most this many transactions a second; a single change never waits for it.
PASS_SECONDS = 0.02
RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 10.0

CHAIN_NAME = re.compile(r"inet tortie (pr[io]_[0-9a-f]{16})")

log = logging.getLogger("tortie.node")


class Agent:
    """Implements `ports.EndpointGate` for the plug-ins of the same process."""

    def __init__(self, node: str, address: str, *, own_table: bool = True) -> None:
        self.brain = Brain(node, address)
        self.counts = Counts()
        self.health = Health()
        self._own_table = own_table
        self._kernel = KernelTable()
        self._rtnl = Rtnl()
        self._links: dict[int, LinkState] = {}
        self._configured: set[str] = set()
        self._routes_known = False
        self._table_known = False
        self._failed_in_row = 0
        self._applied: dict[str, int] = {}
        self._dirty = True
        self._changed = Signal()
        self._done = Signal()

    async def run(self, datastore: Datastore) -> None:
        """Until cancelled; the kernel's state stays."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._follow_store, datastore)
                tasks.start_soon(self._follow_kernel)
                tasks.start_soon(self._keep)
        finally:
            self._kernel.close()
            self._rtnl.close()

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
            await anyio.wait_readable(self._rtnl.events)
            self._learn_kernel()

    def _learn_kernel(self) -> None:
        for event in self._rtnl.read():
            match event:
                case LinkChanged():
                    self._learn_link(event.index, event.state)
                case RouteChanged():
                    self.brain.routes.learn(event.destination, event.route)
                case AddressesChanged():
                    self.brain.set_uplink(self._rtnl.device_of(self.brain.address))
                case EventsLost():
                    log.warning("kernel events were lost: listing again")
                    self._routes_known = False
                    self._list_links()
        self._wake()

    def _list_links(self) -> None:
        self._links = self._rtnl.links()
        self._configured.clear()
        self.brain.set_uplink(self._rtnl.device_of(self.brain.address))
        self.brain.set_up(frozenset(link.name for link in self._links.values() if link.up))
        self.health.links_listed = True

    def _learn_link(self, index: int, state: LinkState | None) -> None:
        old = self._links.pop(index, None)
        if state is not None:
            self._links[index] = state
        if old == state:
            return
        # A link that went down or away took its routes along, in silence.
        if old is not None and old.up:
            self._routes_known = False
            self._configured.discard(old.name)
        self.brain.set_up(frozenset(link.name for link in self._links.values() if link.up))

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
                await self._pass()
                await anyio.sleep(max(0.0, PASS_SECONDS - (time.monotonic() - started)))
            with anyio.move_on_after(self._patience()):
                await self._wait_changed()

    def _patience(self) -> float:
        """How long to wait for news before the next pass."""
        if self._failed_in_row:
            self._dirty = True
            return min(MAX_RETRY_SECONDS, RETRY_SECONDS * self._failed_in_row)
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
            if self._kernel.notices is not None:
                tasks.start_soon(wait, self._noticed)

    async def _noticed(self) -> None:
        notices = self._kernel.notices
        if notices is None:
            return
        await anyio.wait_readable(notices)
        said = notices.recv(4096)
        self._table_known = False
        self._dirty = True
        self.counts.repairs += 1
        if said:
            log.warning("the table was changed by somebody else: reading it back")
        else:
            log.warning("the nftables child ended: starting it again")
            await anyio.to_thread.run_sync(self._kernel.close)

    async def _pass(self) -> None:
        started = time.monotonic()
        revisions = dict(self.brain.revisions)
        try:
            self._do_routes()
            await self._do_table()
        except TortieError as error:
            self._failed_in_row += 1
            self._table_known = False
            self.counts.failures += 1
            self.health.table_reason = str(error)
            log.error("pass failed attempt=%d: %s", self._failed_in_row, error)
        else:
            self._failed_in_row = 0
            self.health.table_reason = ""
            self.health.passed = True
            self._applied = revisions
        self.counts.passes += 1
        self.counts.last_pass_seconds = time.monotonic() - started
        self._done.set()

    def _do_routes(self) -> None:
        brain = self.brain
        if not self._routes_known:
            brain.routes.learn_all(self._rtnl.routes())
            self._routes_known = True
        problems = sysctl.write(interfaces.HOST)
        wanted = {i for i in brain.table.addresses().values() if brain.is_up(i)}
        for interface in sorted(wanted - self._configured):
            failed = sysctl.write(interfaces.workload(interface))
            problems |= failed
            if not failed:
                self._configured.add(interface)
        self._configured &= wanted
        self.health.sysctl_problems = problems
        brain.settle_routes()
        change = brain.routes.pending()
        failures = self._rtnl.apply(change, brain.routes.have) if change else {}
        for destination, route in change.put.items():
            if destination not in failures:
                brain.routes.learn(destination, route)
        for destination in change.drop - failures.keys():
            brain.routes.learn(destination, None)
        if failures != self.health.route_failures:
            for destination, reason in failures.items():
                log.warning("route %s: %s", destination, reason)
        self.health.route_failures = failures

    async def _do_table(self) -> None:
        ledger = self.brain.table.ledger
        if not self._table_known:
            ledger.learn(await anyio.to_thread.run_sync(self._read_table))
            self._table_known = True
        if self._failed_in_row > 2 or ledger.wrong_shapes():
            await anyio.to_thread.run_sync(self._rebuild)
            ledger.learn(await anyio.to_thread.run_sync(self._kernel.read))
        plan = ledger.plan()
        if plan:
            try:
                await anyio.to_thread.run_sync(self._carry_out, plan)
            except Unavailable as error:
                # One profile that the kernel does not take must not hold up the others: it closes instead.
                named = set(CHAIN_NAME.findall(str(error))) & plan.chains.put.keys()
                self.brain.table.refuse(named, str(error).splitlines()[0])
                raise
        ledger.settled(plan)
        self.counts.element_changes += len(plan.first) + len(plan.then)
        self.counts.rule_changes += len(plan.chains.put) + len(plan.chains.drop)

    def _rebuild(self) -> None:
        self.counts.rebuilds += 1
        log.warning("loading the whole table again, in one transaction")
        self._kernel.text(self.brain.table.ledger.rebuild(self._kernel.read()))

    def _read_table(self) -> Have:
        if not self._kernel.alive:
            opened: Opened = self._kernel.open(owner=self._own_table, closed=base.closed_table())
            self.health.owned, self.health.owner_reason = opened.owned, opened.reason
            log.info("table %s owned=%s %s", "made" if opened.made else "adopted", opened.owned, opened.reason)
        return self._kernel.read()

    def _carry_out(self, plan: Plan) -> None:
        if plan.first:
            self._kernel.elements(_changes(plan.first))
        if plan.build:
            self._kernel.text(plan.build)
        if plan.then:
            self._kernel.elements(_changes(plan.then))
        if plan.clear:
            self._kernel.text(plan.clear)

    # what others may ask

    @property
    def ready(self) -> bool:
        """Store read, first pass done, and the kernel as it is wanted."""
        return self.health.store_in_sync and self.health.passed and not self._failed_in_row

    def not_ready(self) -> list[str]:
        """What is missing for readiness."""
        reasons = [self.health.store_reason, self.health.table_reason]
        return [reason for reason in reasons if reason]

    def missing(self, key: str, revision: int = 0) -> list[str]:
        """What keeps the endpoint from being in force; empty when it is."""
        table, ledger = self.brain.table, self.brain.table.ledger
        endpoint = table.endpoint(key)
        if endpoint is None or self._applied.get(key, 0) < revision:
            why = self.health.table_reason or self.health.store_reason or "the agent has not come to it yet"
            return [f"not programmed: {why}"]
        found = table.problems(key)
        interface = f'"{endpoint.interface}"'
        if not self.brain.is_up(endpoint.interface):
            found.append(f"interface {endpoint.interface} is not there or not up")
        elif endpoint.interface not in self._configured:
            found.append(f"settings of {endpoint.interface}: {self.health.sysctl_problems or 'not written yet'}")
        if not all(ledger.holds(name, interface) for name in (base.FROM, base.TO)):
            found.append("its policy is not in the kernel yet")
        for address in endpoint.addresses:
            if ":" in address:
                continue
            destination = f"{address}/32"
            have = self.brain.routes.have.get(destination)
            if have is None or have.device != endpoint.interface:
                reason = self.health.route_failures.get(destination, "not there yet")
                found.append(f"route to {destination}: {reason}")
            if not ledger.holds(base.SOURCES4, f"{interface} . {address}"):
                found.append(f"{address} is not yet its legal source")
        return found

    async def wait_programmed(self, key: str, revision: int, timeout: float) -> None:
        with anyio.move_on_after(timeout):
            while self.missing(key, revision):
                await self._done.wait()
            return
        raise Unavailable(f"endpoint {key}: {'; '.join(self.missing(key, revision))}")

    async def wait_removed(self, key: str, timeout: float) -> None:
        with anyio.move_on_after(timeout):
            while self.brain.table.endpoint(key) is not None or key in self._applied:
                await self._done.wait()
            return
        why = self.health.table_reason or "the agent has not come to it yet"
        raise Unavailable(f"endpoint {key} is still programmed: {why}")


def _changes(changes: Sequence[ElementChange]) -> list[Change]:
    return [Change(c.put, c.set, c.type, c.key, c.verdict) for c in changes]
