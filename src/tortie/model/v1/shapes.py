"""The documents of the v1 form, as values."""

from __future__ import annotations

from typing import Literal

import msgspec

from tortie.model.codec import Value
from tortie.model.rule import Icmp, Port, Protocol


class V1Side(Value, frozen=True, kw_only=True):
    tag: str = ""
    net: str | None = None
    nets: tuple[str, ...] = ()
    selector: str = ""
    ports: tuple[Port, ...] = ()
    not_tag: str = ""
    not_net: str | None = None
    not_nets: tuple[str, ...] = ()
    not_selector: str = ""
    not_ports: tuple[Port, ...] = ()


class V1Rule(Value, frozen=True, kw_only=True, omit_defaults=False):
    """Both sides are always written, as the original writes them."""

    action: str
    ip_version: int | msgspec.UnsetType = msgspec.UNSET
    protocol: Protocol | msgspec.UnsetType = msgspec.UNSET
    icmp: Icmp | msgspec.UnsetType = msgspec.UNSET
    not_protocol: Protocol | msgspec.UnsetType = msgspec.UNSET
    not_icmp: Icmp | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name="notICMP")
    source: V1Side = V1Side()
    destination: V1Side = V1Side()


class Named(Value, frozen=True, kw_only=True):
    name: str


class ProfileMetadata(Named, frozen=True, kw_only=True):
    tags: tuple[str, ...] = ()
    labels: dict[str, str] = {}


class HostEndpointMetadata(Named, frozen=True, kw_only=True):
    node: str
    labels: dict[str, str] = {}


class WorkloadEndpointMetadata(Value, frozen=True, kw_only=True):
    name: str = ""
    workload: str
    orchestrator: str
    node: str
    active_instance_id: str = msgspec.field(default="", name="activeInstanceID")
    labels: dict[str, str] = {}


class PoolMetadata(Value, frozen=True, kw_only=True):
    cidr: str


class PeerMetadata(Value, frozen=True, kw_only=True):
    scope: str
    node: str = ""
    peer_ip: str = msgspec.field(name="peerIP")


class V1PolicySpec(Value, frozen=True, kw_only=True):
    """The selector is always written, an empty one too: a default that is made is not left out."""

    order: int | float | None = None
    ingress: tuple[V1Rule, ...] = ()
    egress: tuple[V1Rule, ...] = ()
    selector: str = msgspec.field(default_factory=str)
    do_not_track: bool = False


class LaterPolicyMetadata(Named, frozen=True, kw_only=True):
    """As releases after 1.3 know it; annotations say nothing about packets and stay behind."""

    annotations: dict[str, str] = {}


class LaterPolicySpec(V1PolicySpec, frozen=True, kw_only=True):
    """As releases after 1.3 know it."""

    types: tuple[Literal["ingress", "egress", "Ingress", "Egress"], ...] = ()
    pre_dnat: bool = msgspec.field(default=False, name="preDNAT")
    apply_on_forward: bool = False


class V1ProfileSpec(Value, frozen=True, kw_only=True):
    ingress: tuple[V1Rule, ...] = ()
    egress: tuple[V1Rule, ...] = ()


class V1HostEndpointSpec(Value, frozen=True, kw_only=True):
    interface_name: str = ""
    expected_ips: tuple[str, ...] = msgspec.field(default=(), name="expectedIPs")
    profiles: tuple[str, ...] = ()


class V1Nat(Value, frozen=True, kw_only=True):
    internal_ip: str = msgspec.field(name="internalIP")
    external_ip: str = msgspec.field(name="externalIP")


class V1WorkloadEndpointSpec(Value, frozen=True, kw_only=True):
    ip_networks: tuple[str, ...] = ()
    ip_nats: tuple[V1Nat, ...] = msgspec.field(default=(), name="ipNATs")
    ipv4_gateway: str = msgspec.field(default="", name="ipv4Gateway")
    ipv6_gateway: str = msgspec.field(default="", name="ipv6Gateway")
    profiles: tuple[str, ...] = ()
    interface_name: str = ""
    mac: str = ""


class V1Ipip(Value, frozen=True, kw_only=True):
    enabled: bool = False
    mode: str = ""


class V1PoolSpec(Value, frozen=True, kw_only=True):
    ipip: V1Ipip | None = None
    nat_outgoing: bool = msgspec.field(default=False, name="nat-outgoing")
    disabled: bool = False


class V1PeerSpec(Value, frozen=True, kw_only=True):
    as_number: int | str | None = None


class V1NodeBgp(Value, frozen=True, kw_only=True):
    as_number: int | str | None = None
    ipv4_address: str | None = msgspec.field(default=None, name="ipv4Address")
    ipv6_address: str | None = msgspec.field(default=None, name="ipv6Address")


class V1NodeSpec(Value, frozen=True, kw_only=True):
    bgp: V1NodeBgp | None = None
