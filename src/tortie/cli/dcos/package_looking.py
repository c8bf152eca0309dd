"""`dcos package describe`, `list`, `search`."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from tortie.cli.dcos import package_commands, package_options
from tortie.cli.dcos import package_tables as tables
from tortie.cli.dcos.errors import DcosError
from tortie.cli.dcos.grammar import Line
from tortie.cli.dcos.package_client import call
from tortie.cli.dcos.session import Session, say, show

NONE_INSTALLED = "There are currently no installed packages. Please use `dcos package install` to install a package."


def definition(session: Session, name: str, version: str | None) -> dict[str, Any]:
    """The whole definition of a package."""
    asked = {"packageName": name, **({"packageVersion": version} if version else {})}
    found = call(session, "package/describe", asked, (3, 2))
    inside = found.get("package", found) if isinstance(found, dict) else None
    if not isinstance(inside, dict):
        raise DcosError("Error decoding response: it does not describe a package")
    return inside


def template_of(package: Mapping[str, Any]) -> str | None:
    marathon = package.get("marathon")
    encoded = marathon.get("v2AppMustacheTemplate") if isinstance(marathon, Mapping) else None
    if not isinstance(encoded, str):
        return None
    try:
        return base64.b64decode(encoded).decode()
    except ValueError as error:
        raise DcosError(f"The template of the package cannot be read: {error}") from error


def describe(session: Session, line: Line) -> int:
    name, version = line.need("<package-name>"), line.value("--package-version")
    options = package_options.read(line.value("--options"))
    if line.has("--package-versions"):
        asked = {"packageName": name, "includePackageVersions": True}
        show(tables.newest_first(call(session, "package/list-versions", asked)["results"]))
        return 0
    package = definition(session, name, version)
    if not any(line.has(option) for option in ("--app", "--cli", "--config", "--render")) and not options:
        show(tables.about(package))
        return 0
    if line.has("--app") or line.has("--render") or options:
        _describe_app(session, package, options, rendered=line.has("--render") or line.has("--options"))
    if line.has("--config"):
        show(_need(package.get("config"), f"Package [{name}] has no options"))
    if line.has("--cli"):
        cli = (package.get("resource") or {}).get("cli") or package.get("command")
        show(_need(cli, f"Package [{name}] brings no command"))
    return 0


def _describe_app(session: Session, package: Mapping[str, Any], options: dict[str, Any], *, rendered: bool) -> None:
    name, version = str(package.get("name")), str(package.get("version"))
    if rendered:
        package_options.warn(package.get("config"), options)
        asked = {"packageName": name, "packageVersion": version, "options": options}
        show(call(session, "package/render", asked)["marathonJson"])
        return
    text = _need(template_of(package), f"Package [{name}] has no app")
    say(text[:-1] if text.endswith("\n") else text)


def _need(value: Any, otherwise: str) -> Any:
    if value is None:
        raise DcosError(otherwise)
    return value


def list_(session: Session, line: Line) -> int:
    name, app = line.word("<package-name>"), line.value("--app-id")
    asked = {key: value for key, value in (("packageName", name), ("appId", app)) if value}
    apps = call(session, "package/list", asked)["packages"]
    commands = package_commands.installed(session.environ)
    commands = {key: value for key, value in commands.items() if name in (None, key)}
    found = tables.installed(apps, commands)
    if line.has("--cli"):
        found = [one for one in found if "command" in one]
    if app is not None:
        found = [one for one in found if one.get("apps")]
    if line.has("--json"):
        show(found)
    elif not found:
        raise DcosError(NONE_INSTALLED)
    else:
        say(tables.list_table(found))
    return 0


def search(session: Session, line: Line) -> int:
    query = line.word("<query>")
    found = call(session, "package/search", {"query": query} if query else {})
    if line.has("--json"):
        show(found)
    elif not found["packages"]:
        raise DcosError("No packages found.")
    else:
        say(tables.search_table(found["packages"]))
    return 0
