"""What Cosmos answers with: packages and installed ones as its clients know them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from tortie.packages.apps import Installed
from tortie.packages.definition import BESIDE, Package
from tortie.packages.universe import Repository, Universe

Body: TypeAlias = dict[str, Any]


def search_result(universe: Universe, package: Package) -> Body:
    answer: Body = {
        "name": package.name,
        "currentVersion": package.version,
        "versions": universe.versions(package.name),
        "description": package.description,
        "framework": package.framework,
        "tags": package.tags,
        "selected": package.selected,
    }
    images = (package.resource or {}).get("images")
    return {**answer, **({"images": images} if images else {})}


def first_form(package: Package) -> Body:
    """What Cosmos 0.1 answered."""
    about = {**package.fields, "framework": package.framework, "selected": package.selected}
    answer: Body = {"package": about, "marathonMustache": package.template or ""}
    files = {"command": package.command, "config": package.config, "resource": package.resource}
    return {**answer, **{name: content for name, content in files.items() if content is not None}}


def installed_result(one: Installed) -> Body:
    """What package.json says, and the pictures; options and template are in a description."""
    definition = one.definition()
    information: Body = {"packageDefinition": {key: definition[key] for key in definition if key not in BESIDE}}
    if definition.get("resource") is not None:
        information["resourceDefinition"] = definition["resource"]
    return {"appId": one.app, "packageInformation": information}


def listed(repositories: Sequence[Repository]) -> Body:
    return {"repositories": [{"name": one.name, "uri": one.uri} for one in repositories]}


def farewell(one: Installed) -> Body:
    notes = one.definition().get("postUninstallNotes")
    answer = {"packageName": one.name, "appId": one.app, "packageVersion": one.version}
    return {**answer, **({"postUninstallNotes": notes} if notes else {})}
