"""The Hello document (the demo of Calico in DC/OS), step by step.

Commands are typed as the document prints them; `<public-slave-ip/cidr>` is the public agent's address. Where it clicks
in a page, the command that does the same is typed. The text prints no definition of the two apps: frontend.json and
database.json are in /root of laptop and agents, beside marathon-lb-options.json: what the document selects for the
balancer, and the agent that the policy names. In a lab that is not bare the network is placed, not installed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tortie.lab.documents import FILES, PUBLIC
from tortie.lab.plan import RESOLVER
from tortie.lab.walks.marathon import tasks, wait_running
from tortie.lab.walks.matrix import Allow, Probe, Probing, Stage
from tortie.lab.walks.networks import create_networks, list_networks
from tortie.lab.walks.packages import install, install_calico, install_etcd, look_calico, look_etcd, look_routes
from tortie.lab.walks.story import Step, Story, nothing_typed
from tortie.lab.walks.walk import PATIENCE, Walk

HTTP, REDIS, SSH, PING = Probe("tcp", 80), Probe("tcp", 6379), Probe("tcp", 22), Probe("icmp")
PROBING = Probing(
    listens={"frontend-net": frozenset({HTTP}), "database-net": frozenset({REDIS})},
    probes=(HTTP, REDIS, SSH, Probe("udp", 80), Probe("udp", 53), PING),
    to_hosts=(Probe("udp", 53), Probe("tcp", 53), Probe("tcp", 8080), PING),
)
RESTRICTED = Stage(
    inbound={
        "frontend-net": (Allow(cidr=f"{PUBLIC}/32", protocol="tcp", port=80),),
        "database-net": (Allow(peer="frontend-net", protocol="tcp", port=6379),),
    },
    outbound={
        "frontend-net": (Allow(peer="database-net", protocol="tcp", port=6379),),
        "database-net": (),
    },
)
VHOST = "spring.acme.org"
SERVICE_PORT = 10120
INSTANCES = 3
LOOKS = 40
"""How often a name with three addresses is asked for until each has been used: one in 10^6 walks needs more."""
ROUNDS = 3
"""Of views, while one is without an answer."""

CREATE = (
    "docker network create --driver=calico --ipam-driver=calico frontend-net",
    "docker network create --driver=calico --ipam-driver=calico database-net",
)
FETCH = (
    "curl -O -L https://github.com/projectcalico/calico-containers/releases/download/v0.19.0/calicoctl",
    "chmod +x ./calicoctl",
    "sudo mv ./calicoctl /usr/bin/",
)
POLICY_FILE = FILES / "hello" / "hello-policy.sh"
"""The commands of steps 5 and 6; also in /root, for whoever types the document."""
FRONTEND_RULES = (
    f"Inbound rules:\n   1 allow tcp from cidr {PUBLIC}/32 to ports 80\n"
    "Outbound rules:\n   1 allow tcp to ports 6379 tag database-net\n"
)
DATABASE_RULES = "Inbound rules:\n   1 allow tcp from tag frontend-net to ports 6379\nOutbound rules:\n"
LAUNCH = "dcos marathon app add {}.json"
BALANCER_OPTIONS = " --options=marathon-lb-options.json"
DATABASE, FRONTEND = "database.marathon.mesos", "frontend.marathon.mesos"
BODY = re.compile(r"(\d+) views! Reporting from ([0-9a-f-]{12,36})\s*")


def fetch_calicoctl(walk: Walk) -> None:
    for line in FETCH:
        walk.must("agent-1", line)


def look_fetched(walk: Walk) -> None:
    printed = walk.must("agent-1", "/usr/bin/calicoctl version")
    walk.check("a calicoctl of the grammar 0.19", "0.19" in printed, printed)


def policy(profile: str) -> list[str]:
    """What the document types about a profile."""
    lines = POLICY_FILE.read_text().splitlines()
    return [line for line in lines if line.startswith(f"calicoctl profile {profile} ")]


def restrict(profile: str, rules: str) -> Callable[[Walk], None]:
    def do(walk: Walk) -> None:
        for line in policy(profile):
            walk.silent("agent-1", line)
        shown = walk.must("agent-1", f"calicoctl profile {profile} rule show")
        walk.check("the rules of the document", shown.rstrip() == rules.rstrip(), shown)

    return do


def launch(walk: Walk) -> None:
    for app in ("database", "frontend"):
        walk.must("laptop", LAUNCH.format(app))
    wait_running(walk, {"/database": 1, "/frontend": INSTANCES})


def look_launched(walk: Walk) -> None:
    found = [*tasks(walk, "database"), *tasks(walk, "frontend")]
    addresses = {end["ipAddress"] for task in found for end in task["ipAddresses"]}
    own = len(addresses) == len(found) and all(address.startswith("192.168.") for address in addresses)
    walk.check("each task has an address of its own", own, str(sorted(addresses)))
    walk.check("none has ports of its host", not any(task["ports"] for task in found), str(found))
    look_routes(walk, sorted(addresses))
    walk.wait("every task to listen", lambda: all(map(_listens(walk), found)), PATIENCE)
    walk.add_peers()
    walk.matrix(RESTRICTED)


def _listens(walk: Walk) -> Callable[[dict[str, Any]], bool]:
    """Whether a task takes connections from its own host: it runs a moment before it does. The matrix tells if not."""
    names = {host.address: host.name for host in walk.hosts}

    def listens(task: dict[str, Any]) -> bool:
        port = 80 if task["appId"] == "/frontend" else 6379
        line = f"exec 3<>/dev/tcp/{task['ipAddresses'][0]['ipAddress']}/{port}"
        return walk.lab.hosts[names[task["host"]]].run(["timeout", "10", "bash", "-c", line]).returncode == 0

    return listens


def addresses_of(walk: Walk, app: str) -> list[str]:
    return sorted(end["ipAddress"] for task in tasks(walk, app) for end in task["ipAddresses"])


def look_up(name: str) -> Callable[[Walk], None]:
    """`nslookup` on every host prints its own resolver, then each task's address; who polls may need a moment."""

    def do(walk: Walk) -> None:
        wanted = addresses_of(walk, name.partition(".")[0])
        for host in (host.name for host in walk.hosts):
            printed: list[str] = []

            def known(host: str = host, printed: list[str] = printed) -> bool:
                printed[:] = [walk.lab.hosts[host].run(["nslookup", name]).stdout]
                return parsed(printed[0]) == wanted

            found = walk.wait(f"the name {name}", known, PATIENCE)
            if host == "agent-1":
                walk.typed(host, f"nslookup {name}")
            heads = f"Server:\t\t{RESOLVER}\nAddress:\t{RESOLVER}#53\n"
            as_printed = found and printed[0].startswith(heads)
            walk.check(f"on {host}: {', '.join(wanted)} by {RESOLVER}", as_printed, printed[0])

    return do


