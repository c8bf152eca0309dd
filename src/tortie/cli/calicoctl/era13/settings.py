"""`calicoctl config` in the 1.3 grammar: four settings, kept in the v3 configurations of Felix and BGP; with --raw any
field of one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tortie.base.errors import Invalid
from tortie.cli.calicoctl import numbers, settings
from tortie.cli.calicoctl.session import Failed, Session
from tortie.cli.options import BadUsage, Options
from tortie.model.kinds.bgp_configuration import BGP_CONFIGURATION
from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION
from tortie.model.kinds.node import NODE
from tortie.model.resource import Kind
from tortie.store.client import Client

SWITCH = {"on": True, "off": False}
BGP_LEVELS = {"none": "", "debug": "Debug"}
"""BIRD knows three levels; all others are info to it."""
RAW: Mapping[str, Kind[Any]] = {"felix": FELIX_CONFIGURATION, "bgp": BGP_CONFIGURATION}


@dataclass(frozen=True, slots=True)
class Setting:
    """`field` of the spec of `kind`; `words`: from the words of the command line to what is stored, None for a number.
    `default`: what is shown when nobody set it."""

    kind: Kind[Any]
    field: str
    default: str
    words: Mapping[str, Any] | None = None
    per_node: bool = False


SETTINGS = {
    "logLevel": Setting(FELIX_CONFIGURATION, "logSeverityScreen", "info", settings.LEVELS, per_node=True),
    "nodeToNodeMesh": Setting(BGP_CONFIGURATION, "nodeToNodeMeshEnabled", "on", SWITCH),
    "asNumber": Setting(BGP_CONFIGURATION, "asNumber", str(numbers.DEFAULT)),
    "ipip": Setting(FELIX_CONFIGURATION, "ipipEnabled", "off", SWITCH),
}


def config(options: Options, session: Session) -> str:
    words, node = options.words, options.value("--node")
    if len(words) != {"get": 2, "set": 3, "unset": 2}.get(words[0] if words else "", 0):
        raise BadUsage("config")
    verb, name, *value = words
    try:
        act = _raw(options, verb, name, value, node) if options.has("--raw") else _named(verb, name, value, node)
    except Invalid as error:
        raise Failed("\n".join(f"Error executing command: {problem}" for problem in error.problems)) from error
    with session.client() as client:
        if verb != "get" and node and client.find(NODE, node) is None:
            raise Failed(f"Error executing command: node {node} does not exist")
        return act(client)


def _named(verb: str, name: str, value: list[str], node: str) -> Callable[[Client], str]:
    known = next((known for known in SETTINGS if known.lower() == name.lower()), None)
    if known is None:
        raise Invalid(f"unrecognized config name '{name}'; known: {', '.join(SETTINGS)}")
    setting, holder = SETTINGS[known], settings.holder(node)
    if node and not setting.per_node:
        raise Invalid(f"{name} is a setting of all nodes, not of one")
    if verb == "get":
        return lambda client: _get(client, setting, node)
    wanted = _value(name, setting, value[0]) if value else None

    def change(client: Client) -> str:
        settings.store(client, setting.kind, holder, setting.field, wanted)
        if known == "logLevel":
            level = BGP_LEVELS.get(value[0].lower(), "Info") if value else None
            settings.store(client, BGP_CONFIGURATION, holder, "logSeverityScreen", level)
        return ""

    return change


def _value(name: str, setting: Setting, text: str) -> Any:
    if setting.words is None:
        try:
            number = numbers.as_number(text)
        except ValueError:
            number = 0
        if not number:
            raise Invalid(f"invalid value '{text}' of {name}: not an AS number")
        return number
    if text.lower() not in setting.words:
        raise Invalid(f"invalid value '{text}' of {name}: {', '.join(setting.words)}")
    return setting.words[text.lower()]


def _get(client: Client, setting: Setting, node: str) -> str:
    own = settings.stored(client, setting.kind, settings.holder(node), setting.field)
    if own is not None:
        return _word(setting, own) + "\n"
    common = settings.stored(client, setting.kind, settings.holder(""), setting.field) if node else None
    shown = setting.default if common is None else _word(setting, common)
    return shown + (" (inherited from global)\n" if node else " (unset)\n")


def _word(setting: Setting, value: Any) -> str:
    if setting.words is None:
        return numbers.plain(value)
    return next((word for word, stored in setting.words.items() if stored == value), str(value))


def _raw(options: Options, verb: str, name: str, value: list[str], node: str) -> Callable[[Client], str]:
    from tortie.cli.calicoctl import raw_settings

    kind, holder = RAW.get(options.value("--raw")), settings.holder(node)
    if kind is None:
        raise Invalid(f"--raw={options.value('--raw')}: there are {' and '.join(RAW)}")
    field = raw_settings.field_of(kind, name)
    wanted = raw_settings.value_of(kind, name, value[0]) if value else None

    def act(client: Client) -> str:
        if verb == "get":
            found = settings.stored(client, kind, holder, field)
            return "(unset)\n" if found is None else raw_settings.shown(found) + "\n"
        settings.store(client, kind, holder, field, wanted)
        return ""

    return act
