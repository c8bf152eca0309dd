"""The driver's record of every address that it took, from before the address is known until it is free again.

The engine asks for an address without saying for which endpoint, and never repeats or takes back a failed call.
So a record is written before the address is taken, and whatever has a record without a living endpoint is collected.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Conflict, Invalid, NotFound
from tortie.model.codec import UNREADABLE
from tortie.store.port import Compare, CompareFailed, Datastore, Drop, Put, Write

PREFIX = "/tortie/v1/docker/addresses/"


class Holding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`handle` owns the address in IPAM. `since`: Unix time of the last step. `endpoint` is empty until one came."""

    handle: str
    since: float
    address: str = ""
    endpoint: str = ""
    network: str = ""
    network_id: str = ""
    mac: str = ""
    sandbox: str = ""


@dataclass(frozen=True, slots=True)
class Stored:
    """A holding as read: its key and revision let the next step be refused when somebody else took one."""

    key: str
    holding: Holding
    revision: int


class Holdings:
    """The records of one node. Every call blocks."""

    def __init__(self, datastore: Datastore, node: str) -> None:
        self._datastore = datastore
        self._prefix = f"{PREFIX}{node}/"

    def open(self, now: float) -> Stored:
        """A new record with a handle of its own and no address yet."""
        token = uuid.uuid4().hex
        key, holding = self._prefix + token, Holding(handle=f"libnetwork.{token}", since=now)
        revision = self._datastore.commit([Put(key, msgspec.json.encode(holding))], [Compare(key, 0)])
        return Stored(key, holding, revision)

    def all(self) -> Sequence[Stored]:
        items = self._datastore.list(self._prefix).items
        return [Stored(kv.key, msgspec.json.decode(kv.value, type=ready(Holding)), kv.revision) for kv in items]

    def of_address(self, address: str) -> Stored | None:
        """The newest: an older one is left only when somebody freed its address behind our back."""
        found = [stored for stored in self.all() if stored.holding.address == address]
        return max(found, key=lambda stored: stored.holding.since, default=None)

    def of_endpoint(self, endpoint_id: str) -> Stored | None:
        return next((s for s in self.all() if s.holding.endpoint == endpoint_id), None)

    def step(self, stored: Stored, holding: Holding, *writes: Write) -> Stored:
        """Replace the record, together with other writes. Conflict or NotFound when it is not as it was read."""
        try:
            revision = self._datastore.commit(
                [Put(stored.key, msgspec.json.encode(holding)), *writes], [Compare(stored.key, stored.revision)]
            )
        except CompareFailed as error:
            if self._datastore.get(stored.key) is None:
                raise NotFound(f"the record of address {holding.address} is gone") from error
            raise Conflict(f"the record of address {holding.address} changed meanwhile") from error
        return Stored(stored.key, holding, revision)

    def drop(self, stored: Stored) -> None:
        self._datastore.commit([Drop(stored.key)])


def every(datastore: Datastore) -> Sequence[Stored]:
    """The records of every node. Raises Invalid for one that makes no sense: its address must not count as free."""
    found = []
    for kv in datastore.list(PREFIX).items:
        try:
            found.append(Stored(kv.key, msgspec.json.decode(kv.value, type=ready(Holding)), kv.revision))
        except UNREADABLE as error:
            raise Invalid(f"{kv.key}: {error}") from error
    return found


def drop_all(datastore: Datastore, node: str) -> None:
    """The records of a host that is gone for good. Its addresses are freed by whoever removes the host."""
    for kv in datastore.list(f"{PREFIX}{node}/").items:
        datastore.commit([Drop(kv.key)])