def parsed(printed: str) -> list[str]:
    """The addresses of an answer as nslookup prints it."""
    answer = printed.partition("Name:")[2]
    return sorted(re.findall(r"^Address: ([\d.]+)$", answer, re.MULTILINE))


def views(walk: Walk, host: str, line: str, what: str) -> None:
    """The page again and again: each view counts one more, and all instances take their turn. A busy machine may keep
    an instance from its database for longer than the page waits: then the views begin anew."""
    walk.progress.command(host, line)
    holds, said = False, ""
    for _ in range(ROUNDS):
        holds, said = _views(walk, host, line)
        if holds:
            break
    walk.progress.explain(said)
    walk.check(what, holds, said)


def _views(walk: Walk, host: str, line: str) -> tuple[bool, str]:
    """Whether they are as wanted; what was seen."""
    counts, names = [], set[str]()
    for _ in range(LOOKS):
        ran = walk.lab.hosts[host].run(["bash", "-c", f"{line} --max-time 10 -sS"])
        match = BODY.fullmatch(ran.stdout)
        if match is None:
            return False, ran.stdout + ran.stderr
        counts.append(int(match[1]))
        names.add(match[2])
        if len(names) == INSTANCES and len(counts) > INSTANCES:
            break
    said = f"views {counts[0]} to {counts[-1]}, reported from {', '.join(sorted(names))}"
    if counts != list(range(counts[0], counts[0] + len(counts))):
        return False, f"{said}: {counts}"
    return len(names) == INSTANCES, said


