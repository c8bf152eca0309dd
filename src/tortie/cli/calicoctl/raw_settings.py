"""Any field of the configurations of Felix and BGP, by its own name or by the one it had in the older eras. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from tortie.base.errors import Invalid
from tortie.base.numbers import whole
from tortie.cli.calicoctl.settings import LEVELS
from tortie.model.resource import Kind

OLD_NAMES: Mapping[str, Mapping[str, str]] = {
    "FelixConfiguration": {"ipinipenabled": "ipipEnabled", "ipinipmtu": "ipipMTU", "loglevel": "logSeverityScreen"},
    "BGPConfiguration": {
        "loglevel": "logSeverityScreen",
        "as_num": "asNumber",
        "node_mesh": "nodeToNodeMeshEnabled",
    },
}


def field_of(kind: Kind[Any], name: str) -> str:
    """The field that a name of either era means, its capitals aside. Raises Invalid."""
    fields = {field.lower(): field for field in _fields(kind)}
    given = name.lower()
    old = OLD_NAMES.get(kind.name, {}).get(given, given)
    for candidate in (old.lower(), re.sub("secs$", "", old)):
        if candidate in fields:
            return fields[candidate]
    raise Invalid(f"{kind.name} has no field for {name}")


def value_of(kind: Kind[Any], name: str, text: str) -> Any:
    """The value to store from the text of a command line. Raises Invalid when it does not fit the field."""
    field = field_of(kind, name)
    if name.lower() == "node_mesh" and text.startswith("{"):
        text = _enabled(text)
    if field == "logSeverityScreen" and text.lower() in LEVELS:
        return LEVELS[text.lower()]
    number = whole(text, 1 << 63)
    if name.lower().endswith("secs") and number is not None:
        text = f"{text}s"
    elif number is not None and int in get_args(_fields(kind)[field]):
        return number
    words = _words(_fields(kind)[field])
    text = next((word for word in words if word.lower() == text.lower()), text)
    try:
        if text.startswith(("[", "{")):
            return msgspec.json.decode(text)
        made = msgspec.convert(text, _fields(kind)[field], strict=False)
    except msgspec.MsgspecError as error:
        raise Invalid(f"invalid value '{text}' of {name}: {error}") from error
    return msgspec.to_builtins(made)


def shown(value: Any) -> str:
    """A stored value as a command line would give it."""
    if isinstance(value, bool | dict | list):
        return msgspec.json.encode(value).decode()
    return str(value)


def _enabled(text: str) -> str:
    """BIRD's setting of the mesh was an object with one field."""
    try:
        return "true" if msgspec.json.decode(text, type=dict[str, bool])["enabled"] else "false"
    except (msgspec.MsgspecError, KeyError) as error:
        raise Invalid(f"invalid value '{text}' of node_mesh: expected {{\"enabled\": true}}") from error


def _fields(kind: Kind[Any]) -> dict[str, Any]:
    return {info.encode_name: info.type for info in msgspec.structs.fields(kind.spec) if info.name != "unknown"}


def _words(annotation: Any) -> tuple[str, ...]:
    """The texts that a field may have, when they are listed."""
    if get_origin(annotation) is Literal:
        return tuple(item for item in get_args(annotation) if isinstance(item, str))
    if get_origin(annotation) is Union or hasattr(annotation, "__or__"):
        return tuple(word for part in get_args(annotation) for word in _words(part))
    return ()
