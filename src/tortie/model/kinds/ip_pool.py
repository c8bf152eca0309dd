"""IPPool: a range from which blocks of addresses are given to hosts."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Literal

import msgspec

from tortie.model import checks
from tortie.model.checks import Problem
from tortie.model.codec import Value
from tortie.model.resource import Kind

Encapsulation = Literal["", "Never", "Always", "CrossSubnet"]


class IPPoolSpec(Value, frozen=True, kw_only=True, omit_defaults=False):
    """What a stored pool lacks has the default here, and is stored by a write; UNSET stays away from the store."""

    cidr: str
    vxlan_mode: Encapsulation = "Never"
    ipip_mode: Encapsulation = "Never"
    nat_outgoing: bool | msgspec.UnsetType = msgspec.UNSET
    disabled: bool | msgspec.UnsetType = msgspec.UNSET
    disable_bgp_export: bool | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name="disableBGPExport")
    block_size: int = 0
    node_selector: str = "all()"
    allowed_uses: tuple[str, ...] = ("Workload", "Tunnel")
    assignment_mode: Literal["", "Automatic", "Manual"] = "Automatic"
    namespace_selector: str | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        """What is there and empty has its default too; a pool without a size of its blocks has that of its family."""
        for name, default in (
            ("block_size", 122 if ":" in self.cidr else 26),
            ("vxlan_mode", "Never"),
            ("ipip_mode", "Never"),
            ("node_selector", "all()"),
            ("allowed_uses", ("Workload", "Tunnel")),
            ("assignment_mode", "Automatic"),
        ):
            if not getattr(self, name):
                msgspec.structs.force_setattr(self, name, default)


def check(spec: IPPoolSpec) -> Iterator[Problem]:
    faults = list(checks.cidr("spec.cidr", spec.cidr))
    yield from faults
    yield from checks.selector("spec.nodeSelector", spec.node_selector)
    yield from checks.selector("spec.namespaceSelector", spec.namespace_selector or "")
    for use in spec.allowed_uses:
        if use not in ("Workload", "Tunnel", "LoadBalancer"):
            yield Problem("spec.allowedUses", f"{use!r} is none of Workload, Tunnel, LoadBalancer")
    yield from _check_load_balancer(spec)
    if spec.vxlan_mode != "Never" and spec.ipip_mode != "Never":
        yield Problem("spec.vxlanMode", "cannot be set together with ipipMode")
    if faults:
        return
    cidr = ip_network(spec.cidr)
    low, high = (20, 32) if cidr.version == 4 else (116, 128)
    if not low <= spec.block_size <= high:
        yield Problem("spec.blockSize", f"/{spec.block_size} is not between /{low} and /{high}")
    elif cidr.prefixlen > spec.block_size:
        yield Problem("spec.cidr", f"{cidr} is smaller than one /{spec.block_size} block")
    if cidr.version == 6 and spec.ipip_mode != "Never":
        yield Problem("spec.ipipMode", "is for IPv4 pools only")
    if cidr.is_link_local:
        yield Problem("spec.cidr", f"{cidr} is link-local")


def _check_load_balancer(spec: IPPoolSpec) -> Iterator[Problem]:
    """Addresses for load balancers belong to no host."""
    if "LoadBalancer" not in spec.allowed_uses:
        return
    if len(spec.allowed_uses) > 1:
        yield Problem("spec.allowedUses", "LoadBalancer cannot be combined with another use")
    if spec.node_selector != "all()":
        yield Problem("spec.nodeSelector", "must be all() for the use LoadBalancer")
    if spec.vxlan_mode != "Never" or spec.ipip_mode != "Never":
        yield Problem("spec.allowedUses", "LoadBalancer needs a pool without encapsulation")
    if spec.disable_bgp_export:
        yield Problem("spec.disableBGPExport", "cannot be set for the use LoadBalancer")


IP_POOL = Kind(name="IPPool", plural="ippools", spec=IPPoolSpec, check=check)
