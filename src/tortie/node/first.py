"""The network of a store that has none yet. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION, FelixConfigurationSpec
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.ipam_configuration import IPAM_CONFIGURATION, IPAMConfigurationSpec
from tortie.model.resource import Metadata, Resource, problems

POOL_NAME = "default-ipv4-ippool"
Mode = Literal["Never", "CrossSubnet", "Always"]


@dataclass(frozen=True, slots=True, kw_only=True)
class First:
    """The network of a store that has none yet: its first pool, and what all hosts do; None is left to them.
    `cooldown`: so many seconds an address that was given back rests."""

    cidr: str = "192.168.0.0/16"
    block_size: int = 26
    nat_outgoing: bool = True
    vxlan_mode: Mode = "CrossSubnet"
    ipip_mode: Mode = "Never"
    endpoint_to_host: Literal["Drop", "Return", "Accept"] | None = None
    host_services: Literal["Enabled", "Disabled"] | None = None
    flow_logs: Literal["Enabled", "Disabled"] | None = None
    cooldown: int = 0

    def pool(self) -> Resource[IPPoolSpec]:
        spec = IPPoolSpec(
            cidr=self.cidr,
            block_size=self.block_size,
            nat_outgoing=self.nat_outgoing,
            vxlan_mode=self.vxlan_mode,
            ipip_mode=self.ipip_mode,
        )
        return Resource(kind=IP_POOL, metadata=Metadata(name=POOL_NAME), spec=spec)

    def felix(self) -> Resource[FelixConfigurationSpec]:
        spec = FelixConfigurationSpec(
            default_endpoint_to_host_action=self.endpoint_to_host,
            host_services=self.host_services,
            flow_logs=self.flow_logs,
        )
        return Resource(kind=FELIX_CONFIGURATION, metadata=Metadata(name="default"), spec=spec)

    def faults(self) -> list[str]:
        """What of it no store would take."""
        ipam = IPAMConfigurationSpec(ip_cooldown_seconds=self.cooldown)
        own = Resource(kind=IPAM_CONFIGURATION, metadata=Metadata(name="default"), spec=ipam)
        found: list[Resource[Any]] = [self.pool(), self.felix(), own]
        return [str(problem) for resource in found for problem in problems(resource)]


AS_EVER = First()
