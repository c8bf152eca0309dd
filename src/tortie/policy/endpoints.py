"""What the engine needs of an endpoint or a network set: its labels, its addresses, its ports."""

from __future__ import annotations

import ipaddress
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tortie.base.numbers import whole
from tortie.model.kinds.workload_endpoint import Nat, WorkloadEndpointSpec
from tortie.model.resource import Resource
from tortie.policy.compile import PROTOCOLS
from tortie.policy.namespaces import NAMESPACE, OF_NAMESPACE, OF_SERVICE_ACCOUNT, SERVICE_ACCOUNT
from tortie.policy.nets import members

ORCHESTRATOR = "projectcalico.org/orchestrator"
RESERVED = (OF_NAMESPACE, OF_SERVICE_ACCOUNT)
BROADCAST = ipaddress.IPv4Address("255.255.255.255")


@dataclass(frozen=True, slots=True)
class Party:
    """Whoever labels select. `members`: addresses, and for a network set networks too."""

    labels: dict[str, str]
    profiles: tuple[str, ...]
    members: tuple[str, ...]
    ports: tuple[tuple[str, int, int], ...] = ()
    interface: str = ""
    node: str = ""
    host: bool = False
    floating: tuple[tuple[str, str], ...] = ()
    spoofed: tuple[str, ...] = ()


def workload(resource: Resource[WorkloadEndpointSpec]) -> Party | None:
    """None for an endpoint without an address: nobody can speak to it."""
    spec = resource.spec
    found = addresses(spec.ip_networks)
    if not found:
        return None
    labels = {key: value for key, value in resource.metadata.labels.items() if not key.startswith(RESERVED)}
    labels[NAMESPACE] = resource.metadata.namespace or ""
    labels[ORCHESTRATOR] = spec.orchestrator
    if spec.service_account_name:
        labels[SERVICE_ACCOUNT] = spec.service_account_name
    return Party(
        labels,
        _once(spec.profiles),
        found,
        _ports(spec.ports),
        spec.interface_name,
        spec.node,
        floating=_floating(spec.ip_nats, found),
        spoofed=tuple(dict.fromkeys(members(spec.allow_spoofed_source_prefixes))),
    )


def host(resource: Resource[Any]) -> Party:
    spec = resource.spec
    found = addresses(spec.expected_ips)
    labels, profiles = dict(resource.metadata.labels), _once(spec.profiles)
    return Party(labels, profiles, found, _ports(spec.ports), spec.interface_name, spec.node, host=True)


def network_set(resource: Resource[Any], known: Container[str] = ()) -> Party:
    """A namespaced one has its namespace's label and inherits from the namespace's profile. `known`: networks
    of before, as it would write them."""
    labels, namespace = dict(resource.metadata.labels), resource.metadata.namespace
    labels.pop(NAMESPACE, None)
    if resource.kind.namespaced and namespace is not None:
        labels[NAMESPACE] = namespace
    nets = tuple(dict.fromkeys(members(resource.spec.nets, known)))
    return Party(labels, (f"kns.{namespace}",) if resource.kind.namespaced else (), nets)


def addresses(networks: Sequence[str]) -> tuple[str, ...]:
    """Addresses without their /32 or /128; what is not an address of a single host is left out."""
    return _once([found for text in networks if (found := _address(text)) is not None])


# Who learns of an endpoint asks several times, one right after the other.
@lru_cache(maxsize=1 << 10)
def _address(text: str) -> str | None:
    try:
        address = ipaddress.ip_interface(text).ip
    except ValueError:
        return None
    special = address.is_loopback or address.is_multicast or address.is_link_local or address.is_unspecified
    return None if special or address == BROADCAST else str(address)


def _floating(nats: Sequence[Nat], own: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """(address outside, own address), where both are addresses of one family and the endpoint has the second."""
    found: dict[str, str] = {}
    for nat in nats:
        outside, inside = addresses((nat.external_ip,)), addresses((nat.internal_ip,))
        if outside and inside and inside[0] in own and (":" in outside[0]) == (":" in inside[0]):
            found.setdefault(outside[0], inside[0])
    return tuple(found.items())


def _ports(ports: Sequence[Any]) -> tuple[tuple[str, int, int], ...]:
    found = []
    for port in ports:
        text = str(port.protocol).upper()
        number = PROTOCOLS.get(text) or whole(text, 255)
        if number and 1 <= port.port <= 65535:
            found.append((port.name, number, port.port))
    return tuple(found)


def _once(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
