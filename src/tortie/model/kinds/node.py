"""Node: one host that runs the agent."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from tortie.model import checks
from tortie.model.checks import Problem
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


def check(spec: NodeSpec) -> Iterator[Problem]:
    if spec.bgp is not None:
        yield from checks.as_number("spec.bgp.asNumber", spec.bgp.as_number)
        yield from checks.interface_address("spec.bgp.ipv4Address", spec.bgp.ipv4_address, 4)
        yield from checks.interface_address("spec.bgp.ipv6Address", spec.bgp.ipv6_address, 6)
    for item in spec.addresses:
        if item.type not in ("CalicoNodeIP", "InternalIP", "ExternalIP"):
            yield Problem("spec.addresses", f"type {item.type!r} is none of CalicoNodeIP, InternalIP, ExternalIP")


NODE = Kind(name="Node", plural="nodes", spec=NodeSpec, check=check)
