"""Checks the books of a datastore against the living, and mends what two looks agree on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tortie.base.errors import TortieError
from tortie.ipam import assign as choose
from tortie.ipam.books import Books, after, read_books
from tortie.ipam.check import GRACE_SECONDS, Finding, LiveSet, Living, Report, agreed, check
from tortie.ipam.ledger import Ledger
from tortie.ipam.mend import writes_of
from tortie.model.ipam import IPAM
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.node import NODE, NodeSpec
from tortie.model.resource import Resource
from tortie.store.client import Client, ResourceList
from tortie.store.port import CompareFailed, Datastore

PAUSE_SECONDS = 1.0
"""Between the two looks of a repair: another program's claim or allocation takes milliseconds."""

log = logging.getLogger("ipam.audit")


@dataclass(frozen=True, slots=True)
class Source:
    """One plug-in: for the addresses of which handles on which node it speaks (`LiveSet`), and how to ask it."""

    name: str
    prefix: str
    ask: Callable[[], Living]
    node: str = ""
    type: str = ""

    def answer(self) -> LiveSet:
        """Without handles, which means that all are alive, when it does not answer."""
        try:
            living = self.ask()
        except (TortieError, OSError) as error:
            log.warning("%s does not say what is alive, so all of it counts as alive: %s", self.name, error)
            return LiveSet(source=self.name, prefix=self.prefix, node=self.node, handles=None, type=self.type)
        return LiveSet(
            source=self.name,
            prefix=self.prefix,
            node=self.node,
            handles=living.handles,
            addresses=living.addresses,
            type=self.type,
        )


@dataclass(frozen=True, slots=True)
class Survey:
    """What one look went by, and what it found. `pools`: the disabled ones too."""

    books: Books
    live: Sequence[LiveSet]
    nodes: ResourceList[NodeSpec]
    pools: Sequence[Resource[IPPoolSpec]]
    report: Report


@dataclass(frozen=True, slots=True)
class Repaired:
    """`failed`: what changed while it was being mended, and what a person has to decide. `report`: of the last look."""

    mended: Sequence[Finding]
    failed: Sequence[Finding]
    report: Report


class Audit:
    """One cluster's books. Every call blocks."""

    def __init__(
        self, datastore: Datastore, sources: Sequence[Source] = (), *, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = datastore
        self._client = Client(datastore)
        self._ledger = Ledger(datastore, "")
        self._sources = sources
        self._clock = clock

    def books(self) -> Books:
        return read_books(self._store.list(IPAM).items)

    def look(self, *, grace: float = GRACE_SECONDS, earlier: Mapping[str, float] | None = None) -> Report:
        """One look; nothing is written."""
        return self.survey(grace=grace, earlier=earlier).report

    def repair(
        self,
        *,
        grace: float = GRACE_SECONDS,
        earlier: Mapping[str, float] | None = None,
        pause: float = PAUSE_SECONDS,
        node: str = "",
    ) -> Repaired:
        """Two looks, the living asked each time; what both found and can be mended is, one transaction each.

        With `node`, only what is about this node alone.
        """
        first = self.survey(grace=grace, earlier=earlier).report
        if not any(_is_for(node, finding) for finding in first.findings):
            return Repaired((), first.findings, first)
        time.sleep(pause)
        survey = self.survey(grace=grace, earlier=earlier)
        books, second = survey.books, survey.report
        mended, failed = [], [f for f in second.findings if f.mend is None]
        for finding in agreed(first, second):
            if finding.mend is None or not _is_for(node, finding):
                continue
            now, cooldown = self._clock(), self._cooldown()
            change = writes_of(books, finding.mend, now=now, cooldown=cooldown)
            try:
                revision = self._store.commit(change.writes, change.compares)
            except CompareFailed:
                failed.append(finding)
            else:
                books = after(books, change, revision)
                mended.append(finding)
        return Repaired(mended, failed, second)

    def survey(self, *, grace: float = GRACE_SECONDS, earlier: Mapping[str, float] | None = None) -> Survey:
        """The books first: an endpoint that came later is not in them, one that went meanwhile is asked about."""
        books = self.books()
        live = [source.answer() for source in self._sources]
        nodes = self._client.list(NODE)
        names = [node.name for node in nodes.items] + [NODE.parse_key(key)[1] for key in nodes.unreadable]
        pools = self._client.list(IP_POOL).items
        report = check(
            books,
            live=live,
            nodes={name.strip().lower() for name in names},
            pools=choose.selecting(pools, None),
            now=self._clock(),
            cooldown=self._cooldown(),
            grace=grace,
            earlier=earlier,
        )
        return Survey(books, live, nodes, pools, report)

    def _cooldown(self) -> float:
        return self._ledger.config()[0].ip_cooldown_seconds


def _is_for(node: str, finding: Finding) -> bool:
    return finding.mend is not None and node in ("", finding.node)
