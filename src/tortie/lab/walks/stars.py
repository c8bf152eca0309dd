"""The Stars document (the walk-through with the Mesos Docker containerizer), step by step.

Commands are typed as the document prints them. Where the document contradicts itself the treatment is stated at the
step: step 9 opens port 9001 while every probe talks on 9000, so it runs as written (9a: no edge turns bright) and then
as meant (9b: client -> frontend -> backend).
"""

from __future__ import annotations

import json
from collections.abc import Callable

from tortie.lab.walks.marathon import MARATHON, as_json, wait_running
from tortie.lab.walks.matrix import Allow, Probe, Probing, Stage
from tortie.lab.walks.networks import create_networks, list_networks
from tortie.lab.walks.pictures import Edges, bright, edges, edges_of
from tortie.lab.walks.story import Step, Story, nothing_typed
from tortie.lab.walks.walk import PATIENCE, StepFailed, Walk

NETWORKS = ("management-ui", "client", "frontend", "backend")
PROBES = (Probe("tcp", 9000), Probe("tcp", 9001), Probe("tcp", 22), Probe("udp", 9000), Probe("icmp"))
LISTENS = {network: frozenset({Probe("tcp", 9001 if network == "management-ui" else 9000)}) for network in NETWORKS}
UI_ADDRESS = "192.168.255.254"
VHOST = "my.marathon.app"
PERIOD = 5.0
"""Seconds between two probes of a star-probe, and between two polls of the collector."""

_own = {network: (Allow(peer=network),) for network in NETWORKS}
_after_7 = {**_own, "management-ui": (Allow(protocol="tcp", port=9001),)}
_from_ui = Allow(peer="management-ui", protocol="tcp", port=9000)
_after_8 = {
    **_after_7,
    **{network: (*_own[network], _from_ui) for network in ("client", "frontend", "backend")},
}


def _opened(inbound: dict[str, tuple[Allow, ...]], port: int) -> dict[str, tuple[Allow, ...]]:
    """Client may reach frontend, frontend may reach backend, on one more port."""
    return {
        **inbound,
        "frontend": (*inbound["frontend"], Allow(peer="client", protocol="tcp", port=port)),
        "backend": (*inbound["backend"], Allow(peer="frontend", protocol="tcp", port=port)),
    }


_after_9a = _opened(_after_8, 9001)
STAGES: dict[str, Stage] = {
    "3": Stage(_own),
    "7": Stage(_after_7),
    "8": Stage(_after_8),
    "9a": Stage(_after_9a),
    "9b": Stage(_opened(_after_9a, 9000)),
}
ONLY_AS_MEANT = Stage(_opened(_after_8, 9000))
"""Step 9 typed as meant at once: the rules for 9001 were never added."""

CREATE = (
    "docker network create --driver calico --ipam-driver calico --subnet=192.168.0.0/16 management-ui",
    "docker network create --driver calico --ipam-driver calico client",
    "docker network create --driver calico --ipam-driver calico frontend",
    "docker network create --driver calico --ipam-driver calico backend",
)
LAUNCH = (
    "export MARATHON_IP=172.24.197.101; "
    'curl -sS -X PUT -H "Content-Type: application/json" '
    "http://$MARATHON_IP:8080/v2/groups/calico-stars  -d @stars.json"
)
EXPORT = "export ETCD_AUTHORITY=172.24.197.101:2379; "
DEFAULT_RULES = "Inbound rules:\n   1 allow from tag {0}\nOutbound rules:\n   1 allow\n"
OPEN_UI = (
    "calicoctl profile management-ui rule remove inbound allow from tag management-ui",
    "calicoctl profile management-ui rule add inbound allow tcp to ports 9001",
)
OPEN_PROBES = tuple(
    f"calicoctl profile {name} rule add inbound allow tcp from tag management-ui to ports 9000"
    for name in ("client", "backend", "frontend")
)
AS_WRITTEN = (
    "calicoctl profile frontend rule add inbound allow tcp from tag client to ports 9001",
    "calicoctl profile backend rule add inbound allow tcp from tag frontend to ports 9001",
)
AS_MEANT = tuple(command.replace("9001", "9000") for command in AS_WRITTEN)


