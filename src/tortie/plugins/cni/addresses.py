"""Addresses for one interface: from our own IPAM, or from another plug-in that the network names. Every call blocks."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface, ip_network

import msgspec

from tortie.base.errors import Conflict, Invalid, TortieError
from tortie.model.codec import UNREADABLE
from tortie.model.kinds.ip_pool import IP_POOL
from tortie.plugins.cni import names
from tortie.plugins.cni.asking import Asking
from tortie.plugins.cni.call import Call
from tortie.plugins.cni.failures import CONFIGURATION, INPUT_OUTPUT, NOT_DECODED, OTHER, CniError
from tortie.plugins.cni.results import addresses_of
from tortie.plugins.cni.settings import Settings
from tortie.plugins.ports import Addresses
from tortie.store.client import Client

DELEGATE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Taker:
    """Takes and gives back what an interface needs."""

    addresses: Addresses
    client: Client
    clock: Callable[[], float]

    def take(
        self, call: Call, asking: Asking, settings: Settings, wanted: Sequence[str] = (), kind: str = names.ALLOCATION
    ) -> list[str]:
        """One address of each wanted family, without masks; all or none. `wanted`: better those than any other."""
        if settings.ipam:
            return self._delegated(call, settings.ipam)
        handle = names.handle_of(call.network, call.container, call.interface)
        attributes = {"type": kind}
        if asking.orchestrator == "k8s":
            attributes |= {"pod": asking.workload, "namespace": asking.namespace}
        try:
            asked = [self._asked(address, handle, attributes) for address in asking.addresses]
            families = {ip_address(address).version for address in asked}
            rest = [version for version in settings.versions if version not in families] if not asked else []
            return asked + [self._any(version, handle, attributes, settings, wanted) for version in rest]
        except TortieError:
            self.addresses.release_by_handle(handle, now=self.clock())
            raise

    def give_back(self, call: Call) -> None:
        """Twice is fine, and so is before anything was taken."""
        handle = names.handle_of(call.network, call.container, call.interface)
        self.addresses.release_by_handle(handle, now=self.clock())

    def give_back_delegated(self, call: Call, plugin: str) -> None:
        _run(call, plugin, "DEL")

    def _asked(self, address: str, handle: str, attributes: Mapping[str, str]) -> str:
        self.addresses.assign(address, handle, attributes, now=self.clock())
        return address

    def _any(
        self, version: int, handle: str, attributes: Mapping[str, str], settings: Settings, wanted: Sequence[str]
    ) -> str:
        for address in wanted:
            if ip_address(address).version == version:
                try:
                    return self._asked(address, handle, attributes)
                except (Conflict, Invalid):
                    break  # somebody has it by now, or its pool is gone: any other will do
        pools = self._pools(settings.pools[version], version)
        found = self.addresses.auto_assign(handle, attributes, now=self.clock(), pool=pools or None, version=version)
        return str(found)

    def _pools(self, given: Sequence[str], version: int) -> list[str]:
        """CIDRs of pools by CIDR or name."""
        if not given:
            return []
        known = {pool.name: pool.spec.cidr for pool in self.client.list(IP_POOL).items}
        found = []
        for text in given:
            try:
                cidr = ip_network(known.get(text, text))
            except ValueError as error:
                raise CniError(CONFIGURATION, f'error parsing pool "{text}"', str(error)) from error
            if cidr.version != version:
                raise CniError(CONFIGURATION, f'"{text}" isn\'t a IPv{version} address')
            found.append(str(cidr))
        return found

    def _delegated(self, call: Call, plugin: str) -> list[str]:
        output = _run(call, plugin, "ADD")
        try:
            answer = msgspec.json.decode(output)
        except UNREADABLE as error:
            raise CniError(NOT_DECODED, f"IPAM plug-in {plugin}: its answer is not JSON", str(error)) from error
        found = addresses_of(answer) if isinstance(answer, dict) else []
        if not found:
            raise CniError(NOT_DECODED, f"IPAM plug-in {plugin}: no address in its answer")
        return [str(ip_interface(address).ip) for address in found]


def _run(call: Call, plugin: str, command: str) -> bytes:
    """Another plug-in of the runtime's path, with the same configuration."""
    program = _found(call.path, plugin)
    env = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": call.container,
        "CNI_NETNS": call.netns,
        "CNI_IFNAME": call.interface,
        "CNI_ARGS": ";".join(f"{key}={value}" for key, value in {"IgnoreUnknown": "1", **call.args}.items()),
        "CNI_PATH": ":".join(call.path),
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    }
    try:
        done = subprocess.run(
            [program], input=call.stdin, env=env, capture_output=True, timeout=DELEGATE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CniError(INPUT_OUTPUT, f"IPAM plug-in {plugin}", str(error)) from error
    if done.returncode == 0:
        return done.stdout
    said = done.stdout or done.stderr
    try:
        failed = msgspec.json.decode(done.stdout)
        raise CniError(int(failed["code"]), str(failed["msg"]), str(failed.get("details", "")))
    except (*UNREADABLE, KeyError, TypeError, ValueError) as error:
        text = said.decode(errors="replace").strip()[:500]
        raise CniError(OTHER, f"IPAM plug-in {plugin} failed", text or f"exit {done.returncode}") from error


def _found(path: Sequence[str], plugin: str) -> str:
    if "/" in plugin:
        raise CniError(CONFIGURATION, f"ipam.type {plugin!r}: the name of a program, without a path")
    for folder in path:
        program = os.path.join(folder, plugin)
        if os.access(program, os.X_OK) and os.path.isfile(program):
            return program
    raise CniError(CONFIGURATION, f'failed to find plugin "{plugin}" in path {list(path)}')
