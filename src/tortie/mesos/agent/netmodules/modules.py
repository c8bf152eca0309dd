"""What --modules, --isolation and --hooks say about net-modules. Values only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tortie.base.errors import Invalid
from tortie.wire.netmodules import HOOK, IPAM_COMMAND, ISOLATOR, ISOLATOR_COMMAND

_OF_MESOS = {
    "appc": "runtime",
    "cgroups": "all blkio cpu cpuset devices hugetlb mem net_cls net_prio perf_event pids",
    "disk": "du xfs",
    "docker": "runtime volume",
    "filesystem": "linux posix",
    "gpu": "nvidia",
    "linux": "capabilities seccomp",
    "namespaces": "ipc pid",
    "network": "cni",
    "posix": "cpu disk mem rlimits",
    "volume": "host_path image sandbox_path secret",
}
ISOLATORS = {f"{kind}/{name}" for kind, names in _OF_MESOS.items() for name in names.split()} | {"environment_secret"}
"""Those of Mesos itself. Most of what they stand for is done here without their names."""

Parameters = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Commands:
    """Each a program and its arguments."""

    isolator: Sequence[str]
    ipam: Sequence[str]


def commands(modules: str, isolation: str, hooks: str) -> Commands | None:
    """None when --isolation does not name net-modules. Raises Invalid in the original's words.

    `modules`: the text of modules.json.
    """
    known = read_modules(modules) if modules.strip() else {}
    for name in _names(hooks):
        if name not in known:
            raise Invalid(f"No hook module named '{name}' available")
    isolators = _names(isolation)
    for name in isolators:
        if name not in ISOLATORS and name not in known:
            raise Invalid(f"Unknown or unsupported isolator: {name}")
    if ISOLATOR not in isolators:
        return None
    if HOOK not in _names(hooks):
        raise Invalid(f"--hooks must name {HOOK} where --isolation names {ISOLATOR}")
    parameters = known[ISOLATOR]
    return Commands(
        ipam=_command(parameters, IPAM_COMMAND, "IPAM"), isolator=_command(parameters, ISOLATOR_COMMAND, "Isolator")
    )


def read_modules(text: str) -> dict[str, Parameters]:
    """The parameters of every module in modules.json, by its name."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"Error loading modules: it is no JSON: {error}") from error
    found: dict[str, Parameters] = {}
    for library in _list(_object(document, "modules"), "libraries"):
        for module in _list(_object(library, "a library"), "modules"):
            name = _object(module, "a module").get("name")
            if not isinstance(name, str) or not name:
                raise Invalid("Error loading modules: a module has no name")
            if name in found:
                raise Invalid(f"Error loading modules: Duplicate module name '{name}'")
            found[name] = _parameters(module, name)
    return found


def _parameters(module: Mapping[str, Any], name: str) -> Parameters:
    found = {}
    for pair in _list(module, "parameters"):
        key, value = _object(pair, "a parameter").get("key"), pair.get("value")
        if not isinstance(key, str) or not isinstance(value, str):
            raise Invalid(f"Error loading modules: {name}: a parameter has a key and a value")
        found[key] = value
    return found


def _command(parameters: Parameters, key: str, what: str) -> Sequence[str]:
    """Split at spaces, as the original does: there are no quotes."""
    words = parameters.get(key, "").split()
    if not words:
        raise Invalid(f"{what} path not specified.")
    return words


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _object(found: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(found, dict):
        raise Invalid(f"Error loading modules: {what}: an object is needed")
    return found


def _list(found: Mapping[str, Any], name: str) -> Sequence[Any]:
    listed = found.get(name)
    if listed is not None and not isinstance(listed, list):
        raise Invalid(f"Error loading modules: {name}: a list is needed")
    return listed or []
