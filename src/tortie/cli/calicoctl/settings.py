"""Single fields of the configurations of Felix and of BGP: of the whole cluster (`default`) or of one node."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from tortie.base.errors import Conflict, Invalid, NotFound
from tortie.model.codec import from_builtins, to_builtins
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
"""From the older grammars' words to what is stored."""


def holder(node: str) -> str:
    """The name of the configuration: of this node, or of all without one."""
    return f"node.{node}" if node else "default"


def stored(client: Client, kind: Kind[Any], name: str, field: str) -> Any:
    """None when there is no such configuration or it does not set the field."""
    found = client.find(kind, name)
    return to_builtins(found.spec).get(field) if found else None


def store(client: Client, kind: Kind[Any], name: str, field: str, value: Any) -> bool:
    """Sets the field, or with None takes it away; False when it was like that already.

    Reads, changes, writes; again when somebody else wrote in between. A configuration that is left empty stays.
    """
    for _ in range(ATTEMPTS):
        found = client.find(kind, name)
        spec: dict[str, Any] = to_builtins(found.spec) if found else {}
        wanted = {key: held for key, held in spec.items() if key != field}
        if value is not None:
            wanted[field] = value
        if wanted == spec:
            return False
        try:
            made = from_builtins(kind.spec, wanted)
            if found:
                client.update(replace(found, spec=made))
            else:
                client.create(Resource(kind=kind, metadata=Metadata(name=name), spec=made))
        except (Conflict, NotFound):
            continue
        except msgspec.MsgspecError as error:
            raise Invalid(f"{field}: {error}") from error
        return True
    raise Conflict(f"{kind.name} {name} was changed by others {ATTEMPTS} times in a row")


def word(value: Any) -> str:
    """A stored level as the older grammars call it; anything else as it is."""
    return next((name for name, level in LEVELS.items() if level == value), str(value))
