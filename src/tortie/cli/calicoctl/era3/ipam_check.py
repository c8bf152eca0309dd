"""What `ipam check` finds: blocks, handles, affinities and endpoints that do not agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from ipaddress import ip_network

from tortie.model.codec import from_json
from tortie.model.ipam import HANDLES, HOSTS, Affinity, Block, Handle, affinity_of_key
from tortie.model.kinds.ip_pool import IP_POOL
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
from tortie.store.client import Client


def findings(client: Client, blocks: Sequence[Block]) -> Iterator[str]:
    yield from _handles(client, blocks)
    yield from _affinities(client, blocks)
    yield from _endpoints(client, blocks)


def _handles(client: Client, blocks: Sequence[Block]) -> Iterator[str]:
    counted: Counter[tuple[str, str]] = Counter(
        (handle, block.cidr)
        for block in blocks
        for index in block.allocations
        if index is not None and (handle := block.attributes[index].handle_id)
    )
    for kv in client.datastore.list(HANDLES).items:
        handle = kv.key.removeprefix(HANDLES)
        record = from_json(Handle, kv.value, f"handle {handle}")
        if record.deleted:
            continue
        for cidr, count in record.block.items():
            if counted.pop((handle, cidr), 0) < count:
                yield f"handle {handle} counts more addresses of block {cidr} than it has"
    for handle, cidr in sorted(counted):
        yield f"addresses of block {cidr} belong to handle {handle}, which does not count them"


def _affinities(client: Client, blocks: Sequence[Block]) -> Iterator[str]:
    of = {ip_network(block.cidr): block.node for block in blocks}
    for kv in client.datastore.list(HOSTS).items:
        claim = affinity_of_key(kv.key)
        if claim is None or not from_json(Affinity, kv.value, f"affinity {kv.key}").confirmed:
            continue
        node, cidr = claim
        if of.get(cidr) != node:
            yield f"node {node} claims block {cidr}, which belongs to {of.get(cidr) or 'nobody'}"


def _endpoints(client: Client, blocks: Sequence[Block]) -> Iterator[str]:
    pools = [ip_network(item.spec.cidr) for item in client.list(IP_POOL).items]
    taken = {
        base[ordinal]
        for block in blocks
        for base in (ip_network(block.cidr),)
        for ordinal, index in enumerate(block.allocations)
        if index is not None
    }
    seen: dict[object, str] = {}
    for endpoint in client.list(WORKLOAD_ENDPOINT).items:
        for text in endpoint.spec.ip_networks:
            address = ip_network(text).network_address
            if address in seen:
                yield f"{address} is used by {seen[address]} and by {endpoint.name}"
            seen[address] = endpoint.name
            inside = any(address.version == pool.version and address in pool for pool in pools)
            if inside and address not in taken:
                yield f"{address} is used by {endpoint.name} but not allocated"
