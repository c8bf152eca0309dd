"""The policy commands of the documents 001 (hello) and 004 (environments), as typed on an agent of a small lab, by the
copies of calicoctl that a reader downloads: walkthroughs.md 3.3 steps 3 to 6, 3.4 steps 8 to 10. On both stores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from tests.support.etcd_server import ETCD
from tests.support.stars_lab import tortie, wait_for

from tortie.lab.api import Host, Lab

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(1200)]

Typed = Callable[[str], str]

OLD = "https://github.com/projectcalico/calico-containers/releases/download/v0.19.0/calicoctl"
NEW = "https://github.com/projectcalico/calicoctl/releases/download/v1.3.0/calicoctl"

# What the document's cluster has before its first command: the profile of the network `calico`, and its containers.
PROFILE = """\
apiVersion: v1
kind: profile
metadata: {name: calico, tags: [calico]}
spec:
  ingress: [{action: allow, source: {tag: calico}}]
  egress: [{action: allow}]
"""
SHOWN = """\
- apiVersion: v1
  kind: profile
  metadata:
    name: calico
    tags:
    - calico
  spec:
    egress:
    - action: allow
      destination: {}
      source: {}
    ingress:
    - action: allow
      destination: {}
      source:
        tag: calico
"""
LOOP = """\
Successfully created 1 'policy' resource(s)
Successfully created 1 'policy' resource(s)
Successfully created 1 'policy' resource(s)
Failed to create 'policy' resource: resource already exists: Policy(name=allow-dev-tester-database)
Successfully created 1 'policy' resource(s)
Failed to create 'profile' resource: resource already exists: Profile(name=calico)
"""


def endpoint(name: str, app: str, group: str, number: int) -> str:
    return (
        f"- apiVersion: v1\n  kind: workloadEndpoint\n"
        f"  metadata: {{name: eth0, node: agent-1, orchestrator: cni, workload: {name},"
        f" labels: {{app: {app}, group: {group}}}}}\n"
        f"  spec: {{profiles: [calico], interfaceName: cali{name}, ipNetworks: [192.168.77.{number}]}}\n"
    )


@pytest.fixture(
    scope="module",
    params=[
        "sqlite",
        pytest.param("etcd", marks=pytest.mark.skipif(ETCD is None, reason="no etcd here (package etcd-server)")),
    ],
)
def agent(request: pytest.FixtureRequest) -> Iterator[Host]:
    name = f"docs-{request.param}-{os.getpid()}"
    ran = tortie("up", "--agents", "1", "--until", "0", "--store", request.param, "--name", name)
    try:
        assert ran.returncode == 0, ran.stderr
        yield Lab.find(name).host("agent-1")
    finally:
        tortie("down", "--name", name)


def result(agent: Host, line: str) -> tuple[int, str, str]:
    """Exit code, standard output and error of a line as a shell in /root reads it; programs of /usr/bin come first, as
    where nothing else is called calicoctl."""
    ran = agent.run(["bash", "-c", f"PATH=/usr/bin:$PATH; {line}"])
    return ran.returncode, ran.stdout, ran.stderr


@pytest.fixture
def typed(agent: Host) -> Typed:
    """What a line prints; it must succeed."""

    def run(line: str) -> str:
        code, out, err = result(agent, line)
        assert code == 0, f"{line}: {code}\n{out}{err}"
        return out

    return run


def test_the_policy_of_the_environments_document(agent: Host, typed: Typed) -> None:
    """3.4 steps 8 to 10, with the errors of the name that is used twice and of the profile that is there. Before the
    other document in the same lab: its reader has one profile."""
    typed("mkdir -p before")
    for name, text in (
        ("profile", PROFILE),
        (
            "endpoints",
            "".join(
                endpoint(f"{app}{number}", app, group, number)
                for number, (app, group) in enumerate(
                    (app, group)
                    for group in ("production", "development")
                    for app in ("frontend", "tester", "database")
                )
            ),
        ),
    ):
        agent.path(f"/root/before/{name}").write_text(text)
    typed(f"wget {NEW}")
    typed("chmod +x calicoctl")
    assert typed("./calicoctl create -f before/profile") == "Successfully created 1 'profile' resource(s)\n"
    assert typed("./calicoctl create -f before/endpoints") == "Successfully created 6 'workloadEndpoint' resource(s)\n"

    typed("./calicoctl get profile -o yaml > calico-profile.yaml")
    assert typed("cat calico-profile.yaml") == SHOWN
    typed("sed -i '/^    ingress:/,$ {/^    ingress:/! d}' calico-profile.yaml")
    assert typed("cat calico-profile.yaml").endswith("    ingress:\n")
    assert typed("./calicoctl replace -f ./calico-profile.yaml") == "Successfully replaced 1 'profile' resource(s)\n"
    assert typed("./calicoctl get profile -o yaml") == SHOWN.partition("    ingress:")[0]

    assert typed("ls *yaml calicoctl").split() == [
        "allow-dev-frontend-database.yaml",
        "allow-dev-lan-frontend.yaml",
        "allow-dev-pings.yaml",
        "allow-dev-tester-database.yaml",
        "allow-dev-tester-frontend.yaml",
        "calico-profile.yaml",
        "calicoctl",
    ]
    # The placeholder as it stands is no network.
    code, out, _ = result(agent, "./calicoctl create -f allow-dev-lan-frontend.yaml")
    assert (code, out.startswith("Failed to execute command: "), "<your-lan-CIDR>" in out) == (1, True, True)
    typed("sed -i 's#<your-lan-CIDR>#172.24.197.0/24#' allow-dev-lan-frontend.yaml")
    code, out, _ = result(agent, "for p in *yaml; do ./calicoctl create -f ${p}; done")
    assert (code, out) == (1, LOOP)
    code, _, _ = result(agent, "./calicoctl create -f allow-dev-tester-database.yaml")
    assert code == 1
    assert typed("./calicoctl get policy").split() == [
        "NAME",
        "allow-dev-frontend-database",
        "allow-dev-pings",
        "allow-dev-tester-database",
        "allow-dev-tester-frontend",
    ]
    # It is the LAN's rule that has the tester's name.
    assert "net: 172.24.197.0/24" in typed("./calicoctl get policy allow-dev-tester-database -o yaml")
    assert len(typed("./calicoctl get workloadEndpoint").split()) == 4 + 4 * 6


def test_the_policy_of_the_hello_document(agent: Host, typed: Typed) -> None:
    """3.3 steps 3 to 6; `rule show` with the indent that the text lost."""
    for network in ("frontend-net", "database-net"):
        made = typed(f"docker network create --driver=calico --ipam-driver=calico {network}")
        assert len(made.strip()) == 64
    rows = {tuple(line.split()[1:3]) for line in typed("docker network ls").splitlines()}
    assert {("database-net", "calico"), ("frontend-net", "calico"), ("host", "host"), ("none", "null")} <= rows
    typed("rm -f calicoctl")  # the other document's
    typed(f"curl -O -L {OLD}")
    assert "0.19.0" in typed("head -c 200 calicoctl")
    typed("chmod +x ./calicoctl")
    typed("sudo mv ./calicoctl /usr/bin/")
    assert typed("command -v calicoctl") == "/usr/bin/calicoctl\n"
    # The driver writes them once it hears of the networks.
    wait_for("the profiles", lambda: result(agent, "calicoctl profile database-net rule show")[0] == 0)
    for line in (
        "calicoctl profile frontend-net rule remove inbound allow from tag frontend-net",
        "calicoctl profile frontend-net rule add inbound allow tcp from cidr 172.24.197.201/32 to ports 80",
        "calicoctl profile frontend-net rule remove outbound allow",
        "calicoctl profile frontend-net rule add outbound allow tcp to ports 6379 tag database-net",
    ):
        assert typed(line) == ""
    assert typed("calicoctl profile frontend-net rule show") == (
        "Inbound rules:\n   1 allow tcp from cidr 172.24.197.201/32 to ports 80\n"
        "Outbound rules:\n   1 allow tcp to ports 6379 tag database-net\n"
    )
    for line in (
        "calicoctl profile database-net rule remove inbound allow from tag database-net",
        "calicoctl profile database-net rule add inbound allow tcp from tag frontend-net to ports 6379",
        "calicoctl profile database-net rule remove outbound allow",
    ):
        assert typed(line) == ""
    assert typed("calicoctl profile database-net rule show") == (
        "Inbound rules:\n   1 allow tcp from tag frontend-net to ports 6379\nOutbound rules:\n"
    )
    # The copy knows its own grammar only, whatever the words.
    code, out, _ = result(agent, "calicoctl get profile")
    assert (code, out.startswith("Usage:")) == (1, True)
