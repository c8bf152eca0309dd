"""HostEndpoint: one interface of a host, or all of them (`*`), as an endpoint of policy."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from tortie.model import checks
from tortie.model.checks import Problem
from tortie.model.codec import Value
from tortie.model.kinds.workload_endpoint import EndpointPort, check_ports
from tortie.model.resource import Kind

ALL_INTERFACES = "*"


class HostEndpointSpec(Value, frozen=True, kw_only=True):
    node: str = ""
    interface_name: str = ""
    expected_ips: tuple[str, ...] = msgspec.field(default=(), name="expectedIPs")
    profiles: tuple[str, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


def check(spec: HostEndpointSpec) -> Iterator[Problem]:
    if not spec.node:
        yield Problem("spec.node", "is missing")
    if spec.node != spec.node.lower():
        yield Problem("spec.node", f"{spec.node!r} is not in lower case, as names of nodes are")
    if not spec.interface_name and not spec.expected_ips:
        yield Problem("spec.interfaceName", "no interface or expected IPs have been specified")
    if spec.interface_name not in ("", ALL_INTERFACES):
        yield from checks.interface("spec.interfaceName", spec.interface_name)
    for address in spec.expected_ips:
        yield from checks.address("spec.expectedIPs", address)
    yield from check_ports(spec.ports)


HOST_ENDPOINT = Kind(name="HostEndpoint", plural="hostendpoints", spec=HostEndpointSpec, check=check)
