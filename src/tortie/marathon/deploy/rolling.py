"""What an app wants next: how many tasks to launch, which ones to kill, whether its step is done."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from tortie.marathon.deploy.instance import RUNNING, STAGING, UNREACHABLE, Instance
from tortie.marathon.model.app import App

_FIRST_TO_GO = {UNREACHABLE: 0, STAGING: 1, "TASK_STARTING": 2, RUNNING: 3}


@dataclass(frozen=True, slots=True)
class Moves:
    launch: int = 0
    kill: tuple[Instance, ...] = ()
    done: bool = False


def victims(
    app: App | None, instances: Sequence[Instance], count: int, sentenced: Collection[str] = ()
) -> tuple[Instance, ...]:
    """The `count` to go first: sentenced ones, then those that do not run, then by the app's kill selection."""

    if count <= 0:
        return ()

    def rank(instance: Instance) -> tuple[int, int, float]:
        born = instance.started_at if instance.started_at is not None else instance.staged_at
        age = born if app is not None and app.kill_selection == "OLDEST_FIRST" else -born
        return (0 if instance.id in sentenced else 1, _FIRST_TO_GO.get(instance.state, 2), age)

    return tuple(sorted(instances, key=rank)[:count])


def ready(app: App, instance: Instance) -> bool:
    """Fit to take the place of an old one: running, and healthy where the app says what healthy means."""
    return instance.running and (not app.health_checks or instance.healthy is True)


def scale(app: App, instances: Sequence[Instance], sentenced: Collection[str] = ()) -> Moves:
    """Towards `app.instances`, whatever version the instances have; done when that many are ready and no more.

    An instance that is being killed holds its place until it is gone.
    """
    doomed = [i for i in instances if i.active and i.id in sentenced]
    active = [i for i in instances if i.active and i.id not in sentenced]
    leaving = sum(i.leaving for i in instances) + len(doomed)
    surplus = victims(app, active, len(active) - app.instances)
    launch = app.instances - len(active) - leaving
    done = sum(ready(app, i) for i in active) == app.instances == len(active) and not leaving
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
    """The fewest ready instances and the most instances at once while old ones are replaced."""
    if app.pinned:
        return 0, app.instances
    least = math.ceil(app.instances * app.upgrade_strategy.minimum_health_capacity)
    return least, math.floor(app.instances * (1 + app.upgrade_strategy.maximum_over_capacity))
