"""What the agent says to the commands of net-modules, and what it understands of their answers. Values only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import msgspec

from tortie.base.errors import Invalid
from tortie.wire import mesos as wire

LARGEST = 40960
"""Bytes of an answer: the original reads no more."""
ADDRESSES_LABEL = "ipv4_addrs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a task wants: these addresses, and this many others."""

    info: wire.NetworkInfo
    named: Sequence[str]
    automatic: int


def asked(infos: Sequence[wire.NetworkInfo]) -> Asked:
    """Raises Invalid in the original's words."""
    if len(infos) > 1:
        raise Invalid("NetworkIsolator:: multiple NetworkInfos are not supported.")
    info = infos[0] if infos else wire.NetworkInfo()
    for name, old in (("protocol", info.protocol), ("ip_address", info.ip_address)):
        if old is not None:
            raise Invalid(f"NetworkIsolator: NetworkInfo.{name} is deprecated and unsupported.")
    if not info.ip_addresses:
        raise Invalid("NetworkIsolator: Container requires at least one IP address.")
    named = [_named(address) for address in info.ip_addresses]
    found = [address for address in named if address]
    return Asked(info=info, named=found, automatic=len(named) - len(found))


def _named(address: wire.IPAddress) -> str:
    """Empty for any address."""
    if address.ip_address and address.protocol:
        raise Invalid("NetworkIsolator: Cannot include both ip_address and protocol in a request.")
    if address.protocol == "IPv6":
        raise Invalid("NetworkIsolator: IPv6 is not supported at this time.")
    if not address.ip_address:
        return ""
    try:
        found = ip_address(address.ip_address)
    except ValueError as error:
        raise Invalid(f"NetworkIsolator: {error}") from error
    if found.version == 6:
        raise Invalid("NetworkIsolator: IPv6 is not supported at this time.")
    return str(found)


def labels_of(info: wire.NetworkInfo, task: wire.TaskInfo | None) -> list[dict[str, str]]:
    """The network's own; the one that names addresses may be the task's as well."""
    own = list(info.labels.labels) if info.labels else []
    keys = {label.key for label in own}
    tasks = task.labels.labels if task and task.labels else []
    own += [label for label in tasks if label.key == ADDRESSES_LABEL and label.key not in keys]
    return [{"key": label.key, **({"value": label.value} if label.value is not None else {})} for label in own]


def reserve(hostname: str, uid: str, asking: Asked, labels: Sequence[Mapping[str, str]]) -> bytes:
    return _encoded("reserve", hostname=hostname, ipv4_addrs=asking.named, uid=uid, **_shared(asking, labels))


def allocate(hostname: str, uid: str, asking: Asked, labels: Sequence[Mapping[str, str]]) -> bytes:
    return _encoded(
        "allocate", hostname=hostname, num_ipv4=asking.automatic, num_ipv6=0, uid=uid, **_shared(asking, labels)
    )


def isolate(
    hostname: str,
    container_id: str,
    pid: int,
    addresses: Sequence[str],
    info: wire.NetworkInfo,
    labels: Sequence[Mapping[str, str]],
    about: Mapping[str, str],
) -> bytes:
    """`about` is of our own: other plug-ins look at no argument that they do not know."""
    return _encoded(
        "isolate",
        hostname=hostname,
        container_id=container_id,
        pid=pid,
        ipv4_addrs=addresses,
        netgroups=info.groups,
        labels=labels,
        **about,
    )


def release(addresses: Sequence[str]) -> bytes:
    return _encoded("release", ips=addresses)


def release_uid(uid: str) -> bytes:
    """For addresses that are not known: an allocation was under way."""
    return _encoded("release", uid=uid)


def cleanup(hostname: str, container_id: str) -> bytes:
    return _encoded("cleanup", hostname=hostname, container_id=container_id)


def _shared(asking: Asked, labels: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    return {"netgroups": asking.info.groups, "labels": labels}


def _encoded(command: str, **args: Any) -> bytes:
    """As the original writes them: in the order of their names, lists that are empty left out."""
    told = {name: value for name, value in sorted(args.items()) if not isinstance(value, list | tuple) or value}
    return json.dumps({"args": told, "command": command}, separators=(",", ":")).encode()


def read_answer(program: str, output: bytes) -> Mapping[str, Any]:
    """Raises Invalid with what the program said was wrong, or with what cannot be read of it."""
    if not output.strip():
        raise Invalid(f"{program}: Got no response")
    shown = output[:500].decode(errors="replace")
    try:
        answer = json.loads(output)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{program}: Error parsing output '{shown}' to JSON string: {error}") from error
    if not isinstance(answer, dict):
        raise Invalid(f"{program}: Error parsing output '{shown}' to JSON string: it is no object")
    if answer.get("error") is not None:
        raise Invalid(f"{program} returned error: {answer['error']}")
    return answer


def read_allocated(program: str, answer: Mapping[str, Any]) -> list[str]:
    """The addresses. Raises Invalid for what makes no sense, or nothing."""
    given = answer.get("ipv4") or []
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        raise Invalid(f"{program}: ipv4: a list of addresses is needed, not {str(given)[:200]}")
    if not given:
        raise Invalid("No IPv4 addresses received from IPAM.")
    try:
        found = [ip_address(text) for text in given]
    except ValueError as error:
        raise Invalid(f"{program}: ipv4: {error}") from error
    if any(address.version != 4 for address in found):
        raise Invalid(f"{program}: ipv4: an address of another family: {', '.join(given)}")
    return [str(address) for address in found]


def shown(info: wire.NetworkInfo, addresses: Sequence[str]) -> wire.NetworkInfo:
    """As statuses show it: all as it was asked for, but the addresses."""
    given = [wire.IPAddress(protocol="IPv4", ip_address=address) for address in addresses]
    return msgspec.structs.replace(info, ip_addresses=given)
