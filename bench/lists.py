"""Lists of N networks that one rule asks for: a packet's cost, the load, and one network more or less.

The list is NetworkSets of 1,000 networks each with one label. From one workload to another; the network that lets it in
is the last of the list. Beside it one iptables rule for each network. Needs root, iperf3, taskset;
in namespaces of its own.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tests.kernel.netlab import Host, Lab
from tests.support.waiting import wait_until

from bench import _peers as peers
from bench import quick
from bench._paths import MEASURES, Figures, Way, measure, ratios, routed, slope
from bench._probing import Prober, forgetful
from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec
from tortie.model.kinds.global_network_set import GLOBAL_NETWORK_SET, GlobalNetworkSetSpec
from tortie.model.resource import Metadata, Resource
from tortie.model.rule import EntityRule, Rule

SIZES, QUICK_SIZES = (1, 1_000, 100_000), (1, 1_000)
# Nobody loads more than these one by one.
LINEAR = 10_000
EACH = 1_000
CHANGES, QUICK_CHANGES = 40, 6
OWN = "10.60.0.0/30"
SOURCE, TARGET = "10.60.0.1", "10.60.0.2"
WHAT = ("packet of 64 bytes", "first packet of a flow")


def run() -> list[tuple[str, str]]:
    """(what was measured, the figure) pairs."""
    sizes = QUICK_SIZES if quick() else SIZES
    rows: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory() as directory:
        lab = Lab(Path(directory))
        try:
            ways: dict[str, Way] = {}
            for number, size in enumerate(sizes):
                lab.move(f"sqlite://{lab.directory}/store{size}")
                ways[_name(size)] = _ours(lab, size, number, rows)
            if shutil.which("iptables-nft-restore"):
                ways |= {f"{size} rules": _linear(lab, size, n) for n, size in enumerate(_linear_sizes(sizes))}
            for what in WHAT:
                rows += _rows(measure(ways, MEASURES[what]), what, sizes)
        finally:
            lab.close()
    return rows


def _name(size: int) -> str:
    return f"{size} networks"


def _linear_sizes(sizes: Sequence[int]) -> list[int]:
    return sorted({min(size, LINEAR) for size in sizes})


def _networks(count: int) -> list[str]:
    """/22 to /24, none in another."""
    return [f"{20 + (i >> 14)}.{i >> 6 & 255}.{(i & 63) * 4}.0/{22 + i % 3}" for i in range(count)]


def _set(number: int, nets: Sequence[str]) -> Resource[Any]:
    metadata = Metadata(name=f"list{number}", labels={"list": "long"})
    return Resource(kind=GLOBAL_NETWORK_SET, metadata=metadata, spec=GlobalNetworkSetSpec(nets=tuple(nets)))


def _ours(lab: Lab, size: int, number: int, rows: list[tuple[str, str]]) -> Way:
    allowed = Rule(action="Allow", source=EntityRule(selector="list == 'long'"))
    spec = GlobalNetworkPolicySpec(selector="has(guarded)", types=("Ingress",), ingress=(allowed,))
    lab.client.apply(Resource(kind=GLOBAL_NETWORK_POLICY, metadata=Metadata(name="guard"), spec=spec))
    lab.profile("guarded")
    lab.profile("free")
    host = lab.host(f"n{number}", f"10.9.3.{number + 1}")
    one, two = host.container(f"{number}1", SOURCE, "free"), host.container(f"{number}2", TARGET, "guarded")
    forgetful(host.netns)
    others = _networks(size - 1)
    with Prober(one.netns, TARGET) as prober:
        took = prober.change(lambda: _load(lab, [*others, OWN]), open_=True)
        rows.append((f"list of {_name(size)} written to first packet by its last", f"{took:.0f} ms"))
        rows.append((f"one network more or less of {_name(size)} to first packet", _changes(lab, prober, others)))
    wait_until(lambda: host.status().get("ready"), message=host.story)
    return Way(one.netns, two.netns, TARGET)


def _load(lab: Lab, nets: Sequence[str]) -> None:
    for number in range(0, len(nets), EACH):
        lab.client.apply(_set(number // EACH, nets[number : number + EACH]))


def _changes(lab: Lab, prober: Prober, others: Sequence[str]) -> str:
    last = len(others) // EACH
    rest = others[last * EACH :]
    taken = []
    for number in range(QUICK_CHANGES if quick() else CHANGES):
        open_ = number % 2 == 1
        changed = _set(last, [*rest, OWN] if open_ else rest)
        taken.append(prober.change(partial(lab.client.apply, changed), open_=open_))
    taken.sort()
    return f"p50 {statistics.median(taken):.1f} ms, p99 {taken[int(len(taken) * 0.99)]:.1f} ms of {len(taken)}"


def _linear(lab: Lab, size: int, number: int) -> Way:
    """A rule for each network, the one that matters last."""
    name = f"l{number}"
    host = Host(name, lab.plug(name, f"10.9.4.{number + 1}"), f"10.9.4.{number + 1}", lab)
    one, two = routed(host, f"{name}1", SOURCE), routed(host, f"{name}2", TARGET)
    peers.load(host.netns, peers.linear(TARGET, [*_networks(size - 1), OWN]))
    return Way(one.netns, two.netns, TARGET)


def _rows(found: Figures, what: str, sizes: Sequence[int]) -> Iterator[tuple[str, str]]:
    unit, linear = MEASURES[what].unit, _linear_sizes(sizes)
    for names, of in (([_name(size) for size in sizes], sizes), ([f"{size} rules" for size in linear], linear)):
        if names[0] not in found:
            continue
        curve = dict(zip(of, (found[name] for name in names), strict=True))
        text = " / ".join(f"{statistics.median(values):.3g}" for values in curve.values())
        kind = "networks of a list" if names[0] == _name(sizes[0]) else "iptables rules"
        yield f"{what}, {' / '.join(map(str, of))} {kind}", f"{text} {unit}; slope {slope(curve):+.3f}"
    yield from ratios(found, what, unit, [(_name(sizes[-1]), _name(sizes[0]))])
