"""Who may speak to whom, for any number of endpoints: asked once for each pair of classes of equal endpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from tortie.base.errors import Invalid
from tortie.policy import nets
from tortie.policy.classes import Group, Look, first_addresses, groups
from tortie.policy.path import Answer, End, Way
from tortie.policy.values import Resolved
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
    """Among the workload endpoints with these keys; None: all of them. Host endpoints are not asked (`table` does)."""
    local, services = world.endpoints(), tuple(services)
    look = Look(world, services)
    found: dict[object, list[str]] = {}
    for key in local if keys is None else keys:
        found.setdefault(look.of_workload(local[key]), []).append(key)
    classes = tuple(tuple(sorted(members)) for members in sorted(found.values()))
    evaluator = world.engine.evaluator()
    # The second member speaks for a class that meets itself.
    pairs = [(local[members[0]], local[members[-1]]) for members in classes]
    allowed = tuple((service, _allowed(evaluator, pairs, service)) for service in services)
    return Matrix(classes, allowed)


def _allowed(
    evaluator: Evaluator, pairs: Sequence[tuple[Resolved, Resolved]], service: Service
) -> frozenset[tuple[int, int]]:
    found = set()
    for i, (source, _) in enumerate(pairs):
        for j, (_, destination) in enumerate(pairs):
            common = _common(source, destination)
            if common is None:
                continue
            packet = service.packet(*common)
            if evaluator.egress(source, packet).allowed and evaluator.ingress(destination, packet).allowed:
                found.add((i, j))
    return frozenset(found)


def _common(source: Resolved, destination: Resolved) -> tuple[str, str] | None:
    """The addresses of a packet between two endpoints: IPv4 where both have it; None without a common version."""
    for one in first_addresses(source.addresses):
        for other in first_addresses(destination.addresses):
            if nets.address(one)[0] == nets.address(other)[0]:
                return one, other
    return None


@dataclass(frozen=True, slots=True)
class Table:
    """The whole picture: workloads, hosts with a host endpoint, and everybody outside.

    `cells[i][j]`: for each service, whether a member of group i may speak to one of group j; None where there is no
    such pair: one end alone with itself, two ends outside, no IP version in common."""

    groups: tuple[Group, ...]
    services: tuple[Service, ...]
    cells: tuple[tuple[tuple[bool, ...] | None, ...], ...]


def table(world: World, services: Iterable[Service]) -> Table:
    """Asked by pairs of classes; groups that speak and are spoken to alike are one."""
    services = tuple(services)
    look = Look(world, services)
    found = groups([look])
    cells = [[asked(look.way, one, other, services) for other in found] for one in found]
    return _merged(Table(tuple(found), services, tuple(map(tuple, cells))))


def asked(way: Way, one: Group, other: Group, services: Sequence[Service]) -> tuple[bool, ...] | None:
    """What members of two groups may say to each other; None when there is no such pair."""
    found = [answer and answer.allowed for answer in answers(way, one, other, services)]
    if all(value is None for value in found):
        return None
    return tuple(bool(value) for value in found)


def answers(way: Way, one: Group, other: Group, services: Sequence[Service]) -> list[Answer | None]:
    """None for a service that the two have no common address for, or when there is no such pair."""
    source, destination = one.one, other.other if one == other else other.one
    if (one == other and len(one.ends) == 1) or (one.outside and other.outside):
        return [None] * len(services)
    return list(map(partial(_answer, way, source, destination), services))


def _answer(way: Way, source: End, destination: End, service: Service) -> Answer | None:
    try:
        return way.ask(source, destination, service)
    except Invalid:  # no addresses of one IP version: they do not speak to each other at all
        return None


def _merged(whole: Table) -> Table:
    """Groups that are told apart by rules but not by what they may."""
    blocks: list[list[int]] = []
    for number in range(len(whole.groups)):
        alike = _alike(whole, number)
        block = next((block for block in blocks if all(map(alike, block))), None)
        if block is None:
            blocks.append([number])
        else:
            block.append(number)
    merged = tuple(Group(tuple(end for number in block for end in whole.groups[number].ends)) for block in blocks)
    # A block of several has an answer for itself even where its first group, of one end, has none.
    cells = tuple(tuple(_cell(whole, one, other) for other in blocks) for one in blocks)
    return Table(merged, whole.services, cells)


def _cell(whole: Table, one: Sequence[int], other: Sequence[int]) -> tuple[bool, ...] | None:
    values = (whole.cells[i][j] for i in one for j in other)
    return next((value for value in values if value is not None), None)


def _alike(whole: Table, number: int) -> Callable[[int], bool]:
    cells = whole.cells
    outside, role = whole.groups[number].outside, whole.groups[number].one.role

    def like(other: int) -> bool:
        if whole.groups[other].outside != outside or whole.groups[other].one.role != role:
            return False
        rest = [k for k in range(len(cells)) if k not in (number, other)]
        if any(cells[number][k] != cells[other][k] or cells[k][number] != cells[k][other] for k in rest):
            return False
        between = {cells[i][j] for i in (number, other) for j in (number, other)} - {None}
        return len(between) <= 1

    return like
