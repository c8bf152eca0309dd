"""Zones made of a cluster at once: what the daemons reach step by step."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import dns.message

from tests.support.fake_mesos_master import state
from tortie.dns.config import Config
from tortie.dns.listing import Listing
from tortie.dns.message import Forward, handle
from tortie.dns.records import Giver, MesosRecords
from tortie.dns.state import Cluster, decode
from tortie.dns.zone import Authority, Zone

CONFIG = Config(masters=("172.24.197.101:5050",))


@asynccontextmanager
async def running(main: Any) -> AsyncIterator[None]:
    """A daemon beside the test; its own failure fails the test."""
    daemon = asyncio.ensure_future(main)
    try:
        yield
        assert not daemon.done() or daemon.result()
    finally:
        daemon.cancel()
        await asyncio.gather(daemon, return_exceptions=True)


def cluster(tasks: list[dict[str, Any]], document: dict[str, Any] | None = None) -> Cluster:
    """What a master with these tasks shows."""
    return Cluster.of(decode(json.dumps(document or state(tasks)).encode()))


def listed(giver: Giver, zone: Zone, found: Cluster, serial: int = 7) -> Listing:
    """A zone that holds the whole cluster."""
    listing = Listing(giver, zone)
    relist(listing, found, serial)
    return listing


def relist(listing: Listing, found: Cluster, serial: int = 7) -> None:
    for _ in listing.whole(found):
        pass
    listing.zone.stamp(serial)


def mesos(found: Cluster, config: Config = CONFIG, own: tuple[str, ...] = ("172.24.197.101",)) -> Listing:
    return listed(MesosRecords(config, own), Zone(config.apex, dice=random.Random(1)), found)


def authority(*listings: Listing) -> Authority:
    """All zones open."""
    names = Authority(listing.zone for listing in listings)
    for listing in listings:
        names.open(listing.zone)
    return names


@dataclass
class Told:
    """The records of a listing by type and owner."""

    a: dict[str, set[str]] = field(default_factory=dict)
    aaaa: dict[str, set[str]] = field(default_factory=dict)
    srv: dict[str, set[tuple[str, int]]] = field(default_factory=dict)


def told(listing: Listing) -> Told:
    found = Told()
    for name in listing.book.names():
        owned = listing.book.owned(name)
        assert owned is not None
        found.a |= {name: set(owned.a)} if owned.a else {}
        found.aaaa |= {name: set(owned.aaaa)} if owned.aaaa else {}
        found.srv |= {name: set(owned.srv)} if owned.srv else {}
    return found


def raw(
    names: Authority, query: bytes, *, tcp: bool = False, dice: random.Random | None = None
) -> bytes | Forward | None:
    return handle(query, names, dice or random.Random(3), tcp=tcp, recursion=True, mark_cut=True)


def asked(names: Authority, name: str, kind: str = "A", *, tcp: bool = False, **options: Any) -> dns.message.Message:
    """The reply, read by dnspython: an independent reader."""
    query = dns.message.make_query(name, kind, **options)
    reply = raw(names, query.to_wire(), tcp=tcp)
    assert isinstance(reply, bytes), (name, kind, reply)
    message = dns.message.from_wire(reply)
    assert query.is_response(message)
    assert message.to_wire(max_size=65535)
    return message


def data(message: dns.message.Message) -> list[str]:
    return [str(item) for rrset in message.answer for item in rrset]
