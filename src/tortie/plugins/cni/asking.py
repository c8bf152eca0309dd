"""Who asks for an interface and what for: the same few facts out of every runtime's own way to say them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface
from typing import Any

from tortie.model import checks
from tortie.plugins.cni.call import Call
from tortie.plugins.cni.failures import CONFIGURATION, ENVIRONMENT, CniError
from tortie.plugins.cni.settings import CONVENTIONS, MESOS, object_in
from tortie.plugins.labels import label_key, label_value

NAMESPACE_LABEL = "projectcalico.org/namespace"
NOMAD_LABELS = {
    "NOMAD_REGION": "nomad.region",
    "NOMAD_NAMESPACE": "nomad.namespace",
    "NOMAD_JOB_ID": "nomad.job",
    "NOMAD_GROUP_NAME": "nomad.group",
}
"""Nomad's arguments become labels, so that policies may select jobs and groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """`orchestrator`: k8s or cni; `workload`: the pod's name or the container's id; `name`: what people call it.
    `addresses`: those that were asked for, without masks; `mac`: the one that was asked for, or empty."""

    orchestrator: str
    namespace: str
    workload: str
    name: str
    labels: Mapping[str, str]
    addresses: Sequence[str]
    mac: str


def read_asking(call: Call) -> Asking:
    """CniError names the address, label or argument that makes no sense."""
    namespace, pod = call.args.get("K8S_POD_NAMESPACE", ""), call.args.get("K8S_POD_NAME", "")
    kubernetes = bool(namespace and pod)
    labels = dict(_labels(call))
    wanted = labels.pop(NAMESPACE_LABEL, "")
    return Asking(
        orchestrator="k8s" if kubernetes else "cni",
        namespace=namespace if kubernetes else wanted or "default",
        workload=pod if kubernetes else call.container,
        name=pod or call.args.get("NOMAD_GROUP_NAME", ""),
        labels=labels,
        addresses=_addresses(call),
        mac=_mac(call),
    )


def _labels(call: Call) -> Iterator[tuple[str, str]]:
    for argument, label in NOMAD_LABELS.items():
        if call.args.get(argument):
            yield label, label_value(call.args[argument])
    given = object_in(call.config, "args", MESOS, "network_info", "labels").get("labels")
    yield from _pairs(given, f"args.{MESOS}.network_info.labels.labels")
    yield from _pairs(object_in(call.config, "args", CONVENTIONS).get("labels"), f"args.{CONVENTIONS}.labels")


def _pairs(given: Any, where: str) -> Iterator[tuple[str, str]]:
    if given is None:
        return
    if not isinstance(given, list):
        raise CniError(CONFIGURATION, f"{where}: a list of keys and values is needed")
    for pair in given:
        key = pair.get("key") if isinstance(pair, dict) else None
        value = (pair.get("value") if isinstance(pair, dict) else None) or ""
        if not isinstance(key, str) or not isinstance(value, str) or not key:
            raise CniError(CONFIGURATION, f"{where}: a label has a key and a value", repr(pair)[:80])
        yield (key if key == NAMESPACE_LABEL else label_key(key)), label_value(value)


def _addresses(call: Call) -> Sequence[str]:
    """In the order of their authority: what the runtime's configuration says, the conventions' key, the argument."""
    places = (
        (object_in(call.config, "runtimeConfig").get("ips"), "runtimeConfig.ips"),
        (object_in(call.config, "args", CONVENTIONS).get("ips"), f"args.{CONVENTIONS}.ips"),
        ([call.args["IP"]] if call.args.get("IP") else None, "CNI_ARGS IP"),
        (_mesos_addresses(call), f"args.{MESOS}.network_info.ip_addresses"),
    )
    for given, where in places:
        if given:
            return _parsed(given, where)
    return ()


def _mesos_addresses(call: Call) -> Sequence[str]:
    given = object_in(call.config, "args", MESOS, "network_info").get("ip_addresses")
    listed = given if isinstance(given, list) else []
    return [item["ip_address"] for item in listed if isinstance(item, dict) and item.get("ip_address")]


def _parsed(given: Any, where: str) -> Sequence[str]:
    try:
        found = [str(ip_interface(text).ip) for text in given]
    except (ValueError, TypeError) as error:
        raise CniError(CONFIGURATION, f"{where}: {error}") from error
    versions = [ip_address(address).version for address in found]
    # Podman repeats what it asked for beside what it got then: the first of a family is the one that is meant.
    return [address for at, address in enumerate(found) if versions.index(versions[at]) == at]


def _mac(call: Call) -> str:
    given = object_in(call.config, "runtimeConfig").get("mac") or call.args.get("MAC", "")
    if not given:
        return ""
    if not isinstance(given, str) or list(checks.mac("mac", given)):
        raise CniError(ENVIRONMENT, f"{given!r} is no MAC address")
    return given.lower()
