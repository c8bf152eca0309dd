"""What a write depends on besides the resource itself: the others of its kind, those it names, what was there before.

Values in, values out: `store.admission` reads what is asked here, and writes in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from tortie.base.errors import Invalid
from tortie.model.eras import POLICIES
from tortie.model.kinds.bgp_filter import BGP_FILTER
from tortie.model.kinds.bgp_peer import BGP_PEER
from tortie.model.kinds.block_affinity import BLOCK_AFFINITY
from tortie.model.kinds.cluster_information import CLUSTER_INFORMATION
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.profile import DEFAULT_ALLOW_NAME, PROFILE
from tortie.model.kinds.staged_kubernetes_network_policy import STAGED_KUBERNETES_NETWORK_POLICY
from tortie.model.kinds.tier import BUILT_IN, TIER
from tortie.model.policy_parts import DEFAULT_TIER
from tortie.model.resource import Kind, Resource

IN_TIERS = POLICIES | {STAGED_KUBERNETES_NETWORK_POLICY.name}
DEPENDENT = IN_TIERS | {IP_POOL.name, BGP_PEER.name, CLUSTER_INFORMATION.name}
"""The kinds whose writes depend on other keys."""


if TYPE_CHECKING:
    from tortie.model.ipam import Network

WORDS = ("create", "apply", "replace", "delete")


class Missing(Invalid):
    """A resource names another that does not exist."""

    def __init__(self, kind: str, name: str) -> None:
        self.kind, self.name = kind, name
        super().__init__(f"{kind} {name} does not exist")


class Unsupported(Invalid):
    """What nobody may do to this resource."""

    def __init__(self, operation: str, name: str, reason: str) -> None:
        super().__init__(f"operation {operation} is not supported on {name}: {reason}")


def unwritable(kind: Kind[Any], word: str, name: str) -> Unsupported | None:
    """What people cannot do by hand to a resource that programs keep."""
    made = {CLUSTER_INFORMATION.name: ("create", "apply", "delete"), BLOCK_AFFINITY.name: WORDS}.get(kind.name, ())
    if word not in made:
        return None
    operation = "create or apply" if word in ("create", "apply") else "update" if word == "replace" else word
    return Unsupported(operation, f"{kind.name}({name})", "it is kept by the programs themselves")


def tier_named(resource: Resource[Any]) -> str | None:
    """The tier that a policy of any kind lies in, None for another resource."""
    if resource.kind.name not in IN_TIERS:
        return None
    return getattr(resource.spec, "tier", "") or DEFAULT_TIER


def named(resource: Resource[Any]) -> list[tuple[Kind[Any], str]]:
    """The resources that must exist for this one to be written, but for its tier."""
    return [(BGP_FILTER, name) for name in resource.spec.filters] if resource.kind.name == BGP_PEER.name else []


def changed(there: Resource[Any], wanted: Resource[Any]) -> list[str]:
    """The fields that stay as they were first written and would not."""
    if wanted.kind.name == IP_POOL.name:
        return [
            f"IPPool {field} cannot be modified: {old} to {new}"
            for field, old, new in (
                ("CIDR", there.spec.cidr, wanted.spec.cidr),
                ("BlockSize", there.spec.block_size, wanted.spec.block_size),
            )
            if old != new
        ]
    if wanted.kind.name == CLUSTER_INFORMATION.name and there.spec.cluster_guid not in ("", wanted.spec.cluster_guid):
        return [f"ClusterInformation ClusterGUID cannot be modified: {there.spec.cluster_guid}"]
    return []


def pool_faults(
    pool: Resource[IPPoolSpec], others: Iterable[Resource[IPPoolSpec]], blocks: Iterable[Network]
) -> Iterator[str]:
    """A new pool overlaps no other, and the blocks that lie in its range already are of its size."""
    cidr = ip_network(pool.spec.cidr)
    for other in others:
        its = _network(other.spec.cidr)
        if its is not None and other.name != pool.name and its.version == cidr.version and its.overlaps(cidr):
            yield (
                f"error with field IPPool.Spec.CIDR = '{cidr}' "
                f"(IPPool({pool.name}) CIDR overlaps with IPPool({other.name}) CIDR {its})"
            )
    for block in blocks:
        if block.version == cidr.version and block.overlaps(cidr) and block.prefixlen != pool.spec.block_size:
            yield (
                f"error with field IPPool.Spec.BlockSize = '{pool.spec.block_size}' "
                f"(IPPool({pool.name}): the block {block} exists already and is of another size)"
            )
            return


def _network(text: str) -> Network | None:
    """Another program may have stored one that is none."""
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def undeletable(kind: Kind[Any], name: str) -> Unsupported | None:
    """Why a resource stays whatever refers to it; None when it may go."""
    if kind.name == TIER.name and name in BUILT_IN:
        return Unsupported("delete", name, f"Cannot delete {name} tier")
    if kind.name == PROFILE.name and name == DEFAULT_ALLOW_NAME:
        return Unsupported("delete", name, "it is built in")
    return None


def held_tier(name: str, policies: Iterable[Resource[Any]]) -> Unsupported | None:
    """Why a tier stays: a policy lies in it."""
    if any(tier_named(policy) == name for policy in policies):
        return Unsupported("delete", name, "Cannot delete a non-empty tier")
    return None
