"""All groups and apps as one value, and the questions about its shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import msgspec

from tortie.marathon.model import ids
from tortie.marathon.model.app import App
from tortie.marathon.model.check import check
from tortie.marathon.model.place import Problems


@dataclass(frozen=True, slots=True)
class Tree:
    """Apps and groups by absolute id. `groups` holds each group's dependencies; the root is always there."""

    apps: Mapping[str, App] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {ids.ROOT: ()})
    version: str = ""

    def put(self, app: App) -> Tree:
        """With the app, and every group above it."""
        groups = dict.fromkeys(ids.ancestors(app.id), ()) | dict(self.groups)
        return replace(self, apps={**self.apps, app.id: app}, groups=groups)

    def put_group(self, group: str, dependencies: tuple[str, ...]) -> Tree:
        above = dict.fromkeys(ids.ancestors(group), ())
        return replace(self, groups=above | dict(self.groups) | {group: dependencies})

    def drop(self, app_id: str) -> Tree:
        return replace(self, apps={key: app for key, app in self.apps.items() if key != app_id})

    def drop_group(self, group: str) -> Tree:
        """Without the group and everything in it; the root only becomes empty."""
        apps = {key: app for key, app in self.apps.items() if not ids.within(key, group)}
        groups = {key: deps for key, deps in self.groups.items() if key == ids.ROOT or not ids.within(key, group)}
        return replace(self, apps=apps, groups=groups)

    def apps_of(self, group: str) -> list[App]:
        """Direct apps, by id."""
        return [self.apps[key] for key in sorted(self.apps) if ids.parent(key) == group]

    def apps_below(self, group: str) -> list[App]:
        return [self.apps[key] for key in sorted(self.apps) if ids.within(key, group)]

    def groups_of(self, group: str) -> list[str]:
        return sorted(key for key in self.groups if key not in (group, ids.ROOT) and ids.parent(key) == group)

    def needs(self) -> dict[str, set[str]]:
        """For every app the apps it depends on, through its own dependencies and those of its groups."""
        needs: dict[str, set[str]] = {key: set() for key in self.apps}
        for key, app in self.apps.items():
            wanted = [*app.dependencies, *(d for group in ids.ancestors(key) for d in self.groups.get(group, ()))]
            for other in wanted:
                named = {found for found in self.apps if ids.within(found, other)}
                needs[key] |= named if other == key else named - {key}
        return needs


def layers(needs: Mapping[str, set[str]]) -> list[list[str]] | None:
    """Apps by the length of their longest path of dependencies, shortest first; None when they form a cycle."""
    left = {key: set(others) & needs.keys() for key, others in needs.items()}
    found: list[list[str]] = []
    while left:
        ready = sorted(key for key, others in left.items() if not others)
        if not ready:
            return None
        found.append(ready)
        left = {key: others.difference(ready) for key, others in left.items() if others}
    return found


def tree_problems(tree: Tree, paths: Mapping[str, str]) -> Problems:
    """Everything wrong with the tree. `paths` names the apps to check, and where in the document each one stands."""
    problems: Problems = {}
    for path, text in _found(tree, paths):
        texts = problems.setdefault(path, [])
        if text not in texts:
            texts.append(text)
    return problems


def _found(tree: Tree, paths: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for group in tree.groups:
        if group != ids.ROOT and any(ids.problems(group)):
            yield "/id", next(ids.problems(group))
        if group in tree.apps:
            yield "/", "Groups and Applications may not have the same identifier."
    for app_id, where in paths.items():
        found = check(tree.apps[app_id]) if app_id in tree.apps else ()
        yield from ((where + ("" if path == "/" else path) or "/", text) for path, text in found)
    if layers(tree.needs()) is None:
        yield "/", "Dependency graph has cyclic dependencies."


def assign_ports(old: Tree, new: Tree, low: int = 10000, high: int = 20000) -> Tree | None:
    """Gives a service port to every definition that asks for any; None when `low`..`high` is used up.

    An app keeps the ports it had before; new ones are the lowest free.
    """
    taken = {port for tree in (old, new) for app in tree.apps.values() for port in app.service_ports}
    free = (port for port in range(low, high) if port not in taken)
    apps: dict[str, App] = {}
    for key, app in new.apps.items():
        before = old.apps[key].service_ports if key in old.apps else ()
        if 0 not in app.service_ports:
            apps[key] = app
            continue
        reusable = iter([port for port in before if port and port not in app.service_ports])
        ports = [port or next(reusable, 0) or next(free, 0) for port in app.service_ports]
        if 0 in ports:
            return None
        apps[key] = _with_ports(app, ports)
    return replace(new, apps=apps)


def _with_ports(app: App, ports: list[int]) -> App:
    again = msgspec.structs.replace
    definitions = tuple(again(d, port=port) for d, port in zip(app.port_definitions, ports, strict=True))
    app = again(app, port_definitions=definitions)
    if app.mappings and app.container and app.container.docker:
        mappings = tuple(again(m, service_port=port) for m, port in zip(app.mappings, ports, strict=True))
        docker = again(app.container.docker, port_mappings=mappings)
        app = again(app, container=again(app.container, docker=docker))
    return app
