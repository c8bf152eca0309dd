"""What the agent reads from the store beside endpoints and profiles: nodes and settings."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from tortie.base.errors import Invalid
from tortie.dataplane.render.settings import Settings, parse_prefixes
from tortie.dataplane.routes import Peer, PoolWay
from tortie.model.kinds.felix_configuration import FelixConfigurationSpec
from tortie.model.kinds.ip_pool import IPPoolSpec
from tortie.model.kinds.node import NodeBgp, NodeSpec

DEFAULT_PREFIXES = Settings().interface_prefixes


def peer(spec: NodeSpec) -> Peer:
    """What other hosts need to know of a node; an address that is none counts as absent."""
    bgp = spec.bgp or NodeBgp()
    return Peer(
        address=_address(bgp.ipv4_address),
        vxlan=_address(spec.ipv4_vxlan_tunnel_addr),
        mac=spec.vxlan_tunnel_mac_addr or "",
        ipip=_address(bgp.ipv4_ipip_tunnel_addr),
    )


def _address(text: str | None) -> str:
    """An IPv4 address without its mask."""
    try:
        return str(ipaddress.IPv4Interface(text).ip) if text else ""
    except ValueError:
        return ""


def pool_ways(pools: Iterable[IPPoolSpec]) -> list[PoolWay]:
    """How each pool's packets travel; what is no range is left out."""
    found = []
    for spec in pools:
        try:
            cidr = ipaddress.ip_network(spec.cidr)
        except ValueError:
            continue
        if spec.vxlan_mode and spec.vxlan_mode != "Never":
            found.append(PoolWay(cidr, "vxlan", spec.vxlan_mode))
        elif spec.ipip_mode and spec.ipip_mode != "Never":
            found.append(PoolWay(cidr, "ipip", spec.ipip_mode))
        else:
            found.append(PoolWay(cidr))
    return found


def merge_settings(
    default: FelixConfigurationSpec | None, own: FelixConfigurationSpec | None, pools: Iterable[IPPoolSpec] = ()
) -> Settings:
    """The node's own fields win, one by one."""
    layers = [spec for spec in (own, default) if spec is not None]
    actions = [s.default_endpoint_to_host_action for s in layers if s.default_endpoint_to_host_action]
    services = [s.host_services for s in layers if s.host_services]
    listed = list(pools)
    prefixes = [s.interface_prefix for s in layers if s.interface_prefix]
    return Settings(
        interface_prefixes=_prefixes(prefixes[0]) if prefixes else DEFAULT_PREFIXES,
        endpoint_to_host=actions[0] if actions else "Drop",
        host_services=services[:1] == ["Enabled"],
        pools=_cidrs(listed),
        masqueraded=_cidrs(pool for pool in listed if pool.nat_outgoing and not pool.disabled),
    )


def _prefixes(text: str) -> tuple[str, ...]:
    """A list that is not one of interface names would leave every workload unguarded: then it is the default's."""
    try:
        return parse_prefixes(text)
    except Invalid:
        return DEFAULT_PREFIXES


def _cidrs(pools: Iterable[IPPoolSpec]) -> tuple[str, ...]:
    """The IPv4 ranges of pools, none within another; what is no range is left out."""
    nets = []
    for pool in pools:
        try:
            nets.append(ipaddress.IPv4Network(pool.cidr))
        except ValueError:
            continue
    return tuple(str(net) for net in ipaddress.collapse_addresses(nets))
