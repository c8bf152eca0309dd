"""Packets between two workloads of one host beside N policies and 1,000 endpoints, against routing alone.

The same pair of workloads with one policy of their own each time; the N policies are about others. The first packet of
a flow walks every rule, streams meet "established" first. Beside them the same policy as iptables rules, a chain for
each pod, as kube-style plug-ins write it with iptables-nft. Needs root, iperf3, taskset; in namespaces of its own.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.kernel.netlab import Host, Lab, inside, own_tag

from bench import quick
from bench._paths import MEASURES, Figures, Way, measure, ratios, routed, slope
from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec
from tortie.model.resource import Metadata, Resource, encode
from tortie.model.rule import EntityRule, Rule
from tortie.store.port import Put

SIZES, QUICK_SIZES = (1, 100, 1_000, 10_000), (1, 1_000)
ENDPOINTS = 1_000
BATCH = 100


def run() -> list[tuple[str, str]]:
    """(what was measured, the figure) pairs."""
    with tempfile.TemporaryDirectory() as directory:
        lab = Lab(Path(directory))
        try:
            ways = _ways(lab)
            for way in ways.values():
                way.check()
            return [row for what in MEASURES for row in _rows(measure(ways, what), what)]
        finally:
            lab.close()


def _ways(lab: Lab) -> dict[str, Way]:
    ways = {"no rules": _plain(lab, "q", 11), "conntrack only": _plain(lab, "r", 12)}
    _nft(lab.hosts[1], "ct state established,related accept")
    if shutil.which("iptables-nft-restore"):
        ways["iptables"] = _plain(lab, "s", 13)
        kube_rules(lab.hosts[2].netns, ENDPOINTS, "10.66.0.2")
    for number, size in enumerate(_sizes()):
        lab.move(f"sqlite://{lab.directory}/store{size}")
        ways[_name(size)] = _policed(lab, size, number)
    return ways


def _sizes() -> tuple[int, ...]:
    return QUICK_SIZES if quick() else SIZES


def _name(size: int) -> str:
    return f"{size} policies"


def _plain(lab: Lab, name: str, last: int) -> Way:
    host = Host(name, lab.plug(name, f"10.9.1.{last}"), f"10.9.1.{last}", lab)
    lab.hosts.append(host)
    one, two = routed(host, f"{name}1", "10.66.0.1"), routed(host, f"{name}2", "10.66.0.2")
    return Way(one.netns, two.netns, two.address)


def _nft(host: Host, rule: str) -> None:
    inside(host.netns, "nft", f"table ip c {{ chain f {{ type filter hook forward priority 0; {rule}; }}; }}")


def _policed(lab: Lab, size: int, number: int) -> Way:
    """One that may be reached, one that may not, by a policy of their own, and N policies about the others."""
    name = f"p{number}"
    resources: list[Resource[Any]] = [_policy(i) for i in range(size - 1)]
    resources += [_endpoint(name, i) for i in range(ENDPOINTS)]
    resources.append(_guard())
    for start in range(0, len(resources), BATCH):
        lab.client.datastore.commit([Put(one.key, encode(one)) for one in resources[start : start + BATCH]])
    lab.profile("n", own_tag("n"))
    lab.profile("m", own_tag("m"))
    host = lab.host(name, f"10.9.2.{number + 1}")
    one, two, shut = (host.container(f"{name}{i}", f"10.65.0.{i}", "n" if i < 3 else "m") for i in (1, 2, 3))
    return Way(one.netns, two.netns, two.address, shut.address)


def _guard() -> Resource[Any]:
    spec = GlobalNetworkPolicySpec(selector="has(n)", types=("Ingress",), ingress=(own_tag("n"),))
    return Resource(kind=GLOBAL_NETWORK_POLICY, metadata=Metadata(name="guard"), spec=spec)


def _policy(number: int) -> Resource[Any]:
    rule = Rule(
        action="Allow",
        protocol="TCP",
        source=EntityRule(selector=f"app == 'a{(number + 1) % ENDPOINTS}'"),
        destination=EntityRule(ports=(80, 8000 + number % 100)),
    )
    spec = GlobalNetworkPolicySpec(selector=f"app == 'a{number % ENDPOINTS}'", types=("Ingress",), ingress=(rule,))
    return Resource(kind=GLOBAL_NETWORK_POLICY, metadata=Metadata(name=f"x{number}"), spec=spec)


def _endpoint(node: str, number: int) -> Resource[Any]:
    """Its interface is not there: the table has it all the same."""
    spec = WorkloadEndpointSpec(
        orchestrator="cni",
        workload=f"w{number}",
        node=node,
        container_id=f"w{number}",
        endpoint="eth0",
        ip_networks=(f"10.70.{number // 250}.{number % 250 + 1}/32",),
        interface_name=f"calix{number}",
    )
    metadata = Metadata(name=f"{node}-cni-w{number}-eth0", namespace="b", labels={"app": f"a{number}"})
    return Resource(kind=WORKLOAD_ENDPOINT, metadata=metadata, spec=spec)


def kube_rules(netns: str, pods: int, address: str) -> None:
    """The policy of as many pods, and of one with this address: each has a chain, found by its address, one rule after
    the other."""
    lines = ["*filter", ":FORWARD ACCEPT [0:0]", ":PODS - [0:0]"]
    addresses = [*(f"10.70.{i // 250}.{i % 250 + 1}" for i in range(pods)), address]
    lines += [f":POD-{i} - [0:0]" for i in range(len(addresses))]
    lines += ["-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "-A FORWARD -j PODS"]
    lines += [f"-A PODS -d {address}/32 -j POD-{i}" for i, address in enumerate(addresses)]
    for i in range(len(addresses)):
        lines += [f"-A POD-{i} -s 10.66.0.0/24 -j ACCEPT", f"-A POD-{i} -j DROP"]
    command = ["ip", "netns", "exec", netns, "iptables-nft-restore"]
    subprocess.run(command, input="\n".join([*lines, "COMMIT", ""]), text=True, check=True)


def _rows(found: Figures, what: str) -> list[tuple[str, str]]:
    sizes = _sizes()
    pairs = [(_name(1_000), "conntrack only"), (_name(1_000), "no rules"), (_name(sizes[-1]), _name(sizes[0]))]
    if "iptables" in found:
        pairs.append((_name(1_000), "iptables"))
    curve = {size: found[_name(size)] for size in sizes}
    text = " / ".join(f"{statistics.median(values):.3g}" for values in curve.values())
    head = f"{what}, {' / '.join(map(str, sizes))} policies, {ENDPOINTS} endpoints"
    return [
        (head, f"{text} {MEASURES[what][1]}; slope {slope(curve):+.3f}"),
        *ratios(found, what, pairs),
    ]
