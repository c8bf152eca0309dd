"""The steps in which documents install packages: etcd, then Calico, which its roller brings to one host at a time.

In a lab in which everything is placed already they only look.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from tortie.dataplane.tunnels import VXLAN
from tortie.lab.daemons import ROUTER
from tortie.lab.documents import MEMBERS
from tortie.lab.plan import FABRIC_AS, MASTER, on_subnet, subnet_of
from tortie.lab.walks.marathon import as_json, listed_apps
from tortie.lab.walks.rolling import Rolling, not_alone, original
from tortie.lab.walks.tasks import MESOS
from tortie.lab.walks.walk import PATIENCE, StepFailed, Walk

ETCD_ROW = ["/etcd", "128", "0.2", "1/1", "1/1", "---", "False", "DOCKER", "None"]
TASK = "etcd-server"
RECORDS = {"_etcd-server._tcp": "rpcPort", "_etcd-server._client": "clientPort", "_etcd-client._tcp": "clientPort"}
"""By SRV record: what the framework's own list calls the port that it leads to."""
SERVICES = f"http://{MASTER}/service"
LONG = 600.0
"""Seconds that an installation may take: the documents speak of ten and of twenty minutes."""
EVERY = 0.5
READY = "curl -sS -o /dev/null -w '%{http_code}' --unix-socket /run/tortie/node.sock http://localhost/readiness"
CONFIGURATION = "/etc/calico/calicoctl.cfg"
CONVERGED = {
    "TaskRunEtcdProxy": "RUNNING",
    "TaskInstallDockerClusterStore": "FINISHED",
    "TaskInstallCalicoCNI": "FINISHED",
    "TaskRunCalicoNode": "RUNNING",
}
"""A row of the original's status page, once all is done."""


def install(walk: Walk, package: str, version: str, options: str = "") -> None:
    """Type it on the laptop; the line that the documents show must come."""
    printed = walk.must("laptop", f"dcos package install {package}{options} --yes")
    line = f"Installing Marathon app for package [{package}] version [{version}]"
    walk.check(f"it says: {line}", line in printed.splitlines(), printed)


def install_etcd(walk: Walk) -> None:
    if not walk.bare:
        return
    install(walk, "etcd", "0.0.3")
    told: dict[str, Any] = {}
    at: list[str] = []

    def healthy() -> bool:
        told.update(_service(walk, "etcd/json"))
        at[:] = sorted(_members(walk))
        return bool(told.get("healthy")) and len(at) == MEMBERS and ETCD_ROW in listed_apps(walk)

    def what() -> str:
        return f"etcd to be healthy: {told.get('why') or 'its app starts'}"

    if not walk.wait(what, healthy, LONG, EVERY):
        raise StepFailed(f"step {walk.step_key}: after {LONG:g} s etcd is not healthy: {told}")
    walk.must("laptop", "dcos marathon app list")
    walk.check("healthy with three running tasks, on three agents", len(set(at)) == len(at) == MEMBERS, str(at))


def _members(walk: Walk) -> list[str]:
    """The agent of each member that runs, as the master knows it."""
    state = as_json(walk, f"{MESOS}/state")
    running = (task for framework in state.get("frameworks", ()) for task in framework.get("tasks", ()))
    return [task["slave_id"] for task in running if task["name"] == TASK and task["state"] == "TASK_RUNNING"]


def _service(walk: Walk, path: str) -> Any:
    """What a service answers through the door; an empty object while it does not."""
    ran = walk.lab.hosts["laptop"].run(["curl", "-sSf", "--max-time", "60", f"{SERVICES}/{path}"])
    return json.loads(ran.stdout) if ran.returncode == 0 and ran.stdout else {}


def look_etcd(walk: Walk) -> None:
    if not walk.bare:
        walk.progress.explain("The document installs the package etcd. Here the lab has placed the store itself.")
        printed = walk.must("agent-1", "tortie store export > /dev/null && cat /etc/tortie/store")
        walk.check("the store answers on an agent", printed.startswith(("etcd://", "sqlite://")), printed)
        return
    for record, port in RECORDS.items():
        name = f"{record}.etcd.mesos"
        walk.progress.command("agent-1", f"dig +short SRV {name}")
        for agent in walk.agents:
            found: list[Any] = []
            there = walk.wait(f"{name} on {agent}", partial(_leads, walk, agent, name, port, found), PATIENCE)
            walk.check(f"on {agent} {name} leads to the three members", there, str(found))
    for host in ("agent-1", "laptop"):
        ran = walk.lab.hosts[host].run(["calicoctl", "get", "nodes"])
        walk.check(f"no network yet: calicoctl on {host} says so, exit 5", ran.returncode == 5, ran.stdout + ran.stderr)


def _leads(walk: Walk, host: str, name: str, port: str, found: list[Any]) -> bool:
    """`found`: what the name leads to and what the framework says."""
    members = _service(walk, "etcd/members") or []
    wanted = sorted((member["host"], str(member[port])) for member in members)
    lines = walk.lab.hosts[host].run(["dig", "+short", "+time=2", "+tries=3", "SRV", name]).stdout.splitlines()
    targets = [line.split()[2:4] for line in lines if len(line.split()) == 4]
    asked = [walk.lab.hosts[host].run(["dig", "+short", "+time=2", "+tries=3", target]) for _, target in targets]
    led = sorted((ran.stdout.strip(), number) for ran, (number, _) in zip(asked, targets, strict=True))
    found[:] = led, wanted
    return len(wanted) == MEMBERS and led == wanted


# -- Calico


def calico_row(walk: Walk) -> list[str]:
    """As the document lists it; without Docker its container is of the other kind."""
    kind = "MESOS" if walk.runtime == "ucr" else "DOCKER"
    return ["/calico-install-framework", "512", "0.2", "1/1", "1/1", "---", "False", kind, "None"]


