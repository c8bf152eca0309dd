"""What lists of packages look like, and which rows they have. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tortie.cli.dcos.table import NOTHING, table

LONGEST = 77
LISTED = ("NAME", "VERSION", "APP", "COMMAND", "DESCRIPTION")
FOUND = ("NAME", "VERSION", "SELECTED", "FRAMEWORK", "DESCRIPTION")
Document = Mapping[str, Any]


def search_table(packages: Sequence[Document]) -> str:
    rows = [
        (
            package.get("name"),
            package.get("currentVersion"),
            bool(package.get("selected")),
            bool(package.get("framework")),
            cut(str(package.get("description", ""))),
        )
        for package in packages
    ]
    return table(FOUND, rows, left=FOUND)


def cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[:LONGEST] + "..."


def installed(apps: Sequence[Document], commands: Mapping[str, Document]) -> list[dict[str, Any]]:
    """One entry for each package and version: its apps, and its command where this machine has one.

    `commands`: package.json of the packages whose command is here, by name.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for app in apps:
        definition = app.get("packageInformation", {}).get("packageDefinition", {})
        key = str(definition.get("name", "")), str(definition.get("version", ""))
        found.setdefault(key, {**definition, "apps": []})["apps"].append(str(app.get("appId", "")))
    for name, definition in commands.items():
        key = name, str(definition.get("version", ""))
        entry = found.setdefault(key, {**definition, "name": name})
        entry["command"] = {"name": name}
    return [found[key] for key in sorted(found)]


def list_table(packages: Sequence[Document]) -> str:
    rows = [
        (
            package.get("name", ""),
            package.get("version", ""),
            "\n".join(package.get("apps", ())) or NOTHING,
            package.get("command", {}).get("name", NOTHING),
            cut(str(package.get("description", ""))),
        )
        for package in packages
    ]
    return table(LISTED, rows, left=LISTED)


def newest_first(results: Mapping[str, str]) -> list[str]:
    """Versions by their releases."""
    return sorted(results, key=lambda version: -int(results[version]) if str(results[version]).isdigit() else 0)


def about(entry: Document) -> dict[str, Any]:
    """The fields of package.json, out of a whole definition."""
    return {name: value for name, value in entry.items() if name not in ("marathon", "config", "resource", "command")}
