"""Calico's IPAM as the Docker driver sees it, without blocks: the same promises, kept in the store of the test."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from tortie.base.errors import Conflict, Invalid, Unavailable
from tortie.model.kinds.ip_pool import IP_POOL
from tortie.store.client import Client
from tortie.store.port import Compare, CompareFailed, Datastore, Drop, Put

PREFIX = "/test/addresses/"


class PlainAddresses:
    """One key an address, its value the handle. `fail_next` makes that many calls fail as if the store were away."""

    def __init__(self, datastore: Datastore) -> None:
        self._datastore = datastore
        self.fail_next = 0

    def _pools(self) -> list[str]:
        if self.fail_next:
            self.fail_next -= 1
            raise Unavailable("the store is away")
        return [pool.spec.cidr for pool in Client(self._datastore).list(IP_POOL).items]

    def auto_assign(
        self, handle: str, attributes: Mapping[str, str], *, now: float, pool: str | None = None
    ) -> IPv4Address | IPv6Address:
        for cidr in [pool] if pool else self._pools():
            for address in ip_network(cidr):
                if self._datastore.get(f"{PREFIX}{address}") is None:
                    with contextlib.suppress(Conflict):  # another was quicker
                        self.assign(str(address), handle, attributes, now=now)
                        return address
        raise Unavailable("There are no available IP addresses in the configured Calico IP pools")

    def assign(self, address: str, handle: str, attributes: Mapping[str, str], *, now: float) -> None:
        if not any(ip_address(address) in ip_network(pool) for pool in self._pools()):
            raise Invalid(f"{address} is in no pool")
        key = PREFIX + address
        try:
            self._datastore.commit([Put(key, handle.encode())], [Compare(key, 0)])
        except CompareFailed as error:
            raise Conflict(f"The address {address} is already in use") from error

    def release_by_handle(self, handle: str, *, now: float) -> None:
        drops = [Drop(kv.key) for kv in self._datastore.list(PREFIX).items if kv.value.decode() == handle]
        self._datastore.commit(drops)

    def taken(self) -> dict[str, str]:
        return {kv.key.removeprefix(PREFIX): kv.value.decode() for kv in self._datastore.list(PREFIX).items}