AS_WRITTEN_SAYS = (
    "Why: the document prints 9001 here, the port of the page. The probes listen and talk on 9000, so these rules open "
    "a port where nobody listens (r in the matrix: refused, not silent), and 9000 stays closed."
)
AS_MEANT_SAYS = (
    "The same two rules with 9000, as the document means: client reaches frontend, frontend reaches backend, and "
    "nothing else does."
)


def pull(walk: Walk) -> None:
    for agent in walk.agents:
        walk.must(agent, "docker pull calico/star:v0.5.0", timeout=300)


def launch(walk: Walk) -> None:
    answer = json.loads(walk.must("agent-1", LAUNCH))
    walk.check("Marathon answers with version and deploymentId", {"version", "deploymentId"} <= answer.keys())
    wait_running(walk, {f"/calico-stars/{name}": 1 for name in NETWORKS})


def look_launched(walk: Walk) -> None:
    apps = as_json(walk, f"{MARATHON}/v2/groups/calico-stars?embed=group.apps&embed=group.apps.tasks")["apps"]
    tasks = {app["id"].rpartition("/")[2]: app["tasks"] for app in apps}
    walk.check("one task each", all(len(tasks.get(name, ())) == 1 for name in NETWORKS), str(list(tasks)))
    address = tasks["management-ui"][0]["ipAddresses"][0]["ipAddress"]
    walk.check(f"management-ui has {UI_ADDRESS}", address == UI_ADDRESS, address)
    for host in (host.name for host in walk.hosts):
        for name in NETWORKS:
            _look_up(walk, host, f"{name}-calico-stars.marathon.mesos")
    _look_up(walk, "laptop", "frontend.calico-stars.marathon.mesos")
    walk.add_peers()
    look_matrix("3")(walk)


def dashboard(walk: Walk) -> None:
    ran = walk.typed("laptop", f"curl -sS -o /dev/null -w '%{{http_code}}' -L {MARATHON}/")
    walk.check("the dashboard answers", ran.stdout == "200", ran.stdout + ran.stderr)


def closed_page(walk: Walk) -> None:
    code, seconds = _page(walk)
    walk.check("503 after the balancer's connect time-outs", code == "503" and seconds > 10, f"{code} {seconds}")


def show_rules(walk: Walk) -> None:
    printed = walk.must("agent-1", EXPORT + "calicoctl profile management-ui rule show")
    walk.check("the default rules", printed.strip() == DEFAULT_RULES.format("management-ui").strip(), printed)


def open_ui(walk: Walk) -> None:
    for line in OPEN_UI:
        walk.silent("agent-1", EXPORT + line)


def look_open_page(walk: Walk) -> None:
    shown = walk.must("agent-1", EXPORT + "calicoctl profile management-ui rule show")
    wanted = "Inbound rules:\n   1 allow tcp to ports 9001\nOutbound rules:\n   1 allow"
    walk.check("the changed rules", shown.strip() == wanted, shown)
    walk.check("the page answers", walk.wait("the page", lambda: _page(walk)[0] == "200", PATIENCE))
    _picture(walk, "no node", {"C": None, "F": None, "B": None})
    look_matrix("7")(walk)


def open_probes(walk: Walk) -> None:
    for line in OPEN_PROBES:
        walk.silent("agent-1", EXPORT + line)


def look_nodes(walk: Walk) -> None:
    _picture(walk, "three nodes, no bright edge", _edges())
    look_matrix("8")(walk)


def as_written(walk: Walk) -> None:
    for line in AS_WRITTEN:
        walk.silent("agent-1", EXPORT + line)


def look_as_written(walk: Walk) -> None:
    shown = walk.must("agent-1", EXPORT + "calicoctl profile frontend rule show")
    rules = ["allow from tag frontend", "allow tcp from tag management-ui to ports 9000"]
    rules.append("allow tcp from tag client to ports 9001")
    lines = [f"   {i} {rule}" for i, rule in enumerate(rules, 1)]
    walk.check("the frontend's rules", shown.splitlines()[1:4] == lines, shown)
    lit = walk.wait("an edge that must not come", lambda: bright(_responses(walk)) != set(), 2 * PERIOD)
    walk.check("no edge turns bright", not lit)
    walk.progress.explain(AS_WRITTEN_SAYS)
    look_matrix("9a")(walk)


