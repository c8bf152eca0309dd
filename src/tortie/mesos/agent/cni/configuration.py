"""A network's file, and what a plug-in is asked with it. Values only."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from tortie.base.errors import Invalid
from tortie.wire import mesos as wire

ARGS = "args"
MESOS = "org.apache.mesos"
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.\-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One network's configuration. `ipam`: its address plug-in, if it names one."""

    name: str
    type: str
    ipam: str = ""
    document: Mapping[str, Any]

    @property
    def programs(self) -> Sequence[str]:
        return [self.type, self.ipam] if self.ipam else [self.type]


def parse(data: bytes) -> Network:
    """Invalid says what is wrong with the file."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"it is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise Invalid("a JSON object is needed")
    name, kind = (_text(document, key) for key in ("name", "type"))
    if not _NAME.fullmatch(name):
        raise Invalid(f"'{name}' is not the name of a network")
    ipam = document.get("ipam")
    return Network(
        name=name,
        type=_program(kind),
        ipam=_program(_text(ipam, "type")) if isinstance(ipam, dict) and "type" in ipam else "",
        document=document,
    )


def _text(document: Mapping[str, Any], key: str) -> str:
    found = document.get(key)
    if not isinstance(found, str) or not found:
        raise Invalid(f"'{key}' is missing" if found is None else f"'{key}' is not a text")
    return found


def _program(name: str) -> str:
    """It is looked for in the plug-ins' directories and nowhere else."""
    if "/" in name or "\0" in name or name in (".", ".."):
        raise Invalid(f"'{name}' is not the name of a plug-in")
    return name


def request(network: Network, info: wire.NetworkInfo, about: Mapping[str, str]) -> bytes:
    """What the plug-in reads: the file, and under `args` what the task asked for.

    `about`: who it is for, under keys of our own that other plug-ins do not look at. Invalid when the file has the
    original's key itself.
    """
    args = network.document.get(ARGS, {})
    if not isinstance(args, dict):
        raise Invalid(f"'{ARGS}' in the configuration of CNI network '{network.name}' is not a JSON object")
    if MESOS in args:
        raise Invalid(
            f"'{MESOS}' in '{ARGS}' should not be set in CNI network configuration file. It is reserved by Mesos"
        )
    given = {**args, **about, MESOS: {"network_info": msgspec.to_builtins(info)}}
    return json.dumps({**network.document, ARGS: given}).encode()


def asked_in(request_document: bytes) -> wire.NetworkInfo:
    """The task's wish out of a request that was kept. Invalid when it is none."""
    try:
        return wire.convert(json.loads(request_document)[ARGS][MESOS]["network_info"], wire.NetworkInfo, "NetworkInfo")
    except (ValueError, KeyError, TypeError) as error:
        raise Invalid(f"no request of ours: {error!r}") from error


def environment(
    command: str, container_id: str, interface: str, namespace: str, *, path: str, plugins: str
) -> dict[str, str]:
    """All that a plug-in sees of the agent. `namespace` empty: there is none any more."""
    found = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": container_id,
        "CNI_PATH": plugins,
        "CNI_IFNAME": interface,
        "PATH": path,
    }
    return {**found, "CNI_NETNS": namespace} if namespace else found
