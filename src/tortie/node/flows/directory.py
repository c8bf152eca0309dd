"""Who has an address: a workload, a host, a network set, or somebody outside. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tortie.model.resource import Resource
from tortie.policy import endpoints
from tortie.policy.names import title

EndType = Literal["WorkloadEndpoint", "HostEndpoint", "NetworkSet", "Network"]
Labels = tuple[str, ...]
Network = tuple[int, int, int]
"""IP version, length of the prefix, and the prefix's bits."""


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
    networks: tuple[Network, ...] = ()


class Directory:
    """One call per thing learned, None for gone. Of several with one address the last one told is found."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._workloads: dict[bytes, list[_Entry]] = {}
        self._hosts: dict[bytes, list[_Entry]] = {}
        self._networks: dict[tuple[int, int], dict[int, list[_Entry]]] = {}

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
        networks = tuple(net for text in resource.spec.nets if (net := _network(text)) is not None)
        self._put(key, _Entry(end, _labels(metadata.labels), networks=networks))

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
                return found[-1]
        return None

    def _put(self, key: str, entry: _Entry) -> None:
        self._forget(key)
        self._entries[key] = entry
        known = self._hosts if entry.end.type == "HostEndpoint" else self._workloads
        for address in entry.addresses:
            known.setdefault(address, []).append(entry)
        for version, length, prefix in entry.networks:
            self._networks.setdefault((version, length), {}).setdefault(prefix, []).append(entry)

    def _forget(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        known = self._hosts if entry.end.type == "HostEndpoint" else self._workloads
        for address in entry.addresses:
            _take(known, address, entry)
        for version, length, prefix in entry.networks:
            _take(self._networks[version, length], prefix, entry)
            if not self._networks[version, length]:
                del self._networks[version, length]


def _take(register: dict[Any, list[_Entry]], key: bytes | int, entry: _Entry) -> None:
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


def _network(text: str) -> Network | None:
    try:
        net = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    return net.version, net.prefixlen, int(net.network_address) >> (net.max_prefixlen - net.prefixlen)


def _is_private(address: bytes) -> bool:
    return ipaddress.ip_address(address).is_private
