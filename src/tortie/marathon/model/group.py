"""Changes of groups: read from JSON, applied to the tree."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tortie.marathon.errors import BadJson, NotValid
from tortie.marathon.model import ids
from tortie.marathon.model.app import App
from tortie.marathon.model.check import MOST
from tortie.marathon.model.place import Place, fields, listed, number, take, text
from tortie.marathon.model.read import create, given_fields
from tortie.marathon.model.tree import Tree

DEEPEST = 50


@dataclass(frozen=True, slots=True)
class GroupUpdate:
    """What a body says about one group. `apps` and `groups` None: keep what is there; given: replace the whole list.

    `paths` says where in the body each of its apps stands.
    """

    id: str
    apps: tuple[App, ...] | None = None
    groups: tuple[GroupUpdate, ...] | None = None
    dependencies: tuple[str, ...] | None = None
    scale_by: float | None = None
    version: str | None = None
    problems: Mapping[str, list[str]] = field(default_factory=dict)
    paths: Mapping[str, str] = field(default_factory=dict)


def read_group(body: Any, path: str) -> GroupUpdate:
    """A whole body for the group at `path`; an id in the body is resolved against it, an absolute one wins.

    Raises BadJson with every problem of reading, NotValid when exclusive fields meet.
    """
    place = Place()
    update = _group(body, place, path)
    if place.problems:
        raise BadJson(place.problems)
    alone = update.scale_by is not None or update.version is not None
    others = (update.apps, update.groups, update.dependencies)
    if alone and (any(other is not None for other in others) or None not in (update.scale_by, update.version)):
        name = "scaleBy" if update.scale_by is not None else "version"
        raise NotValid({f"/{name}": ["not allowed in conjunction with other properties."]})
    if update.scale_by is not None and not 0 <= update.scale_by <= MOST:
        raise NotValid({"/scaleBy": [f"got {update.scale_by}, expected between 0 and {MOST}"]})
    if update.problems:
        raise NotValid(update.problems)
    return update


def _group(body: Any, place: Place, base: str) -> GroupUpdate:
    given = fields(body, place)
    here = ids.resolve(take(given, place, "id", text, "."), base)
    astray: dict[str, list[str]] = {}
    apps = groups = None
    paths: dict[str, str] = {}
    if "apps" in given:
        apps = listed(lambda value, where: _app(value, where, here, astray))(given["apps"], place.at("apps"))
        _twice(apps, place.at("apps"))
        paths = {app.id: place.at("apps").item(index).path for index, app in enumerate(apps)}
    if "groups" in given:
        groups = listed(lambda value, where: _nested(value, where, here))(given["groups"], place.at("groups"))
        _twice(groups, place.at("groups"))
        for group in groups:
            astray |= group.problems
            paths |= group.paths
    dependencies = take(given, place, "dependencies", listed(text), None)
    return GroupUpdate(
        id=here,
        apps=apps,
        groups=groups,
        dependencies=None if dependencies is None else tuple(ids.resolve(item, here) for item in dependencies),
        scale_by=take(given, place, "scaleBy", number, None),
        version=take(given, place, "version", text, None),
        problems=astray,
        paths=paths,
    )


def _nested(body: Any, place: Place, base: str) -> GroupUpdate:
    given = fields(body, place)
    if "id" not in given:
        place.at("id").say("error.path.missing")
    if place.path.count("/groups(") > DEEPEST:
        place.say(f"groups may be nested {DEEPEST} deep")
        return GroupUpdate(id=base)
    return _group(body, place, base)


def _app(body: Any, place: Place, group: str, astray: dict[str, list[str]]) -> App:
    given = fields(body, place)
    if "id" not in given:
        place.at("id").say("error.path.missing")
    app_id = ids.resolve(take(given, place, "id", text, ""), group)
    if place.problems.get(place.at("id").path) is None and ids.parent(app_id) != group:
        astray[place.at("id").path] = [f"Identifier is not child of {group}. Hint: use relative paths."]
    known = given_fields(given, place, group)
    return App(id=app_id) if place.problems else create(app_id, known)


def _twice(items: tuple[App, ...] | tuple[GroupUpdate, ...], place: Place) -> None:
    names = [item.id for item in items]
    for name in sorted({name for name in names if names.count(name) > 1}):
        place.say(f"{name} is given twice")


def apply_group(tree: Tree, update: GroupUpdate) -> Tree:
    """The tree with the update; what the update leaves out of a list it gives is gone."""
    if update.scale_by is not None:
        return scaled(tree, update.id, update.scale_by)
    kept = update.dependencies if update.dependencies is not None else tree.groups.get(update.id, ())
    tree = tree.put_group(update.id, kept)
    if update.apps is not None:
        for app in tree.apps_of(update.id):
            tree = tree.drop(app.id)
        for app in update.apps:
            tree = tree.put(app)
    if update.groups is not None:
        named = {group.id for group in update.groups}
        for group in tree.groups_of(update.id):
            if group not in named:
                tree = tree.drop_group(group)
        for nested in update.groups:
            tree = apply_group(tree, nested)
    return tree


def scaled(tree: Tree, group: str, factor: float) -> Tree:
    """Every app below the group with its instances multiplied, rounded up."""
    for app in tree.apps_below(group):
        tree = tree.put(msgspec.structs.replace(app, instances=math.ceil(app.instances * factor)))
    return tree
