"""Nodes, pools and BGP peers of the v1 form."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from tortie.base.errors import Invalid
from tortie.model.kinds.bgp_peer import BGP_PEER, BGPPeerSpec
from tortie.model.kinds.ip_pool import IP_POOL, Encapsulation, IPPoolSpec
from tortie.model.kinds.node import NODE, NodeBgp, NodeSpec
from tortie.model.resource import Metadata, Resource
from tortie.model.v1 import names
from tortie.model.v1.documents import fault
from tortie.model.v1.shapes import (
    Named,
    PeerMetadata,
    PoolMetadata,
    V1Ipip,
    V1NodeBgp,
    V1NodeSpec,
    V1PeerSpec,
    V1PoolSpec,
)

_MODES: dict[str, Encapsulation] = {"": "Always", "always": "Always", "cross-subnet": "CrossSubnet"}


def node_from_v1(metadata: Named, spec: V1NodeSpec) -> Resource[NodeSpec]:
    bgp = spec.bgp
    if bgp is not None and not (bgp.ipv4_address or bgp.ipv6_address):
        raise Invalid(fault("BGPIP", "", "node: spec.bgp needs an ipv4Address or an ipv6Address"))
    made = (
        None
        if bgp is None
        else NodeBgp(
            as_number=bgp.as_number, ipv4_address=bgp.ipv4_address or None, ipv6_address=bgp.ipv6_address or None
        )
    )
    name = names.node_name(metadata.name)
    return Resource(kind=NODE, metadata=names.remembered(name, metadata.name), spec=NodeSpec(bgp=made))


def node_to_v1(resource: Resource[NodeSpec]) -> tuple[Named, V1NodeSpec]:
    bgp = resource.spec.bgp
    if bgp is not None and not (bgp.ipv4_address or bgp.ipv6_address):
        bgp = None
    made = (
        None
        if bgp is None
        else V1NodeBgp(as_number=bgp.as_number, ipv4_address=bgp.ipv4_address, ipv6_address=bgp.ipv6_address)
    )
    return Named(name=names.original_of(resource.metadata)), V1NodeSpec(bgp=made)


def pool_from_v1(metadata: PoolMetadata, spec: V1PoolSpec) -> Resource[IPPoolSpec]:
    faults = list(_pool_faults(metadata, spec))
    if faults:
        raise Invalid(*faults)
    ipip = spec.ipip or V1Ipip()
    made = IPPoolSpec(
        cidr=metadata.cidr,
        ipip_mode=_MODES[ipip.mode] if ipip.enabled else "Never",
        nat_outgoing=spec.nat_outgoing,
        disabled=spec.disabled,
    )
    return Resource(kind=IP_POOL, metadata=Metadata(name=names.pool_name(metadata.cidr)), spec=made)


def pool_to_v1(resource: Resource[IPPoolSpec]) -> tuple[PoolMetadata, V1PoolSpec]:
    spec = resource.spec
    mode = "always" if spec.ipip_mode == "Always" else "cross-subnet"
    made = V1PoolSpec(
        ipip=V1Ipip(enabled=True, mode=mode) if spec.ipip_mode != "Never" else None,
        nat_outgoing=bool(spec.nat_outgoing),
        disabled=bool(spec.disabled),
    )
    return PoolMetadata(cidr=spec.cidr), made


def _pool_faults(metadata: PoolMetadata, spec: V1PoolSpec) -> Iterator[str]:
    try:
        network = ip_network(metadata.cidr)
    except ValueError as error:
        yield fault("CIDR", metadata.cidr, f"ipPool: {error}")
        return
    smallest = 26 if network.version == 4 else 122
    if network.prefixlen > smallest and not spec.disabled:
        yield fault("CIDR", metadata.cidr, f"ipPool: smaller than /{smallest}")
    if spec.ipip is not None and spec.ipip.mode not in _MODES:
        yield fault("Mode", spec.ipip.mode, "ipPool: spec.ipip.mode: none of always, cross-subnet")


def peer_from_v1(metadata: PeerMetadata, spec: V1PeerSpec) -> Resource[BGPPeerSpec]:
    faults = list(_peer_faults(metadata, spec))
    if faults:
        raise Invalid(*faults)
    own = names.address_name(metadata.peer_ip)
    node = names.node_name(metadata.node)
    name = f"{node}.{own}" if metadata.scope == "node" else own
    made = BGPPeerSpec(node=node, peer_ip=metadata.peer_ip, as_number=spec.as_number)
    return Resource(kind=BGP_PEER, metadata=Metadata(name=name), spec=made)


def peer_to_v1(resource: Resource[BGPPeerSpec]) -> tuple[PeerMetadata, V1PeerSpec]:
    spec = resource.spec
    faults = [
        f"the v1 form has no words for {field}"
        for field, value in (
            ("nodeSelector", spec.node_selector),
            ("peerSelector", spec.peer_selector),
            ("localWorkloadSelector", spec.local_workload_selector),
        )
        if value
    ]
    if faults:
        raise Invalid(*faults)
    metadata = PeerMetadata(scope="node" if spec.node else "global", node=spec.node, peer_ip=spec.peer_ip)
    return metadata, V1PeerSpec(as_number=spec.as_number)


def _peer_faults(metadata: PeerMetadata, spec: V1PeerSpec) -> Iterator[str]:
    try:
        ip_address(metadata.peer_ip)
    except ValueError as error:
        yield fault("PeerIP", metadata.peer_ip, f"bgpPeer: {error}")
    if metadata.scope not in ("global", "node"):
        yield fault("Scope", metadata.scope, "bgpPeer: neither global nor node")
    elif (metadata.scope == "node") != bool(metadata.node):
        yield fault("Node", metadata.node, "bgpPeer: needed with the scope node, and only with it")
    if spec.as_number in (None, 0):
        yield fault("ASNumber", spec.as_number, "bgpPeer: needs one")
