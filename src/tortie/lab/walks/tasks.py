"""The containers of a walk where no engine runs them: tasks of the Mesos containerizer, and peers joined by CNI."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tortie.lab.documents import CNI_CONFIGS, CNI_PLUGINS
from tortie.lab.plan import MASTER
from tortie.lab.walks.containers import PEER_PREFIX
from tortie.lab.walks.marathon import MARATHON, as_json
from tortie.lab.walks.matrix import Party
from tortie.lab.walks.parties import Found
from tortie.lab.walks.walk import StepFailed, Walk

MESOS = f"http://{MASTER}:5050"
AGENT_PORT = 5051


@dataclass(frozen=True, slots=True)
class Task:
    """A task of Marathon that runs. `network`: the name of the one that it asked for, if any; `host`: the agent's."""

    app: str
    host: str
    address: str
    network: str
    container: str


@dataclass(frozen=True, slots=True)
class Peer:
    """A second container, on each of these agents, of the CNI network: as if a task with these labels had asked."""

    name: str
    network: str
    labels: Mapping[str, str] = field(default_factory=dict)
    agents: tuple[str, ...] = ()


def running_tasks(state: Mapping[str, Any], apps: Mapping[str, str], hosts: Mapping[str, str]) -> list[Task]:
    """Of the master's state. `apps`: by task id; `hosts`: the lab's names by address. Others' tasks are not in it."""
    agents = {agent["id"]: hosts.get(agent["hostname"], "") for agent in state.get("slaves", ())}
    listed = (task for framework in state.get("frameworks", ()) for task in framework.get("tasks", ()))
    return [
        Task(
            app=apps[task["id"]].lstrip("/"),
            host=agents.get(task["slave_id"], ""),
            address=_first(infos[0].get("ip_addresses", ()), "ip_address"),
            network=str(infos[0].get("name", "")),
            container=status.get("container_status", {}).get("container_id", {}).get("value", ""),
        )
        for task in listed
        if task["state"] == "TASK_RUNNING" and task["id"] in apps
        for status in [next(s for s in reversed(task["statuses"]) if s["state"] == "TASK_RUNNING")]
        if (infos := status.get("container_status", {}).get("network_infos"))
    ]


def _first(listed: Sequence[Mapping[str, Any]], key: str) -> str:
    return str(listed[0].get(key, "")) if listed else ""


class MesosTasks:
    """`called`: what a task is in the matrix, None for one that takes no part; `peers`: those of `add_peers`."""

    def __init__(self, walk: Walk, called: Callable[[Task], str | None], peers: Sequence[Peer] = ()) -> None:
        self._walk, self._called = walk, called
        self._peers = {agent: [peer for peer in peers if agent in peer.agents] for agent in walk.agents}

    def running(self) -> Found:
        return [*self._tasks(), *self._running_peers()]

    def _tasks(self) -> Found:
        walk = self._walk
        hosts = {host.address: host.name for host in walk.hosts}
        apps = {task["id"]: task["appId"] for task in as_json(walk, f"{MARATHON}/v2/tasks").get("tasks", ())}
        found, pids = [], dict[str, Mapping[str, int]]()
        for task in running_tasks(as_json(walk, f"{MESOS}/state"), apps, hosts):
            network = self._called(task)
            if network is None or task.address in hosts:  # on its host's own network
                continue
            if task.host not in pids:
                pids[task.host] = _pids(walk, task.host)
            party = Party(network, "app", task.host, task.address, network, walk.probing.listens[network])
            pid = pids[task.host].get(task.container)
            if pid is None:
                raise StepFailed(f"step {walk.step_key}: the agent of {task.host} tells no process of {task.app}")
            found.append((party, walk.lab.hosts[task.host].netns_of(pid)))
        return found

    def _running_peers(self) -> Found:
        found = []
        for agent, peers in self._peers.items():
            host = self._walk.lab.hosts[agent]
            listed = host.run(["bash", "-c", _addresses(peers)]).stdout.splitlines() if peers else ()
            for name, address in (line.split() for line in listed):
                party = Party(f"{name}@{agent}", "peer", agent, address, name)
                found.append((party, host.path(f"/run/netns/{PEER_PREFIX}{name}")))
        return found

    def add_peers(self) -> None:
        there = {agent: _add(peers) for agent, peers in self._peers.items() if peers}
        if there:
            self._walk.progress.explain(f"a second container for each on {', '.join(there)}")
            self._walk.on_agents(there, "a second container")

    def remove_peers(self) -> None:
        self._walk.on_agents({agent: _remove(peers) for agent, peers in self._peers.items() if peers})


def on_networks(walk: Walk) -> MesosTasks:
    """Tasks by the network that they asked for, and a peer of each network on each agent."""
    networks = walk.probing.networks
    peers = [Peer(name, name, agents=tuple(walk.agents)) for name in networks]
    return MesosTasks(walk, lambda task: task.network if task.network in networks else None, peers)


def _pids(walk: Walk, host: str) -> Mapping[str, int]:
    """By container: its first process, as its host counts."""
    address = walk.lab.hosts[host].address
    listed = as_json(walk, f"http://{address}:{AGENT_PORT}/containers") or ()
    return {
        entry["container_id"]: int(entry["status"]["executor_pid"])
        for entry in listed
        if entry.get("status", {}).get("executor_pid")
    }


def _plugin(peer: Peer, command: str) -> str:
    """A shell's command that calls the network's plug-in as an agent does for a task."""
    name = f"{PEER_PREFIX}{peer.name}"
    variables = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": name,
        "CNI_NETNS": f"/run/netns/{name}",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": CNI_PLUGINS,
    }
    labels = [{"key": key, "value": value} for key, value in peer.labels.items()]
    asked = {"org.apache.mesos": {"network_info": {"name": peer.network, "labels": {"labels": labels}}}}
    script = "import json,sys; c=json.load(open(sys.argv[1])); c['args']=json.loads(sys.argv[2]); print(json.dumps(c))"
    config = shlex.join(["python3", "-c", script, f"{CNI_CONFIGS}/{peer.network}.cni", json.dumps(asked)])
    words = " ".join(f"{key}={value}" for key, value in variables.items())
    return f"{config} | {words} {CNI_PLUGINS}/calico"


def _add(peers: Sequence[Peer]) -> str:
    """Makes those that are not there yet; fails with what the first that cannot be made says, and leaves none of it."""
    lines = ["set -o pipefail"]
    for peer in peers:
        name = f"{PEER_PREFIX}{peer.name}"
        lines += [
            f"if [ ! -e /run/netns/{name} ]; then",
            f"  ip netns add {name} && ip -n {name} link set lo up || exit 1",
            f'  said=$({_plugin(peer, "ADD")}) || {{ echo "$said" >&2; ip netns del {name}; exit 1; }}',
            "fi",
        ]
    return "\n".join(lines)


def _remove(peers: Sequence[Peer]) -> str:
    lines = []
    for peer in peers:
        name = f"{PEER_PREFIX}{peer.name}"
        lines += [f"if [ -e /run/netns/{name} ]; then", f"  {_plugin(peer, 'DEL')}", f"  ip netns del {name}", "fi"]
    return "\n".join(lines)


def _addresses(peers: Sequence[Peer]) -> str:
    """Prints name and address of each that is there."""
    names = " ".join(peer.name for peer in peers)
    shown = f"ip -n {PEER_PREFIX}$name -4 -o address show dev eth0 | awk '{{print $4}}' | cut -d/ -f1"
    return f"for name in {names}; do if [ -e /run/netns/{PEER_PREFIX}$name ]; then echo $name $({shown}); fi; done"
