"""The arithmetic of rolling upgrades, and who goes first."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tortie.marathon.deploy import rolling
from tortie.marathon.deploy.instance import RUNNING, STAGING, UNREACHABLE, Instance
from tortie.marathon.model.app import App, HealthCheck, UpgradeStrategy

OLD, NEW = "1", "2"


def app(instances: int, least: float = 1.0, over: float = 1.0, **fields: Any) -> App:
    strategy = UpgradeStrategy(minimum_health_capacity=least, maximum_over_capacity=over)
    return App(id="/a", cmd="x", instances=instances, upgrade_strategy=strategy, **fields)


def one(name: str, version: str = OLD, state: str = RUNNING, **fields: Any) -> Instance:
    return Instance(id=name, app="/a", version=version, agent="A", host="h", state=state, **fields)


def outdated(instance: Instance) -> bool:
    return instance.version == OLD


def story(target: App, have: int) -> list[str]:
    """The upgrade with one thing happening at a time: `+2` two launched, `-1` one asked to end.

    What is asked to end ends before a new one runs.
    """
    instances = [one(f"o{n}", staged_at=n) for n in range(have)]
    found: list[str] = []
    made = 0
    for _ in range(200):
        moves = rolling.roll(target, instances, outdated)
        if moves.done:
            return found
        if moves.kill:
            found.append(f"-{len(moves.kill)}")
        if moves.launch:
            found.append(f"+{moves.launch}")
        gone = {i.id for i in moves.kill}
        instances = [msgspec.structs.replace(i, killed_at=1.0) if i.id in gone else i for i in instances]
        instances += [one(f"n{made + n}", NEW, STAGING, staged_at=100 + made + n) for n in range(moves.launch)]
        made += moves.launch
        if moves.kill or moves.launch:
            continue
        if any(i.leaving for i in instances):
            instances = [i for i in instances if not i.leaving]
        else:
            first = next(i for i in instances if i.state == STAGING)
            instances[instances.index(first)] = msgspec.structs.replace(first, state=RUNNING)
    raise AssertionError(f"no end: {found}")


@pytest.mark.parametrize(
    ("instances", "have", "least", "over", "moves"),
    [
        (4, 4, 1.0, 1.0, "+4 -1 -1 -1 -1"),
        (4, 4, 0.5, 0.0, "-2 +2 -1 +1 -1 +1"),
        (1, 1, 0.0, 0.0, "-1 +1"),
        (1, 1, 1.0, 0.0, "+1 -1"),
        (4, 4, 1.0, 0.0, "+1 -1 +1 -1 +1 -1 +1 -1"),
        (4, 4, 0.0, 0.0, "-4 +4"),
        (4, 4, 0.0, 1.0, "-4 +4"),
        (4, 4, 0.5, 0.5, "-2 +2 +2 -1 -1"),
        (4, 4, 1.0, 0.25, "+1 -1 +1 -1 +1 -1 +1 -1"),
        (3, 3, 0.5, 0.0, "-1 +1 -1 +1 -1 +1"),
        (2, 4, 1.0, 0.0, "-2 +1 -1 +1 -1"),
        (4, 2, 1.0, 0.0, "+2 +1 -1 +1 -1"),
        (0, 3, 1.0, 1.0, "-3"),
        (3, 0, 1.0, 0.0, "+3"),
    ],
)
def test_the_moves_of_an_upgrade(instances: int, have: int, least: float, over: float, moves: str) -> None:
    assert " ".join(story(app(instances, least, over), have)) == moves


@pytest.mark.parametrize(
    ("instances", "least", "over", "bounds"),
    [
        (3, 0.5, 0.5, (2, 4)),
        (100, 0.55, 0.15, (55, 115)),
        (10, 0.7, 0.1, (7, 11)),
        (1, 0.01, 0.99, (1, 1)),
        (7, 1.0, 0.0, (7, 7)),
        (0, 1.0, 1.0, (0, 0)),
    ],
)
def test_bounds_do_not_depend_on_the_last_bit(
    instances: int, least: float, over: float, bounds: tuple[int, int]
) -> None:
    assert rolling.bounds(app(instances, least, over)) == bounds


def test_a_new_task_that_is_not_healthy_lets_no_old_one_go() -> None:
    checked = app(2, health_checks=(HealthCheck(path="/", port=80),))
    old = [one("o1", healthy=True), one("o2", healthy=True)]
    for healthy in (None, False):
        new = [one("n1", NEW, healthy=healthy), one("n2", NEW, healthy=healthy)]
        assert rolling.roll(checked, [*old, *new], outdated) == rolling.Moves()
    new = [one("n1", NEW, healthy=True), one("n2", NEW, healthy=False)]
    assert len(rolling.roll(checked, [*old, *new], outdated).kill) == 1


def test_of_the_old_ones_the_sick_and_the_absent_go_first() -> None:
    target = app(4, 0.5, 0.0, health_checks=(HealthCheck(path="/", port=80),))
    old = [
        one("well", healthy=True, started_at=1.0),
        one("sick", healthy=False, started_at=2.0),
        one("young", healthy=True, started_at=3.0),
        one("away", state=UNREACHABLE, started_at=0.0),
    ]
    assert [i.id for i in rolling.roll(target, old, outdated).kill] == ["away", "sick"]
    assert [i.id for i in rolling.victims(target, old, 4)] == ["away", "sick", "young", "well"]


def test_scaling_down_keeps_groups_of_equal_size() -> None:
    racks = {"a1": "a", "a2": "a", "a3": "a", "b1": "b", "c1": "c", "c2": "c"}
    instances = [
        one(name, attributes={"rack": rack}, started_at=float(n)) for n, (name, rack) in enumerate(racks.items())
    ]
    balanced = app(3, constraints=(("rack", "GROUP_BY"),))
    gone = {i.id for i in rolling.scale(balanced, instances).kill}
    assert gone == {"a3", "a2", "c2"}
    sentenced = rolling.victims(balanced, instances, 2, {"b1"})
    assert [i.id for i in sentenced] == ["b1", "a3"]
    assert {i.id for i in rolling.scale(app(3), instances).kill} == {"c2", "c1", "b1"}