def elsewhere(walk: Walk) -> None:
    """Hosts that run no instance themselves: to its own workloads every host may speak."""
    for host in ("master", "laptop"):
        ran = walk.typed(host, f"curl -sS --connect-timeout 5 {FRONTEND}")
        walk.check(f"no answer to {host}", ran.returncode == 28, f"{ran.returncode} {ran.stdout}{ran.stderr}")


def view_the_page(walk: Walk) -> None:
    views(walk, "public-1", f"curl {FRONTEND}", f"each view counts one more, over {INSTANCES} instances")
    elsewhere(walk)


def closed_database(walk: Walk) -> None:
    """The words differ between versions of curl; a busy machine may look at the clock later."""
    ran = walk.typed("public-1", f"curl --connect-timeout 5 {DATABASE}:6379")
    after = re.search(r"curl: \(28\) .* after (\d+) m", ran.stderr)
    timed_out = ran.returncode == 28 and after is not None and int(after[1]) >= 5000
    walk.check("times out after 5 seconds, exit 28", timed_out, f"{ran.returncode} {ran.stderr}")


def balance(walk: Walk) -> None:
    install(walk, "marathon-lb", "1.2.1", BALANCER_OPTIONS)
    wait_running(walk, {"/marathon-lb": 1})
    walk.must("laptop", f"echo '{PUBLIC}  {VHOST}' | sudo tee -a /etc/hosts")
    there = walk.wait("the balancer to serve the app", lambda: _status(walk, VHOST) == "200", PATIENCE)
    walk.check(f"{VHOST} leads to the app", there, _status(walk, VHOST))


def look_balanced(walk: Walk) -> None:
    (task,) = tasks(walk, "marathon-lb")
    walk.check("the balancer runs on the public agent", task["host"] == PUBLIC, task["host"])
    views(walk, "laptop", f"curl {VHOST}", "by its name: each view counts one more, over all instances")
    views(walk, "laptop", f"curl {PUBLIC}:{SERVICE_PORT}", f"by the service port {SERVICE_PORT}: the same")
    walk.check("another name gets 503", _status(walk, PUBLIC) == "503", _status(walk, PUBLIC))
    walk.matrix(RESTRICTED)


def _status(walk: Walk, host: str) -> str:
    command = f"curl -sS -o /dev/null -w '%{{http_code}}' --max-time 20 http://{host}/"
    return walk.lab.hosts["laptop"].run(["bash", "-c", command]).stdout


STEPS = (
    Step("1", "install etcd", install_etcd, look_etcd),
    Step("2", "install Calico", install_calico, look_calico),
    Step("3", "create the two networks", lambda walk: create_networks(walk, CREATE), list_networks),
    Step("4", "fetch calicoctl", fetch_calicoctl, look_fetched),
    Step("5", "policy of the frontend", restrict("frontend-net", FRONTEND_RULES)),
    Step("6", "policy of the database", restrict("database-net", DATABASE_RULES)),
    Step("7", "launch database and frontend", launch, look_launched),
    Step("8", "look up the database", nothing_typed, look_up(DATABASE)),
    Step("9", "look up the frontend", nothing_typed, look_up(FRONTEND)),
    Step("10", "view the page from the public agent and from elsewhere", nothing_typed, view_the_page),
    Step("11", "try the database from the public agent", nothing_typed, closed_database),
    Step("12", "balance outside traffic", balance, look_balanced),
)
STORY = Story(
    name="hello",
    steps=STEPS,
    probing=PROBING,
    stages={"7": RESTRICTED, "12": RESTRICTED},
    peers_from="7",
    aliases={"6": "7"},
)
