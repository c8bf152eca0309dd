"""What a file of hosts asks for: which hosts, how they are reached, what each shall have."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from tortie.base.errors import Invalid
from tortie.packages.rollout.machine import STEPS, Rollout, start
from tortie.packages.rollout.reach import Ssh

UNIT = "calico-node.service"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
SOCKET = "/run/tortie/node.sock"
NODE_CONF, STORE, CALICOCTL = "/etc/tortie/node.conf", "/etc/tortie/store", "/etc/calico/calicoctl.cfg"
CURRENT = "/opt/tortie/current/bin/tortie"


class Cni(msgspec.Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """Where runtimes look for plug-ins; the network's file is written where `config-dir` is given, for runtimes that
    understand results of `cni-version`."""

    bin_dir: str = "/opt/cni/bin"
    config_dir: str = ""
    network: str = "calico"
    suffix: str = ".conf"
    cni_version: str = "0.3.1"


def for_mesos(bin_dir: str = "", config_dir: str = "", network: str = "calico") -> Cni:
    """As Mesos looks for a network, and of the version whose results it understands."""
    return Cni(bin_dir=bin_dir, config_dir=config_dir, network=network, suffix=".cni", cni_version="0.2.0")


class NetModules(msgspec.Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    bin_dir: str = "/calico"


class HostEntry(msgspec.Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """`node`: lines of its own for node.conf; `agent`: the unit that reads plug-ins at its start, empty for none."""

    name: str
    address: str = ""
    ssh: Ssh | None = None
    node: dict[str, str] = {}
    agent: str | None = None


class Inventory(msgspec.Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """A file of hosts as it was read; the hosts are done in its order."""

    store: str
    hosts: tuple[HostEntry, ...]
    ssh: Ssh = Ssh()
    node: dict[str, str] = {}
    cni: Cni | None = Cni()
    net_modules: NetModules | None = None
    agent: str = ""
    settle: float = 5.0
    patience: float = 120.0
    max_unavailable: int = 1
    probe: bool = True


class Product(msgspec.Struct, frozen=True):
    """What goes to every host, whatever a file says. `cni`, `net_modules`: the plug-ins' texts by their names."""

    artefact: str
    tag: str
    unit: str
    cni: Mapping[str, str]
    net_modules: Mapping[str, str]


def read(document: Any, where: str, settings: frozenset[str]) -> Inventory:
    """Invalid names every fault that a person would want to mend at once. `settings`: the names node.conf knows."""
    try:
        found = msgspec.convert(document, Inventory)
    except msgspec.ValidationError as error:
        raise Invalid(f"{where}: {error}") from error
    names = [host.name for host in found.hosts]
    problems = [f"{where}: host {name} stands there twice" for name in sorted(set(names)) if names.count(name) > 1]
    problems += [f"{where}: {name!r} is no name of a host" for name in names if not name or "/" in name or " " in name]
    problems += [] if names else [f"{where}: there are no hosts in it"]
    if not found.store.startswith(("etcd://", "etcds://", "http://", "https://", "sqlite:///")):
        problems.append(f"{where}: store: {found.store!r} is no address such as etcd://10.0.0.1:2379")
    if found.max_unavailable < 1:
        problems.append(f"{where}: max-unavailable: {found.max_unavailable} is less than 1")
    for owner, lines in [("node", found.node), *((f"host {host.name}: node", host.node) for host in found.hosts)]:
        unknown = sorted(set(lines) - settings)
        problems += [
            f"{where}: {owner}: no setting {name}; there are {', '.join(sorted(settings))}" for name in unknown
        ]
        problems += [f"{where}: {owner}: {name} holds a line break" for name, text in lines.items() if "\n" in text]
    problems += [f"{where}: host {host.name}: {text}" for host in found.hosts if (text := _unsafe(found, host))]
    if problems:
        raise Invalid(*problems)
    return found


def _unsafe(inventory: Inventory, host: HostEntry) -> str:
    """Words that ssh would take for options."""
    way = reach(inventory, host)
    bad = [text for text in (way.address, way.user, way.identity) if text.startswith("-")]
    return f"{bad[0]!r} begins with a dash" if bad else ""


def reach(inventory: Inventory, host: HostEntry) -> Ssh:
    """How this host is reached: its own words before those for all."""
    merged = inventory.ssh
    if host.ssh:
        own = {
            name: value for name in Ssh.__struct_fields__ if (value := getattr(host.ssh, name)) != getattr(Ssh(), name)
        }
        merged = replace(merged, **own)
    return replace(merged, address=host.address or merged.address or host.name)


