"""What the agent reads from the store beside endpoints and profiles: blocks, their owners, nodes, settings."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import msgspec

from tortie.base.errors import Invalid
from tortie.dataplane.render.settings import Settings
from tortie.dataplane.routes import Block
from tortie.model.kinds.felix_configuration import FelixConfigurationSpec
from tortie.model.kinds.node import NodeSpec

IPAM = "/calico/ipam/v2/"
BLOCKS = f"{IPAM}assignment/ipv4/block/"
HOSTS = f"{IPAM}host/"
UNCONFIRMED = ("pending", "pendingDeletion")


class _Attribute(msgspec.Struct):
    secondary: dict[str, str] | None = None


class _Block(msgspec.Struct):
    cidr: str
    allocations: list[int | None] = []
    attributes: list[_Attribute] = []
    deleted: bool = False


class _Affinity(msgspec.Struct):
    state: str = ""
    deleted: bool = False


_blocks = msgspec.json.Decoder(_Block)
_affinities = msgspec.json.Decoder(_Affinity)


def parse_block(value: bytes) -> tuple[str, dict[str, str]] | None:
    """(CIDR, node of each address in use) of a block; None for one that is marked as deleted."""
    try:
        block = _blocks.decode(value)
        base = int(ipaddress.IPv4Network(block.cidr).network_address)
    except (msgspec.MsgspecError, ValueError) as error:
        raise Invalid(f"block: {error}") from error
    if block.deleted:
        return None
    holders = {}
    for ordinal, index in enumerate(block.allocations):
        if index is None or not 0 <= index < len(block.attributes):
            continue
        node = (block.attributes[index].secondary or {}).get("node")
        if node:
            holders[str(ipaddress.IPv4Address(base + ordinal))] = node
    return block.cidr, holders


def parse_affinity(key: str, value: bytes) -> tuple[str, str, bool] | None:
    """(node, CIDR, confirmed) of an IPv4 affinity; None for keys that are not one."""
    node, _, rest = key.removeprefix(HOSTS).partition("/")
    if not rest.startswith("ipv4/block/"):
        return None
    cidr = rest.removeprefix("ipv4/block/").replace("-", "/")
    try:
        affinity = _affinities.decode(value or b"{}")
    except msgspec.MsgspecError as error:
        raise Invalid(f"affinity: {error}") from error
    return node, cidr, affinity.state not in UNCONFIRMED and not affinity.deleted


def join_blocks(blocks: dict[str, dict[str, str]], owners: dict[str, str]) -> Sequence[Block]:
    """Blocks with their confirmed owners; an affinity whose block was not read yet counts as an empty block."""
    cidrs = sorted(blocks.keys() | owners.keys())
    return [Block(cidr, owners.get(cidr), blocks.get(cidr, {})) for cidr in cidrs]


def node_address(spec: NodeSpec) -> str | None:
    """A node's IPv4 address without its mask."""
    text = spec.bgp.ipv4_address if spec.bgp else None
    if not text:
        return None
    try:
        return str(ipaddress.IPv4Interface(text).ip)
    except ValueError:
        return None


def merge_settings(default: FelixConfigurationSpec | None, own: FelixConfigurationSpec | None) -> Settings:
    """The node's own fields win, one by one."""
    layers = [spec for spec in (own, default) if spec is not None]
    actions = [s.default_endpoint_to_host_action for s in layers if s.default_endpoint_to_host_action]
    services = [s.host_services for s in layers if s.host_services]
    prefixes = [s.interface_prefix for s in layers if s.interface_prefix]
    return Settings(
        interface_prefix=prefixes[0] if prefixes else "cali",
        endpoint_to_host=actions[0] if actions else "Drop",
        host_services=services[:1] == ["Enabled"],
    )