def install_calico(walk: Walk) -> None:
    if not walk.bare:
        return
    install(walk, "calico", "0.4.0")
    walk.progress.explain(f"Its page shows how far it is: {SERVICES}/calico/")
    rolled = _hosts_with_a_node(walk)
    seen = Rolling(_names(walk))

    def done() -> bool:
        for said in seen.look(_service(walk, "calico/v1/status")):
            walk.progress.explain(said)
        return bool(seen.stopped) or seen.done(rolled)

    if not walk.wait(lambda: f"Calico to converge: {seen.now}", done, LONG, EVERY) or seen.stopped:
        raise StepFailed(f"step {walk.step_key}: {seen.stopped or f'after {LONG:g} s: {seen.now}'}")
    walk.check("one host out at a time", not (both := not_alone(seen.spans.values())), "; ".join(both))
    if walk.routing == "bgp" and ROUTER in walk.lab.hosts:
        _tell_of_routers(walk)


def _tell_of_routers(walk: Walk) -> None:
    """What an operator does whose hosts lie on several subnets: no package knows the routers between."""
    nodes = [host for host in walk.hosts if host.role != "outside"]
    for host in nodes:
        router = on_subnet(subnet_of(host.address), 1)
        walk.must(host.name, f"calicoctl node bgp peer add {router} as {FABRIC_AS}")

    def told() -> bool:
        said = walk.lab.hosts[ROUTER].run(["birdc", "-s", "/run/bird.ctl", "show", "protocols"]).stdout
        return said.count("Established") == len(nodes)

    there = walk.wait("sessions of the router", told, PATIENCE)
    walk.check("the router has a session with every node", there)


def _hosts_with_a_node(walk: Walk) -> list[str]:
    return [host.name for host in walk.hosts if host.role != "outside"]


def _names(walk: Walk) -> dict[str, str]:
    return {host.address: host.name for host in walk.hosts}


def look_calico(walk: Walk) -> None:
    if not walk.bare:
        walk.progress.explain(
            "The document installs the package calico. Here every host but the laptop has its node already."
        )
    nodes_are_ready(walk)
    if not walk.bare:
        return
    _look_configured(walk)
    _look_page(walk)
    _look_nodes(walk)


def nodes_are_ready(walk: Walk) -> None:
    for host in _hosts_with_a_node(walk):
        ready = walk.wait(f"the node of {host}", partial(_is_ready, walk, host), PATIENCE)
        walk.progress.command(host, READY)
        walk.check(f"the node of {host} is ready", ready)


def _is_ready(walk: Walk, host: str) -> bool:
    return walk.lab.hosts[host].run(["bash", "-c", READY]).stdout == "204"


def _look_configured(walk: Walk) -> None:
    """Every host finds the members, by the address of each."""
    for host in _hosts_with_a_node(walk):
        text: list[str] = []

        def named(host: str = host, text: list[str] = text) -> bool:
            members = {f"{one['host']}:{one['clientPort']}" for one in _service(walk, "etcd/members") or []}
            text[:] = [walk.lab.hosts[host].run(["cat", CONFIGURATION]).stdout]
            return len(members) == MEMBERS and set(re.findall(r"https?://([\d.]+:\d+)", text[0])) == members

        there = walk.wait(f"etcd's members in {CONFIGURATION} of {host}", named, PATIENCE)
        walk.check(f"{CONFIGURATION} of {host} names etcd's three members", there, "".join(text))


def _look_page(walk: Walk) -> None:
    """As the original told it: every agent, and for each of its tasks how that stands."""
    agents = [host.name for host in walk.hosts if host.role in ("agent", "public")]
    listed: dict[str, dict[str, str]] = {}

    def whole() -> bool:
        told: Mapping[str, Mapping[str, Any]] = _service(walk, "calico/json")
        listed.update({_names(walk).get(name, name): original(tasks) for name, tasks in told.items()})
        return all(listed.get(name) == CONVERGED for name in agents)

    there = walk.wait("the status page", whole, PATIENCE)
    walk.check(f"the status page lists {', '.join(agents)}, all converged", there, str(listed))


def _look_nodes(walk: Walk) -> None:
    """Also from the laptop, which has none: the cluster's store says where the network's is."""
    wanted, printed = sorted(_hosts_with_a_node(walk)), list[str]()

    def listed(host: str) -> bool:
        printed[:] = sorted(walk.lab.hosts[host].run(["calicoctl", "get", "nodes"]).stdout.split()[1:])
        return printed == wanted

    for host in ("agent-1", "laptop"):
        there = walk.wait(f"calicoctl on {host} to list the nodes", partial(listed, host), PATIENCE)
        walk.must(host, "calicoctl get nodes")
        walk.check(f"calicoctl on {host} knows the nodes {', '.join(wanted)}", there, " ".join(printed))


def look_routes(walk: Walk, addresses: Sequence[str], host: str = "master") -> None:
    """The master reaches containers by routes that its own node has made."""
    for address in addresses:
        there = walk.wait(f"a route to {address}", partial(_has_route, walk, host, address), PATIENCE)
        walk.check(f"{host} has a route to {address}", there)


def _has_route(walk: Walk, host: str, address: str) -> bool:
    """By the address of the agent that has it, or by the tunnel to it: nobody else's."""
    said = walk.lab.hosts[host].run(["ip", "-4", "route", "get", address]).stdout
    if walk.routing == "vxlan" and f" dev {VXLAN} " in said:
        return True
    found = re.search(r" via ([\d.]+)", said)
    return found is not None and any(found[1] == other.address for other in walk.hosts if other.name != host)
