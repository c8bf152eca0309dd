"""Node: one host that runs the agent."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from tortie.model import as_number, checks
from tortie.model.checks import Problem
from tortie.model.codec import Value
from tortie.model.resource import Kind, Metadata


class NodeBgp(Value, frozen=True, kw_only=True):
    """`ipv4_address` carries the mask of the host's subnet."""

    as_number: int | str | None = None
    ipv4_address: str | None = msgspec.field(default=None, name="ipv4Address")
    ipv6_address: str | None = msgspec.field(default=None, name="ipv6Address")
    ipv4_ipip_tunnel_addr: str | None = msgspec.field(default=None, name="ipv4IPIPTunnelAddr")
    route_reflector_cluster_id: str | None = msgspec.field(default=None, name="routeReflectorClusterID")


class NodeAddress(Value, frozen=True, kw_only=True):
    address: str
    type: str = "CalicoNodeIP"


class OrchRef(Value, frozen=True, kw_only=True):
    node_name: str = ""
    orchestrator: str = ""


class NodeWireguard(Value, frozen=True, kw_only=True):
    interface_ipv4_address: str | None = msgspec.field(default=None, name="interfaceIPv4Address")
    interface_ipv6_address: str | None = msgspec.field(default=None, name="interfaceIPv6Address")


class NodeInterface(Value, frozen=True, kw_only=True):
    name: str = ""
    addresses: tuple[str, ...] = ()


class NodeSpec(Value, frozen=True, kw_only=True):
    bgp: NodeBgp | None = None
    ipv4_vxlan_tunnel_addr: str | None = msgspec.field(default=None, name="ipv4VXLANTunnelAddr")
    ipv6_vxlan_tunnel_addr: str | None = msgspec.field(default=None, name="ipv6VXLANTunnelAddr")
    vxlan_tunnel_mac_addr: str | None = msgspec.field(default=None, name="vxlanTunnelMACAddr")
    vxlan_tunnel_mac_addr_v6: str | None = msgspec.field(default=None, name="vxlanTunnelMACAddrV6")
    orch_refs: tuple[OrchRef, ...] = ()
    wireguard: NodeWireguard | None = None
    addresses: tuple[NodeAddress, ...] = ()
    interfaces: tuple[NodeInterface, ...] = ()


def check(spec: NodeSpec) -> Iterator[Problem]:
    if spec.bgp == NodeBgp():
        yield Problem("spec.bgp", "should not be empty")
    if spec.bgp is not None:
        yield from _check_bgp(spec.bgp)
    yield from checks.address("spec.ipv4VXLANTunnelAddr", spec.ipv4_vxlan_tunnel_addr, 4)
    yield from checks.address("spec.ipv6VXLANTunnelAddr", spec.ipv6_vxlan_tunnel_addr, 6)
    for end, mac in (
        ("vxlanTunnelMACAddr", spec.vxlan_tunnel_mac_addr),
        ("vxlanTunnelMACAddrV6", spec.vxlan_tunnel_mac_addr_v6),
    ):
        if mac:
            yield from checks.mac(f"spec.{end}", mac)
    for ref in spec.orch_refs:
        if not ref.orchestrator:
            yield Problem("spec.orchRefs.orchestrator", "is missing")
    if spec.wireguard is not None:
        yield from checks.address("spec.wireguard.interfaceIPv4Address", spec.wireguard.interface_ipv4_address, 4)
        yield from checks.address("spec.wireguard.interfaceIPv6Address", spec.wireguard.interface_ipv6_address, 6)
    for item in spec.addresses:
        if item.type not in ("CalicoNodeIP", "InternalIP", "ExternalIP"):
            yield Problem("spec.addresses", f"type {item.type!r} is none of CalicoNodeIP, InternalIP, ExternalIP")


def _check_bgp(bgp: NodeBgp) -> Iterator[Problem]:
    yield from checks.as_number("spec.bgp.asNumber", bgp.as_number)
    yield from checks.interface_address("spec.bgp.ipv4Address", bgp.ipv4_address, 4)
    yield from checks.interface_address("spec.bgp.ipv6Address", bgp.ipv6_address, 6)
    yield from checks.address("spec.bgp.ipv4IPIPTunnelAddr", bgp.ipv4_ipip_tunnel_addr, 4)
    yield from checks.address("spec.bgp.routeReflectorClusterID", bgp.route_reflector_cluster_id, 4)


def defaults(metadata: Metadata, spec: NodeSpec) -> tuple[Metadata, NodeSpec]:
    """An AS number is stored as a plain one."""
    if spec.bgp is None:
        return metadata, spec
    bgp = msgspec.structs.replace(spec.bgp, as_number=as_number.plain(spec.bgp.as_number))
    return metadata, msgspec.structs.replace(spec, bgp=bgp)


NODE = Kind(name="Node", plural="nodes", spec=NodeSpec, check=check, defaults=defaults)
