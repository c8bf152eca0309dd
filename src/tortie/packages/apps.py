"""A package as a Marathon app: options checked, the template rendered, the labels by which it is known again. Pure."""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import posixpath
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tortie.base.errors import Invalid
from tortie.base.sources import json_value
from tortie.packages import failures, schema
from tortie.packages.definition import Package
from tortie.packages.mustache import render
from tortie.packages.options import RESOURCE, defaults, merge
from tortie.packages.universe import Found

NAME, VERSION, SOURCE = "DCOS_PACKAGE_NAME", "DCOS_PACKAGE_VERSION", "DCOS_PACKAGE_SOURCE"
OPTIONS, DEFINITION, METADATA = "DCOS_PACKAGE_OPTIONS", "DCOS_PACKAGE_DEFINITION", "DCOS_PACKAGE_METADATA"
PACKAGING, RELEASE = "DCOS_PACKAGE_REGISTRY_VERSION", "DCOS_PACKAGE_RELEASE"
IS_FRAMEWORK, COMMAND = "DCOS_PACKAGE_IS_FRAMEWORK", "DCOS_PACKAGE_COMMAND"
FRAMEWORK = "DCOS_PACKAGE_FRAMEWORK_NAME"
"""Put by the template: the name under which the app registers with Mesos."""
NEEDS = "TORTIE_PACKAGE_NEEDS"
"""Put by the template: names of packages, with commas, that must stay as long as this app is there; a name alone, or
`etcd:etcd.mesos` for that framework of the package, by its domain."""
PARTING = "TORTIE_PACKAGE_UNINSTALL"
"""Put by the template: the path at the app's first port that takes out what the app has brought to the hosts."""
ENVELOPE = "application/vnd.dcos.universe.package+json;charset=utf-8;version=v4"
NOTHING: Mapping[str, Any] = MappingProxyType({})
_MOST = 32 * 1024 * 1024
_SEGMENT = re.compile(r"(?:[a-z0-9]|[a-z0-9][a-z0-9-]*[a-z0-9])")


def resolve(package: Package, given: Mapping[str, Any], site: Mapping[str, Any] = NOTHING) -> dict[str, Any]:
    """The options with the schema's defaults, and before those the cluster's own. Raises CosmosError for those that the
    schema forbids."""
    if package.config is None:
        if given:
            raise failures.options_not_allowed()
        return {}
    merged = merge(merge(defaults(package.config), site), given)
    try:
        errors = schema.problems(package.config, merged) if merged else []
    except Invalid as error:
        raise failures.template_unusable(package.name, package.version, f"config.json: {error}") from error
    if errors:
        raise failures.options_mismatch(errors)
    return merged


def app_of(
    found: Found, given: Mapping[str, Any], app_id: str | None = None, site: Mapping[str, Any] = NOTHING
) -> dict[str, Any]:
    """The app to be posted. `site`: what this cluster takes for the options' defaults. Raises CosmosError."""
    package = found.package
    options = resolve(package, given, site)
    if package.template is None:
        raise failures.no_template(package.name, package.version)
    try:
        text = render(package.template, merge(options, {RESOURCE: package.resource or {}}))
        app = json_value(text, last_wins=True)
    except Invalid as error:
        raise failures.template_unusable(package.name, package.version, str(error)) from error
    labels = _given_labels(app)
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        what = "labels must be strings" if isinstance(app, dict) else "the template does not make an object"
        raise failures.template_unusable(package.name, package.version, what)
    if app_id is not None:
        app["id"] = canonical(app_id)
    app["labels"] = {**labels, **labels_of(found, given)}
    return dict(app)


def _given_labels(app: Any) -> Any:
    """Of the template; None where it makes no object."""
    if not isinstance(app, dict):
        return None
    found = app.get("labels")
    return {} if found is None else found


def canonical(app_id: str) -> str:
    """An app's id from the root, as Marathon reads it. Raises CosmosError for one that no app can have."""
    parts = app_id.strip("/").split("/")
    found = posixpath.normpath("/" + "/".join(parts))
    if found == "/" or not all(part in (".", "..") or _dotted(part) for part in parts):
        raise failures.bad_json("decode", f"{app_id!r} is not the id of an app", ".appId")
    return found


def _dotted(part: str) -> bool:
    return all(_SEGMENT.fullmatch(piece) for piece in part.split("."))


