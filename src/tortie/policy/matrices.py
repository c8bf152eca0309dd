"""Who may speak to whom, for any number of endpoints: asked once for each pair of classes of equal endpoints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tortie.policy import nets
from tortie.policy.engine import PolicyEngine
from tortie.policy.values import CompiledRule, Resolved, RuleLists
from tortie.policy.verdict import Evaluator
from tortie.policy.world import Service, World


@dataclass(frozen=True, slots=True)
class Matrix:
    """`classes`: keys of endpoints that no rule tells apart. `allowed`: for each service, pairs (from, to) of numbers
    of classes. An endpoint and itself are no pair."""

    classes: tuple[tuple[str, ...], ...]
    allowed: tuple[tuple[Service, frozenset[tuple[int, int]]], ...]

    def may(self, source: str, destination: str, service: Service) -> bool:
        """For two keys of endpoints of the matrix."""
        number = {key: index for index, keys in enumerate(self.classes) for key in keys}
        return (number[source], number[destination]) in dict(self.allowed)[service]


def matrix(world: World, services: Iterable[Service], keys: Iterable[str] | None = None) -> Matrix:
    """Among the endpoints with these keys; None: all of them."""
    local, services = world.endpoints(), tuple(services)
    chosen = {key: local[key] for key in (local if keys is None else keys)}
    classes = _classes(world.engine, chosen, services)
    evaluator = world.engine.evaluator()
    # The second member speaks for a class that meets itself.
    pairs = [(chosen[keys[0]], chosen[keys[-1]]) for keys in classes]
    allowed = tuple((service, _allowed(evaluator, pairs, service)) for service in services)
    return Matrix(classes, allowed)


def _allowed(
    evaluator: Evaluator, pairs: Sequence[tuple[Resolved, Resolved]], service: Service
) -> frozenset[tuple[int, int]]:
    found = set()
    for i, (source, _) in enumerate(pairs):
        for j, (_, destination) in enumerate(pairs):
            packet = service.packet(source.addresses[0], destination.addresses[0])
            if evaluator.egress(source, packet).allowed and evaluator.ingress(destination, packet).allowed:
                found.add((i, j))
    return frozenset(found)


def _classes(
    engine: PolicyEngine, endpoints: dict[str, Resolved], services: Sequence[Service]
) -> tuple[tuple[str, ...], ...]:
    """Endpoints with equal lists whose first addresses are in the same sets and networks of every rule in use."""
    rules = [rule for lists in engine.rules_in_use() for rule in _rules(lists)]
    sides = [side for rule in rules for side in (rule.source, rule.destination)]
    selectors = sorted({s for rule in rules for s in rule.selectors()})
    named = sorted({n for rule in rules for n in rule.named_ports()})
    networks = sorted({net for side in sides for net in (*side.nets, *side.not_nets)})
    found: dict[object, list[str]] = {}
    for key, value in endpoints.items():
        address = value.addresses[0]
        sets, marks = engine.sets, 0
        for selector in selectors:
            marks = marks << 1 | sets.has(selector, address)
        for net in networks:
            marks = marks << 1 | nets.within(address, (net,))
        for port in named:
            for service in services:
                marks = marks << 1 | sets.has_port(port, (address, service.protocol, service.port))
        lists = (value.ingress_tiers, value.egress_tiers, value.profiles, value.problems)
        found.setdefault((lists, marks, nets.address(address)[0]), []).append(key)
    return tuple(tuple(sorted(keys)) for keys in sorted(found.values()))


def _rules(lists: RuleLists) -> tuple[CompiledRule, ...]:
    return (*lists.ingress, *lists.egress)
