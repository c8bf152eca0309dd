"""Repositories as values: the packages of an index or of a tree of files, and what is found in several. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tortie.base.errors import Invalid
from tortie.base.sources import json_value
from tortie.packages.definition import Package, read_entry

RELEASE = "1.13"
"""The release of DC/OS that packages may ask for."""
_FILE = re.compile(r"(?:.*/)?packages/([A-Z0-9])/([^/]+)/(0|[1-9][0-9]{0,8})/([^/]+)")
_MOST_PROBLEMS = 20
JSON_FILES = ("package.json", "config.json", "resource.json", "command.json")
TEMPLATE = "marathon.json.mustache"


@dataclass(frozen=True, slots=True)
class Repository:
    """`name` and `uri` as it was added."""

    name: str
    uri: str


@dataclass(frozen=True, slots=True)
class Found:
    """A package and the repository that it is taken from."""

    package: Package
    source: Repository


def read_index(data: bytes) -> list[Package]:
    """The packages of a served index: `{"packages": [...]}`. Raises Invalid with every problem."""
    try:
        value = json_value(data, last_wins=True)
    except (Invalid, UnicodeDecodeError) as error:
        raise Invalid(f"the index is no JSON: {error}") from error
    entries = value.get("packages") if isinstance(value, Mapping) else None
    if not isinstance(entries, list):
        raise Invalid("the index has no list of packages")
    return _read_all(entries)


def read_tree(files: Mapping[str, bytes]) -> list[Package]:
    """The packages of a source tree, `packages/E/etcd/0/package.json` and so on, by the files' paths in it."""
    releases: dict[tuple[str, str], dict[str, bytes]] = {}
    problems: list[str] = []
    for path in sorted(files):
        if matched := _FILE.fullmatch(path):
            letter, name, release, file = matched.groups()
            found = releases.setdefault((name, release), {})
            if file in found:
                problems.append(f"{path}: {name}/{release}/{file} is there twice")
            found[file] = files[path]
            if letter != name[0].upper():
                problems.append(f"{path}: {name} belongs into the folder {name[0].upper()}")
    if problems:
        raise Invalid(*problems)
    return _read_all([_entry(name, release, found) for (name, release), found in releases.items()])


def _entry(name: str, release: str, found: Mapping[str, bytes]) -> dict[str, Any]:
    """As an index has it. Raises Invalid when a file cannot be read, or says another name than its folder."""
    where = f"{name}/{release}"
    if "package.json" not in found:
        raise Invalid(f"{where}: has no package.json")
    values: dict[str, Any] = {}
    for file in JSON_FILES:
        if file in found:
            try:
                values[file.removesuffix(".json")] = json_value(found[file], last_wins=True)
            except (Invalid, UnicodeDecodeError) as error:
                raise Invalid(f"{where}/{file}: {error}") from error
    about = values.pop("package")
    if not isinstance(about, Mapping) or about.get("name") != name:
        raise Invalid(f"{where}/package.json: is not about {name}")
    if TEMPLATE in found:
        values["marathon"] = {"v2AppMustacheTemplate": base64.b64encode(found[TEMPLATE]).decode()}
    return {**about, **values, "releaseVersion": int(release)}


def _read_all(entries: Sequence[Any]) -> list[Package]:
    packages: list[Package] = []
    problems: list[str] = []
    seen: set[tuple[str, int]] = set()
    for entry in entries:
        try:
            package = read_entry(entry)
        except Invalid as error:
            problems += error.problems
            continue
        if (package.name, package.release) in seen:
            problems.append(f"package {package.name}: release {package.release} is there twice")
        seen.add((package.name, package.release))
        packages.append(package)
    if problems:
        more = len(problems) - _MOST_PROBLEMS
        raise Invalid(*problems[:_MOST_PROBLEMS], *([f"and {more} more"] if more > 0 else []))
    return packages


class Universe:
    """The packages of several repositories, first ones first: what a name and a version stand for."""

    def __init__(self, repositories: Sequence[tuple[Repository, Sequence[Package]]], release: str = RELEASE) -> None:
        self._releases: dict[str, dict[str, Found]] = {}
        """By name, then by version: newest first within a repository, earlier repositories before later ones."""
        for source, packages in repositories:
            for package in sorted(packages, key=lambda one: -one.release):
                if served(package, release):
                    versions = self._releases.setdefault(package.name, {})
                    versions.setdefault(package.version, Found(package, source))
        self._newest = {name: next(iter(versions.values())) for name, versions in self._releases.items()}
        order = sorted(self._newest.values(), key=lambda one: (not one.package.selected, one.package.name))
        self._sorted = [(one.package, [text.lower() for text in one.package.searched]) for one in order]

    def find(self, name: str, version: str | None = None) -> Found | None:
        """Without a version, the newest release of the first repository that has the package."""
        if version is None:
            return self._newest.get(name)
        return self._releases.get(name, {}).get(version)

    def has(self, name: str) -> bool:
        return name in self._releases

    def names(self) -> list[str]:
        return sorted(self._releases)

    def versions(self, name: str) -> dict[str, str]:
        """Version to release, newest first; empty when there is no such package."""
        return {version: str(found.package.release) for version, found in self._releases.get(name, {}).items()}

    def search(self, query: str | None = None) -> list[Package]:
        """Selected ones first, then by name. `*` makes the query a pattern for a whole text, as it is written."""
        if not query:
            return [package for package, _ in self._sorted]
        if "*" in query:
            parts = query.split("*")
            return [package for package, _ in self._sorted if any(_like(parts, text) for text in package.searched)]
        lower = query.lower()
        return [package for package, texts in self._sorted if any(lower in text for text in texts)]

    def links(self) -> set[str]:
        """Every address that packages name for their pictures, files and programs."""
        return {
            text
            for versions in self._releases.values()
            for found in versions.values()
            for text in _texts(found.package.resource)
            if text.startswith(("http://", "https://"))
        }


def _like(parts: Sequence[str], text: str) -> bool:
    """Whether the text is these parts with anything between them. No backtracking: the query is a stranger's."""
    first, *middle, last = parts
    if not text.startswith(first):
        return False
    at = len(first)
    for part in middle:
        if (found := text.find(part, at)) < 0:
            return False
        at = found + len(part)
    return text.endswith(last) and len(text) - len(last) >= at


def _texts(value: Any) -> Iterator[str]:
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            pending += one.values()
        elif isinstance(one, list):
            pending += one


def served(package: Package, release: str) -> bool:
    """Whether a cluster of this release may have the package."""
    return _numbers(str(package.fields.get("minDcosReleaseVersion", "0"))) <= _numbers(release)


def _numbers(version: str) -> list[int]:
    numbers = [int(part[:9]) for part in version.split(".")]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return numbers