def want(inventory: Inventory, host: HostEntry, product: Product) -> dict[str, Any]:
    """What the host shall be, as its hand takes it. A setting whose text is empty is left to the node."""
    lines = {"NODENAME": host.name, "TORTIE_STORE": inventory.store, **inventory.node, **host.node}
    conf = "".join(f"{name}={text}\n" for name, text in lines.items() if text)
    configuration = {NODE_CONF: _file(conf), STORE: _file(f"{inventory.store}\n")}
    if not inventory.store.startswith("sqlite:"):
        configuration[CALICOCTL] = _file(calicoctl(inventory.store))
    files = {"configuration": configuration, "node": {UNIT_FILE: _file(product.unit)}}
    if inventory.cni:
        files["cni"] = {f"{inventory.cni.bin_dir}/{name}": _file(text, 0o755) for name, text in product.cni.items()}
        if inventory.cni.config_dir:
            name = f"{inventory.cni.network}{inventory.cni.suffix}"
            files["cni"][f"{inventory.cni.config_dir}/{name}"] = _file(network(inventory.cni))
    if inventory.net_modules:
        folder = inventory.net_modules.bin_dir
        files["net-modules"] = {f"{folder}/{name}": _file(text, 0o755) for name, text in product.net_modules.items()}
    return {
        "artefact": {"name": product.artefact, "tag": product.tag},
        "files": files,
        "agent": inventory.agent if host.agent is None else host.agent,
        "node": {"unit": UNIT, "socket": lines.get("TORTIE_NODE_SOCKET", SOCKET)},
        "settle": inventory.settle,
        "patience": inventory.patience,
        "probe": inventory.probe,
    }


def network(cni: Cni) -> str:
    """The text of the network's file."""
    config = {"name": cni.network, "cniVersion": cni.cni_version, "type": "calico", "ipam": {"type": "calico-ipam"}}
    return json.dumps(config, indent=2) + "\n"


def calicoctl(store: str) -> str:
    """The text of calicoctl.cfg for an etcd."""
    scheme, _, places = store.partition("://")
    web = {"etcd": "http", "etcds": "https"}.get(scheme, scheme)
    endpoints = ",".join(f"{web}://{place.rstrip('/')}" for place in places.split(","))
    spec = f"spec:\n  datastoreType: etcdv2\n  etcdEndpoints: {json.dumps(endpoints)}\n"
    return f"apiVersion: v1\nkind: calicoApiConfig\nmetadata: {{}}\n{spec}"


def _file(text: str, mode: int = 0o644) -> dict[str, Any]:
    return {"text": text, "mode": mode}


Delta = Mapping[str, Sequence[Mapping[str, str]]]
"""What a host's hand says it would change, by step."""


class Task(msgspec.Struct, frozen=True):
    """One host of a plan. `reach`: None for one that the calico framework reaches: an agent of Mesos by a task, a
    `station` by the package service there."""

    name: str
    reach: Ssh | None
    want: dict[str, Any]
    station: bool = False


def known_as(task: Task) -> list[str]:
    """What a host's node may be called by others: names, or an address."""
    conf = str(task.want["files"].get("configuration", {}).get(NODE_CONF, {}).get("text", ""))
    own = [line.partition("=")[2] for line in conf.splitlines() if line.startswith("NODENAME=")]
    return [task.name, *own, *([task.reach.address] if task.reach else [])]


class Plan(msgspec.Struct, frozen=True):
    """`digest`: of what is wanted and of what was there instead when the hosts were asked. `at_once`: how many hosts
    may be out together."""

    digest: str
    artefact: str
    tasks: tuple[Task, ...]
    deltas: dict[str, dict[str, list[dict[str, str]]]]
    at_once: int = 1

    @property
    def empty(self) -> bool:
        return not any(self.deltas.values())

    def rollout(self, now: float) -> Rollout:
        """Each host gets the steps that have something to do there."""
        hosts = [(task.name, [step for step in STEPS if step in self.deltas[task.name]]) for task in self.tasks]
        return start(self.digest, hosts, now, self.at_once)


def plan(tasks: Sequence[Task], deltas: Mapping[str, Delta], artefact: str, at_once: int = 1) -> Plan:
    wanted = [[task.name, task.want, deltas[task.name]] for task in tasks]
    content = json.dumps([at_once, *wanted] if at_once > 1 else wanted, sort_keys=True)
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    plain = {
        name: {step: [dict(item) for item in items] for step, items in delta.items()} for name, delta in deltas.items()
    }
    return Plan(digest, artefact, tuple(tasks), plain, at_once)


def shown(made: Plan) -> list[str]:
    """The plan for people."""
    lines = []
    for task in made.tasks:
        delta = made.deltas[task.name]
        lines.append(f"{task.name}:" if delta else f"{task.name}: nothing to do")
        lines += [f"  {step:14} {item['text']}" for step, items in delta.items() for item in items]
    return lines
