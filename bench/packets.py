"""Packets between two workloads of one host beside N policies and 1,000 endpoints, against routing alone.

The same pair of workloads with one policy of their own each time; the N policies are about others. The first packet of
a flow walks every rule, streams meet "established" first. Beside them the same policy by iptables-nft, in the two forms
of `_peers`, and what hiding workloads behind their host costs. All but "no rules" have the same kernel settings. Needs
root, iperf3, taskset; in namespaces of its own.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.kernel.netlab import Host, Lab, inside, own_tag

from bench import _peers as peers
from bench import quick
from bench._paths import MEASURES, Figures, Way, measure, ratios, routed, slope
from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec
from tortie.model.resource import Metadata, Resource, encode
from tortie.model.rule import EntityRule, Rule
from tortie.store.port import Put

SIZES, QUICK_SIZES = (1, 100, 1_000, 10_000), (1, 10, 100, 200)
ENDPOINTS = 1_000
OWN = 50
BATCH = 100
CT, BARE, KUBE = "conntrack only", "no rules", "iptables"
HIDDEN, MASQUERADE = "natOutgoing", "conntrack and masquerade"
OURS_50, CALICO_50 = f"{OWN} policies of its own", f"iptables with {OWN}"
RULE = "ct state established,related accept"


def run() -> list[tuple[str, str]]:
    """(what was measured, the figure) pairs."""
    with tempfile.TemporaryDirectory() as directory:
        lab = Lab(Path(directory))
        try:
            sizes = QUICK_SIZES if quick() else SIZES
            ways = _ways(lab, sizes)
            for way in ways.values():
                way.check()
            return [row for what, how in MEASURES.items() for row in _rows(measure(ways, how), what, how.unit, sizes)]
        finally:
            lab.close()


def _ways(lab: Lab, sizes: Sequence[int]) -> dict[str, Way]:
    ways = {BARE: _plain(lab, "q", 11), CT: _plain(lab, "r", 12), MASQUERADE: _plain(lab, "v", 14)}
    _nft(lab.hosts[1], RULE)
    _nft(lab.hosts[2], RULE, "ip saddr 10.66.0.0/16 ip daddr != 10.66.0.0/16 masquerade")
    if shutil.which("iptables-nft-restore"):
        ways[KUBE] = _plain(lab, "s", 13)
        peers.load(lab.hosts[3].netns, peers.kube("10.66.0.2", ENDPOINTS))
        ways[CALICO_50] = _plain(lab, "u", 15)
        peers.load(lab.hosts[4].netns, peers.calico(("vethu1", "vethu2"), OWN))
    for number, size in enumerate(sizes):
        ways[_name(size)] = _policed(lab, number, size)
    ways[HIDDEN] = _policed(lab, len(sizes), sizes[2], nat=True)
    ways[OURS_50] = _policed(lab, len(sizes) + 1, sizes[2], own=OWN)
    return ways


def _name(size: int) -> str:
    return f"{size} policies"


def _plain(lab: Lab, name: str, last: int) -> Way:
    host = Host(name, lab.plug(name, f"10.9.1.{last}"), f"10.9.1.{last}", lab)
    lab.hosts.append(host)
    one, two = (routed(host, f"{name}{i}", f"10.66.0.{i}", alike=name != "q") for i in (1, 2))
    return Way(one.netns, two.netns, two.address)


def _nft(host: Host, rule: str, hidden: str = "") -> None:
    text = f"table ip c {{ chain f {{ type filter hook forward priority 0; {rule}; }}; }}"
    if hidden:
        text += f"; table ip n {{ chain p {{ type nat hook postrouting priority 110; {hidden}; }}; }}"
    inside(host.netns, "nft", text)


def _policed(lab: Lab, number: int, size: int, own: int = 1, *, nat: bool = False) -> Way:
    """One that may be reached, one that may not, by policies of their own (the last of them lets in), and the rest of
    them about others; in a store of their own."""
    lab.move(f"sqlite://{lab.directory}/store{number}")
    lab.pool("10.65.0.0/16", nat_outgoing=nat)
    name = f"p{number}"
    resources: list[Resource[Any]] = [_policy(i) for i in range(size - own)]
    resources += [_endpoint(name, i) for i in range(ENDPOINTS)]
    resources += [_own_policy(i) for i in range(own - 1)]
    resources.append(_guard())
    for start in range(0, len(resources), BATCH):
        lab.client.datastore.commit([Put(one.key, encode(one)) for one in resources[start : start + BATCH]])
    lab.profile("n", own_tag("n"))
    lab.profile("m", own_tag("m"))
    host = lab.host(name, f"10.9.2.{number + 1}")
    one, two, shut = (host.container(f"{name}{i}", f"10.65.0.{i}", "n" if i < 3 else "m") for i in (1, 2, 3))
    return Way(one.netns, two.netns, two.address, shut.address)


def _guard() -> Resource[Any]:
    spec = GlobalNetworkPolicySpec(selector="has(n)", order=1000, types=("Ingress",), ingress=(own_tag("n"),))
    return Resource(kind=GLOBAL_NETWORK_POLICY, metadata=Metadata(name="guard"), spec=spec)


def _own_policy(number: int) -> Resource[Any]:
    source, port = EntityRule(selector=f"app == 'a{number}'"), EntityRule(ports=(8000 + number,))
    rule = Rule(action="Allow", protocol="TCP", source=source, destination=port)
    spec = GlobalNetworkPolicySpec(selector="has(n)", order=number, types=("Ingress",), ingress=(rule,))
    return Resource(kind=GLOBAL_NETWORK_POLICY, metadata=Metadata(name=f"own{number}"), spec=spec)


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


def _rows(found: Figures, what: str, unit: str, sizes: Sequence[int]) -> list[tuple[str, str]]:
    middle, largest = _name(sizes[2]), _name(sizes[-1])
    pairs = [(middle, CT), (middle, BARE), (largest, _name(sizes[0])), (HIDDEN, MASQUERADE)]
    pairs += [pair for pair in ((middle, KUBE), (OURS_50, CALICO_50)) if pair[1] in found]
    pairs.append((OURS_50, CT))
    curve = {size: found[_name(size)] for size in sizes}
    text = " / ".join(f"{statistics.median(values):.3g}" for values in curve.values())
    head = f"{what}, {' / '.join(map(str, sizes))} policies, {ENDPOINTS} endpoints"
    return [
        (head, f"{text} {unit}; slope {slope(curve):+.3f}"),
        *ratios(found, what, unit, pairs),
    ]
