"""`calicoctl config (felix | bgp | node bgp) NAME [VALUE | --remove] [--force]`."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tortie.cli.calicoctl import settings
from tortie.cli.calicoctl.era019 import usage
from tortie.cli.calicoctl.era019.host import hostname
from tortie.cli.calicoctl.era019.line import Failure, UsageError, read
from tortie.model.kinds.bgp_configuration import BGP_CONFIGURATION
from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION
from tortie.model.resource import Kind
from tortie.store.client import Client

Job = Callable[[Client], str]
LEVELS = {
    "FelixConfiguration": tuple(settings.LEVELS),
    "BGPConfiguration": ("none", "debug", "info"),
}
NAME = "loglevel"


def command(arguments: Sequence[str], environ: Mapping[str, str]) -> Job:
    line = read(arguments, usage.CONFIG, flags=("--remove", "--force"))
    force, remove = "--force" in line.flags, "--remove" in line.flags
    kind: Kind[Any] = BGP_CONFIGURATION
    match line.words:
        case ("felix", *words):
            kind, node = FELIX_CONFIGURATION, ""
        case ("bgp", *words):
            node = ""
        case ("node", "bgp", *words):
            node = hostname(environ)
        case _:
            raise UsageError(usage.CONFIG)
    match words:
        case [name] if remove:
            return _remove(kind, settings.holder(node), _field(kind, name, force))
        case [name]:
            return _show(kind, settings.holder(node), _field(kind, name, force))
        case [name, value] if not remove:
            return _set(kind, settings.holder(node), _field(kind, name, force), _value(kind, name, value, force))
    raise UsageError(usage.CONFIG)


def _field(kind: Kind[Any], name: str, force: bool) -> str:
    """With --force any field that the configuration has, by its name."""
    if name == NAME:
        return "logSeverityScreen"
    told = f"The configuration '{name}' is not recognized as a valid option."
    if not force:
        raise Failure(_paragraphs(told, "Use the --force option to override."))
    from tortie.cli.calicoctl.raw_settings import field_of

    return field_of(kind, name)


def _value(kind: Kind[Any], name: str, value: str, force: bool) -> Any:
    if name == NAME and value in LEVELS[kind.name]:
        return settings.LEVELS[value]
    if not force:
        told = f"The configuration value '{value}' is not recognized as a valid value."
        raise Failure(_paragraphs(told, "Use the --force option to override."))
    from tortie.cli.calicoctl.raw_settings import value_of

    return value_of(kind, name, value)


def _paragraphs(*texts: str) -> str:
    return "\n\n".join(textwrap.fill(text, 80) for text in texts) + "\n"


def _show(kind: Kind[Any], holder: str, field: str) -> Job:
    def show(client: Client) -> str:
        value = settings.stored(client, kind, holder, field)
        if value is None:
            return "No value configured"
        from tortie.cli.calicoctl.raw_settings import shown

        return settings.word(value) if field == "logSeverityScreen" else shown(value)

    return show


def _remove(kind: Kind[Any], holder: str, field: str) -> Job:
    def remove(client: Client) -> str:
        return "Value removed" if settings.store(client, kind, holder, field, None) else "No value configured"

    return remove


def _set(kind: Kind[Any], holder: str, field: str, value: Any) -> Job:
    def change(client: Client) -> str:
        settings.store(client, kind, holder, field, value)
        return ""

    return change
