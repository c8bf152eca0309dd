"""Can this offer hold one more task of this app? With what resources, or why not?"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from tortie.marathon.deploy.instance import Instance
from tortie.marathon.model.app import App
from tortie.marathon.offers.constraints import allowed, attribute_text
from tortie.wire.mesos import Offer, Range, Ranges, Resource, Scalar

REASONS = (
    "UnfulfilledRole",
    "UnfulfilledConstraint",
    "NoCorrespondingReservationFound",
    "InsufficientCpus",
    "InsufficientMemory",
    "InsufficientDisk",
    "InsufficientGpus",
    "InsufficientPorts",
)
_SHORT = {
    "cpus": "InsufficientCpus",
    "mem": "InsufficientMemory",
    "disk": "InsufficientDisk",
    "gpus": "InsufficientGpus",
}
_EPSILON = 1e-6


@dataclass(frozen=True, slots=True)
class Match:
    """What the task takes out of the offer; `ports` in the order of the app's definitions."""

    resources: tuple[Resource, ...]
    ports: tuple[int, ...]


@dataclass(slots=True)
class Left:
    """What is left of an offer while tasks are put on it. Reserved, revocable and disk-bound parts are left alone."""

    offer: Offer
    attributes: dict[str, str] = field(default_factory=dict)
    scalars: list[tuple[str, str, float]] = field(default_factory=list)
    ports: list[tuple[str, int, int]] = field(default_factory=list)

    @classmethod
    def of(cls, offer: Offer) -> Left:
        left = cls(offer, {a.name: attribute_text(a) for a in offer.attributes})
        for resource in offer.resources:
            if resource.revocable is not None or resource.disk is not None or _dynamic(resource):
                continue
            role = role_of(resource)
            if resource.scalar is not None:
                left.scalars.append((resource.name, role, resource.scalar.value))
            elif resource.name == "ports" and resource.ranges is not None:
                left.ports += [(role, item.begin, item.end) for item in resource.ranges.range]
        return left

    def take(self, match: Match) -> None:
        """Removes what the match uses."""
        for resource in match.resources:
            role = role_of(resource)
            if resource.scalar is not None:
                used = resource.scalar.value
                self.scalars = [
                    (n, r, a - used) if (n, r) == (resource.name, role) else (n, r, a) for n, r, a in self.scalars
                ]
        for port in match.ports:
            self.ports = [piece for begin in self.ports for piece in _without(begin, port)]


def role_of(resource: Resource) -> str:
    return resource.role or "*"


def _dynamic(resource: Resource) -> bool:
    return resource.reservation is not None or any(r.get("type") == "DYNAMIC" for r in resource.reservations)


def _without(piece: tuple[str, int, int], port: int) -> list[tuple[str, int, int]]:
    role, begin, end = piece
    if not begin <= port <= end:
        return [piece]
    return [(role, b, e) for b, e in ((begin, port - 1), (port + 1, end)) if b <= e]


def match(
    app: App, left: Left, others: Sequence[Instance], roles: Collection[str], rng: random.Random
) -> Match | tuple[str, ...]:
    """The match, or every reason against it, in the order of REASONS.

    `others` are the app's instances that its constraints look at, `roles` those the app accepts.
    """
    reasons = []
    if not any(role in roles for _, role, _ in left.scalars):
        reasons.append("UnfulfilledRole")
    if not allowed(app.constraints, left.offer.hostname, left.attributes, others):
        reasons.append("UnfulfilledConstraint")
    taken: list[Resource] = []
    for name, amount in (("cpus", app.cpus), ("mem", app.mem), ("disk", app.disk), ("gpus", float(app.gpus))):
        parts = _gather(left, name, amount, roles)
        if parts is None:
            reasons.append(_SHORT[name])
        else:
            taken += parts
    ports = _pick(app, left, roles, rng)
    if ports is None:
        reasons.append("InsufficientPorts")
    if reasons or ports is None:
        return tuple(reasons)
    return Match((*taken, *_port_resources(ports)), tuple(port for _, port in ports))


def _gather(left: Left, name: str, amount: float, roles: Collection[str]) -> list[Resource] | None:
    """Parts that make up the amount, from as many accepted roles as it takes."""
    parts = []
    for found, role, have in left.scalars:
        if found != name or role not in roles or amount <= _EPSILON or have <= _EPSILON:
            continue
        part = min(have, amount)
        parts.append(Resource(name=name, type="SCALAR", scalar=Scalar(value=part), role=role))
        amount -= part
    return parts if amount <= _EPSILON else None


def wanted_ports(app: App) -> tuple[int, ...]:
    """The host ports the app asks for; 0 means any."""
    if app.mappings:
        return tuple(m.host_port for m in app.mappings if m.host_port is not None)
    if app.ip_address is not None:
        return ()
    if app.require_ports:
        return app.service_ports
    return (0,) * len(app.port_definitions)


def _pick(app: App, left: Left, roles: Collection[str], rng: random.Random) -> list[tuple[str, int]] | None:
    """(role, port) for each wanted port, or None when one is not offered; free choices are random."""
    wanted = wanted_ports(app)
    pieces = [piece for piece in left.ports if piece[0] in roles]
    fixed: dict[int, str] = {}
    for port in (port for port in wanted if port):
        role = next((r for r, begin, end in pieces if begin <= port <= end), None)
        if role is None or port in fixed:
            return None
        fixed[port] = role
        pieces = [piece for old in pieces for piece in _without(old, port)]
    free = wanted.count(0)
    total = sum(end - begin + 1 for _, begin, end in pieces)
    if free > total:
        return None
    chosen = iter([_nth(pieces, index) for index in rng.sample(range(total), free)])
    return [(fixed[port], port) if port else next(chosen) for port in wanted]


def _nth(pieces: Sequence[tuple[str, int, int]], index: int) -> tuple[str, int]:
    for role, begin, end in pieces:
        if index <= end - begin:
            return role, begin + index
        index -= end - begin + 1
    raise IndexError(index)


def _port_resources(ports: Sequence[tuple[str, int]]) -> list[Resource]:
    by_role: dict[str, list[int]] = {}
    for role, port in ports:
        by_role.setdefault(role, []).append(port)
    return [
        Resource(
            name="ports",
            type="RANGES",
            role=role,
            ranges=Ranges(range=[Range(begin=p, end=p) for p in sorted(numbers)]),
        )
        for role, numbers in by_role.items()
    ]
