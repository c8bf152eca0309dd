"""One pass: the kernel of this host becomes what the brain wants.

The order keeps a host closed that has just started and an address from reaching a stranger: the table is there before
anything is forwarded; a way that goes is gone before the rules change, a new way comes after them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import anyio.to_thread

from tortie.base.delta import Delta
from tortie.base.errors import TortieError, Unavailable
from tortie.dataplane import interfaces
from tortie.dataplane.kernel import sysctl
from tortie.dataplane.kernel.codec import canonical_key
from tortie.dataplane.kernel.conntrack import Conntrack
from tortie.dataplane.kernel.protocol import Opened
from tortie.dataplane.kernel.rtnl import Rtnl
from tortie.dataplane.kernel.table import KernelTable
from tortie.dataplane.ledger import Plan
from tortie.dataplane.render import base
from tortie.dataplane.steps import Refusal
from tortie.dataplane.want import Have, Route, host_of, host_route
from tortie.node.before import Before
from tortie.node.brain import Brain
from tortie.node.health import Counts, Health
from tortie.node.tunnels import Tunnels

# The kernel tells of everything that it refuses at once; what it refuses next depends on what was left out.
ROUNDS = 20

log = logging.getLogger("tortie.node")


class Applier:
    """`applied`: the revision of each endpoint that is in force; `configured`: the interfaces with their settings."""

    def __init__(self, brain: Brain, health: Health, counts: Counts, before: Before, *, own_table: bool) -> None:
        self.table = KernelTable()
        self.rtnl = Rtnl()
        self.tunnels = Tunnels(brain.ways, before)
        self.applied: dict[str, int] = {}
        self.configured: set[str] = set()
        self.routes_known = False
        self.table_known = False
        self.failed_in_row = 0
        self._brain = brain
        self._health = health
        self._counts = counts
        self._before = before
        self._own_table = own_table
        self._conntrack = Conntrack()
        self._unconfigured: set[str] = set()
        self._forgetting: set[str] = set()

    def close(self) -> None:
        """The kernel's state stays."""
        self.table.close()
        self.rtnl.close()
        self._conntrack.close()

    async def run(self) -> None:
        """One pass; what went wrong is in `health` and counted."""
        started = self._counts.pass_began = time.monotonic()
        news, self._brain.news = self._brain.news, {}
        try:
            await self._pass()
        except (TortieError, OSError) as error:
            # A machine without a free descriptor or process has them again later: the kernel keeps what it has.
            self._brain.news = news | self._brain.news
            self.failed_in_row += 1
            self.table_known = False
            self._counts.failures += 1
            self._health.table_reason = str(error)
            log.error("pass failed attempt=%d: %s", self.failed_in_row, error)
        else:
            self.failed_in_row = 0
            self._health.table_reason = ""
            self._health.passed = True
            self._enter(news)
        finally:
            self._counts.pass_began = None
            self._counts.passes += 1
            self._counts.last_pass_seconds = time.monotonic() - started
            self._counts.pass_times.add(self._counts.last_pass_seconds)

    def _enter(self, news: dict[str, int | None]) -> None:
        for key, revision in news.items():
            if revision is None:
                self.applied.pop(key, None)
            else:
                self.applied[key] = revision

    async def _pass(self) -> None:
        brain = self._brain
        if not self.table_known:
            await self._learn_table()
        if not self.routes_known:
            brain.routes.learn_all(self.rtnl.routes())
            self.routes_known = True
        self._unconfigured |= brain.settle_routes()
        self._note_moved()
        failures = self._drop_routes()
        try:
            await self._do_table()
            await self._forget_conversations()
        except TortieError:
            # The ways to other hosts do not depend on what failed; those to workloads do.
            if self._health.passed:
                await self._do_tunnels()
                self._put_routes(failures, remote_only=True)
            raise
        self._do_settings()
        # Far ends before the routes that go by them: a way to an unknown end asks everybody for it.
        await self._do_tunnels()
        self._put_routes(failures)

    # the table

    async def _learn_table(self) -> None:
        ledger = self._brain.table.ledger
        ledger.learn(await anyio.to_thread.run_sync(self._read_table), canonical_key)
        self.table_known = True

    def _read_table(self) -> Have:
        if not self.table.alive:
            closed = base.closed_table(self._brain.table.settings.interface_prefixes)
            opened: Opened = self.table.open(owner=self._own_table, closed=closed)
            self._counts.child_starts += 1
            self._health.owned, self._health.owner_reason = opened.owned, opened.reason
            log.info("table %s owned=%s %s", "made" if opened.made else "adopted", opened.owned, opened.reason)
        return self.table.read(self._brain.table.ledger.to_read(content=not self._health.owned))

    async def _do_table(self) -> None:
        """What the kernel refuses is closed, and the rest goes into force all the same."""
        ledger = self._brain.table.ledger
        if ledger.wrong_shapes():
            await self._rebuild("a set of ours is of another type")
        if ledger.must_read:
            await self._learn_table()
        plan = ledger.plan()
        if not plan:
            return None
        refusals = await anyio.to_thread.run_sync(self._carry_out, plan)
        if refusals:
            # Somebody may have changed what the plan was made for: only what is refused with the table as it is now
            # is to blame.
            self._counts.refusals += len(refusals)
            await self._learn_table()
            plan = ledger.plan()
            refusals = await anyio.to_thread.run_sync(self._carry_out, plan) if plan else ()
        for _ in range(ROUNDS):
            if not refusals:
                return self._settle(plan)
            if not self._close(refusals):
                break
            if ledger.must_read:
                await self._learn_table()
            plan = ledger.plan()
            refusals = await anyio.to_thread.run_sync(self._carry_out, plan) if plan else ()
        return await self._rebuild(refusals[0].reason)

    def _settle(self, plan: Plan) -> None:
        self._brain.table.ledger.settled(plan)
        self._counts.transactions += bool(plan)
        self._counts.element_changes += sum(len(d.put) + len(d.drop) for d in plan.elements.values())
        self._counts.rule_changes += len(plan.chains.put) + len(plan.chains.drop)

    def _close(self, refusals: Sequence[Refusal]) -> bool:
        """Those who use what the kernel refuses; False if none of it belongs to an endpoint."""
        table, found = self._brain.table, False
        for refusal in refusals:
            chains = {refusal.chain} if refusal.chain else table.ledger.users(refusal.set)
            if table.refuse(chains, refusal.reason):
                found = True
                log.error("the kernel refuses part of the table, its endpoints are closed: %s", refusal.reason)
        return found

    async def _rebuild(self, reason: str) -> None:
        """The last resort: whatever is there goes, in the transaction that brings what shall be there."""
        log.warning("loading the whole table again, in one transaction: %s", reason)
        self._counts.rebuilds += 1
        ledger = self._brain.table.ledger
        plan = ledger.rebuild()
        refusals = await anyio.to_thread.run_sync(self._carry_out, plan)
        if refusals:
            self._close(refusals)
            raise Unavailable(refusals[0].reason)
        self._settle(plan)

    def _carry_out(self, plan: Plan) -> Sequence[Refusal]:
        refusals = self.table.apply(plan.commit, plan.prepare)
        self._counts.refused += bool(refusals)
        return refusals

    # conversations

    def _note_moved(self) -> None:
        """The addresses whose old conversations must end. After a start it is the kernel's route that tells whether an
        address is still where it was."""
        brain = self._brain
        for address, before in brain.moved.items():
            owner, have = brain.table.claims.owner(address), brain.routes.have.get(host_route(address))
            stays = owner is not None and have is not None and have.device == owner.interface
            if before is not None or (not self._health.passed and not stays):
                self._forgetting.add(address)
        brain.moved = {}

    async def _forget_conversations(self) -> None:
        """After the rules are in force, or the next packet would begin an old conversation anew."""
        if not self._forgetting:
            return
        addresses = frozenset(self._forgetting)
        try:
            self._counts.conversations_ended += await anyio.to_thread.run_sync(self._conntrack.forget, addresses)
        except Unavailable as error:
            # A kernel that cannot list them (no ctnetlink) must not leave the host without network.
            log.error("old conversations of %s may go on: %s", ", ".join(sorted(addresses)), error)
            self._health.conversations_reason = str(error)
        else:
            self._health.conversations_reason = ""
        self._forgetting -= addresses

    # routes and settings

    async def _do_tunnels(self) -> None:
        failed = await anyio.to_thread.run_sync(self.tunnels.settle)
        for what, reason in failed.items() - self._health.tunnel_problems.items():
            log.warning("tunnel %s: %s", what, reason)
        self._health.tunnel_problems = failed

    def _drop_routes(self) -> dict[str, str]:
        """What goes, and the old way to an address that changes its interface."""
        routes = self._brain.routes
        pending = routes.pending()
        moved = {d for d in pending.put if host_of(d) in self._forgetting and d in routes.have}
        change: Delta[str, Route] = Delta({}, pending.drop | moved)
        failures = self.rtnl.apply(change, routes.have) if change else {}
        for destination in change.drop - failures.keys():
            routes.learn(destination, None)
        return failures

    def _put_routes(self, failures: dict[str, str], *, remote_only: bool = False) -> None:
        routes, owner = self._brain.routes, self._brain.table.claims.owner
        put = routes.pending().put
        if remote_only:
            put = {d: route for d, route in put.items() if owner(host_of(d)) is None}
        failures = failures | (self.rtnl.apply(Delta(put, frozenset()), routes.have) if put else {})
        for destination, route in put.items():
            if destination not in failures:
                routes.learn(destination, route)
        if failures != self._health.route_failures:
            # What stands in the way may be one of ours that we believed gone.
            self.routes_known = self.routes_known and not failures
            for destination, reason in failures.items():
                log.warning("route %s: %s", destination, reason)
        self._health.route_failures = failures

    def _forward_six(self) -> dict[str, str]:
        """While a workload has an IPv6 address. A host that forwards takes no router's word, unless it is told to."""
        kept: dict[str, str] = {}
        for uplink in self._brain.ways.uplinks:
            kept |= self._before.change(interfaces.advertisements(uplink), "1", "2")
        return kept | self._before.write(interfaces.HOST6)

    def _do_settings(self) -> None:
        brain = self._brain
        problems = self._before.write(interfaces.HOST)
        if brain.table.claims.sixes:
            problems |= self._forward_six()
        for interface in sorted(self._unconfigured):
            if brain.is_up(interface) and brain.table.claims.attached(interface):
                failed = sysctl.write(interfaces.workload(interface, spoofs=brain.table.spoofs(interface)))
                problems |= failed
                if failed:
                    continue
                self.configured.add(interface)
            self._unconfigured.discard(interface)
        self._health.sysctl_problems = problems
