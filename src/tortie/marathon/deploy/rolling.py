"""What an app wants next: how many tasks to launch, which ones to kill, whether its step is done."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from tortie.marathon.deploy.instance import RUNNING, STAGING, UNREACHABLE, Instance
from tortie.marathon.model.app import App
from tortie.marathon.offers.constraints import place

_FIRST_TO_GO = {UNREACHABLE: 0, STAGING: 1, "TASK_STARTING": 2, RUNNING: 3}


@dataclass(frozen=True, slots=True)
class Moves:
    launch: int = 0
    kill: tuple[Instance, ...] = ()
    done: bool = False


def victims(
    app: App | None, instances: Sequence[Instance], count: int, sentenced: Collection[str] = ()
) -> tuple[Instance, ...]:
    """The `count` to go first: sentenced ones, then those of the fullest places where the app wants them balanced, then
    those that do not run, sick ones, and at last by the app's kill selection.
    """

    if count <= 0:
        return ()

    def rank(instance: Instance) -> tuple[int, bool, float]:
        born = instance.started_at if instance.started_at is not None else instance.staged_at
        age = born if app is not None and app.kill_selection == "OLDEST_FIRST" else -born
        return _FIRST_TO_GO.get(instance.state, 2), instance.healthy is not False, age

    doomed = sorted((i for i in instances if i.id in sentenced), key=rank)
    others = sorted((i for i in instances if i.id not in sentenced), key=rank)
    balanced = [constraint[0] for constraint in app.constraints if constraint[1] == "GROUP_BY"] if app else []
    if balanced:
        others = _fullest_first(others, balanced, count - len(doomed))
    return (*doomed, *others)[:count]


def _fullest_first(ranked: list[Instance], keys: Sequence[str], count: int) -> list[Instance]:
    """`count` of them, each from where most are left; of those the first in rank."""
    left, chosen = dict.fromkeys(range(len(ranked))), []
    there = [[(key, place(key, instance)) for key in keys] for instance in ranked]
    sizes = Counter(spot for spots in there for spot in spots)
    for _ in range(min(count, len(ranked))):
        index = max(left, key=lambda n: sum(sizes[spot] for spot in there[n]))
        del left[index]
        sizes.subtract(there[index])
        chosen.append(ranked[index])
    return chosen


def ready(app: App, instance: Instance) -> bool:
    """Fit to take the place of an old one: running, healthy and ready where the app says what that means."""
    healthy = not app.health_checks or instance.healthy is True
    return instance.running and healthy and (not app.readiness_checks or instance.ready)


def scale(app: App, instances: Sequence[Instance], sentenced: Collection[str] = ()) -> Moves:
    """Towards `app.instances`, whatever version the instances have; done when that many are ready and no more.

    An instance that is being killed holds its place until it is gone.
    """
    doomed = [i for i in instances if i.id in sentenced and i.active] if sentenced else []
    active = [i for i in instances if i.active and i.id not in sentenced]
    leaving = sum(i.leaving for i in instances if not i.active) + len(doomed)
    surplus = victims(app, active, len(active) - app.instances)
    launch = app.instances - len(active) - leaving
    done = len(active) == app.instances and not leaving and all(ready(app, i) for i in active)
    return Moves(max(0, launch), (*doomed, *surplus), done)


def stop(instances: Sequence[Instance]) -> Moves:
    """Until nothing is left."""
    return Moves(0, tuple(i for i in instances if not i.leaving), not instances)


def roll(app: App, instances: Sequence[Instance], outdated: Callable[[Instance], bool]) -> Moves:
    """Replaces every outdated instance, never leaving the bounds of the upgrade strategy.

    Where the bounds leave no room to move, one more than they allow may run for a while. A pinned address cannot be
    held twice: such an app stops its old task first.
    """
    want = app.instances
    old = [i for i in instances if i.active and outdated(i)]
    new = [i for i in instances if i.active and not outdated(i)]
    leaving = sum(i.leaving for i in instances)
    fit = sum(ready(app, i) for i in new)
    least, most = bounds(app)
    keep = min(len(old), max(0, least - fit))
    if least == most and keep == len(old) > 0 and len(old) + len(new) + leaving >= most and not app.pinned:
        most += 1
    surplus = victims(app, new, len(new) - want)
    launch = min(want - len(new), most - len(old) - len(new) - leaving)
    done = not any(outdated(i) for i in instances) and len(new) == want == fit and not leaving
    return Moves(max(0, launch), (*victims(app, old, len(old) - keep), *surplus), done)


def bounds(app: App) -> tuple[int, int]:
    """The fewest ready instances and the most instances at once while old ones are replaced.

    100 instances and a capacity of 0.55 make 55, whatever the last bit of their product says.
    """
    if app.pinned:
        return 0, app.instances
    strategy = app.upgrade_strategy
    least = math.ceil(round(app.instances * strategy.minimum_health_capacity, 6))
    return least, math.floor(round(app.instances * (1 + strategy.maximum_over_capacity), 6))
