"""BGPPeer: a router that some or all nodes speak BGP with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from tortie.model import as_number, checks
from tortie.model.checks import Problem
from tortie.model.codec import Value
from tortie.model.resource import Kind, Metadata


class SecretKey(Value, frozen=True, kw_only=True):
    name: str = ""
    key: str = ""
    optional: bool | None = None


class BGPPassword(Value, frozen=True, kw_only=True):
    secret_key_ref: SecretKey | None = None


class BGPPeerSpec(Value, frozen=True, kw_only=True):
    """Without `node` and `nodeSelector` it is a peer of every node."""

    node: str = ""
    node_selector: str = ""
    peer_ip: str = msgspec.field(default="", name="peerIP")
    as_number: int | str | None = None
    local_as_number: int | str | None = msgspec.field(default=None, name="localASNumber")
    peer_selector: str = ""
    keep_original_next_hop: bool = False
    next_hop_mode: Literal["Auto", "Self", "Keep"] | None = None
    password: BGPPassword | None = None
    source_address: Literal["UseNodeIP", "None"] | None = None
    max_restart_time: str | None = None
    keepalive_time: str | None = None
    num_allowed_local_as_numbers: int | None = msgspec.field(default=None, name="numAllowedLocalASNumbers")
    ttl_security: int | None = None
    reachable_by: str = ""
    filters: tuple[str, ...] = ()
    local_workload_selector: str = ""
    reverse_peering: Literal["Auto", "Manual"] | None = None


def check(spec: BGPPeerSpec) -> Iterator[Problem]:
    yield from checks.as_number("spec.asNumber", spec.as_number)
    yield from checks.as_number("spec.localASNumber", spec.local_as_number)
    for end, text in (
        ("nodeSelector", spec.node_selector),
        ("peerSelector", spec.peer_selector),
        ("localWorkloadSelector", spec.local_workload_selector),
    ):
        yield from checks.selector(f"spec.{end}", text)
    if spec.peer_ip:
        yield from checks.address_and_port("spec.peerIP", spec.peer_ip)
    yield from checks.address("spec.reachableBy", spec.reachable_by)
    yield from checks.duration("spec.maxRestartTime", spec.max_restart_time)
    yield from checks.duration("spec.keepaliveTime", spec.keepalive_time)
    yield from checks.between("spec.numAllowedLocalASNumbers", spec.num_allowed_local_as_numbers, 0, 2**31 - 1)
    yield from checks.between("spec.ttlSecurity", spec.ttl_security, 0, 255)
    yield from _check_together(spec)


def _check_together(spec: BGPPeerSpec) -> Iterator[Problem]:
    if spec.node and spec.node_selector:
        yield Problem("spec.node", "Node field must be empty when NodeSelector is specified")
    if spec.peer_ip and spec.peer_selector:
        yield Problem("spec.peerIP", "PeerIP field must be empty when PeerSelector is specified")
    if spec.peer_selector and spec.as_number:
        yield Problem("spec.asNumber", "ASNumber field must be empty when PeerSelector is specified")
    if spec.local_workload_selector and (spec.peer_ip or spec.peer_selector):
        yield Problem("spec.localWorkloadSelector", "PeerIP and PeerSelector must be empty beside it")
    if spec.local_workload_selector and not spec.as_number:
        yield Problem("spec.asNumber", "ASNumber is needed when LocalWorkloadSelector is specified")
    if spec.reachable_by and not spec.peer_ip:
        yield Problem("spec.reachableBy", "ReachableBy field must be empty when PeerIP is empty")
    if spec.keep_original_next_hop and spec.next_hop_mode:
        yield Problem("spec.nextHopMode", "cannot be set together with keepOriginalNextHop")
    if not (spec.peer_ip or spec.peer_selector or spec.local_workload_selector):
        yield Problem("spec.peerIP", "one of peerIP, peerSelector and localWorkloadSelector is needed")


def defaults(metadata: Metadata, spec: BGPPeerSpec) -> tuple[Metadata, BGPPeerSpec]:
    """AS numbers are stored as plain ones."""
    own, local = as_number.plain(spec.as_number), as_number.plain(spec.local_as_number)
    return metadata, msgspec.structs.replace(spec, as_number=own, local_as_number=local)


BGP_PEER = Kind(name="BGPPeer", plural="bgppeers", spec=BGPPeerSpec, check=check, defaults=defaults)
