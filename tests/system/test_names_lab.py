"""Names in a lab, asked for as people do: dig, nslookup and getent, from laptop, agents and a container."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest
from tests.support.stars_lab import story, tortie
from tests.support.waiting import wait_until

from tortie.lab.api import Host, Lab

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(1200)]

NAME = f"names-{os.getpid()}"
RESOLVER = "198.51.100.1"
DOTTED, DASHED = "frontend.calico-stars.marathon.mesos", "frontend-calico-stars.marathon.mesos"
DCOS = "frontend-calico-stars.marathon.{}.dcos.thisdcos.directory"
CONFIG = "/etc/mesos-dns/config.json"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    ran = tortie("up", "stars", "--until", "3", "--name", NAME)
    try:
        assert ran.returncode == 0, ran.stderr
        yield Lab.find(NAME)
    finally:
        tortie("down", "--name", NAME)


def said(host: Host, *words: str) -> str:
    """What a command that must succeed prints."""
    ran = host.run(list(words))
    assert ran.returncode == 0, f"{words}: {ran.stdout}{ran.stderr}{story(NAME)}"
    return ran.stdout.strip()


def comes(host: Host, server: str, wanted: str, *words: str) -> None:
    """The answer, soon: a task that has just started or a server that has just been restarted takes its time."""

    def answer() -> bool:
        return host.run(["dig", "+short", "+tries=5", f"@{server}", *words]).stdout.strip() == wanted

    wait_until(answer, message=lambda: f"{words} is {wanted} at {server} on {host.name}\n{story(NAME)}")


def addresses(lab: Lab) -> tuple[str, str]:
    """The container's and its agent's, as the master shows them."""
    state = json.loads(said(lab.host("master"), "curl", "-s", "http://172.24.197.101:5050/state"))
    (task,) = [t for f in state["frameworks"] for t in f["tasks"] if t["name"] == "frontend.calico-stars"]
    (agent,) = [s["hostname"] for s in state["slaves"] if s["id"] == task["slave_id"]]
    infos = task["statuses"][-1]["container_status"]["network_infos"]
    return infos[0]["ip_addresses"][0]["ip_address"], agent


@pytest.mark.parametrize("host", ["laptop", "agent-1", "agent-2", "master"])
def test_every_host_finds_the_tasks(lab: Lab, host: str) -> None:
    here, (container, agent) = lab.host(host), addresses(lab)
    for name in (DOTTED, DASHED, DOTTED.replace("mesos", "mesos.thisdcos.directory")):
        comes(here, RESOLVER, container, name)
        comes(here, RESOLVER, container, "+tcp", name)
    for kind, address in (("containerip", container), ("agentip", agent), ("autoip", container)):
        comes(here, RESOLVER, address, DCOS.format(kind))
    comes(here, RESOLVER, "172.24.197.101", "leader.mesos")
    assert f"Address: {container}" in said(here, "nslookup", DASHED, RESOLVER)
    assert said(here, "getent", "hosts", DOTTED).split() == [container, DOTTED]
    assert "REFUSED" in said(here, "dig", f"@{RESOLVER}", "example.org")
    shown = json.loads(said(here, "curl", "-s", f"http://127.0.0.1:62080/v1/hosts/{DASHED}"))
    assert shown == [{"host": f"{DASHED}.", "ip": container}]


def test_a_container_finds_them_by_its_own_hosts_resolver(lab: Lab) -> None:
    container, _ = addresses(lab)
    words = ["docker", "run", "--rm", "--net", "frontend", "--dns", RESOLVER, "--entrypoint", "getent"]
    for name in (DOTTED, DCOS.format("containerip")):
        comes(lab.host("agent-2"), RESOLVER, container, name)
        assert said(lab.host("agent-2"), *words, "calico/star:v0.5.0", "hosts", name).split() == [container, name]


def test_an_edited_configuration_counts_after_a_restart_and_a_broken_one_is_told(lab: Lab) -> None:
    master, (container, agent) = lab.host("master"), addresses(lab)
    original = said(master, "cat", CONFIG)
    edited = json.dumps(json.loads(original) | {"IPSources": ["host", "netinfo"]})

    def write(text: str) -> int:
        said(master, "sh", "-c", f"cat > {CONFIG} <<'END'\n{text}\nEND")
        return master.run(["sudo", "systemctl", "restart", "dcos-mesos-dns"]).returncode

    assert write(edited) == 0
    comes(master, "172.24.197.101", agent, DASHED)
    # DC/OS's own names do not hang on Mesos-DNS's configuration.
    comes(master, RESOLVER, container, DCOS.format("containerip"))
    assert write('{"masters": [], "port": 0}') != 0
    log = master.log("dns").read_text()
    assert "masters: name at least one" in log
    assert "port: 0 is not between" in log
    assert write(original) == 0
    comes(master, "172.24.197.101", container, DASHED)
