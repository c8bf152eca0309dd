"""YAML as the Go programs read and write it: no dates, no yes and no; keys once each, in alphabetical order."""

from __future__ import annotations

from typing import Any

import yaml

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Writer: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class Loader(_Base):  # type: ignore[misc]
    """Dates stay text; a key given twice is an error; no aliases that grow beyond bounds."""


def _mapping(loader: Any, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:
    loader.flatten_mapping(node)
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int | float | bool):
            raise yaml.constructor.ConstructorError(None, None, "a key is no text", key_node.start_mark)
        if str(key) in found:
            raise yaml.constructor.ConstructorError(None, None, f"field given twice: {key}", key_node.start_mark)
        found[str(key)] = loader.construct_object(value_node, deep=True)
    return found


Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in pairs if tag != "tag:yaml.org,2002:timestamp"]
    for first, pairs in _Base.yaml_implicit_resolvers.items()
}
Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


class Writer(_Writer):  # type: ignore[misc]
    """Lists are not indented below their key, as in Go; nothing is abbreviated by an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def dump(value: Any) -> str:
    text: str = yaml.dump(value, Dumper=Writer, default_flow_style=False, allow_unicode=True, width=1_000_000)
    return text
