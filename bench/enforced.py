"""From a write to the store to the first packet that is judged by it, beside N endpoints and M policies of one host.

A real agent process; new flows a millisecond apart go from one workload to another. Two kinds of change: a label of
the source (an element of a set), and the rules of the target's policy (a chain). Meanwhile labels of other endpoints
change, some a second. Beside it what a kube-style plug-in does with iptables-nft: `iptables-nft-restore` of one rule
where there are as many pods, without a store and without an agent. Needs root; in namespaces of its own.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
from tests.kernel.netlab import Host, Lab
from tests.support.waiting import wait_until

from bench import _peers as peers
from bench import quick
from bench._paths import routed
from bench._probing import Prober, forgetful
from bench.updates import NODE, _endpoint, _load, _policy, _profile, flipping
from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec
from tortie.model.resource import Metadata, Resource
from tortie.model.rule import EntityRule, Rule

SIZES = ((10, 10), (1_000, 1_000), (5_000, 1_000), (10_000, 1_000))
RATES = (0, 100, 1_000)
CHANGES = 100
QUICK_SIZES, QUICK_RATES, QUICK_CHANGES = ((10, 10), (1_000, 1_000)), (0, 100), 10
SOURCE, TARGET = "10.60.0.1", "10.60.0.2"
GUARD, OPEN = "guarded", "open"


def run() -> list[tuple[str, str]]:
    """(what was measured, the figure) pairs."""
    changes = QUICK_CHANGES if quick() else CHANGES
    rows: list[tuple[str, str]] = []
    for endpoints, policies in QUICK_SIZES if quick() else SIZES:
        with tempfile.TemporaryDirectory() as directory:
            lab = Lab(Path(directory))
            try:
                rows += _ours(lab, endpoints, policies, changes)
                rows += _theirs(lab, endpoints, changes)
            finally:
                lab.close()
    return rows


def _ours(lab: Lab, endpoints: int, policies: int, changes: int) -> Iterator[tuple[str, str]]:
    lab.move(f"sqlite://{lab.directory}/s")  # as `updates` calls it
    resources: list[Resource[Any]] = [_profile(), _guard(open_=False)]
    resources += [_policy(number) for number in range(policies)]
    resources += [_endpoint(number) for number in range(endpoints)]
    _load(lab.client, resources)
    host = lab.host(NODE, "10.9.0.1")
    source = host.link("calisrc", SOURCE)
    host.link("calidst", TARGET)
    forgetful(host.netns)
    placed = [lab.client.apply(_end("src", SOURCE)), lab.client.apply(_end("dst", TARGET, GUARD))]
    states = ("up", "up")
    wait_until(lambda: tuple(_state(host, one.key) for one in placed) == states, message=host.story)
    with Prober(source, TARGET) as prober:
        for rate in QUICK_RATES if quick() else RATES:
            with flipping(lab.client, lab.directory, endpoints, rate):
                what = f"{endpoints} endpoints, {policies} policies, {rate} updates/s"
                label = _times(prober, changes, lambda open_: lab.client.apply(_end("src", SOURCE, OPEN * open_)))
                yield f"label written to first packet, {what}", label
                lab.client.apply(_end("src", SOURCE))
                prober.settle(open_=False)
                rules = _times(prober, changes, lambda open_: lab.client.apply(_guard(open_=open_)))
                yield f"policy written to first packet, {what}", rules


def _state(host: Host, key: str) -> str:
    return str(host.status().get("endpoints", {}).get(key, {}).get("state"))


def _times(prober: Prober, changes: int, write: Callable[[bool], object]) -> str:
    """Open, closed, open, ... ; both ways count."""
    taken = sorted(
        prober.change(lambda open_=open_: write(open_), open_=open_)  # type: ignore[misc]
        for number in range(changes)
        for open_ in [number % 2 == 0]
    )
    return f"p50 {statistics.median(taken):.1f} ms, p99 {taken[int(len(taken) * 0.99)]:.1f} ms of {len(taken)}"


def _end(name: str, address: str, *labels: str) -> Resource[Any]:
    """An endpoint with a namespace behind it."""
    made = _endpoint(0)
    spec = msgspec.structs.replace(
        made.spec, workload=name, container_id=name, interface_name=f"cali{name}", ip_networks=(f"{address}/32",)
    )
    metadata = Metadata(name=f"{NODE}-cni-{name}-eth0", namespace="b", labels=dict.fromkeys(filter(None, labels), ""))
    return replace(made, metadata=metadata, spec=spec)


def _guard(*, open_: bool) -> Resource[Any]:
    """Lets in who has the label; `open_`: everybody."""
    source = EntityRule(nets=(f"{SOURCE}/32",)) if open_ else EntityRule(selector=f"has({OPEN})")
    rules = (Rule(action="Allow", protocol="UDP", source=source),)
    spec = GlobalNetworkPolicySpec(selector=f"has({GUARD})", types=("Ingress",), ingress=rules)
    return Resource(kind=GLOBAL_NETWORK_POLICY, metadata=Metadata(name="guard"), spec=spec)


def _theirs(lab: Lab, pods: int, changes: int) -> Iterator[tuple[str, str]]:
    if not shutil.which("iptables-nft-restore"):
        return
    host = Host("k", lab.plug("k", "10.9.0.2"), "10.9.0.2", lab)
    source, target = routed(host, "k1", SOURCE), routed(host, "k2", TARGET)
    peers.load(host.netns, peers.kube(TARGET, pods))
    forgetful(host.netns)
    rule = f"POD-{pods} -s {SOURCE}/32 -j ACCEPT"

    def write(open_: bool) -> None:
        peers.load(host.netns, f"*filter\n{'-I' if open_ else '-D'} {rule}\nCOMMIT\n", "--noflush")

    with Prober(source.netns, target.address) as prober:
        yield f"iptables-nft-restore to first packet, {pods} pods", _times(prober, changes, write)
