"""A package of a repository: what its files say, checked by the rules of its packaging version. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tortie.base.errors import Invalid

VERSIONS = ("2.0", "3.0", "4.0", "5.0")
_NAME = re.compile(r"[a-z][a-z0-9-]*[a-z0-9]")
_VERSION = re.compile(r"[-a-zA-Z0-9.]+")
_TAG = re.compile(r"[^\s]+")
_RELEASE = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))*")
BESIDE = ("command", "config", "marathon", "resource")
"""What stands beside the fields of package.json in a served entry."""


@dataclass(frozen=True)
class Package:
    """One release of a package. `fields` are package.json's; the others its files, None where there is none."""

    fields: Mapping[str, Any]
    release: int
    config: Mapping[str, Any] | None = None
    resource: Mapping[str, Any] | None = None
    command: Mapping[str, Any] | None = None
    template: str | None = None

    @property
    def name(self) -> str:
        return str(self.fields["name"])

    @property
    def version(self) -> str:
        return str(self.fields["version"])

    @property
    def description(self) -> str:
        return str(self.fields["description"])

    @property
    def tags(self) -> list[str]:
        return list(self.fields["tags"])

    @property
    def selected(self) -> bool:
        return bool(self.fields.get("selected", False))

    @property
    def framework(self) -> bool:
        return bool(self.fields.get("framework", False))

    @property
    def manager(self) -> str | None:
        """The package whose service installs this one, of packaging version 5.0."""
        found = self.fields.get("manager")
        return str(found["packageName"]) if isinstance(found, Mapping) else None

    @cached_property
    def searched(self) -> tuple[str, ...]:
        """The texts that a search looks at."""
        return (self.name, self.description, *self.tags)

    def entry(self) -> dict[str, Any]:
        """As a repository serves it and as clients are told: the fields with the files beside them."""
        found: dict[str, Any] = {**self.fields, "releaseVersion": self.release}
        if self.template is not None:
            text = base64.b64encode(self.template.encode()).decode()
            found["marathon"] = {"v2AppMustacheTemplate": text}
        files = {"config": self.config, "resource": self.resource, "command": self.command}
        return {**found, **{name: content for name, content in files.items() if content is not None}}


def read_entry(value: Any) -> Package:
    """The package of one entry of a repository's index. Raises Invalid with every problem and the entry's name."""
    if not isinstance(value, Mapping):
        raise Invalid("an entry is no object")
    fields = {name: content for name, content in value.items() if name not in (*BESIDE, "releaseVersion")}
    label = f"package {_short(value.get('name'))} {_short(value.get('version'))}"
    found = [*_problems(fields)]
    release = value.get("releaseVersion")
    if isinstance(release, bool) or not isinstance(release, int) or release < 0:
        found.append(f"releaseVersion: {_short(release)} is no whole number from 0 on")
    template, why = _template(value.get("marathon"))
    found += [why] if why else []
    found += [f"{name}: must be an object" for name in ("config", "resource", "command") if _no_object(value, name)]
    found += _beside(fields, value, template)
    if found:
        raise Invalid(*(f"{label}: {problem}" for problem in found))
    files = {name: value.get(name) for name in ("config", "resource", "command")}
    return Package(fields=fields, release=int(value["releaseVersion"]), template=template, **files)


def _no_object(value: Mapping[str, Any], name: str) -> bool:
    return value.get(name) is not None and not isinstance(value[name], Mapping)


def _template(marathon: Any) -> tuple[str | None, str]:
    """The template's text, or what is wrong with it."""
    if marathon is None:
        return None, ""
    encoded = marathon.get("v2AppMustacheTemplate") if isinstance(marathon, Mapping) else None
    if not isinstance(encoded, str):
        return None, "marathon.v2AppMustacheTemplate: must be a string in base64"
    try:
        return base64.b64decode(encoded, validate=True).decode(), ""
    except (binascii.Error, ValueError) as error:
        return None, f"marathon.v2AppMustacheTemplate: {error}"


