"""The net-modules document (network isolation modules for Mesos), step by step.

Its scripts are typed as printed, in `net-modules` on the laptop, whose localhost leads to the master; they are ours,
with the original's names and outputs. Not replayed: git clone, vagrant, modprobe, the installations, `make images`.
Where the document follows a link in Marathon's page, the same address is asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from ipaddress import IPv4Network
from typing import Any

from tortie.lab.documents import NET_MODULES
from tortie.lab.walks.marathon import as_json, deployments, running, tasks, wait_running
from tortie.lab.walks.matrix import Allow, Probe, Probing, Stage
from tortie.lab.walks.pictures import Edges, edges, edges_of
from tortie.lab.walks.story import Step, Story, nothing_typed
from tortie.lab.walks.tasks import MESOS, MesosTasks
from tortie.lab.walks.walk import PATIENCE, StepFailed, Walk

NODES = "ABCD"
PROBES = tuple(f"probe-{node.lower()}" for node in NODES)
HALVES = (("A", "B"), ("C", "D"))
MARATHON = "http://localhost:8080"
STATUS, PAGE = Probe("tcp", 9000), Probe("tcp", 9001)
STAR, ISOLATED = (tuple(f"{group}/{app}" for app in (*PROBES, "collect")) for group in ("star", "star-iso"))
PROBING = Probing(
    listens={app: frozenset({PAGE if app.endswith("collect") else STATUS}) for app in (*STAR, *ISOLATED)},
    probes=(STATUS, PAGE, Probe("tcp", 22), Probe("udp", 9000), Probe("icmp")),
    to_hosts=(Probe("icmp"),),
)
EVERYBODY = (Allow(),)


def _isolated() -> dict[str, tuple[Allow, ...]]:
    """Who is let in: a probe takes its half and the collector, which is public and so takes everybody."""
    collect = ISOLATED[-1]
    halves = (ISOLATED[:2], ISOLATED[2:4])
    inbound = {app: tuple(Allow(peer=peer) for peer in (*half, collect)) for half in halves for app in half}
    return {**dict.fromkeys(STAR, EVERYBODY), **inbound, collect: EVERYBODY}


TOGETHER = Stage(dict.fromkeys((*STAR, *ISOLATED), EVERYBODY))
APART = Stage(_isolated())
ALL_EDGES = [(a, b) for a in NODES for b in NODES if a != b]
WITHIN_HALVES = [(a, b) for half in HALVES for a in half for b in half if a != b]


def script(walk: Walk, name: str, first: str) -> None:
    """One of the demo's scripts: it says what it does, shows Marathon's JSON, ends with `Done.`"""
    printed = walk.must("laptop", f"cd net-modules && ./demo/{name}.sh").splitlines()
    as_said = printed[:1] == [first] and printed[-1:] == ["Done."]
    walk.check(f"{name}.sh says so and is done", as_said, "\n".join(printed))


def launch_cluster(walk: Walk) -> None:
    walk.progress.explain(
        "Left out: git clone, vagrant, modprobe, installations, make images. The cluster of docker-compose is the lab."
    )
    script(walk, "launch-cluster", "Launching the cluster")


def look_empty(walk: Walk) -> None:
    state = as_json(walk, f"{MESOS}/state")
    at_home = walk.must("laptop", "curl -sS -o /dev/null -w '%{http_code}' http://localhost:5050/state")
    agents = [agent["hostname"] for agent in state["slaves"] if agent["active"]]
    walk.check("two agents at http://localhost:5050", at_home == "200" and len(agents) == 2, str(agents))
    walk.check("no tasks", not _tasks(state), str(_tasks(state)))


def _tasks(state: dict[str, Any]) -> list[str]:
    return [task["name"] for framework in state["frameworks"] for task in framework["tasks"]]


def before(walk: Walk) -> None:
    script(walk, "launch-probes-before", "Launching group 'stars'")

    def three() -> bool:
        return sorted(_before(walk).values()) == [0, 0, 1, 1, 1]

    if not walk.wait("two probes and the collector", three, PATIENCE):
        raise StepFailed(f"step {walk.step_key}: wanted two probes and the collector, there are {running(walk)}")


def _before(walk: Walk) -> dict[str, int]:
    return {app.rpartition("/")[2]: n for app, n in running(walk).items() if app.startswith("/star-before/")}


def look_before(walk: Walk) -> None:
    there = _before(walk)
    walk.check("the collector runs, and two of four probes", there["collect"] == 1, str(there))
    found = [task for app in PROBES for task in tasks(walk, f"star-before/{app}")]
    walk.check("one on each agent, at port 9000", _one_each(walk, found), str(found))
    queue = {item["app"]["id"].rpartition("/")[2]: item for item in _queue(walk)}
    waiting = {app for app in PROBES if not there[app]}

    def told() -> bool:
        queue.update({item["app"]["id"].rpartition("/")[2]: item for item in _queue(walk)})
        return waiting <= queue.keys() and all("InsufficientPorts" in _refusals(queue[app]) for app in waiting)

    says = walk.wait("the queue to say why", told, PATIENCE)
    walk.check("two wait for a port 9000, and the queue says so", says, json.dumps(queue)[:2000])
    walk.check("the deployment goes on", deployments(walk) == 1, str(deployments(walk)))
    hosts = {host.address for host in walk.hosts}
    for app in PROBES:
        at_agent = hosts if there[app] else set[str]()
        _look_up(walk, f"{app}.star-before.marathon.mesos", at_agent, some=bool(there[app]))
    seen = [app[-1].upper() for app in PROBES if there[app]]
    _picture(walk, _page(walk, "star-before"), "two nodes, which reach each other", {
        **dict.fromkeys(NODES), **edges_beside(seen),
    })  # fmt: skip


def edges_beside(seen: list[str]) -> Edges:
    """The nodes that run reach each other and none of the others."""
    return {a: {b: b in seen for b in NODES if b != a} for a in seen}


def _one_each(walk: Walk, found: list[dict[str, Any]]) -> bool:
    agents = {walk.lab.hosts[agent].address for agent in walk.agents}
    return {task["host"] for task in found} == agents and all(task["ports"] == [9000] for task in found)


def _queue(walk: Walk) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = as_json(walk, f"{MARATHON}/v2/queue").get("queue", [])
    return listed


def _refusals(item: dict[str, Any]) -> set[str]:
    """Why offers were refused, those that really were."""
    summary = item.get("processedOffersSummary", {})
    rows = summary.get("rejectSummaryLastOffers", ())
    return {row["reason"] for row in rows if row["declined"]}


def stop(*names: str) -> Callable[[Walk], None]:
    def do(walk: Walk) -> None:
        for name in names:
            group = {"before": "star-before", "isolated": "star-iso", "": "star"}[name]
            script(walk, f"stop-probes{'-' if name else ''}{name}", f"Stopping group '{group}'")

    return do


def look_gone(walk: Walk) -> None:
    gone = walk.wait("no task to be left", lambda: not _tasks(as_json(walk, f"{MESOS}/state")), PATIENCE)
    walk.check("no task is left", gone, str(running(walk)))
    done = walk.wait("no deployment to be left", lambda: deployments(walk) == 0, PATIENCE)
    walk.check("no deployment is left", done, str(deployments(walk)))


def launch(walk: Walk) -> None:
    script(walk, "launch-probes", "Launching group 'stars'")
    wait_running(walk, {f"/{app}": 1 for app in STAR})


def look_launched(walk: Walk) -> None:
    found = [task for app in STAR for task in tasks(walk, app)]
    addresses = [end["ipAddress"] for task in found for end in task["ipAddresses"]]
    own = len(set(addresses)) == len(STAR) and NET_MODULES.second_resolver not in addresses
    walk.check("each task has an address of its own", own, str(addresses))
    blocks: dict[str, set[IPv4Network]] = {}
    for task in found:
        block = IPv4Network(f"{task['ipAddresses'][0]['ipAddress']}/26", strict=False)
        blocks.setdefault(task["host"], set()).add(block)
    apart = not set.intersection(*blocks.values()) if len(blocks) > 1 else True
    walk.check("each of its agent's block", apart and all(len(b) == 1 for b in blocks.values()), str(blocks))


def look_together(walk: Walk) -> None:
    for app in PROBES:
        (task,) = tasks(walk, f"star/{app}")
        wanted = {task["ipAddresses"][0]["ipAddress"]}
        for name in (f"{app}.star.marathon.mesos", f"{app}-star.marathon.mesos"):
            _look_up(walk, name, wanted)
    _picture(walk, _page(walk, "star"), "four nodes, twelve bright edges", edges(NODES, ALL_EDGES))
    walk.matrix(TOGETHER)


def launch_isolated(walk: Walk) -> None:
    script(walk, "launch-probes-isolated", "Launching group 'stars'")
    wait_running(walk, {f"/{app}": 1 for app in (*STAR, *ISOLATED)})


def look_apart(walk: Walk) -> None:
    _picture(walk, _page(walk, "star-iso"), "four nodes, A-B and C-D", edges(NODES, WITHIN_HALVES))
    (task,) = tasks(walk, "star-iso/collect")
    listed = json.loads(walk.must("agent-1", "calicoctl get workloadendpoint --all-namespaces -o json"))["items"]
    address = f"{task['ipAddresses'][0]['ipAddress']}/32"
    profiles = [item["spec"].get("profiles") for item in listed if address in item["spec"].get("ipNetworks", ())]
    wanted = [f"default_{task['host']}", "public", "star-1", "star-2"]
    walk.check("its collector's profiles, in this order", profiles == [wanted], str(profiles))
    walk.matrix(APART)


def look_released(walk: Walk) -> None:
    look_gone(walk)

    def left() -> list[Any]:
        ran = walk.lab.hosts["agent-1"].run(["calicoctl", "get", "workloadendpoint", "-A", "-o", "json"])
        return list(json.loads(ran.stdout)["items"]) if ran.returncode == 0 else [ran.stderr]

    walk.check("every endpoint is gone", walk.wait("no endpoint", lambda: not left(), PATIENCE), str(left()))
    checked: list[str] = []
    # With VXLAN each node's end of the tunnel has an address.
    tunnels = len(walk.hosts) - 1 if walk.lab.state["options"]["routing"] == "vxlan" else 0

    def free() -> bool:
        checked[:] = [walk.lab.hosts["agent-1"].run(["calicoctl", "ipam", "check"]).stdout]
        return f"(and {tunnels} handles with matches)" in checked[0] and "found 0 problems" in checked[0]

    walk.check("every address is free", walk.wait("no address in use", free, PATIENCE), checked[0])
    names = set(walk.must("agent-1", "calicoctl get profile -o name").split())
    stay = {"public", "star-1", "star-2", *(f"default_{walk.lab.hosts[agent].address}" for agent in walk.agents)}
    walk.check("the profiles stay", stay <= {name.rpartition("/")[2] for name in names}, str(sorted(names)))


def _look_up(walk: Walk, name: str, wanted: set[str], *, some: bool = False) -> None:
    """Asked at the resolver of the document, on an agent. With `some`, one of these is enough."""

    def answer() -> set[str]:
        words = ["dig", f"@{NET_MODULES.second_resolver}", "+short", "+time=2", "+tries=3", name]
        return set(walk.lab.hosts["agent-1"].run(words).stdout.split())

    def right() -> bool:
        found = answer()
        return bool(found) and found <= wanted if some else found == wanted

    known = walk.wait(f"the name {name}", right, PATIENCE)
    meant = f"one of {len(wanted)} hosts" if some else ", ".join(sorted(wanted)) or "not known"
    walk.check(f"{name} is {meant}", known, " ".join(answer()) or "no address")


def _page(walk: Walk, group: str) -> str:
    """Where Marathon's link to the collector leads."""
    (task,) = tasks(walk, f"{group}/collect")
    return f"http://{task['ipAddresses'][0]['ipAddress']}:9001"


