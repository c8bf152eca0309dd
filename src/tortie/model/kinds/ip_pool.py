"""IPPool: a range from which blocks of addresses are given to hosts."""

from __future__ import annotations

from typing import Literal

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


IP_POOL = Kind(name="IPPool", plural="ippools", spec=IPPoolSpec)
