"""What the framework keeps in the store, and what an installation asks of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from tortie.base.errors import Invalid
from tortie.base.natural import natural
from tortie.node.first import First
from tortie.packages.rollout.inventory import NODE_CONF, STORE, Cni, HostEntry, Inventory, Plan, Product, Task, want
from tortie.packages.rollout.machine import Rollout, over
from tortie.packages.stations import Station
from tortie.store.open import CLUSTER

Leaving = Literal["", "whole", "forced"]


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What outlives the framework's process.

    `hands`: tasks that may still be at work, with the host of each. `beyond`: when the rollout began that a person has
    asked to go on from after its end. `leaving`: all is being undone for good; `forced` passes over agents that
    are away.
    """

    framework_id: str | None = None
    hands: dict[str, str] = {}
    beyond: float = 0.0
    leaving: Leaving = ""

    def with_hand(self, task: str, host: str) -> Kept:
        return replace(self, hands={**self.hands, task: host})

    def without_hand(self, task: str) -> Kept:
        return replace(self, hands={name: host for name, host in self.hands.items() if name != task})

    def hands_on(self, host: str) -> list[str]:
        return [task for task, where in self.hands.items() if where == host]


class Agent(msgspec.Struct, frozen=True):
    """One agent as the master knows it. `public`: something on it is reserved for public services; `address`: of its
    process."""

    id: str
    hostname: str
    public: bool = False
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The package's options. `etcd`: the framework whose members are the network's store; empty: `endpoints` are.
    `units`: the agent's unit, on private agents and on public ones. `cluster`: the address of the cluster's store,
    which frameworks on agents go on reading when the host's becomes the network's. `first`: what a store without a
    network gets before the first node comes. `at_once`: how many agents may be out together. `probe`: whether gates
    ask the kernels of other hosts. `run_node`: without it hosts get all but the node and its settings; nodes that run
    there are others' and go on."""

    cluster: str = ""
    etcd: str = "etcd"
    endpoints: tuple[str, ...] = ()
    cni: Cni | None = None
    units: tuple[str, str] = ("dcos-mesos-slave.service", "dcos-mesos-slave-public.service")
    node: Mapping[str, str] = field(default_factory=dict)
    first: First | None = None
    settle: float = 5.0
    patience: float = 120.0
    at_once: int = 1
    probe: bool = True
    run_node: bool = True


def store_of(urls: Sequence[str]) -> str:
    """The address of the store whose members have these client addresses. Invalid when there is none."""
    schemes = {"http": "etcd", "https": "etcds"}
    found = []
    for url in urls:
        scheme, mark, place = url.strip().partition("://")
        if not mark or scheme not in schemes or not place.strip("/"):
            raise Invalid(f"{url!r} is no address of an etcd such as http://10.0.0.1:2379")
        found.append((schemes[scheme], place.rstrip("/")))
    if not found:
        raise Invalid("no address of an etcd is given")
    if len({scheme for scheme, _ in found}) > 1:
        raise Invalid("addresses of an etcd are all http or all https")
    return f"{found[0][0]}://{','.join(sorted({place for _, place in found}))}"


def inventory(wanted: Wanted, store: str) -> Inventory:
    return Inventory(
        store=store,
        hosts=(),
        node=dict(wanted.node),
        cni=wanted.cni,
        settle=wanted.settle,
        patience=wanted.patience,
        probe=wanted.probe,
    )


def tasks(
    wanted: Wanted, store: str, agents: Sequence[Agent], product: Product, stations: Sequence[Station] = ()
) -> list[Task]:
    """What each host shall have: private agents first, then public ones, then stations, which have no plug-ins and no
    agent. Its node names itself after its host."""
    found = inventory(wanted, store)
    alone = replace(found, cni=None)
    made = []
    for agent in sorted(agents, key=lambda agent: (agent.public, natural(agent.hostname))):
        unit = wanted.units[agent.public] if wanted.cni else ""
        made.append(Task(agent.hostname, None, _goes(wanted, found, HostEntry(agent.hostname, agent=unit), product)))
    for name in sorted(station.name for station in apart(stations, agents)):
        made.append(Task(name, None, _goes(wanted, alone, HostEntry(name), product), station=True))
    return made


def _goes(wanted: Wanted, found: Inventory, host: HostEntry, product: Product) -> dict[str, Any]:
    goes = want(found, replace(host, node={"NODENAME": ""}), product)
    if not wanted.run_node:
        goes = _without_node(goes)
    if wanted.cluster:
        goes["files"]["configuration"][CLUSTER] = {"text": f"{wanted.cluster}\n", "mode": 0o644}
    return goes


def _without_node(goes: dict[str, Any]) -> dict[str, Any]:
    files = {step: held for step, held in goes["files"].items() if step != "node"}
    files["configuration"] = {name: file for name, file in files["configuration"].items() if name != NODE_CONF}
    return {**goes, "files": files, "node": {**goes["node"], "unit": ""}}


def switched_off(plan: Plan) -> list[str]:
    """The steps that no host of a plan has, since its options say so. The plan may be another roller's."""
    wants = [task.want for task in plan.tasks if not task.station] or [task.want for task in plan.tasks]
    has = {
        "cni": [bool(want["files"].get("cni")) for want in wants],
        "agent": [bool(want.get("agent")) for want in wants],
        "node": [bool(want.get("node", {}).get("unit")) for want in wants],
    }
    return [step for step, held in has.items() if held and not any(held)]


def apart(stations: Sequence[Station], agents: Sequence[Agent]) -> list[Station]:
    """Those on hosts of their own: where an agent is, that is the way to the host."""
    names = {name for agent in agents for name in (agent.hostname, agent.address) if name}
    return [station for station in stations if not station.among(names)]


def unseen(made: Sequence[Task], looked: Mapping[str, str]) -> list[Task]:
    """The hosts of which something else is wanted than when they were looked at last."""
    return [task for task in made if looked.get(task.name) != digest([task])]


def away(made: Plan, agents: Sequence[Agent], stations: Sequence[Station]) -> list[str]:
    """The hosts of a plan that cannot be reached now."""
    hosts, own = {agent.hostname for agent in agents}, {station.name for station in stations}
    return sorted(task.name for task in made.tasks if task.name not in (own if task.station else hosts))


def digest(made: Sequence[Task]) -> str:
    """Of all that is wanted."""
    text = json.dumps([[task.name, task.want] for task in made], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def ours(plan: Plan) -> bool:
    """Whether the hosts of this plan are agents and stations, and not hosts that somebody reaches by ssh."""
    return all(task.reach is None for task in plan.tasks)


def rests(last: Rollout | None, kept: Kept) -> bool:
    """Whether a person has ended the last rollout, and nobody has said yet that another may begin."""
    return last is not None and over(last) and last.goal != "roll" and last.begun != kept.beyond


def backwards(plan: Plan, hosts: frozenset[str], now: float, *, forced: bool) -> Rollout:
    """A rollout that undoes all of a plan that was done, on these hosts. What was not done there is passed over."""
    begun = plan.rollout(now)
    back = []
    for host in begun.hosts:
        steps = tuple(replace(step, progress="done") for step in host.steps) if host.name in hosts else ()
        back.append(replace(host, steps=steps, mark="done"))
    return replace(begun, hosts=tuple(back), goal="undo", forced=forced)


def store_in(plan: Plan) -> str:
    """The network's store that a plan has brought."""
    return str(plan.tasks[0].want["files"]["configuration"][STORE]["text"]).strip()
