"""The verdict of the policy values against the verdict of the kernel, for rules of every construct."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from tests.kernel.netlab import Container, Host, Lab, until
from tests.kernel.test_node_kernel import matrix_of

from tortie.lab.walks.matrix import Probe
from tortie.model.kinds.profile import PROFILE
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
from tortie.model.rule import EntityRule, Icmp, Rule
from tortie.policy.engine import PolicyEngine
from tortie.policy.verdict import Packet

pytestmark = pytest.mark.root

PROBES = (Probe("tcp", 80), Probe("tcp", 443), Probe("tcp", 9000), Probe("udp", 53), Probe("udp", 4789), Probe("icmp"))
PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "icmp": socket.IPPROTO_ICMP}
ANY = EntityRule()


def to(*ports: int | str) -> EntityRule:
    return EntityRule(ports=ports)


def tcp(destination: EntityRule = ANY, source: EntityRule = ANY, action: str = "Allow") -> Rule:
    return Rule(action=action, protocol="TCP", source=source, destination=destination)  # type: ignore[arg-type]


ALLOW, DENY = Rule(action="Allow"), Rule(action="Deny")
CASES: dict[str, Sequence[Rule]] = {
    "nothing": (),
    "one port": (tcp(to(80)),),
    "ports and ranges": (tcp(to(80, "440:450", 9001)),),
    "not ports": (tcp(EntityRule(not_ports=(80, "9000:9001"))),),
    "net": (Rule(action="Allow", source=EntityRule(nets=("10.65.0.2/32",))),),
    "nets": (Rule(action="Allow", source=EntityRule(nets=("10.65.0.2/32", "10.65.0.16/28"))),),
    "not nets": (Rule(action="Allow", source=EntityRule(not_nets=("10.65.0.2/32", "10.65.0.64/28"))),),
    "other family only": (Rule(action="Allow", source=EntityRule(nets=("fd00::/8",))),),
    "version": (Rule(action="Deny", ip_version=6), tcp(to(80))),
    "selector": (Rule(action="Allow", source=EntityRule(selector="a == ''")),),
    "not selector": (Rule(action="Allow", source=EntityRule(not_selector="a == ''")),),
    "negated selector": (Rule(action="Allow", source=EntityRule(selector="!has(a)")),),
    "both selectors": (tcp(source=EntityRule(selector="has(a) || has(b)", not_selector="has(b)")),),
    "deny first": (tcp(to(80), action="Deny"), ALLOW),
    "pass ends the profile": (tcp(to(80), action="Pass"), ALLOW),
    "log decides nothing": (Rule(action="Log"), tcp(to(443))),
    "protocol by number": (Rule(action="Allow", protocol=17),),
    "not protocol": (Rule(action="Allow", not_protocol="TCP"),),
    "icmp type": (Rule(action="Allow", protocol="ICMP", icmp=Icmp(type=8)),),
    "icmp type and code": (Rule(action="Allow", protocol="ICMP", icmp=Icmp(type=8, code=1)),),
    "not icmp type": (Rule(action="Allow", protocol="ICMP", not_icmp=Icmp(type=8)),),
    "not icmp type and code": (Rule(action="Allow", protocol="ICMP", not_icmp=Icmp(type=8, code=1)),),
}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def engine_of(lab: Lab, node: str) -> PolicyEngine:
    engine = PolicyEngine(node)
    for profile in lab.client.list(PROFILE).items:
        engine.set_profile(profile.name, profile.spec)
    for endpoint in lab.client.list(WORKLOAD_ENDPOINT).items:
        engine.set_endpoint(endpoint.key, endpoint)
    return engine


def packet(source: str, destination: str, probe: Probe) -> Packet:
    icmp = (8, 0) if probe.protocol == "icmp" else None
    return Packet(source, destination, PROTOCOLS[probe.protocol], 40000, probe.port, icmp)


def said(lab: Lab, host: Host, sources: Sequence[Container], target: Container) -> dict[str, frozenset[Probe]]:
    """What the values say, source by source."""
    engine = engine_of(lab, host.name)
    evaluator, local = engine.evaluator(), engine.local()
    return {
        source.key: frozenset(
            probe
            for probe in PROBES
            if evaluator.egress(local[source.key], packet(source.address, target.address, probe)).allowed
            and evaluator.ingress(local[target.key], packet(source.address, target.address, probe)).allowed
        )
        for source in sources
    }


def test_kernel_and_verdict_agree_on_every_construct(lab: Lab) -> None:
    host = lab.host("h1", "10.9.0.1")
    for name in ("a", "b", "last"):
        lab.profile(name, *((tcp(to(80)),) if name == "last" else (ALLOW,)))
    lab.profile("case")
    sources = [host.container("a", "10.65.0.2", "a"), host.container("b", "10.65.0.3", "b")]
    target = host.container("t", "10.65.0.1", "case", "last")
    for title, rules in CASES.items():
        lab.profile("case", *rules)
        agree(lab, host, sources, target, f"{title}, coming in")
    lab.profile("last", ALLOW)
    for title, rules in CASES.items():
        turned = [msgspec.structs.replace(rule, source=ANY) for rule in rules]
        lab.profile("a", ALLOW, egress=turned)
        agree(lab, host, sources, target, f"{title}, going out")


def agree(lab: Lab, host: Host, sources: Sequence[Container], target: Container, title: str) -> None:
    wanted = said(lab, host, sources, target)
    seen: dict[str, frozenset[Probe]] = {}

    def same() -> bool:
        found = matrix_of([s.netns for s in sources], target.address, PROBES)
        seen.update({source.key: found[source.netns] for source in sources})
        return seen == wanted

    try:
        until(same)
    except AssertionError as error:
        raise AssertionError(f"{title}: the values say {wanted}, the kernel does {seen}") from error
