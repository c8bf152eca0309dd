"""What a network's configuration asks for: Calico's keys, and what runtimes lay beside them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tortie.plugins.cni.failures import CONFIGURATION, CniError

OWN_IPAM = ("calico-ipam", "")
MESOS = "org.apache.mesos"
CONVENTIONS = "cni"
"""The key of `args` under which the field's conventions put labels and addresses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`mtu` 0: the node's. `pools`: names or CIDRs per version, none for any. `ipam`: the type of another IPAM plug-in,
    empty for ours. `makes_profile`: a profile is made where there is none. `forwarding`: the container may forward."""

    mtu: int
    node: str
    ipam: str
    versions: Sequence[int]
    pools: Mapping[int, Sequence[str]]
    makes_profile: bool
    forwarding: bool


def read_settings(config: Mapping[str, Any]) -> Settings:
    """CniError, of the configuration, names the key that makes no sense."""
    ipam = _object(config, "ipam")
    kind = _text(ipam, "type", "ipam.")
    if _flag(_object(config, "feature_control"), "ip_addrs_no_ipam", "feature_control.", default=False):
        raise CniError(CONFIGURATION, "requested feature is not supported for this runtime: ip_addrs_no_ipam")
    versions = [
        version
        for version, default in ((4, True), (6, False))
        if _flag(ipam, f"assign_ipv{version}", "ipam.", default=default)
    ]
    if not versions:
        raise CniError(CONFIGURATION, "ipam.assign_ipv4 and ipam.assign_ipv6 are both false: no address to give")
    return Settings(
        mtu=_number(config, "mtu"),
        node=_text(config, "nodename") or _text(config, "hostname"),
        ipam="" if kind in OWN_IPAM else kind,
        versions=versions,
        pools={version: _texts(ipam, f"ipv{version}_pools", "ipam.") for version in (4, 6)},
        makes_profile=not _text(_object(config, "policy"), "type", "policy."),
        forwarding=_flag(
            _object(config, "container_settings"), "allow_ip_forwarding", "container_settings.", default=False
        ),
    )


def object_in(config: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """The object at this path; an empty one when there is none on the way."""
    found = config
    for name in names:
        found = _object(found, name)
    return found


def _object(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = config.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise CniError(CONFIGURATION, f"{name}: an object is needed", repr(found)[:80])
    return found


def _text(config: Mapping[str, Any], name: str, where: str = "") -> str:
    found = config.get(name)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise CniError(CONFIGURATION, f"{where}{name}: a text is needed", repr(found)[:80])
    return found


def _texts(config: Mapping[str, Any], name: str, where: str) -> Sequence[str]:
    found = config.get(name)
    if found is None:
        return ()
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise CniError(CONFIGURATION, f"{where}{name}: a list of texts is needed", repr(found)[:80])
    return found


def _number(config: Mapping[str, Any], name: str) -> int:
    found = config.get(name)
    if found is None:
        return 0
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= 65535:
        raise CniError(CONFIGURATION, f"{name}: a number from 0 to 65535 is needed", repr(found)[:80])
    return found


def _flag(config: Mapping[str, Any], name: str, where: str, *, default: bool) -> bool:
    """The original wants the words "true" and "false" for some of these and a bool for others: both do."""
    found = config.get(name)
    if found is None or found == "":
        return default
    if isinstance(found, str) and found.lower() in ("true", "false"):
        return found.lower() == "true"
    if not isinstance(found, bool):
        raise CniError(CONFIGURATION, f"{where}{name}: true or false is needed", repr(found)[:80])
    return found
