"""The datastore port on etcd v3."""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tortie.base.errors import Invalid, NotFound, Unavailable
from tortie.store.etcd import wire
from tortie.store.etcd.address import parse
from tortie.store.etcd.channel import Channel
from tortie.store.port import (
    Compacted,
    Condition,
    KeyValue,
    Listing,
    Watch,
    Write,
    check_writes,
)

if TYPE_CHECKING:
    from tortie.store.etcd.watch import EtcdWatch

PAGE = 1000
LIST_TRIES = 5


class EtcdStore:
    """One cluster, shared with whoever else uses it. Keys are etcd's own, without a prefix of ours."""

    def __init__(self, url: str) -> None:
        """Unavailable when no member takes connections; Invalid for a wrong address, certificate or password."""
        self._channel = Channel(parse(url))
        self._watches: weakref.WeakSet[EtcdWatch] = weakref.WeakSet()
        self._channel.check()

    def get(self, key: str) -> KeyValue | None:
        if not key:
            return None
        reply = self._range({"key": wire.encoded(key)})
        return wire.key_value(reply.kvs[0]) if reply.kvs else None

    def list(self, prefix: str) -> Listing:
        for _ in range(LIST_TRIES):
            try:
                return self._pages(prefix)
            except Compacted:  # between two pages: the first one's revision is gone
                continue
        raise Unavailable(f"store {self._channel.address.url}: compacted too often to list {prefix}")

    def _pages(self, prefix: str) -> Listing:
        """Every page as of the first one's revision."""
        asked: dict[str, Any] = {**wire.prefix_range(prefix), "limit": PAGE}
        items: list[KeyValue] = []
        revision = 0
        while True:
            reply = self._range(asked)
            items += map(wire.key_value, reply.kvs)
            revision = revision or reply.header.revision
            if not reply.more:
                return Listing(items, revision)
            asked |= {"key": wire.behind(reply.kvs[-1].key), "revision": str(revision)}

    def _range(self, asked: dict[str, Any]) -> wire.RangeReply:
        return self._channel.call("/v3/kv/range", asked, wire.RangeReply, again=True)

    def commit(self, writes: Sequence[Write], compares: Sequence[Condition] = ()) -> int:
        check_writes(writes)
        # Dropping what is absent changes nothing, and etcd would still answer well: no case of its own.
        reply = self._channel.call(
            "/v3/kv/txn",
            wire.transaction(writes, compares),
            wire.TxnReply,
            again=not writes,
        )
        if not reply.succeeded and compares:
            raise wire.first_failed(reply, compares)
        return reply.header.revision

    def watch(self, prefix: str, after: int) -> Watch:
        from tortie.store.etcd.watch import EtcdWatch

        watch = EtcdWatch(self._channel, prefix, after)
        self._watches.add(watch)
        return watch

    def grant(self, ttl: float) -> int:
        """Whole seconds, rounded up; etcd gives no lease shorter than some 1.5 times its election time-out."""
        if not ttl > 0:
            raise Invalid(f"lease: a time of {ttl} seconds")
        asked = {"TTL": str(math.ceil(ttl))}
        return self._channel.call("/v3/lease/grant", asked, wire.GrantReply, again=True).ID

    def keep_alive(self, lease: int) -> None:
        asked = {"ID": str(lease)}
        reply = self._channel.call("/v3/lease/keepalive", asked, wire.KeepAliveReply, again=True)
        if reply.result.TTL <= 0:
            raise NotFound(f"lease {lease} has ended")

    def revoke(self, lease: int) -> None:
        try:
            self._channel.call("/v3/lease/revoke", {"ID": str(lease)}, wire.Nothing, again=True)
        except NotFound:
            return

    def close(self) -> None:
        """Ends every watch as well. Closing twice is fine."""
        self._channel.close()
        for watch in list(self._watches):
            watch.wake()
