"""The settings of a host that shape its table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Settings:
    """`host_services`: udp/53 and DHCP from a workload to its own host pass before its egress policy.

    `pools`: every pool, disabled ones too; `masqueraded`: those whose addresses are hidden behind the host's own when
    they speak to what is in no pool.
    """

    interface_prefix: str = "cali"
    endpoint_to_host: Literal["Drop", "Return", "Accept"] = "Drop"
    host_services: bool = False
    pools: tuple[str, ...] = ()
    masqueraded: tuple[str, ...] = ()
