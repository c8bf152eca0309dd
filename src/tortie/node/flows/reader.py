"""Reads what the kernel tells of conversations, no more of it than this process can afford."""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial

import anyio
import anyio.lowlevel
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from tortie.base.errors import TortieError
from tortie.dataplane.conversations import Counted, Decided
from tortie.dataplane.hits import short
from tortie.dataplane.kernel.telling import Counts, Decisions, Endings
from tortie.dataplane.render.language import FLOW_GROUP
from tortie.node.before import Before
from tortie.node.brain import Brain
from tortie.node.flows.book import Interval
from tortie.node.flows.records import Policies, Records
from tortie.node.health import Signal
from tortie.policy.values import Direction

RETRY_SECONDS = 10.0
# What is beyond waits in the kernel and is dropped there, and counted. A message costs about 20 microseconds.
A_SECOND = 2000
SLICE_SECONDS = 0.1
FRESH_SECONDS = 1.0
# At 100 microseconds each.
COUNT_SECONDS, COUNTED_AT_A_TIME = 5.0, 400
BEHIND = 60
COUNTING = {"net/netfilter/nf_conntrack_acct": "1"}

log = logging.getLogger("tortie.node")


class FlowReader:
    """`records` has the flows, `reason` why there are none.

    The rules tell of conversations only while somebody reads: `changed` is called when the table has to follow.
    """

    def __init__(self, brain: Brain, changed: Callable[[], None], before: Before) -> None:
        policies = Policies(brain.engine.policy_ids, brain.engine.tier_of_policy, self._last_policy)
        self.records = Records(brain.directory, policies)
        self.reason = "not started yet"
        self._listeners: list[MemoryObjectSendStream[Interval]] = []
        self.told = 0
        self._brain = brain
        self._changed = changed
        self._before = before
        self._decisions: Decisions | None = None
        self._endings: Endings | None = None
        self._counts: Counts | None = None
        self._lost = self._overruns = 0

    def _last_policy(self, address: bytes, direction: Direction, tier: str) -> str:
        """Of a workload; of a host endpoint nothing is said."""
        owner = self._brain.table.claims.owner(str(ipaddress.ip_address(address)))
        endpoint = self._brain.table.endpoint(owner.key) if owner is not None else None
        tiers = endpoint.tiers(direction) if endpoint is not None else ()
        found = [
            policy.id for held in tiers if short(held.name) == tier for policy in held.policies if not policy.staged
        ]
        return found[-1] if found else ""

    @property
    def lost(self) -> int:
        """Messages of rules that came faster than they could be read."""
        return self._lost + (self._decisions.lost if self._decisions else 0)

    @property
    def overruns(self) -> int:
        """Times that conversations ended faster than could be read."""
        return self._overruns + (self._endings.overruns if self._endings else 0)

    def open(self) -> None:
        """Before the first rule is written, so that it is written once. What fails is in `reason`."""
        try:
            self._decisions = Decisions(FLOW_GROUP)
            self._endings = Endings()
            self._counts = Counts()
        except (TortieError, OSError) as error:
            self.close()
            if str(error) != self.reason:
                log.warning("no flow records: %s", error)
            self.reason = str(error)
        else:
            self.reason = ""
            for name, why in self._before.write(COUNTING).items():
                log.warning("bytes of conversations are not counted: %s: %s", name, why)
        self._tell(self._decisions is not None)

    def close(self) -> None:
        """The rules stay as they are: without a reader they tell nobody."""
        self._lost, self._overruns = self.lost, self.overruns
        for held in (self._decisions, self._endings, self._counts):
            if held is not None:
                held.close()
        self._decisions = self._endings = self._counts = None

    def _tell(self, readable: bool) -> None:
        if self._brain.set_flows_readable(readable):
            self._changed()

    async def run(self, settled: Signal) -> None:
        """Until cancelled. `settled`: the settings may be others."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._publish)
            try:
                while True:
                    await self._round(settled)
            finally:
                self.close()

    async def _round(self, settled: Signal) -> None:
        if not self._brain.flows_wanted:
            self.close()
            self.reason = "flowLogs is Disabled (FelixConfiguration; `flowLogs: Enabled` keeps flow records)"
            while not self._brain.flows_wanted:
                await settled.wait()
            self.reason = ""
        if self._decisions is None:
            self.open()
        if self._decisions is None or self._endings is None or self._counts is None:
            await anyio.sleep(RETRY_SECONDS)
            return
        async with anyio.create_task_group() as tasks:
            for work in (
                partial(self._read, self._decisions),
                partial(self._read, self._endings),
                partial(self._count, self._counts),
            ):
                tasks.start_soon(self._until_it_fails, work, tasks.cancel_scope)
            while self._brain.flows_wanted:
                await settled.wait()
            tasks.cancel_scope.cancel()
        if self.reason:
            self.close()
            await anyio.sleep(RETRY_SECONDS)

    async def _until_it_fails(self, work: Callable[[], Awaitable[None]], scope: anyio.CancelScope) -> None:
        """Flow records are not worth the agent: it goes on without them, and tries again."""
        try:
            await work()
        except (TortieError, OSError) as error:
            self.reason = str(error)
            log.warning("flow records: %s", error)
            scope.cancel()

    async def _read(self, source: Decisions | Endings) -> None:
        share = int(A_SECOND * SLICE_SECONDS)
        while True:
            await anyio.wait_readable(source.sock)
            until = time.monotonic() + SLICE_SECONDS
            read = 0
            while read < share and (found := source.read()):
                self._learn(found)
                read += len(found)
            if read >= share:
                await anyio.sleep(max(0.0, until - time.monotonic()))

    async def _count(self, counts: Counts) -> None:
        """How far those that go on have come, some of them at a time."""
        while True:
            await anyio.sleep(COUNT_SECONDS)
            for five in self.records.going_on(COUNTED_AT_A_TIME):
                found = counts.of(five)
                if found is not None:
                    self.records.learn(found, time.time())
                await anyio.lowlevel.checkpoint()

    def _learn(self, found: list[Decided] | list[Counted]) -> None:
        now = time.time()
        self.told += len(found)
        for told in found:
            self.records.learn(told, now)

    async def _publish(self) -> None:
        while True:
            await anyio.sleep(FRESH_SECONDS)
            latest = self.records.book.take_fresh()
            if latest is not None:
                self._send(latest)

    def _send(self, latest: Interval) -> None:
        for listener in list(self._listeners):
            try:
                listener.send_nowait(latest)
            except (anyio.WouldBlock, anyio.BrokenResourceError):
                listener.close()
                self._listeners.remove(listener)

    @contextmanager
    def listen(self) -> Iterator[MemoryObjectReceiveStream[Interval]]:
        """What comes from now on, second by second; it ends when nobody reads it for a minute."""
        sending, receiving = anyio.create_memory_object_stream[Interval](BEHIND)
        self._listeners.append(sending)
        try:
            yield receiving
        finally:
            if sending in self._listeners:
                self._listeners.remove(sending)
            sending.close()
            receiving.close()