def _beside(fields: Mapping[str, Any], value: Mapping[str, Any], template: str | None) -> Iterator[str]:
    """Which files go with which packaging version."""
    packaging = fields.get("packagingVersion")
    resource = value.get("resource")
    if packaging == "2.0" and template is None and value.get("marathon") is None:
        yield "marathon.json.mustache: is required"
    if packaging == "2.0" and isinstance(resource, Mapping) and "cli" in resource:
        yield "resource.cli: is known from packaging version 3.0 on"
    if packaging in ("4.0", "5.0") and value.get("command") is not None:
        yield "command.json: is not known any more from packaging version 4.0 on"


def _problems(fields: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with package.json."""
    packaging = fields.get("packagingVersion")
    if packaging not in VERSIONS:
        yield f"packagingVersion: {_short(packaging)} is not one of {', '.join(VERSIONS)}"
        return
    for name, (since, required, check) in _FIELDS.items():
        if name in fields:
            if packaging < since:
                yield f"{name}: is known from packaging version {since} on"
            elif why := check(fields[name]):
                yield f"{name}: {why}"
        elif required:
            yield f"{name}: is required"
    yield from (f"{name}: is not a field of package.json" for name in fields if name not in _FIELDS)
    version = fields.get("version")
    if packaging >= "3.0" and isinstance(version, str) and not _VERSION.fullmatch(version):
        yield f"version: {_short(version)} has other characters than letters, digits, - and ."


def _text(value: Any) -> str:
    return "" if isinstance(value, str) else "must be a string"


def _filled(value: Any) -> str:
    return "" if isinstance(value, str) and value else "must be a string that is not empty"


def _flag(value: Any) -> str:
    return "" if isinstance(value, bool) else "must be true or false"


def _count(value: Any) -> str:
    return "" if isinstance(value, int) and not isinstance(value, bool) else "must be a whole number"


def _like(pattern: re.Pattern[str]) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        good = isinstance(value, str) and pattern.fullmatch(value)
        return "" if good else f"{_short(value)} does not match ^{pattern.pattern}$"

    return check


def _tags(value: Any) -> str:
    good = isinstance(value, list) and all(isinstance(tag, str) and _TAG.fullmatch(tag) for tag in value)
    return "" if good else "must be a list of words without blanks"


def _versions(value: Any) -> str:
    good = isinstance(value, list) and all(isinstance(one, str) for one in value)
    return "" if good else 'must be a list of versions or ["*"]'


def _licenses(value: Any) -> str:
    good = isinstance(value, list) and all(
        isinstance(one, Mapping) and set(one) == {"name", "url"} and all(isinstance(v, str) for v in one.values())
        for one in value
    )
    return "" if good else "must be a list of objects with name and url"


def _manager(value: Any) -> str:
    good = isinstance(value, Mapping) and isinstance(value.get("packageName"), str)
    return "" if good else "must be an object with packageName"


_FIELDS: Mapping[str, tuple[str, bool, Callable[[Any], str]]] = {
    "packagingVersion": ("2.0", True, _text),
    "name": ("2.0", True, _like(_NAME)),
    "version": ("2.0", True, _filled),
    "maintainer": ("2.0", True, _text),
    "description": ("2.0", True, _text),
    "tags": ("2.0", True, _tags),
    **dict.fromkeys(
        ("scm", "website", "preInstallNotes", "postInstallNotes", "postUninstallNotes"), ("2.0", False, _text)
    ),
    "framework": ("2.0", False, _flag),
    "selected": ("2.0", False, _flag),
    "licenses": ("2.0", False, _licenses),
    "minDcosReleaseVersion": ("3.0", False, _like(_RELEASE)),
    "lastUpdated": ("3.0", False, _count),
    "hasKnownIssues": ("3.0", False, _flag),
    "manager": ("5.0", False, _manager),
    "upgradesFrom": ("4.0", False, _versions),
    "downgradesTo": ("4.0", False, _versions),
}
"""Since which packaging version, whether required, and what is wrong with a value."""


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
