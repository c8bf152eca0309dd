"""One host's clean-up of its own addresses and blocks, one round at a time (calico-model.md 6.4)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tortie.base.errors import Conflict
from tortie.ipam.audit import PAUSE_SECONDS, Audit, Source
from tortie.ipam.check import GRACE_SECONDS, Finding, spare_blocks
from tortie.ipam.ledger import Ledger
from tortie.ipam.release import releaser
from tortie.model.ipam import Network
from tortie.store.port import Datastore


@dataclass(frozen=True, slots=True)
class Collected:
    """What one round did."""

    mended: Sequence[Finding]
    given_up: Sequence[Network]


class Collector:
    """Frees what leaked on its own host and mends its claims; of another host it touches nothing.

    What nobody claims to be alive is freed once it was so in every round for the time of grace, which begins with the
    first round of this process. An empty block is given up when two rounds found it empty, never the last one.
    """

    def __init__(
        self, datastore: Datastore, node: str, sources: Sequence[Source], *, clock: Callable[[], float] = time.time
    ) -> None:
        self._node = node
        self._audit = Audit(datastore, sources, clock=clock)
        self._ledger = Ledger(datastore, node)
        self._releaser = releaser(datastore, node)
        self._clock = clock
        self._suspects: Mapping[str, float] = {}
        self._spare: set[Network] = set()

    def collect_once(self, *, grace: float = GRACE_SECONDS, pause: float = PAUSE_SECONDS) -> Collected:
        """One round; it blocks."""
        done = self._audit.repair(grace=grace, earlier=self._suspects, pause=pause, node=self._node)
        self._suspects = done.report.suspects
        spare = spare_blocks(
            self._audit.books(), self._node, self._clock(), self._ledger.config()[0].ip_cooldown_seconds
        )
        given_up = [cidr for cidr in sorted(spare & self._spare, key=str) if self._give_up(cidr)]
        self._spare = spare - set(given_up)
        return Collected(done.mended, given_up)

    def _give_up(self, cidr: Network) -> bool:
        try:
            return self._releaser.release_affinity(cidr, self._node, now=self._clock(), must_be_empty=True)
        except Conflict:
            return False  # somebody took an address of it meanwhile
