"""Node: one host that runs the agent."""

from __future__ import annotations

import msgspec

from tortie.model.codec import Value
from tortie.model.resource import Kind


class NodeBgp(Value, frozen=True, kw_only=True):
    """`ipv4_address` carries the mask of the host's subnet."""

    as_number: int | None = None
    ipv4_address: str | None = msgspec.field(default=None, name="ipv4Address")
    ipv6_address: str | None = msgspec.field(default=None, name="ipv6Address")


class NodeAddress(Value, frozen=True, kw_only=True):
    address: str
    type: str = "CalicoNodeIP"


class NodeSpec(Value, frozen=True, kw_only=True):
    bgp: NodeBgp | None = None
    addresses: tuple[NodeAddress, ...] = ()


NODE = Kind(name="Node", plural="nodes", spec=NodeSpec)
