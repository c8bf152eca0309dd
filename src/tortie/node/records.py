"""What the agent reads from the store beside endpoints and profiles: nodes and settings."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from tortie.base.errors import Invalid
from tortie.dataplane.bgp import Speaker
from tortie.dataplane.ends import Peer
from tortie.dataplane.render.bird import Announced
from tortie.dataplane.render.rules import Marks, Refusal
from tortie.dataplane.render.settings import (
    Hiding,
    Settings,
    parse_interface_filter,
    parse_marks,
    parse_port_range,
    parse_prefixes,
)
from tortie.dataplane.routes import PoolWay, Ways
from tortie.dataplane.tunnels import VXLAN_ID, VXLAN_PORT, Tunnel, TunnelSettings, parse_six
from tortie.model import checks
from tortie.model.kinds.felix_configuration import FelixConfigurationSpec, HostPort
from tortie.model.kinds.ip_pool import IPPoolSpec
from tortie.model.kinds.node import NodeBgp, NodeSpec
from tortie.model.resource import Resource
from tortie.policy.failsafes import failsafe
from tortie.policy.hosts import node_addresses
from tortie.policy.verdict import Failsafe

MOST_VNI = 2**24 - 1
DEFAULT_PREFIXES = Settings().interface_prefixes


def peer(spec: NodeSpec) -> Peer:
    """What other hosts need to know of a node; an address that is none counts as absent."""
    bgp = spec.bgp or NodeBgp()
    return Peer(
        address=_address(bgp.ipv4_address),
        vxlan=_address(spec.ipv4_vxlan_tunnel_addr),
        mac=_mac(spec.vxlan_tunnel_mac_addr),
        ipip=_address(bgp.ipv4_ipip_tunnel_addr),
        address6=_address6(bgp.ipv6_address),
        vxlan6=_address6(spec.ipv6_vxlan_tunnel_addr),
        mac6=_mac(spec.vxlan_tunnel_mac_addr_v6),
    )


def subnet6(spec: NodeSpec) -> str:
    """A node's own IPv6 address with its mask; empty when it has none that others could reach."""
    found = _six((spec.bgp or NodeBgp()).ipv6_address)
    return str(found) if found else ""


def speaker(node: Resource[NodeSpec]) -> Speaker:
    """A node as BGP sees it."""
    bgp = node.spec.bgp or NodeBgp()
    return Speaker(
        address=(bgp.ipv4_address or "") if _address(bgp.ipv4_address) else "",
        address6=subnet6(node.spec),
        as_number=bgp.as_number,
        cluster=bgp.route_reflector_cluster_id or "",
        labels=dict(node.metadata.labels),
    )


def addresses(spec: NodeSpec) -> tuple[str, ...]:
    """All that a node is known by on the network, the ends of its tunnels too."""
    found = peer(spec)
    return (*node_addresses(spec), *filter(None, (found.vxlan, found.ipip, found.vxlan6)))


def announced(ways: Ways, pools: Iterable[IPPoolSpec], workloads: Sequence[str]) -> Announced:
    """What BGP says of this host: its blocks, and the pools that they may be of."""
    listed = list(pools)
    hidden = [spec.cidr for spec in listed if spec.disable_bgp_export is True]
    return Announced(
        blocks=[block for block, owner in ways.holdings.owners.items() if owner == ways.node],
        pools=pool_ways(spec for spec in listed if spec.disabled is not True),
        hidden=[way.cidr for way in ways.pools if str(way.cidr) in hidden],
        workloads=workloads,
    )


def _address(text: str | None) -> str:
    """An IPv4 address without its mask."""
    try:
        return str(ipaddress.IPv4Interface(text).ip) if text else ""
    except ValueError:
        return ""


def _six(text: str | None) -> ipaddress.IPv6Interface | None:
    """One that only a link knows is none: it does not say which link."""
    try:
        return parse_six(text) if text else None
    except Invalid:
        return None


