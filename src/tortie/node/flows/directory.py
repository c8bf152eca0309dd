"""Who has an address: a workload, a host, a network set, or somebody outside. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tortie.model.resource import Resource
from tortie.policy import endpoints
from tortie.policy.names import title
from tortie.policy.nets import members, network

EndType = Literal["WorkloadEndpoint", "HostEndpoint", "NetworkSet", "Network"]
Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class End:
    """One side of a flow. Those outside are `pvt` or `pub`, whatever their address: there are too many of them."""

    type: EndType
    name: str
    namespace: str = ""


PRIVATE, PUBLIC = End("Network", "pvt"), End("Network", "pub")


@dataclass(frozen=True, slots=True)
class _Entry:
    end: End
    labels: Labels
    addresses: tuple[bytes, ...] = ()
    profiles: tuple[str, ...] = ()
    networks: frozenset[str] = frozenset()


class Directory:
    """One call per thing learned, None for gone. Of several with one address the last one told is found."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._workloads: dict[bytes, list[_Entry]] = {}
        self._hosts: dict[bytes, list[_Entry]] = {}
        self._networks: dict[tuple[int, int], dict[int, tuple[str, ...]]] = {}

    def set_workload(self, key: str, resource: Resource[Any] | None) -> None:
        if resource is None:
            self._forget(key)
            return
        end = End("WorkloadEndpoint", title(resource), resource.metadata.namespace or "")
        addresses = endpoints.addresses(resource.spec.ip_networks)
        profiles = tuple(dict.fromkeys(resource.spec.profiles))
        self._put(key, _Entry(end, _labels(resource.metadata.labels), _packed(addresses), profiles))

    def set_host(self, key: str, name: str, addresses: Iterable[str] | None) -> None:
        """A host with all addresses that it is known by."""
        if addresses is None:
            self._forget(key)
        else:
            self._put(key, _Entry(End("HostEndpoint", name), (), _packed(addresses)))

    def set_network_set(self, key: str, resource: Resource[Any] | None) -> None:
        if resource is None:
            self._forget(key)
            return
        metadata = resource.metadata
        end = End("NetworkSet", metadata.name, metadata.namespace or "")
        old = self._entries.get(key)
        known = old.networks if old is not None else frozenset[str]()
        networks = frozenset(members(resource.spec.nets, known))
        self._entries[key] = _Entry(end, _labels(metadata.labels), networks=networks)
        self._move(key, known - networks, networks - known)

    def find(self, address: bytes) -> tuple[End, Labels]:
        """A workload before a host before the narrowest network set."""
        for known in (self._workloads, self._hosts):
            if found := known.get(address):
                return found[-1].end, found[-1].labels
        entry = self._in_network(address)
        if entry is not None:
            return entry.end, entry.labels
        return (PRIVATE if _is_private(address) else PUBLIC), ()

    def profiles(self, address: bytes) -> tuple[str, ...]:
        """Of the workload that has the address."""
        found = self._workloads.get(address)
        return found[-1].profiles if found else ()

    def _in_network(self, address: bytes) -> _Entry | None:
        version, bits = (4, 32) if len(address) == 4 else (6, 128)
        number = int.from_bytes(address, "big")
        lengths = sorted((length for v, length in self._networks if v == version), reverse=True)
        for length in lengths:
            if found := self._networks[version, length].get(number >> (bits - length)):
                return self._entries[found[-1]]
        return None

    def _put(self, key: str, entry: _Entry) -> None:
        self._forget(key)
        self._entries[key] = entry
        known = self._hosts if entry.end.type == "HostEndpoint" else self._workloads
        for address in entry.addresses:
            known.setdefault(address, []).append(entry)

    def _move(self, key: str, gone: Iterable[str], came: Iterable[str]) -> None:
        """Networks of a set, of which there may be 100,000 and of these only a few new."""
        for version, length, prefix in map(network, gone):
            held = self._networks[version, length]
            held[prefix] = tuple([other for other in held[prefix] if other != key])
            if not held[prefix]:
                del held[prefix]
            if not held:
                del self._networks[version, length]
        alone = (key,)
        for version, length, prefix in map(network, came):
            held = self._networks.setdefault((version, length), {})
            held[prefix] = (*held[prefix], key) if prefix in held else alone

    def _forget(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        known = self._hosts if entry.end.type == "HostEndpoint" else self._workloads
        for address in entry.addresses:
            _take(known, address, entry)
        self._move(key, entry.networks, ())


def _take(register: dict[bytes, list[_Entry]], key: bytes, entry: _Entry) -> None:
    held = register.get(key)
    if held is not None:
        # Equal ones of another key would do as well, but stay in their order.
        register[key] = [other for other in held if other is not entry]
        if not register[key]:
            del register[key]


def _labels(labels: Mapping[str, str]) -> Labels:
    return tuple(f"{key}={value}" for key, value in sorted(labels.items()))


def _packed(addresses: Iterable[str]) -> tuple[bytes, ...]:
    found = []
    for text in dict.fromkeys(addresses):
        try:
            found.append(ipaddress.ip_address(text).packed)
        except ValueError:
            continue
    return tuple(found)


def _is_private(address: bytes) -> bool:
    return ipaddress.ip_address(address).is_private
