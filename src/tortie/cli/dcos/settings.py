"""The configuration: its file's text, its properties, and the variables that win over them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tortie.base.meant import meant
from tortie.cli.dcos.errors import DcosError

Settings = dict[str, dict[str, Any]]
"""Section -> key -> value."""
TOKEN = "core.dcos_acs_token"
URL = "core.dcos_url"
KEYS = {
    URL: "url",
    TOKEN: "text",
    "core.ssl_verify": "text",
    "core.timeout": "whole",
    "core.reporting": "boolean",
    "core.mesos_master_url": "url",
    "core.email": "text",
    "core.token": "text",
    "core.pagination": "boolean",
    "core.prompt_login": "boolean",
    "cluster.name": "text",
    "marathon.url": "url",
    "package.cosmos_url": "url",
    "job.url": "url",
}


def parse(text: str, where: str) -> Settings:
    """Raises DcosError when the text is no TOML of sections."""
    found = _plain(text)
    if found is not None:
        return found
    import tomllib  # only for what is not as this program writes it

    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise DcosError(f"Error parsing config file at [{where}]: {error}") from error
    if loose := [name for name, value in document.items() if not isinstance(value, dict)]:
        raise DcosError(f"Error parsing config file at [{where}]: {', '.join(loose)} stands in no section")
    return document


def _plain(text: str) -> Settings | None:
    """Sections of `key = "value"`, whole numbers and booleans without anything that needs a parser; else None."""
    found: Settings = {}
    section: dict[str, Any] | None = None
    for raw in text.split("\n"):
        line = raw.removesuffix("\r").strip(" \t")
        if not line:
            continue
        name = line[1:-1]
        if line[0] == "[" and line[-1] == "]" and _bare(name) and name not in found:
            section = found.setdefault(name, {})
            continue
        key, equals, value = (part.strip(" \t") for part in line.partition("="))
        if section is None or not equals or not _bare(key) or key in section:
            return None
        if value in ("true", "false"):
            section[key] = value == "true"
        elif value.isascii() and value.isdigit() and (value == "0" or value[0] != "0"):
            section[key] = int(value)
        elif len(value) > 1 and value[0] == value[-1] == '"' and _simple(value[1:-1]):
            section[key] = value[1:-1]
        else:
            return None
    return found


def _bare(name: str) -> bool:
    return bool(name) and name.isascii() and name.replace("_", "").replace("-", "").isalnum()


def _simple(text: str) -> bool:
    return text.isprintable() and not any(mark in text for mark in '"\\')


def dump(settings: Settings) -> str:
    """TOML of values that `parse` gives."""
    parts = []
    for section, values in settings.items():
        if values:
            lines = [f"{_key(key)} = {_value(value)}" for key, value in values.items()]
            parts.append("\n".join([f"[{_key(section)}]", *lines]) + "\n")
    return "\n".join(parts)


def _key(name: str) -> str:
    return name if _bare(name) else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, str):
        plain = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in plain) + '"'
    return str(value)


def split(name: str) -> tuple[str, str]:
    """Section and key. Raises DcosError."""
    section, dot, key = name.partition(".")
    if not (section and dot and key):
        raise DcosError(f"Property name must have both a section and key: <section>.<key> - E.g. {URL}; got [{name}]")
    return section, key


def variables(name: str) -> tuple[str, ...]:
    """The variables that win over a property, the first that is set."""
    section, key = split(name.upper())
    if section != "CORE":
        return (f"DCOS_{section}_{key}",)
    return (key, f"DCOS_{key}") if key.startswith("DCOS") else (f"DCOS_{key}",)


def effective(settings: Mapping[str, Mapping[str, Any]], environ: Mapping[str, str], name: str) -> tuple[Any, str]:
    """The value in force, or None, and the variable it comes from, or nothing."""
    for variable in variables(name):
        if environ.get(variable):
            return environ[variable], variable
    return stored(settings, name), ""


def stored(settings: Mapping[str, Mapping[str, Any]], name: str) -> Any:
    section, key = split(name)
    return settings.get(section, {}).get(key)


def properties(settings: Settings) -> list[tuple[str, Any]]:
    return sorted((f"{section}.{key}", value) for section, values in settings.items() for key, value in values.items())


def typed(name: str, text: str) -> Any:
    """The value of a property from a command line. Raises DcosError."""
    kind = KEYS.get(name)
    if kind is None:
        split(name)
        known = "\n".join(KEYS)
        raise DcosError(f"Property '{name}' is invalid{meant(name, KEYS)} - possible properties are: \n{known}")
    if kind == "whole":
        if not (text.isascii() and text.isdigit()):
            raise DcosError(f"Unable to parse '{text}' as an int: {name} is a number of seconds")
        return int(text)
    if kind == "boolean":
        if text.lower() not in ("true", "false"):
            raise DcosError(f"Unable to parse '{text}' as a boolean")
        return text.lower() == "true"
    if kind == "url" and not _is_url(text):
        raise DcosError(f"Unable to parse '{text}' as a url: it has to begin with http:// or https://")
    if not text.isprintable():
        raise DcosError(f"Unable to take {text!r} for {name}: it is not printable")
    return text


def _is_url(text: str) -> bool:
    scheme, found, rest = text.partition("://")
    return bool(found) and scheme.lower() in ("http", "https") and rest.strip("/") != "" and not set(text) & set(" \t")


def change(settings: Settings, name: str, value: Any) -> tuple[Settings, str]:
    """The settings with that value, and what there is to say about it."""
    section, key = split(name)
    before = stored(settings, name)
    changed = {**settings, section: {**settings.get(section, {}), key: value}}
    if name == TOKEN:
        said = "set" if before is None else "already set to that value" if before == value else "changed"
    elif before is None:
        said = f"set to '{value}'"
    else:
        said = f"already set to '{before}'" if before == value else f"changed from '{before}' to '{value}'"
    text = f"[{name}]: {said}"
    if name == URL and before not in (None, value) and stored(changed, TOKEN) is not None:
        # A token of the cluster before is no token of this one.
        changed["core"].pop("dcos_acs_token")
        text += f"\n[{TOKEN}]: removed"
    return changed, text


def without(settings: Settings, name: str) -> tuple[Settings, str]:
    """Raises DcosError when there is no such property."""
    if name in settings:
        raise DcosError(choices(settings, name))
    section, key = split(name)
    if stored(settings, name) is None:
        raise DcosError(f"Property '{name}' doesn't exist{meant(name, [known for known, _ in properties(settings)])}")
    rest = {other: value for other, value in settings[section].items() if other != key}
    text = f"Removed [{name}]"
    if name == URL and rest.pop("dcos_acs_token", None) is not None:
        text += f"\nRemoved [{TOKEN}]"
    return {**settings, section: rest}, text


def choices(settings: Settings, section: str) -> str:
    """What to say when a section is named where a property is meant."""
    lines = "\n".join(f"{section}.{key}" for key in sorted(settings[section]))
    return f"Property '{section}' doesn't fully specify a value - possible properties are:\n{lines}"


def shown(name: str, in_file: Any, in_force: Any, variable: str, *, named: bool) -> str:
    """One line of `config show`; `named`: with the property's name before it."""
    secret = name == TOKEN and named
    value = "*" * 8 if secret else in_force
    text = f"{name} {value}" if named else f"{value}"
    if in_file == in_force:
        return text
    after = "config file value differs" if secret else f"config file value: {in_file}"
    return f"{text:<35} # overwritten by environment var {variable}; {after}"


def problems(settings: Settings) -> list[str]:
    """What is wrong with a whole configuration; unknown sections belong to others."""
    found = []
    own = {split(name)[0] for name in KEYS}
    for name, value in properties(settings):
        if name in KEYS:
            try:
                typed(name, str(value))
            except DcosError as error:
                found.append(f"Error: {error}\nPath: {name}\nValue: {value}")
        elif split(name)[0] in own:
            found.append(
                f"Error: Additional properties are not allowed ('{split(name)[1]}' was unexpected)\nPath: {name}"
            )
    return found
