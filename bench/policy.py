"""The policy in ratios of one run: label index and engine against full scans, as the number of endpoints grows.

Half of the endpoints share a few label sets (the replicas of apps), half have labels of their own, so that classes of
equal labels are neither one nor all. No root needed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec
from tortie.model.kinds.profile import PROFILE, ProfileSpec
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec
from tortie.model.resource import Metadata, Resource
from tortie.model.rule import EntityRule, Rule
from tortie.model.selector import parse
from tortie.policy import Service, World, changes, matrix, table
from tortie.policy.engine import PolicyEngine
from tortie.policy.labels import LabelIndex
from tortie.policy.world import Party

SIZES = (100, 1_000, 10_000, 100_000)
REPEATS, SELECTORS = 50, 100
START = 10_000
HERE = 200


def run() -> list[tuple[str, str]]:
    """(what was measured, the figure) pairs."""
    return [line for size in SIZES for line in _index(size)] + [
        *(line for size in SIZES for line in _update(size)),
        *_start(START),
        *_verdicts(1_000, 100),
        *_matrix(10_000, 100),
        *_whatif(10_000, 100),
    ]


def labels_of(number: int) -> dict[str, str]:
    app = {"app": f"app{number % 50}", "zone": f"z{number % 4}"}
    return app if number % 2 else app | {"instance": str(number)}


def address_of(number: int) -> str:
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def _timed(calls: Sequence[Callable[[], object]]) -> float:
    """The median of the calls, in microseconds."""
    taken = []
    for call in calls:
        start = time.perf_counter()
        call()
        taken.append((time.perf_counter() - start) * 1e6)
    return statistics.median(taken)


def _index(size: int) -> list[tuple[str, str]]:
    index: LabelIndex[str] = LabelIndex()
    texts = [f"app == 'app{n % 50}' && zone != 'z{n // 50}'" for n in range(SELECTORS)]
    for text in texts:
        index.use(text)
    known = {number: labels_of(number) for number in range(size)}
    for number, labels in known.items():
        index.set_endpoint(str(number), labels, (), (address_of(number),))
    picked = [(number * 7919) % size for number in range(REPEATS)]
    flip = _timed(
        [lambda n=n: index.set_endpoint(str(n), known[n] | {"zone": "z9"}, (), (address_of(n),)) for n in picked]  # type: ignore[misc]
    )
    fresh = [f"app == 'app{n}' && has(instance)" for n in range(20)]
    use = _timed([lambda text=text: index.use(text) for text in fresh])  # type: ignore[misc]
    matchers = [parse(text) for text in texts]
    # One selector over all, times the selectors: the whole scan would take seconds.
    scan_flip = _timed([lambda: [matchers[0].matches(labels) for labels in known.values()]] * 3) * SELECTORS
    one = parse(fresh[0])
    scan_use = _timed([lambda: {n for n, labels in known.items() if one.matches(labels)}] * 3)
    bits_use = _timed(_bitset_calls(known))
    return [
        (f"{size} endpoints: label change, {SELECTORS} selectors", _against(flip, scan_flip)),
        (f"{size} endpoints: new selector", _against(use, scan_use)),
        (f"{size} endpoints: new selector by bit sets, addresses listed", f"{bits_use:.0f} us"),
    ]


def _bitset_calls(known: dict[int, dict[str, str]]) -> list[Callable[[], object]]:
    """The other design: one big integer per label value; the members still have to be listed."""
    bits: dict[tuple[str, str] | str, int] = {}
    rows: dict[tuple[str, str] | str, bytearray] = {}
    width = len(known) // 8 + 1
    for number, labels in known.items():
        for pair in labels.items():
            for key in (pair, pair[0]) if pair[0] != "instance" else ("instance",):
                rows.setdefault(key, bytearray(width))[number >> 3] |= 1 << (number & 7)
    for key, row in rows.items():
        bits[key] = int.from_bytes(row, "little")

    def members(app: int) -> list[str]:
        found, result = bits[("app", f"app{app}")] & bits["instance"], []
        for at, byte in enumerate(found.to_bytes(width, "little")):
            if byte:
                result += [address_of(at * 8 + bit) for bit in range(8) if byte >> bit & 1]
        return result

    return [lambda app=app: members(app) for app in range(0, 40, 2)]  # type: ignore[misc]


def _against(ours: float, scan: float) -> str:
    return f"{ours:.0f} us; full scan {scan / 1000:.1f} ms, {scan / ours:.0f} times"


def endpoint(number: int, node: str, **more: str) -> Resource[Any]:
    spec = WorkloadEndpointSpec(
        node=node, orchestrator="cni", workload=f"w{number}", interface_name=f"cali{number}", profiles=("open",),
        ip_networks=(f"{address_of(number)}/32",),
    )  # fmt: skip
    meta = Metadata(name=f"e{number}", namespace="default", labels=labels_of(number) | more)
    return Resource(kind=WORKLOAD_ENDPOINT, metadata=meta, spec=spec)


def policy(number: int, apps: int = 50, port: int = 80) -> Resource[Any]:
    rule = Rule(
        action="Allow",
        protocol="TCP",
        source=EntityRule(selector=f"app == 'app{(number * 7 + 1) % apps}'"),
        destination=EntityRule(ports=(port, 1000 + number % 100)),
    )
    spec = GlobalNetworkPolicySpec(
        selector=f"app == 'app{number % apps}' && zone == 'z{number % 4}'",
        order=number,
        types=("Ingress",),
        ingress=(rule,),
    )
    return Resource(kind=GLOBAL_NETWORK_POLICY, metadata=Metadata(name=f"p{number}"), spec=spec)


PROFILE_OPEN = ProfileSpec(ingress=(Rule(action="Allow"),), egress=(Rule(action="Allow"),))


def filled(size: int, policies: int, apps: int = 50) -> PolicyEngine:
    """A host with `HERE` endpoints among `size`."""
    engine = PolicyEngine("here")
    engine.set_profile("open", PROFILE_OPEN)
    for number in range(policies):
        resource = policy(number, apps)
        engine.set_policy(resource.key, resource)
    for number in range(size):
        resource = endpoint(number, "here" if number < HERE else "there")
        engine.set_endpoint(resource.key, resource)
    return engine


def _update(size: int) -> list[tuple[str, str]]:
    engine = filled(size, 100)
    numbers = [(number * 7919) % size for number in range(REPEATS)]
    flips = [endpoint(n, "here" if n < HERE else "there", zone="z1") for n in numbers]
    edits = [policy(n, port=81) for n in range(REPEATS)]
    adds = [policy(1000 + n) for n in range(REPEATS)]
    flip = _timed([lambda r=r: engine.set_endpoint(r.key, r) for r in flips])  # type: ignore[misc]
    edit = _timed([lambda r=r: engine.set_policy(r.key, r) for r in edits])  # type: ignore[misc]
    add = _timed([lambda r=r: engine.set_policy(r.key, r) for r in adds])  # type: ignore[misc]
    figures = f"label {flip:.0f} us, rule edit {edit:.0f} us, new policy {add:.0f} us"
    return [(f"engine, {size} endpoints, 100 policies: one update", figures)]


def _start(size: int) -> list[tuple[str, str]]:
    start = time.perf_counter()
    filled(size, size, apps=2500)
    return [(f"engine: start from {size} endpoints and {size} policies", f"{time.perf_counter() - start:.2f} s")]


def _world(size: int, policies: int) -> World:
    open_to_all = Resource(kind=PROFILE, metadata=Metadata(name="open"), spec=PROFILE_OPEN)
    return World([open_to_all, *(policy(n) for n in range(policies)), *(endpoint(n, "h") for n in range(size))])


def _verdicts(size: int, policies: int) -> list[tuple[str, str]]:
    world = _world(size, policies)
    evaluator, local = world.engine.evaluator(), list(world.endpoints().values())
    pairs = [(local[n % size], local[(n * 31 + 1) % size]) for n in range(5_000)]
    service = Service.parse("tcp/80")
    start = time.perf_counter()
    for source, destination in pairs:
        packet = service.packet(source.addresses[0], destination.addresses[0])
        evaluator.egress(source, packet)
        evaluator.ingress(destination, packet)
    each = (time.perf_counter() - start) / len(pairs) / 2
    return [(f"verdict, {size} endpoints, {policies} policies", f"{each * 1e6:.1f} us, {1 / each:.0f} a second")]


def _matrix(size: int, policies: int) -> list[tuple[str, str]]:
    world = _world(size, policies)
    start = time.perf_counter()
    table = matrix(world, [Service.parse("tcp/80")])
    taken = time.perf_counter() - start
    keys = list(world.endpoints())
    parties = [(Party(world.endpoints()[key].addresses[0], key), key) for key in keys[:4]]
    service = Service.parse("tcp/80")
    assert all(
        table.may(k1, k2, service) is world.converse(p1, p2, service).allowed
        for p1, k1 in parties
        for p2, k2 in parties
        if k1 != k2
    )
    return [(f"matrix of {size} endpoints, {policies} policies", f"{taken:.2f} s in {len(table.classes)} classes")]


def _whatif(size: int, policies: int) -> list[tuple[str, str]]:
    """One policy loses its rules: who loses what, exactly, asked by classes. And the whole picture as a table."""
    before, after = _world(size, policies), _world(size, policies)
    changed = policy(3)
    after.put(replace(changed, spec=msgspec.structs.replace(changed.spec, ingress=(), egress=())))
    start = time.perf_counter()
    found = changes(before, after)
    taken = time.perf_counter() - start
    assert found.items
    start = time.perf_counter()
    picture = table(before, [Service.parse("tcp/80")])
    drawn = time.perf_counter() - start
    what = f"of {size} endpoints, {policies} policies"
    return [
        (f"what-if {what}", f"{taken:.2f} s, {found.looked} of {found.pairs} pairs of classes asked"),
        (f"table {what}", f"{drawn:.2f} s in {len(picture.groups)} groups"),
    ]
