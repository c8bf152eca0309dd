"""What the hosts of a cluster are, as policy sees them: addresses, settings, host endpoints. Pure."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION, HostPort
from tortie.model.kinds.host_endpoint import ALL_INTERFACES, HOST_ENDPOINT
from tortie.model.kinds.ip_pool import IP_POOL
from tortie.model.kinds.node import NODE, NodeSpec
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
from tortie.policy.failsafes import failsafe
from tortie.policy.nets import within
from tortie.policy.values import ResolvedHost
from tortie.policy.verdict import FAILSAFE_IN, FAILSAFE_OUT, Failsafe
from tortie.policy.world import World


@dataclass(frozen=True, slots=True)
class HostRules:
    """What is fixed for a host beside its policy."""

    endpoint_to_host: Literal["Drop", "Return", "Accept"] = "Drop"
    host_services: bool = False
    failsafe_in: tuple[Failsafe, ...] = FAILSAFE_IN
    failsafe_out: tuple[Failsafe, ...] = FAILSAFE_OUT
    floating: bool = False


class Hosts:
    """The hosts of a world, looked up once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._felix = {item.name: item.spec for item in world.all_of(FELIX_CONFIGURATION)}
        self._pools = [item.spec for item in world.all_of(IP_POOL)]
        self.addresses: dict[str, tuple[str, ...]] = {}
        """By the name of the host; empty for one that is only mentioned."""
        self._endpoints: dict[str, list[tuple[str, ResolvedHost]]] = {}
        for item in world.all_of(WORKLOAD_ENDPOINT):
            self._note(item.spec.node, ())
        for node in world.all_of(NODE):
            self._note(node.name, node_addresses(node.spec))
        resolved = world.engine.local_hosts()
        for item in world.all_of(HOST_ENDPOINT):
            self._note(item.spec.node, resolved[item.key].addresses)
            self._endpoints.setdefault(item.spec.node, []).append((item.key, resolved[item.key]))

    def _note(self, name: str, addresses: Sequence[str]) -> None:
        if name:
            self.addresses[name] = tuple(dict.fromkeys((*self.addresses.get(name, ()), *addresses)))

    def of_address(self, address: str) -> str | None:
        """The host that has the address."""
        return next((name for name, addresses in self.addresses.items() if address in addresses), None)

    def rules(self, name: str) -> HostRules:
        """The host's own fields win over the cluster's, one by one."""
        layers = [self._felix[key] for key in (f"node.{name}", "default") if key in self._felix]

        def first(field: str) -> Any:
            return next((value for layer in layers if (value := getattr(layer, field)) is not None), None)

        inbound, outbound = first("failsafe_inbound_host_ports"), first("failsafe_outbound_host_ports")
        return HostRules(
            endpoint_to_host=first("default_endpoint_to_host_action") or "Drop",
            host_services=first("host_services") == "Enabled",
            floating=first("floating_ips") == "Enabled",
            failsafe_in=FAILSAFE_IN if inbound is None else _failsafes(inbound),
            failsafe_out=FAILSAFE_OUT if outbound is None else _failsafes(outbound),
        )

    def uplink(self, name: str, address: str | None = None) -> tuple[str, ResolvedHost] | None:
        """The host endpoint of the interface with this address, None for any of the host's: the one that expects it,
        else one with a name of an interface, else that of all interfaces."""
        found = self._endpoints.get(name, [])
        own = set(self.addresses.get(name, ())) if address is None else {address}
        ways = (
            [pair for pair in found if own & set(pair[1].addresses) and pair[1].interface != ALL_INTERFACES],
            [pair for pair in found if pair[1].interface not in ("", ALL_INTERFACES) and not pair[1].addresses],
            [pair for pair in found if pair[1].interface == ALL_INTERFACES],
        )
        return next((pairs[0] for pairs in ways if pairs), None)

    def every_interface(self, name: str) -> tuple[str, ResolvedHost] | None:
        """The host endpoint `*`, which also meets what is forwarded through the interfaces of workloads."""
        return next((pair for pair in self._endpoints.get(name, ()) if pair[1].interface == ALL_INTERFACES), None)

    def endpoints(self) -> Mapping[str, Sequence[tuple[str, ResolvedHost]]]:
        """(key, lists) of the host endpoints of each host that has some."""
        return self._endpoints

    def police_forwarding(self) -> bool:
        """Whether any host endpoint has a policy about what its host forwards."""
        pairs = [pair for listed in self._endpoints.values() for pair in listed]
        return any(part.ingress or part.egress for _, v in pairs for part in (v.forward, v.pre_dnat, v.untracked))

    def hidden_behind(self, name: str, source: str, destination: str) -> str | None:
        """The host's address that replaces a workload's, when its pool asks for that and no pool has the other side."""
        if not any(pool.nat_outgoing and not pool.disabled and _holds(pool.cidr, source) for pool in self._pools):
            return None
        if any(_holds(pool.cidr, destination) for pool in self._pools):
            return None
        version = ipaddress.ip_address(source).version
        own = self.addresses.get(name, ())
        return next((address for address in own if ipaddress.ip_address(address).version == version), None)


def node_addresses(spec: NodeSpec) -> tuple[str, ...]:
    """What a Node says of its addresses, without masks; what is none is left out."""
    bgp = (spec.bgp.ipv4_address, spec.bgp.ipv6_address) if spec.bgp else ()
    found = []
    for text in (*bgp, *(item.address for item in spec.addresses)):
        try:
            found.append(str(ipaddress.ip_interface(text or "").ip))
        except ValueError:
            continue
    return tuple(dict.fromkeys(found))


def _failsafes(ports: Sequence[HostPort]) -> tuple[Failsafe, ...]:
    """Of a list in the settings; what is none opens nothing."""
    found: list[Failsafe] = []
    for port in ports:
        with contextlib.suppress(ValueError):
            found.append(failsafe(port))
    return tuple(dict.fromkeys(found))


def _holds(cidr: str, address: str) -> bool:
    try:
        return within(address, (cidr,))
    except ValueError:
        return False
