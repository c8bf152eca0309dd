"""What the address manager stores: blocks, affinities, handles, its configuration; Calico's keys and JSON.

These are no resources: no kind, no metadata. Field order is that of the original's JSON.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Literal, TypeAlias

import msgspec

from tortie.base.errors import Invalid
from tortie.model.codec import Value, from_json

IPAM = "/calico/ipam/v2/"
CONFIG_KEY = IPAM + "config"
HOSTS = IPAM + "host/"
HANDLES = IPAM + "handle/"
BLOCKS = IPAM + "assignment/"

Network: TypeAlias = IPv4Network | IPv6Network
AffinityState = Literal["", "pending", "confirmed", "pendingDeletion"]


class Attribute(Value, frozen=True, kw_only=True):
    """Who has an address; one may be shared by several. `released_at` alone: the address cools down."""

    handle_id: str | None = msgspec.field(default=None, name="handle_id")
    secondary: dict[str, str] = {}
    released_at: str | None = None


class Block(Value, frozen=True, kw_only=True, omit_defaults=False):
    """The addresses of one CIDR. An ordinal is an address's offset in it; `allocations` holds an index into
    `attributes` per ordinal, or None; `unallocated` the free ordinals, next one first."""

    cidr: str
    affinity: str | None = None
    affinity_claim_time: str | msgspec.UnsetType | None = msgspec.field(
        default=msgspec.UNSET, name="affinity_claim_time"
    )
    allocations: tuple[int | None, ...] = ()
    unallocated: tuple[int, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    sequence_number: int = 0
    sequence_number_for_allocation: dict[str, int] = {}
    deleted: bool = False

    @property
    def node(self) -> str | None:
        """The host that the block is affine to."""
        kind, _, name = (self.affinity or "").partition(":")
        return name if kind == "host" and name else None


class Affinity(Value, frozen=True, kw_only=True, omit_defaults=False):
    """A host's claim on a block. An empty state is an old form of confirmed."""

    state: AffinityState = ""
    deleted: bool = False

    @property
    def confirmed(self) -> bool:
        return self.state in ("", "confirmed") and not self.deleted


class Handle(Value, frozen=True, kw_only=True, omit_defaults=False):
    """How many addresses of which block belong to one handle; an upper bound where other programs write too."""

    block: dict[str, int] = {}
    deleted: bool = False


class IpamConfig(Value, frozen=True, kw_only=True):
    """Settings of the address manager. An absent key means the values of `DEFAULT_CONFIG`, not these defaults."""

    strict_affinity: bool = msgspec.field(default=False, name="strict_affinity")
    auto_allocate_blocks: bool = msgspec.field(default=False, name="auto_allocate_blocks")
    max_blocks_per_host: int = 0
    kube_virt_vm_address_persistence: str | None = msgspec.field(default=None, name="kubeVirtVMAddressPersistence")
    ip_cooldown_seconds: int = 0


DEFAULT_CONFIG = IpamConfig(auto_allocate_blocks=True)


@lru_cache(maxsize=256)
def parse_block(value: bytes, key: str) -> Block:
    """A block from its stored form. Invalid when its parts do not fit together: better no address than one twice.

    Remembered by its value: a host reads its full blocks again and again.
    """
    block = from_json(Block, value, f"block {key}")
    try:
        size = ip_network(block.cidr).num_addresses
    except ValueError as error:
        raise Invalid(f"block {key}: cidr: {error}") from error
    if len(block.allocations) != size:
        raise Invalid(f"block {key}: allocations: {len(block.allocations)} entries for {size} addresses")
    if any(index is not None and not 0 <= index < len(block.attributes) for index in block.allocations):
        raise Invalid(f"block {key}: allocations: an index points behind the attributes")
    free = {ordinal for ordinal, index in enumerate(block.allocations) if index is None}
    if len(block.unallocated) != len(free) or set(block.unallocated) != free:
        raise Invalid(f"block {key}: unallocated: does not hold exactly the free addresses")
    return block


def block_key(cidr: Network) -> str:
    return f"{BLOCKS}ipv{cidr.version}/block/{_dashed(cidr)}"


def blocks_prefix(version: int) -> str:
    return f"{BLOCKS}ipv{version}/block/"


def affinity_key(node: str, cidr: Network) -> str:
    return f"{affinities_prefix(node, cidr.version)}{_dashed(cidr)}"


def affinities_prefix(node: str, version: int) -> str:
    return f"{HOSTS}{node}/ipv{version}/block/"


def handle_key(handle: str) -> str:
    return f"{HANDLES}{handle}"


def block_of_key(key: str) -> Network | None:
    """The CIDR that a block's key names, None for another key."""
    return _network(key) if key.startswith(BLOCKS) and "/block/" in key else None


def affinity_of_key(key: str) -> tuple[str, Network] | None:
    """(node, CIDR) that an affinity's key names, None for another key."""
    if not key.startswith(HOSTS):
        return None
    node, _, rest = key[len(HOSTS) :].partition("/")
    cidr = _network(key)
    return (node, cidr) if cidr is not None and rest.startswith(f"ipv{cidr.version}/block/") else None


def _dashed(cidr: Network) -> str:
    return str(cidr).replace("/", "-")


@lru_cache(maxsize=4096)
def _network(key: str) -> Network | None:
    try:
        return ip_network(key.rpartition("/")[2].replace("-", "/"))
    except ValueError:
        return None
