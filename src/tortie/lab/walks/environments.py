"""The Environments document (IP per container with Calico's CNI plug-in), step by step.

Commands are typed as the document prints them; `<your-lan-CIDR>` is the lab's own network. Where it opens an editor,
sed makes the same change; where nothing is to answer, curl and ping are told to give up sooner. In a lab that is not
bare the network is placed, not installed: six apps are listed where the document has eight.

The document contradicts itself: allow-dev-lan-frontend.yaml has the name of another policy, and so the tester's way to
the database's page is refused (stage S-c, as written). The last step types the files as they are meant (S-e). In the
original of the time the ping rule, which names no protocol, let everything in; that never happens here.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tortie.lab.documents import CNI_CONFIGS, CNI_PLUGINS, CORRECTED, ENVIRONMENTS
from tortie.lab.plan import SUBNET
from tortie.lab.walks.environments_stages import APPS, DEVELOPMENT, PROBING, PRODUCTION, S_A, S_B, S_C, S_E
from tortie.lab.walks.marathon import listed_apps, tasks, wait_running
from tortie.lab.walks.packages import ETCD_ROW, calico_row, install_calico, install_etcd, look_calico, look_etcd
from tortie.lab.walks.ports import Ran
from tortie.lab.walks.story import Step, Story, nothing_typed
from tortie.lab.walks.tasks import MesosTasks, Peer
from tortie.lab.walks.walk import PATIENCE, StepFailed, Walk

ZONE = "marathon.containerip.dcos.thisdcos.directory"
DNS_FILE = ENVIRONMENTS.dns.config
EDIT_DNS = f"""sudo sed -i 's/"host", "netinfo"/"netinfo", "host"/' {DNS_FILE}"""
RESTART_DNS = "sudo systemctl restart dcos-mesos-dns"
ADD_ALL = "for s in *json; do dcos marathon app add ${s}; done"
CREATE_ALL = "for p in *yaml; do ./calicoctl create -f ${p}; done"
CALICOCTL = "https://github.com/projectcalico/calicoctl/releases/download/v1.3.0/calicoctl"
CREATED = "Successfully created 1 'policy' resource(s)\n"
SAID = (
    f"{CREATED * 3}"
    "Failed to create 'policy' resource: resource already exists: Policy(name=allow-dev-tester-database)\n"
    f"{CREATED}"
    "Failed to create 'profile' resource: resource already exists: Profile(name=calico)\n"
)
WITH_KEY = "eval `ssh-agent` > /dev/null; ssh-add -q /root/.ssh/id_ed25519; "
NO_KEY = "code=$?; ssh-agent -k > /dev/null; exit $code"
CUT_INGRESS = "sed -i '/^    ingress:/,$ {/^    ingress:/! d}' calico-profile.yaml"
SETTLE = 30.0
"""Seconds for a change of policy to reach every host: far more than it takes."""

ROWS = [
    ["/database", "128", "0.3", "1/1", "---", "---", "False", "MESOS", "None"],
    ["/database2", "128", "0.3", "1/1", "---", "---", "False", "MESOS", "None"],
    ["/frontend", "64", "0.1", "1/1", "---", "---", "False", "MESOS", "None"],
    ["/frontend2", "64", "0.1", "1/1", "---", "---", "False", "MESOS", "None"],
    ["/tester", "64", "0.1", "1/1", "---", "---", "False", "MESOS", "ifconfig && sleep 4h"],
    ["/tester2", "64", "0.1", "1/1", "---", "---", "False", "MESOS", "ifconfig && sleep 4h"],
]
REFUSED_SAYS = (
    "Why: allow-dev-lan-frontend.yaml and allow-dev-tester-database.yaml give their policies one name; the first one "
    "has it, so the tester may not reach the database's page. The profile has been replaced already: it exists."
)
MEANT_SAYS = (
    "The same five files as they are meant: each with a name of its own, pings as protocol icmp, every source of the "
    "development group, the LAN to the port on which the front end listens."
)


def look_network(walk: Walk) -> None:
    look_calico(walk)
    walk.progress.explain("Left out: the check of sources and destinations in a cloud's console. Here is no cloud.")
    for agent in walk.agents:
        printed = walk.must(agent, f"cat {CNI_CONFIGS}/calico.cni; ls {CNI_PLUGINS}")
        there = '"name": "calico"' in printed and {"calico", "calico-ipam"} <= set(printed.split())
        walk.check(f"the network calico and its plug-in are on {agent}", there, printed)


def edit_names(walk: Walk) -> None:
    walk.progress.explain("The document opens an editor here; sed makes the same change.")
    walk.must("master", EDIT_DNS)
    walk.must("master", RESTART_DNS)


def look_edited(walk: Walk) -> None:
    printed = walk.must("master", f"grep IPSources {DNS_FILE}").strip().rstrip(",")
    walk.check("as the document shows it", printed == '"IPSources": ["netinfo", "host"]', printed)
    state = walk.must("master", "systemctl is-active dcos-mesos-dns").strip()
    walk.check("the name server runs again", state == "active", state)


def launch(walk: Walk) -> None:
    printed = walk.must("laptop", ADD_ALL)
    created = re.findall(r"^Created deployment [0-9a-f-]{36}$", printed, re.MULTILINE)
    walk.check("six deployments", len(created) == len(APPS) == len(printed.splitlines()), printed)
    wait_running(walk, {f"/{app}": 1 for app in APPS})


def look_listed(walk: Walk) -> None:
    wanted = sorted([*ROWS, *([calico_row(walk), ETCD_ROW] if walk.bare else [])])
    there = walk.wait(f"the list to show {len(wanted)} apps", lambda: listed_apps(walk) == wanted, PATIENCE)
    printed = walk.must("laptop", "dcos marathon app list")
    walk.check(f"the {len(wanted)} apps as the document prints them", there, printed)
    if not walk.bare:
        walk.progress.explain("The document's list has /etcd and /calico-install-framework, too: packages bring them.")


def tester2(walk: Walk) -> str:
    """The task's id, by the command of the document."""
    printed = walk.must("laptop", "dcos task | grep tester2")
    found = re.search(r"tester2\.[0-9a-f-]{36}", printed)
    if found is None:
        raise StepFailed(f"step {walk.step_key}: no id of tester2 in {printed!r}")
    return found[0]


