"""One call of a runtime: its variables and bytes, checked as the reference skeleton checks them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tortie.model.codec import UNREADABLE
from tortie.plugins.cni.failures import (
    CONFIGURATION,
    ENVIRONMENT,
    NOT_DECODED,
    VERSION_NOT_SUPPORTED,
    CniError,
)

VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
ABSENT_VERSION = "0.2.0"
"""The specification says 0.1.0 for a configuration that names none; Calico and Mesos say 0.2.0, of the same shape."""
CHECK_SINCE, GC_SINCE = "0.4.0", "1.1.0"

_NEEDS = {
    "ADD": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"),
    "DEL": ("CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"),
    "CHECK": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"),
    "GC": ("CNI_PATH",),
    "STATUS": ("CNI_PATH",),
}
_SINCE = {"CHECK": CHECK_SINCE, "GC": GC_SINCE, "STATUS": GC_SINCE}
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.\-]*")
MAX_INTERFACE = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """`plugin`: the name the runtime ran us by. `netns`: a path, empty when none was given; `stamp`: which network
    namespace that was, as `device:inode`, empty when it is none. `config`: the plug-in's configuration as it came."""

    plugin: str
    command: str
    version: str
    network: str
    config: Mapping[str, Any]
    stdin: bytes
    container: str = ""
    netns: str = ""
    stamp: str = ""
    interface: str = ""
    path: Sequence[str] = ()
    args: Mapping[str, str] = field(default_factory=dict)


def read_call(plugin: str, env: Mapping[str, str], stdin: bytes, stamp: str = "") -> Call:
    """CniError says what is missing or wrong, in the words and with the code of the reference skeleton."""
    command = env.get("CNI_COMMAND", "")
    needs = _NEEDS.get(command)
    if needs is None:
        raise CniError(ENVIRONMENT, f"unknown CNI_COMMAND: {command}")
    missing = [name for name in needs if not env.get(name)]
    if missing:
        raise CniError(ENVIRONMENT, f"required env variables [{','.join(missing)}] missing")
    container, interface = env.get("CNI_CONTAINERID", ""), env.get("CNI_IFNAME", "")
    if "CNI_CONTAINERID" in needs:
        _check_container(container)
        _check_interface(interface)
    config = _read_config(stdin)
    version = _version(config, command)
    return Call(
        plugin=plugin,
        command=command,
        version=version,
        network=_network(config),
        config=config,
        stdin=stdin,
        container=container,
        netns=env.get("CNI_NETNS", ""),
        stamp=stamp,
        interface=interface,
        path=[part for part in env.get("CNI_PATH", "").split(":") if part],
        args=read_args(env.get("CNI_ARGS", "")),
    )


def read_args(text: str) -> dict[str, str]:
    """`K=V;K=V`. Keys that mean nothing to us are kept: whoever wants them looks them up."""
    found = {}
    for pair in filter(None, text.split(";")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise CniError(ENVIRONMENT, f"ARGS: invalid pair {pair!r}")
        found[key] = value
    return found


def _check_container(container: str) -> None:
    if not _NAME.fullmatch(container):
        raise CniError(ENVIRONMENT, "invalid characters in containerID", container)


def _check_interface(name: str) -> None:
    if len(name) > MAX_INTERFACE:
        raise CniError(
            ENVIRONMENT,
            "interface name is too long",
            f"interface name should be less than {MAX_INTERFACE + 1} characters",
        )
    if name in (".", ".."):
        raise CniError(ENVIRONMENT, "interface name is . or ..")
    if any(letter in "/:" or letter.isspace() for letter in name):
        raise CniError(ENVIRONMENT, "interface name contains / or : or whitespace characters")


def _read_config(stdin: bytes) -> Mapping[str, Any]:
    try:
        config = msgspec.json.decode(stdin)
    except UNREADABLE as error:
        raise CniError(NOT_DECODED, "the configuration on standard input is not JSON", str(error)) from error
    if not isinstance(config, dict):
        raise CniError(NOT_DECODED, "the configuration on standard input is not an object")
    return config


def _version(config: Mapping[str, Any], command: str) -> str:
    version = config.get("cniVersion") or ABSENT_VERSION
    if version not in VERSIONS:
        supported = ", ".join(f'"{known}"' for known in VERSIONS)
        raise CniError(
            VERSION_NOT_SUPPORTED,
            "incompatible CNI versions",
            f'config is "{version}", plugin supports [{supported}]',
        )
    if VERSIONS.index(version) < VERSIONS.index(_SINCE.get(command, VERSIONS[0])):
        raise CniError(VERSION_NOT_SUPPORTED, f"config version does not allow {command}", f'config is "{version}"')
    return str(version)


def _network(config: Mapping[str, Any]) -> str:
    name = config.get("name")
    if not name:
        raise CniError(CONFIGURATION, "missing network name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise CniError(CONFIGURATION, "invalid characters found in network name", str(name))
    return name