def as_meant(walk: Walk) -> None:
    for line in AS_MEANT:
        walk.silent("agent-1", EXPORT + line)


def look_as_meant(walk: Walk) -> None:
    _picture(walk, "client -> frontend -> backend", _edges(("C", "F"), ("F", "B")))
    walk.progress.explain(AS_MEANT_SAYS)
    look_matrix("9b")(walk)


def look_matrix(stage: str) -> Callable[[Walk], None]:
    return lambda walk: walk.matrix(STAGES[stage])


STEPS = (
    Step("pull", "pull the image on each agent", pull),
    Step("1", "create a Docker network for each service", lambda walk: create_networks(walk, CREATE)),
    Step("2", "list the networks on another agent", list_networks),
    Step("3", "launch the demo", launch, look_launched),
    Step("4", "view Marathon's dashboard", nothing_typed, dashboard),
    Step("5", "try the page before any policy", nothing_typed, closed_page),
    Step("6", "show the rules of management-ui", show_rules),
    Step("7", "let anyone reach the page", open_ui, look_open_page),
    Step("8", "let management-ui reach the probes", open_probes, look_nodes),
    Step("9a", "policy between the services, as written (port 9001)", as_written, look_as_written),
    Step("9b", "policy between the services, as meant (port 9000)", as_meant, look_as_meant),
)


def stage_now(walk: Walk, key: str) -> Stage:
    return ONLY_AS_MEANT if key == "9b" and not _as_written_is_there(walk) else STAGES[key]


def _as_written_is_there(walk: Walk) -> bool:
    """Whether the rules for 9001 were typed before those for 9000; both ways end with the same picture."""
    ran = walk.lab.hosts["agent-1"].run(["calicoctl", "profile", "frontend", "rule", "show"])
    if ran.returncode != 0:
        raise StepFailed(f"calicoctl profile frontend rule show: {(ran.stderr or ran.stdout).strip()}")
    written = AS_WRITTEN[0].partition(" inbound ")[2]
    return any(line.strip().endswith(written) for line in ran.stdout.splitlines())


# -- looking


def _look_up(walk: Walk, host: str, name: str) -> None:
    """The name leads to one container; a name server that polls may take a refresh to know a new task."""

    def answer() -> list[str]:
        return walk.lab.hosts[host].run(["dig", "+short", "+time=2", "+tries=3", name]).stdout.split()

    def known() -> bool:
        return [address.startswith("192.168.") for address in answer()] == [True]

    found = walk.wait(f"the name {name}", known, PATIENCE)
    walk.check(f"{name} is a container's address on {host}", found, " ".join(answer()))


def _page(walk: Walk) -> tuple[str, float]:
    """Status and seconds of the Stars page as the laptop's browser gets it."""
    curl = ["curl", "-s", "-o", "/dev/null", "--max-time", "30", "-w", "%{http_code} %{time_total}"]
    ran = walk.lab.hosts["laptop"].run([*curl, "-H", f"Host: {VHOST}", "http://172.24.197.101/"])
    code, seconds = ran.stdout.split()
    return code, float(seconds)


def _edges(*lit: tuple[str, str]) -> Edges:
    return edges("CFB", lit)


def _responses(walk: Walk) -> Edges:
    ran = walk.lab.hosts["laptop"].run(
        ["curl", "-s", "--max-time", "20", "-H", f"Host: {VHOST}", "http://172.24.197.101/responses"]
    )
    try:
        return edges_of(json.loads(ran.stdout), _first_letter)
    except (ValueError, KeyError):
        return {}


def _first_letter(url: str) -> str:
    return url.removeprefix("http://")[0].upper()


def _picture(walk: Walk, name: str, wanted: Edges) -> None:
    # On a busy machine a probe may miss its second for a moment: what was seen once counts.
    drawn = walk.wait(name, lambda: _responses(walk) == wanted, PATIENCE)
    walk.check(f"picture: {name}", drawn, json.dumps(_responses(walk)))


STORY = Story(
    name="stars",
    steps=STEPS,
    probing=Probing(LISTENS, PROBES),
    stages=STAGES,
    peers_from="3",
    aliases={"9": "9a", "10": "9b"},
    stage_now=stage_now,
)
