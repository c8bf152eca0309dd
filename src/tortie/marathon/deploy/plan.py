"""From an old and a new tree to the steps between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import replace

import msgspec

from tortie.marathon.model.app import App, Value, same_config
from tortie.marathon.model.tree import Tree, layers

START, STOP, SCALE, RESTART = "StartApplication", "StopApplication", "ScaleApplication", "RestartApplication"


class Action(Value, frozen=True, kw_only=True):
    action: str
    app: str


class Plan(Value, frozen=True, kw_only=True):
    """A deployment as it is stored: where it goes, where it came from, how far it is.

    `before` and `after` hold the affected apps, the same in both (None: absent); `sentenced` the tasks to be killed
    first.
    """

    id: str
    version: str
    steps: tuple[tuple[Action, ...], ...]
    current: int = 0
    before: dict[str, App | None] = {}
    after: dict[str, App | None] = {}
    new_groups: tuple[str, ...] = ()
    gone_groups: dict[str, tuple[str, ...]] = {}
    sentenced: tuple[str, ...] = ()
    restarts: tuple[str, ...] = ()

    @property
    def affected(self) -> Set[str]:
        return self.before.keys()

    @property
    def actions(self) -> tuple[Action, ...]:
        """What is being done now; nothing once the plan has ended."""
        return self.steps[self.current] if self.current < len(self.steps) else ()


def stamp(old: Tree, new: Tree, version: str, restart: Iterable[str] = ()) -> Tree:
    """New versions for what changed: a changed, scaled or restarted app gets `version`, others keep theirs."""
    apps = {key: _stamped(old.apps.get(key), app, version, key in restart) for key, app in new.apps.items()}
    return replace(new, apps=apps, version=version)


def _stamped(before: App | None, app: App, version: str, restart: bool) -> App:
    if before is None or not same_config(before, app):
        return msgspec.structs.replace(app, version=version, config_version=version, scaled_version=version)
    if restart or before.instances != app.instances:
        kept = before.config_version
        return msgspec.structs.replace(app, version=version, config_version=kept, scaled_version=version)
    return before


def make_plan(
    old: Tree,
    new: Tree,
    plan_id: str,
    *,
    restart: Iterable[str] = (),
    sentenced: Iterable[str] = (),
) -> Plan:
    """The steps from `old` to `new` (both stamped): stop, start, then scale or restart by layers of dependencies."""
    restarts = set(restart)
    changed = _changed(old.apps, new.apps) | restarts
    gone = sorted(old.apps.keys() - new.apps.keys())
    fresh = sorted(new.apps.keys() - old.apps.keys())
    steps = [
        tuple(Action(action=STOP, app=key) for key in gone),
        tuple(Action(action=START, app=key) for key in fresh),
    ]
    for layer in layers(new.needs()) or []:
        steps.append(tuple(_action(key, old, new, restarts) for key in layer if key in changed))
    affected = changed | set(gone)
    return Plan(
        id=plan_id,
        version=new.version,
        steps=tuple(step for step in steps if step),
        before={key: old.apps.get(key) for key in sorted(affected)},
        after={key: new.apps.get(key) for key in sorted(affected)},
        new_groups=tuple(sorted(new.groups.keys() - old.groups.keys())),
        gone_groups={key: old.groups[key] for key in sorted(old.groups.keys() - new.groups.keys())},
        sentenced=tuple(sentenced),
        restarts=tuple(sorted(restarts)),
    )


def _changed(old: Mapping[str, App], new: Mapping[str, App]) -> set[str]:
    return {key for key, app in new.items() if old.get(key) != app}


def _action(key: str, old: Tree, new: Tree, restarts: set[str]) -> Action:
    before, app = old.apps.get(key), new.apps[key]
    again = before is not None and (key in restarts or not same_config(before, app))
    return Action(action=RESTART if again else SCALE, app=key)


def revert(tree: Tree, plan: Plan) -> Tree:
    """The present tree with the plan's apps and groups as they were before it; later changes elsewhere stay."""
    for group, dependencies in sorted(plan.gone_groups.items()):
        tree = tree.put_group(group, tree.groups.get(group, dependencies))
    for key, app in plan.before.items():
        tree = tree.drop(key) if app is None else tree.put(app)
    for group in sorted(plan.new_groups, reverse=True):
        if group in tree.groups and not tree.apps_of(group) and not tree.groups_of(group):
            tree = replace(tree, groups={key: deps for key, deps in tree.groups.items() if key != group})
    return tree