def labels_of(found: Found, given: Mapping[str, Any]) -> dict[str, str]:
    """Both generations: tools of 2016 read METADATA, those of 2018 DEFINITION."""
    package = found.package
    images = (package.resource or {}).get("images")
    metadata = {**package.fields, **({"images": images} if images else {})}
    return {
        NAME: package.name,
        VERSION: package.version,
        SOURCE: found.source.uri,
        OPTIONS: _packed(json.dumps(given, separators=(",", ":"), ensure_ascii=False).encode()),
        DEFINITION: _packed(_json(envelope(package))),
        METADATA: _packed(_json(metadata)),
        PACKAGING: str(package.fields["packagingVersion"]),
        RELEASE: str(package.release),
        IS_FRAMEWORK: "true" if package.framework else "false",
        **({COMMAND: _packed(_json(package.command))} if package.command else {}),
    }


def envelope(package: Package) -> dict[str, Any]:
    data = gzip.compress(_json(package.entry()), mtime=0)
    return {
        "metadata": {"Content-Type": ENVELOPE, "Content-Encoding": "gzip"},
        "data": base64.b64encode(data).decode(),
    }


@dataclass(frozen=True, slots=True)
class Installed:
    """An app that is a package, by its labels."""

    app: str
    labels: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.labels[NAME]

    @property
    def version(self) -> str:
        return self.labels.get(VERSION, "")

    @property
    def framework(self) -> str:
        """The name of its framework; empty where it is none."""
        return self.labels.get(FRAMEWORK, "")

    @property
    def needs(self) -> list[tuple[str, str]]:
        """Packages that must stay, each with the name of its framework, empty where any will do."""
        words = [word.strip().partition(":") for word in self.labels.get(NEEDS, "").split(",")]
        return [(name, domain.partition(".")[0]) for name, _, domain in words if name]

    def serves(self, need: tuple[str, str]) -> bool:
        name, framework = need
        return self.name == name and framework in ("", self.framework)

    def options(self) -> dict[str, Any]:
        """What the person gave at installation."""
        found = _unpacked(self.labels.get(OPTIONS, ""))
        return found if isinstance(found, dict) else {}

    def definition(self) -> dict[str, Any]:
        """The package as it was when it was installed; what is known of it without the label, its name and version."""
        found = _unpacked(self.labels.get(DEFINITION, ""))
        if isinstance(found, dict) and isinstance(found.get("data"), str):
            inside = _unpacked(found["data"], packed=True)
            if isinstance(inside, dict):
                return inside
        older = _unpacked(self.labels.get(METADATA, ""))
        return older if isinstance(older, dict) else {"name": self.name, "version": self.version}


def installed(app: str, labels: Mapping[str, str] | None) -> Installed | None:
    """None for an app that is no package."""
    return Installed(app, labels) if labels and NAME in labels else None


def to_be_asked(doomed: Sequence[Installed], others: Sequence[Installed]) -> list[list[Installed]]:
    """Who is asked before it goes, the apps of one framework together: one of them leads it. Where another app of the
    same package and framework stays, that goes on with it, and nothing is taken out."""
    going_on = {(one.name, one.framework) for one in others if one.framework}
    groups: dict[tuple[str, str], list[Installed]] = {}
    for one in doomed:
        if (one.name, one.framework) not in going_on:
            groups.setdefault((one.name, one.framework) if one.framework else (one.app, ""), []).append(one)
    return list(groups.values())


def users_of(doomed: Sequence[Installed], others: Sequence[Installed]) -> list[str]:
    """The apps that stay, but need what is gone once the others are."""
    return sorted(
        {
            user.app
            for user in others
            for need in user.needs
            if any(one.serves(need) for one in doomed) and not any(one.serves(need) for one in others)
        }
    )


def _packed(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _unpacked(text: str, *, packed: bool = False) -> Any:
    """The JSON value in base64; None when there is none: anybody may write labels."""
    try:
        data = base64.b64decode(text, validate=True)
        if packed:
            inflater = zlib.decompressobj(31)
            data = inflater.decompress(data, _MOST)
            if inflater.unconsumed_tail:
                return None
        return json.loads(data)
    except (binascii.Error, zlib.error, ValueError, RecursionError):
        return None


def _json(value: Any) -> bytes:
    return json.dumps(_without_nulls(value), separators=(",", ":"), ensure_ascii=False).encode()


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
