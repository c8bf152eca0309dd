"""The address manager's configuration, and a pool split into parts."""

from __future__ import annotations

import time
from dataclasses import replace
from ipaddress import ip_network
from typing import Literal
from uuid import uuid4

import msgspec

from tortie.base.errors import Conflict, Invalid, NotFound
from tortie.ipam.block import rfc3339
from tortie.ipam.check import GRACE_SECONDS
from tortie.ipam.ledger import Ledger
from tortie.model.checks import seconds_of
from tortie.model.codec import to_json
from tortie.model.ipam import CONFIG_KEY, IpamConfig
from tortie.model.kinds.cluster_information import CLUSTER_INFORMATION
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.ipam_configuration import MAX_COOLDOWN
from tortie.model.kinds.kube_controllers_configuration import KUBE_CONTROLLERS_CONFIGURATION
from tortie.model.resource import Metadata, Resource, encode, problems
from tortie.store.client import Client
from tortie.store.port import Compare, CompareFailed, Datastore, Drop, Put


def changed(
    config: IpamConfig,
    *,
    strict_affinity: bool | None = None,
    auto_allocate_blocks: bool | None = None,
    max_blocks_per_host: int | None = None,
    kube_virt_vm_address_persistence: Literal["Enabled", "Disabled"] | None = None,
    ip_cooldown_seconds: int | None = None,
) -> IpamConfig:
    """The configuration with what is given changed. Invalid names every rule that it would break."""
    wanted = {
        "strict_affinity": strict_affinity,
        "auto_allocate_blocks": auto_allocate_blocks,
        "max_blocks_per_host": max_blocks_per_host,
        "kube_virt_vm_address_persistence": kube_virt_vm_address_persistence,
        "ip_cooldown_seconds": ip_cooldown_seconds,
    }
    new = msgspec.structs.replace(config, **{name: value for name, value in wanted.items() if value is not None})
    faults = []
    if not new.strict_affinity and not new.auto_allocate_blocks:
        faults.append("Cannot disable 'StrictAffinity' and 'AutoAllocateBlocks' at the same time")
    if new.max_blocks_per_host > 0 and not new.strict_affinity:
        faults.append("MaxBlocksPerHost requires StrictAffinity to be enabled")
    if new.max_blocks_per_host < 0:
        faults.append(f"MaxBlocksPerHost must not be negative: {new.max_blocks_per_host}")
    if not 0 <= new.ip_cooldown_seconds <= MAX_COOLDOWN:
        faults.append(f"IPCooldownSeconds must be between 0 and {MAX_COOLDOWN}: {new.ip_cooldown_seconds}")
    if faults:
        raise Invalid(*faults)
    return new


def configure(
    datastore: Datastore,
    *,
    strict_affinity: bool | None = None,
    auto_allocate_blocks: bool | None = None,
    max_blocks_per_host: int | None = None,
    kube_virt_vm_address_persistence: Literal["Enabled", "Disabled"] | None = None,
    ip_cooldown_seconds: int | None = None,
) -> IpamConfig:
    """Changes what is given, keeps the rest, and answers with what holds now. Raises Invalid, Conflict."""
    config, revision = Ledger(datastore, "").config()
    new = changed(
        config,
        strict_affinity=strict_affinity,
        auto_allocate_blocks=auto_allocate_blocks,
        max_blocks_per_host=max_blocks_per_host,
        kube_virt_vm_address_persistence=kube_virt_vm_address_persistence,
        ip_cooldown_seconds=ip_cooldown_seconds,
    )
    try:
        datastore.commit([Put(CONFIG_KEY, to_json(new))], [Compare(CONFIG_KEY, revision)])
    except CompareFailed as error:
        raise Conflict("the IPAM configuration was changed by somebody else: try again") from error
    return new


def leak_grace(datastore: Datastore) -> float | None:
    """How long nobody must have claimed an address before it is freed; None when nothing is to be freed by itself.

    KubeControllersConfiguration `default` says it, as in the original; 15 minutes when it says nothing readable.
    """
    kind = KUBE_CONTROLLERS_CONFIGURATION
    try:
        found = Client(datastore).find(kind, "default")
    except Invalid:
        return GRACE_SECONDS
    controllers = found.spec.controllers if found else None
    text = (controllers.node.leak_grace_period if controllers and controllers.node else None) or ""
    seconds = seconds_of(text)
    return GRACE_SECONDS if seconds is None else seconds or None


def split(pool: Resource[IPPoolSpec], parts: int) -> list[Resource[IPPoolSpec]]:
    """Pools of equal size that together are this one, alike in all else. Blocks keep their places in them."""
    cidr = ip_network(pool.spec.cidr)
    if parts < 2 or parts & (parts - 1):
        raise Invalid(f"a pool is split into a power of two of parts, not into {parts}")
    prefix = cidr.prefixlen + parts.bit_length() - 1
    if prefix > pool.spec.block_size:
        raise Invalid(
            f"IPPool {pool.name} ({cidr}) in {parts} parts: each is smaller than a /{pool.spec.block_size} block"
        )
    return [
        replace(
            pool,
            metadata=Metadata(
                name=f"split-{pool.name}-{number}",
                labels=pool.metadata.labels,
                annotations=pool.metadata.annotations,
            ),
            spec=msgspec.structs.replace(pool.spec, cidr=str(part)),
            revision=0,
        )
        for number, part in enumerate(cidr.subnets(new_prefix=prefix))
    ]


def split_pool(datastore: Datastore, parts: int, *, name: str = "", cidr: str = "") -> list[Resource[IPPoolSpec]]:
    """Puts the parts in the place of the pool, all at once; the datastore must be locked.

    Raises NotFound, Invalid, Conflict when it is not locked or a part's name is taken.
    """
    client = Client(datastore)
    info = client.find(CLUSTER_INFORMATION, "default")
    if info is None or info.spec.datastore_ready is not False:
        raise Conflict("the datastore must be locked before a pool is split")
    found = [p for p in client.list(IP_POOL).items if (p.name == name if name else p.spec.cidr == cidr)]
    if not found:
        raise NotFound(f"IPPool {name or cidr} does not exist")
    pool = found[0]
    new = [_stamped(part) for part in split(pool, parts)]
    if faults := [f"IPPool {part.name}: {problem}" for part in new for problem in problems(part)]:
        raise Invalid(*faults)
    try:
        datastore.commit(
            [Drop(pool.key), *(Put(part.key, encode(part)) for part in new)],
            [Compare(pool.key, pool.revision), *(Compare(part.key, 0) for part in new)],
        )
    except CompareFailed as error:
        raise Conflict(f"IPPool {pool.name} was not split: {error}") from error
    return new


def _stamped(pool: Resource[IPPoolSpec]) -> Resource[IPPoolSpec]:
    now = rfc3339(time.time())
    return replace(pool, metadata=msgspec.structs.replace(pool.metadata, uid=str(uuid4()), creation_timestamp=now))