def _mac(text: str | None) -> str:
    """As the kernel writes it; one that is none counts as absent."""
    return text.lower() if text and not list(checks.mac("", text)) else ""


def _address6(text: str | None) -> str:
    """An IPv6 address without its mask."""
    found = _six(text)
    return str(found.ip) if found else ""


def pool_ways(pools: Iterable[IPPoolSpec]) -> list[PoolWay]:
    """How each pool's packets travel; what is no range is left out."""
    found = []
    for spec in pools:
        try:
            cidr = ipaddress.ip_network(spec.cidr)
        except ValueError:
            continue
        # An empty mode is Never.
        if spec.vxlan_mode in ("Always", "CrossSubnet"):
            found.append(PoolWay(cidr, "vxlan", spec.vxlan_mode))
        elif spec.ipip_mode in ("Always", "CrossSubnet") and cidr.version == 4:
            found.append(PoolWay(cidr, "ipip", spec.ipip_mode))
        else:
            found.append(PoolWay(cidr))
    return found


class _Layers:
    """Of each field the first layer's value that is set."""

    def __init__(self, *layers: FelixConfigurationSpec | None) -> None:
        self._layers = [spec for spec in layers if spec is not None]
        self._asked: set[str] = set()

    def first(self, field: str) -> Any:
        """None: it is set nowhere."""
        self._asked.add(field)
        return next((value for spec in self._layers if (value := getattr(spec, field)) is not None), None)

    def ignored(self) -> tuple[str, ...]:
        """The fields that are set and that nobody has asked for, by their names in the store."""
        kind = FelixConfigurationSpec
        names = dict(zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True))
        found = {name for spec in self._layers for name, _ in spec.unknown}
        for field in names.keys() - self._asked - {"unknown"}:
            if any(getattr(spec, field) is not None for spec in self._layers):
                found.add(names[field])
        return tuple(sorted(found))


def merge_settings(
    default: FelixConfigurationSpec | None, own: FelixConfigurationSpec | None, pools: Iterable[IPPoolSpec] = ()
) -> Settings:
    """The node's own fields win, one by one. What cannot be is as if it were not set, and told in `problems`."""
    layers = _Layers(own, default)
    problems: list[str] = []
    listed = list(pools)
    usual = Settings()
    # What the tunnels ask for means something, too.
    _tunnels(layers)
    return Settings(
        interface_prefixes=_prefixes(layers.first("interface_prefix"), problems),
        endpoint_to_host=layers.first("default_endpoint_to_host_action") or "Drop",
        host_services=layers.first("host_services") == "Enabled",
        foreign_accept=layers.first("foreign_accept") == "Enabled",
        flows=layers.first("flow_logs") == "Enabled",
        pools=_cidrs(listed),
        masqueraded=_cidrs(pool for pool in listed if pool.nat_outgoing and not pool.disabled),
        hiding=_hiding(layers, problems),
        failsafes_in=_failsafes(layers.first("failsafe_inbound_host_ports"), usual.failsafes_in, problems),
        failsafes_out=_failsafes(layers.first("failsafe_outbound_host_ports"), usual.failsafes_out, problems),
        marks=_marks(layers.first("nftables_mark_mask"), layers.first("iptables_mark_mask"), problems),
        vxlan_port=_port(layers, problems),
        vxlan_from_workloads=bool(layers.first("allow_vxlan_packets_from_workloads")),
        ipip_from_workloads=bool(layers.first("allow_ipip_packets_from_workloads")),
        invalid_passes=bool(layers.first("disable_conntrack_invalid_check")),
        refusal=_refusal(layers),
        log=layers.first("log_prefix") or usual.log,
        floating=layers.first("floating_ips") == "Enabled",
        spoofing=layers.first("workload_source_spoofing") == "Any",
        problems=tuple(problems),
        ignored=layers.ignored(),
    )


def tunnel_settings(default: FelixConfigurationSpec | None, own: FelixConfigurationSpec | None) -> TunnelSettings:
    """What the settings say of tunnels between hosts; the node's own fields win."""
    return _tunnels(_Layers(own, default))