def _responses(walk: Walk, url: str) -> Edges:
    ran = walk.lab.hosts["laptop"].run(["curl", "-s", "--max-time", "20", f"{url}/responses"])
    try:
        return edges_of(json.loads(ran.stdout), node_of)
    except (ValueError, KeyError):
        return {}


def node_of(url: str) -> str:
    found = re.match(r"http://probe-(\w)\b", url)
    return found[1].upper() if found else url


def _picture(walk: Walk, url: str, name: str, wanted: Edges) -> None:
    # On a busy machine a probe may miss its second for a moment: what was seen once counts.
    walk.progress.command("laptop", f"(browser) {url}")
    drawn = walk.wait(name, lambda: _responses(walk, url) == wanted, PATIENCE)
    walk.check(f"picture: {name}", drawn, json.dumps(_responses(walk, url)))


def containers(walk: Walk) -> MesosTasks:
    return MesosTasks(walk, lambda task: task.app if task.app in PROBING.listens else None)


STEPS = (
    Step("1", "launch the cluster", launch_cluster, look_empty),
    Step("2", "launch the probes as Mesos alone runs them", before),
    Step("3", "view the picture before", nothing_typed, look_before),
    Step("4", "stop them", stop("before"), look_gone),
    Step("5", "launch the probes, each with an address", launch, look_launched),
    Step("6", "view the picture with addresses", nothing_typed, look_together),
    Step("7", "launch the probes in groups", launch_isolated),
    Step("8", "view the picture with groups", nothing_typed, look_apart),
    Step("9", "stop everything", stop("", "isolated"), look_released),
)
STORY = Story(
    name="net-modules",
    steps=STEPS,
    probing=PROBING,
    stages={"6": TOGETHER, "8": APART},
    peers_from="",
    aliases={"5": "6", "7": "8"},
    containers=containers,
    stays_at="8",
)
