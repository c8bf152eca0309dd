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

Encapsulation = Literal["Never", "Always", "CrossSubnet"]


class IPPoolSpec(Value, frozen=True, kw_only=True, omit_defaults=False):
    cidr: str
    vxlan_mode: Encapsulation = "Never"
    ipip_mode: Encapsulation = "Never"
    nat_outgoing: bool = False
    disabled: bool = False
    block_size: int = 26
    node_selector: str = "all()"
    allowed_uses: tuple[str, ...] = ("Workload", "Tunnel")
    assignment_mode: Literal["Automatic", "Manual"] = "Automatic"
    namespace_selector: str | msgspec.UnsetType = msgspec.UNSET


def check(spec: IPPoolSpec) -> Iterator[Problem]:
    faults = list(checks.cidr("spec.cidr", spec.cidr))
    yield from faults
    yield from checks.selector("spec.nodeSelector", spec.node_selector)
    yield from checks.selector("spec.namespaceSelector", spec.namespace_selector or "")
    for use in spec.allowed_uses:
        if use not in ("Workload", "Tunnel", "LoadBalancer"):
            yield Problem("spec.allowedUses", f"{use!r} is none of Workload, Tunnel, LoadBalancer")
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


IP_POOL = Kind(name="IPPool", plural="ippools", spec=IPPoolSpec, check=check)