def _tunnels(layers: _Layers) -> TunnelSettings:
    sizes: dict[Tunnel, int] = {
        "vxlan": layers.first("vxlan_mtu") or 0,
        "vxlan-v6": layers.first("vxlan_mtuv6") or 0,
        "ipip": layers.first("ipip_mtu") or 0,
    }
    problems: list[str] = []
    vni = _within(layers.first("vxlan_vni"), "vxlanVNI", MOST_VNI, VXLAN_ID, problems)
    return TunnelSettings(sizes, layers.first("mtu_iface_pattern") or "", vni, _port(layers, []), tuple(problems))


def _port(layers: _Layers, problems: list[str]) -> int:
    return _within(layers.first("vxlan_port"), "vxlanPort", 65535, VXLAN_PORT, problems)


def _within(value: int | None, name: str, most: int, usual: int, problems: list[str]) -> int:
    """The value if it can be, else the usual one; 0 is that, too."""
    if not value or 0 < value <= most:
        return value or usual
    problems.append(f"{name} {str(value)[:20]} is not between 1 and {most}: it is {usual}")
    return usual


def _refusal(layers: _Layers) -> Refusal:
    """As said of the dataplane that this is, else of the older one."""
    said = layers.first("nftables_filter_deny_action") or layers.first("iptables_filter_deny_action")
    return "reject" if said == "Reject" else "drop"


def _prefixes(text: str | None, problems: list[str]) -> tuple[str, ...]:
    """A list that is not one of interface names would leave every workload unguarded: then it is the default's."""
    try:
        return parse_prefixes(text) if text else DEFAULT_PREFIXES
    except Invalid as error:
        problems.append(str(error))
        return DEFAULT_PREFIXES


def _marks(ours: int | None, older: int | None, problems: list[str]) -> Marks:
    mask = ours if ours is not None else older
    try:
        return Settings().marks if mask is None else parse_marks(mask)
    except Invalid as error:
        problems.append(str(error))
        return Settings().marks


def _hiding(layers: _Layers, problems: list[str]) -> Hiding:
    """Of natOutgoing."""
    ports, interface = layers.first("nat_port_range"), layers.first("iptables_nat_outgoing_interface_filter")
    return Hiding(
        _parsed(_ipv4, layers.first("nat_outgoing_address"), problems),
        _parsed(parse_port_range, None if ports is None else str(ports), problems),
        _parsed(parse_interface_filter, interface, problems),
        layers.first("nat_outgoing_exclusions") == "IPPoolsAndHostIPs",
    )


def _ipv4(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError as error:
        raise Invalid(f"natOutgoingAddress: {error}") from error


def _parsed(parse: Callable[[str], str], text: str | None, problems: list[str]) -> str:
    try:
        return parse(text) if text else ""
    except Invalid as error:
        problems.append(str(error))
        return ""


def _failsafes(
    ports: Sequence[HostPort] | None, usual: tuple[Failsafe, ...], problems: list[str]
) -> tuple[Failsafe, ...]:
    """A list of its own takes the place of the usual one, an empty one closes every way."""
    if ports is None:
        return usual
    found = []
    for port in ports:
        try:
            found.append(failsafe(port))
        except ValueError as error:
            problems.append(f"failsafe port {port.protocol}/{port.port} {port.net}: {error}")
    return tuple(dict.fromkeys(found))


def _cidrs(pools: Iterable[IPPoolSpec]) -> tuple[str, ...]:
    """The ranges of pools, none within another; what is no range is left out."""
    nets: list[IPv4Network | IPv6Network] = []
    for pool in pools:
        with contextlib.suppress(ValueError):
            nets.append(ipaddress.ip_network(pool.cidr))
    fours = ipaddress.collapse_addresses(net for net in nets if isinstance(net, IPv4Network))
    sixes = ipaddress.collapse_addresses(net for net in nets if isinstance(net, IPv6Network))
    return (*map(str, fours), *map(str, sixes))