def verify(walk: Walk, *lines: tuple[str, bool]) -> None:
    """Lines of the document inside tester2, at once: each works, or nobody answers. What is to work is typed again for
    a while: routes and names come to another agent a moment after a task runs."""
    task = tester2(walk)
    typed = [f"dcos task exec {task} {line if passes else _sooner(line)}" for line, passes in lines]
    for line in typed:
        walk.progress.command("laptop", line)

    def ended(line: str, passes: bool, text: str) -> Ran:
        ends = time.monotonic() + PATIENCE
        while True:
            ran = walk.lab.hosts["laptop"].run(["bash", "-c", text])
            if not passes or _did(line, passes, ran) or time.monotonic() > ends:
                return ran

    with ThreadPoolExecutor(max_workers=len(typed)) as pool:
        jobs = [pool.submit(ended, line, passes, text) for (line, passes), text in zip(lines, typed, strict=True)]
    for (line, passes), job in zip(lines, jobs, strict=True):
        ran = job.result()
        said = f"exit {ran.returncode}: {ran.stdout}{ran.stderr}"
        walk.check(f"{line}: {_outcome(line, passes)}", _did(line, passes, ran), said)


def _outcome(line: str, passes: bool) -> str:
    if line.startswith("ping"):
        return "3 received, 0% packet loss" if passes else "0 received, 100% packet loss"
    return "a page" if passes else "no answer"


def _did(line: str, passes: bool, ran: Ran) -> bool:
    there = _outcome(line, passes) in ran.stdout if line.startswith("ping") else bool(ran.stdout) == passes
    return there and (ran.returncode == 0) == passes


def _sooner(line: str) -> str:
    """Where silence is expected, the document's curl would wait for two minutes and its ping for ten seconds."""
    return line.replace("curl ", "curl --connect-timeout 5 ").replace("ping -c 3 ", "ping -c 3 -W 3 ")


def known_everywhere(walk: Walk) -> None:
    """Names of tasks that run come to each agent's own name server a moment later."""
    for name in (f"{app}.{ZONE}" for app in APPS):
        for agent in walk.agents:
            if not walk.wait(f"{name} on {agent}", partial(_knows, walk, agent, name), PATIENCE):
                raise StepFailed(f"step {walk.step_key} on {agent}: {name} is not known")


def _knows(walk: Walk, host: str, name: str) -> bool:
    return _answer(walk, host, name) != []


def ping_production(walk: Walk) -> None:
    known_everywhere(walk)
    verify(walk, (f"ping -c 3 frontend.{ZONE}", True))


def look_open(walk: Walk) -> None:
    for app in APPS:
        (task,) = tasks(walk, app)
        wanted = [end["ipAddress"] for end in task["ipAddresses"]]
        own = wanted[0].startswith("192.168.") and not task["ports"]
        walk.check(f"{app} has an address of its own", own, str(task))
        for name in (f"{app}.{ZONE}", f"{app}.marathon.mesos"):
            _look_up(walk, name, wanted)
    walk.add_peers()
    walk.matrix(S_A, settle=SETTLE)


def _look_up(walk: Walk, name: str, wanted: list[str]) -> None:
    found = walk.wait(f"the name {name}", lambda: _answer(walk, "agent-1", name) == wanted, PATIENCE)
    walk.check(f"{name} is {', '.join(wanted)}", found, " ".join(_answer(walk, "agent-1", name)))


def _answer(walk: Walk, host: str, name: str) -> list[str]:
    return walk.lab.hosts[host].run(["dig", "+short", "+time=2", "+tries=3", name]).stdout.split()


