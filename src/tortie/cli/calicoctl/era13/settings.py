"""`calicoctl config` in the 1.3 grammar: four settings, kept in the v3 configurations of Felix and BGP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from tortie.base.errors import Conflict, Invalid, NotFound
from tortie.cli.calicoctl.options import BadUsage, Options
from tortie.cli.calicoctl.session import Failed, Session
from tortie.model.codec import from_builtins, to_builtins
from tortie.model.kinds.bgp_configuration import BGP_CONFIGURATION
from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION
from tortie.model.kinds.node import NODE
from tortie.model.resource import Kind, Metadata, Resource
from tortie.store.client import Client

ATTEMPTS = 5
LEVELS = {
    "none": "",
    "debug": "Debug",
    "info": "Info",
    "warning": "Warning",
    "error": "Error",
    "critical": "Fatal",
}
SWITCH = {"on": True, "off": False}
DEFAULTS = {"logLevel": "info", "nodeToNodeMesh": "on", "asNumber": "64512", "ipip": "off"}


@dataclass(frozen=True, slots=True)
class Setting:
    """`field` of the spec of `kind`; `values` from the word of the command line to what is stored."""

    kind: Kind[Any]
    field: str
    values: Mapping[str, Any] | None
    per_node: bool = False


SETTINGS = {
    "logLevel": Setting(FELIX_CONFIGURATION, "logSeverityScreen", LEVELS, per_node=True),
    "nodeToNodeMesh": Setting(BGP_CONFIGURATION, "nodeToNodeMeshEnabled", SWITCH),
    "asNumber": Setting(BGP_CONFIGURATION, "asNumber", None),
    "ipip": Setting(FELIX_CONFIGURATION, "ipipEnabled", SWITCH),
}


def config(options: Options, session: Session) -> str:
    words, node = options.words, options.value("--node")
    if options.has("--raw"):
        raise Invalid("--raw is not supported: the settings are fields of FelixConfiguration and BGPConfiguration")
    match words:
        case ("get", name):
            with session.client() as client:
                return _get(client, name, _setting(name, node), node)
        case ("set", name, value):
            setting = _setting(name, node)
            wanted = _value(name, setting, value)
            with session.client() as client:
                _write(client, setting, node, wanted)
            return ""
        case ("unset", name):
            with session.client() as client:
                _write(client, _setting(name, node), node, None)
            return ""
    raise BadUsage("config")


def _setting(name: str, node: str) -> Setting:
    found = next((setting for known, setting in SETTINGS.items() if known.lower() == name.lower()), None)
    if found is None:
        raise Failed(f"Error executing command: unrecognized config name '{name}'; known: {', '.join(SETTINGS)}")
    if node and not found.per_node:
        raise Failed(f"Error executing command: {name} is a setting of all nodes, not of one")
    return found


def _value(name: str, setting: Setting, text: str) -> Any:
    if setting.values is None:
        if not text.isdecimal() or not 0 < int(text) < 2**32:
            raise Failed(f"Error executing command: invalid value '{text}' of {name}: not an AS number")
        return int(text)
    if text.lower() not in setting.values:
        raise Failed(f"Error executing command: invalid value '{text}' of {name}: {', '.join(setting.values)}")
    return setting.values[text.lower()]


def _get(client: Client, name: str, setting: Setting, node: str) -> str:
    for holder, suffix in (
        ((f"node.{node}", ""), ("default", " (inherited from global)")) if node else (("default", ""),)
    ):
        value = _stored(client, setting, holder)
        if value is not None:
            return _word(setting, value) + suffix + "\n"
    return f"{DEFAULTS[_known(name)]} (unset)\n" if not node else f"{DEFAULTS[_known(name)]} (inherited from global)\n"


def _known(name: str) -> str:
    return next(known for known in SETTINGS if known.lower() == name.lower())


def _word(setting: Setting, value: Any) -> str:
    return next((word for word, stored in (setting.values or {}).items() if stored == value), str(value))


def _stored(client: Client, setting: Setting, holder: str) -> Any:
    found = client.find(setting.kind, holder)
    return to_builtins(found.spec).get(setting.field) if found else None


def _write(client: Client, setting: Setting, node: str, value: Any) -> None:
    """Reads, changes, writes; again when somebody else wrote in between."""
    if node and client.find(NODE, node) is None:
        raise Failed(f"Error executing command: node {node} does not exist")
    holder = f"node.{node}" if node else "default"
    for _ in range(ATTEMPTS):
        found = client.find(setting.kind, holder)
        spec: dict[str, Any] = to_builtins(found.spec) if found else {}
        wanted = {key: held for key, held in spec.items() if key != setting.field}
        if value is not None:
            wanted[setting.field] = value
        if wanted == spec:
            return
        try:
            made = from_builtins(setting.kind.spec, wanted)
            if found:
                client.update(replace(found, spec=made))
            else:
                client.create(Resource(kind=setting.kind, metadata=Metadata(name=holder), spec=made))
        except (Conflict, NotFound):
            continue
        except msgspec.MsgspecError as error:
            raise Invalid(f"{setting.field}: {error}") from error
        return
    raise Conflict(f"{setting.kind.name} {holder} was changed by others {ATTEMPTS} times in a row")
