"""Whether a packet arrives, by `policy.verdict` alone: every hop of its way in order (reference 8.2, 8.5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.differential.net import BEHIND, HOSTS, WORKLOADS

from tortie.policy.engine import PolicyEngine
from tortie.policy.hosts import HostRules
from tortie.policy.values import Resolved, ResolvedHost
from tortie.policy.verdict import Evaluator, Packet, Verdict

INTERFACES = {"h1": {"eth0": HOSTS["h1"], "eth1": BEHIND}, "h2": {"eth0": HOSTS["h2"]}}


@dataclass(frozen=True, slots=True)
class Hop:
    """What a host does with a packet. No interface: from, or for, the host itself."""

    host: str
    came: str
    goes: str


def way(source: str, destination: str) -> list[Hop]:
    """The hosts between two parties. The outsider on the bridge reaches workloads by the first host."""
    found: list[Hop] = []
    here, came = _place(source)
    if here == "":
        here, came = ("h1", "eth1") if source == "o2" else (_from_bridge(destination), "eth0")
    while here:
        goes, there = _onward(here, destination)
        found.append(Hop(here, came, goes))
        here, came = there, "eth0"
    return found


def _place(party: str) -> tuple[str, str]:
    """(host of a party, its interface there); no host for outsiders."""
    if party in WORKLOADS:
        return WORKLOADS[party][0], f"cali{party}"
    return (party, "") if party in HOSTS else ("", "")


def _from_bridge(destination: str) -> str:
    return {"h2": "h2", "o1": ""}.get(destination, "h1")


def _onward(here: str, destination: str) -> tuple[str, str]:
    """(interface out, next host)."""
    host, interface = _place(destination)
    if host == here:
        return interface, ""
    if destination == "o2":
        return ("eth1", "") if here == "h1" else ("eth0", "h1")
    return "eth0", host


class Oracle:
    """`engines`: what each host knows."""

    def __init__(self, engines: Mapping[str, PolicyEngine]) -> None:
        self.engines = engines
        self.rules = HostRules(endpoint_to_host="Return")

    def judge(self, source: str, destination: str, packet: Packet) -> tuple[bool, str]:
        """Whether it arrives, and who said no."""
        for hop in way(source, destination):
            for title, verdict in self._hop(hop, packet):
                if not verdict.allowed:
                    return False, f"{hop.host} {title}: {verdict.by} rule {verdict.rule}"
        return True, "allowed"

    def _hop(self, hop: Hop, packet: Packet) -> Iterator[tuple[str, Verdict]]:
        engine = self.engines[hop.host]
        evaluator = engine.evaluator()
        came, goes = self._workload(engine, hop.came), self._workload(engine, hop.goes)
        before, behind = self._host_endpoint(hop.host, hop.came), self._host_endpoint(hop.host, hop.goes)
        if not hop.came:
            if goes is None and behind:
                yield "out", evaluator.host_traffic(behind, "egress", packet, self.rules.failsafe_out)
        elif not hop.goes:
            if came is not None:
                yield "to host", self._to_host(evaluator, came, packet, before)
            elif before:
                yield "in", evaluator.host_traffic(before, "ingress", packet, self.rules.failsafe_in)
        else:
            if before:
                yield "forward in", evaluator.forwarded(before, "ingress", packet, from_workload=came is not None)
            if came is not None:
                yield "egress", evaluator.egress(came, packet)
            if goes is not None:
                yield "ingress", evaluator.ingress(goes, packet)
            if behind:
                yield "forward out", evaluator.forwarded(behind, "egress", packet)

    def _to_host(self, evaluator: Evaluator, came: Resolved, packet: Packet, every: ResolvedHost | None) -> Verdict:
        rules = self.rules
        return evaluator.to_host(
            came,
            packet,
            action=rules.endpoint_to_host,
            host_services=rules.host_services,
            host=every,
            failsafes=rules.failsafe_in,
        )

    def _workload(self, engine: PolicyEngine, interface: str) -> Resolved | None:
        return next((found for found in engine.local().values() if found.interface == interface), None)

    def _host_endpoint(self, host: str, interface: str) -> ResolvedHost | None:
        """By name or address the first by key, else one for all."""
        if not interface:
            return None
        held = sorted(self.engines[host].local_hosts().items())
        own = INTERFACES[host].get(interface, ())
        for _, found in held:
            if found.interface == interface or (not found.interface and set(found.addresses) & set(own)):
                return found
        return next((found for _, found in held if found.interface == "*"), None)
