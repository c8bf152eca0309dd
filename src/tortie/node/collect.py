"""The host's clean-up of its addresses, from time to time for as long as the agent runs."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import anyio
import anyio.to_thread

from tortie.base.errors import TortieError
from tortie.ipam.audit import Source
from tortie.ipam.collector import Collected, Collector
from tortie.ipam.settings import leak_grace
from tortie.store.port import Datastore

EVERY_SECONDS = 300.0

log = logging.getLogger("node.collect")


async def collect_addresses(
    datastore: Datastore, node: str, sources: Sequence[Source], *, every: float = EVERY_SECONDS
) -> None:
    """Runs until cancelled. A round that fails is told and the next one tries again."""
    collector = Collector(datastore, node, sources)
    while True:
        try:
            _tell(await anyio.to_thread.run_sync(_round, datastore, collector))
        except TortieError as error:
            log.warning("addresses were not looked through: %s", error)
        await anyio.sleep(every)


def _round(datastore: Datastore, collector: Collector) -> Collected:
    grace = leak_grace(datastore)
    return collector.collect_once(grace=float("inf") if grace is None else grace)


def _tell(collected: Collected) -> None:
    for finding in collected.mended:
        log.info("mended %s: %s", finding.kind, finding.text)
    for cidr in collected.given_up:
        log.info("gave up block %s, which was empty", cidr)
