"""The front page's links that lead past the door, and whether somebody answers there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import inf

from tortie.door.board import Probe
from tortie.door.cluster import Kept
from tortie.door.outgoing import NoAnswer
from tortie.door.pool import Pool, fetch
from tortie.door.services import Server

SECONDS, PAGE_SECONDS = 3.0, 0.5
"""How long a page may take to answer; how long the first look waits for that."""
NOBODY = (502, 503, 504)
"""What a balancer answers in the place of a server."""


@dataclass(frozen=True, slots=True)
class Link:
    """`address`: where it leads; with `:PORT/...`, on the host by which the front page was reached. `server` and `path`
    are where the door itself asks whether the page is there; without a server it is taken for granted."""

    title: str
    address: str
    server: Server | None = None
    path: str = "/"


class Links:
    def __init__(self, pool: Pool, links: Sequence[Link]) -> None:
        self._links = [(link, Kept(partial(_failure, pool, link))) for link in links]

    async def probes(self) -> list[Probe]:
        """As they were found last, at once; they are asked anew beside that."""
        return list(await asyncio.gather(*(_probe(link, kept) for link, kept in self._links)))


async def _probe(link: Link, kept: Kept[str]) -> Probe:
    if link.server is None:
        return Probe("", link.title, "", link.address)
    asking = asyncio.create_task(kept.get(newer_than=inf))
    await asyncio.wait({asking}, timeout=PAGE_SECONDS)
    failure = asking.result() if asking.done() else "is being asked"
    return Probe("", link.title, link.server.authority, link.address, failure)


async def _failure(pool: Pool, link: Link) -> str:
    """By a HEAD, which changes nothing there; empty when it is answered."""
    assert link.server is not None
    try:
        head, _ = await fetch(pool, link.server, link.path, method="HEAD", seconds=SECONDS)
    except NoAnswer as error:
        return str(error)
    return f"HTTP {head.status}" if head.status in NOBODY else ""
