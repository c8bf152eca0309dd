"""Node: one host that runs the agent."""

from __future__ import annotations

import msgspec

from tortie.model.resource import Kind


class NodeBgp(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """`ipv4_address` carries the mask of the host's subnet."""

    as_number: int | None = None
    ipv4_address: str | None = msgspec.field(default=None, name="ipv4Address")
    ipv6_address: str | None = msgspec.field(default=None, name="ipv6Address")


class NodeAddress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    address: str
    type: str = "CalicoNodeIP"


class NodeSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    bgp: NodeBgp | None = None
    addresses: tuple[NodeAddress, ...] = ()


NODE = Kind(name="Node", plural="nodes", spec=NodeSpec)