def to_agent(walk: Walk) -> None:
    listed = walk.must("laptop", "dcos node")
    address = walk.lab.hosts["agent-1"].address
    row = next((line for line in listed.splitlines() if address in line), "")
    found = re.search(r"\S+-S\d+", row)
    if found is None:
        raise StepFailed(f"step {walk.step_key}: no id of {address} in {listed!r}")
    typed_there = f"rm -f calicoctl\nwget -q {CALICOCTL} && chmod +x calicoctl"
    shell = f"dcos node ssh --master-proxy --mesos-id={found[0]}"
    walk.must("laptop", f"{WITH_KEY}{shell} <<'END'\n{typed_there}\nEND\n{NO_KEY}")


def look_on_agent(walk: Walk) -> None:
    printed = walk.must("agent-1", "./calicoctl version")
    walk.check("a calicoctl of the grammar 1.3, on the agent", "Build date:" in printed, printed)
    shown = walk.must("agent-1", "./calicoctl get workloadendpoints -o yaml")
    labels = all(f"{key}: {value}" in shown for key, value in (("app", "frontend"), ("group", "development")))
    walk.check("its labels are on the endpoint", labels, shown)


def edit_profile(walk: Walk) -> None:
    walk.must("agent-1", "./calicoctl get profile -o yaml > calico-profile.yaml")
    walk.progress.explain("The document edits the file; sed takes the same lines out.")
    walk.must("agent-1", CUT_INGRESS)
    printed = walk.must("agent-1", "./calicoctl replace -f ./calico-profile.yaml")
    walk.check("one profile replaced", printed == "Successfully replaced 1 'profile' resource(s)\n", printed)


def create_policies(walk: Walk) -> None:
    walk.progress.explain(f"<your-lan-CIDR> of allow-dev-lan-frontend.yaml is {SUBNET} here, the lab's hosts.")
    ran = walk.typed("agent-1", CREATE_ALL)
    walk.check("four created, two refused", ran.stdout == SAID and ran.returncode == 1, ran.stdout + ran.stderr)


def look_written(walk: Walk) -> None:
    walk.progress.explain(REFUSED_SAYS)
    printed = walk.must("agent-1", "./calicoctl get policy").split()
    names = ["allow-dev-frontend-database", "allow-dev-pings", "allow-dev-tester-database", "allow-dev-tester-frontend"]
    walk.check("four policies", printed == ["NAME", *names], " ".join(printed))
    walk.matrix(S_C, settle=SETTLE)


def check_lines(database: bool) -> Callable[[Walk], None]:
    """The document's five checks; `database`: whether the tester reaches the database's page."""

    def do(walk: Walk) -> None:
        verify(
            walk,
            (f"ping -c 3 frontend2.{ZONE}", True),
            (f"curl frontend2.{ZONE}", True),
            (f"curl database2.{ZONE}:81", database),
            (f"ping -c 3 frontend.{ZONE}", False),
            (f"curl frontend.{ZONE}", False),
        )

    return do


def as_meant(walk: Walk) -> None:
    walk.progress.explain(MEANT_SAYS)
    walk.must("agent-1", f"for p in {CORRECTED}/*yaml; do ./calicoctl apply -f ${{p}} || exit; done")


def look_as_meant(walk: Walk) -> None:
    walk.matrix(S_E, settle=SETTLE)
    check_lines(database=True)(walk)


def containers(walk: Walk) -> MesosTasks:
    """Tasks by their apps; on two agents another of each, so that every pair is tried on one agent and on two."""
    peers = [
        Peer(app, "calico", {"app": app.removesuffix("2"), "group": group}, tuple(walk.agents[:2]))
        for group, apps in (("production", PRODUCTION), ("development", DEVELOPMENT))
        for app in apps
    ]
    return MesosTasks(walk, lambda task: task.app if task.app in APPS else None, peers)


STEPS = (
    Step("1", "install etcd", install_etcd, look_etcd),
    Step("2", "install Calico", install_calico, look_network),
    Step("4", "let names lead to containers", edit_names, look_edited),
    Step("5", "launch two environments", launch),
    Step("6", "list the apps", nothing_typed, look_listed),
    Step("7", "ping production from development", ping_production, look_open),
    Step("8", "to an agent, and fetch calicoctl", to_agent, look_on_agent),
    Step("9", "cut the profile's rule", edit_profile, lambda walk: walk.matrix(S_B, settle=SETTLE)),
    Step("10", "create the policies, as written", create_policies, look_written),
    Step("11", "verify them", nothing_typed, check_lines(database=False)),
    Step("S-e", "the policies as meant", as_meant, look_as_meant),
)
STORY = Story(
    name="environments",
    steps=STEPS,
    probing=PROBING,
    stages={"7": S_A, "9": S_B, "10": S_C, "S-e": S_E},
    peers_from="7",
    aliases={"3": "2", "11": "10", "S-a": "7", "S-b": "9", "S-c": "10"},
    containers=containers,
)
