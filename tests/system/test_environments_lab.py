"""The Environments document from its first line, every step with real packets; and in a lab with its network placed
already, what a person at an agent or at the laptop has."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.support.etcd_server import ETCD
from tests.support.stars_lab import story, tortie, wait_for
from tests.support.waiting import wait_until
from tests.support.walk_pages import type_then, untyped

from tortie.lab.api import Host, Lab
from tortie.lab.walks.environments_stages import APPS

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(1800)]

_COUNT = re.compile(r"(\d+) packets transmitted, (\d+) received")
NAME, BARE = f"env-{os.getpid()}", f"envbare-{os.getpid()}"


@contextmanager
def up(name: str, *options: str) -> Iterator[Lab]:
    ran = tortie("up", "environments", *options, "--until", "0", "--name", name)
    try:
        assert ran.returncode == 0, ran.stderr
        yield Lab.find(name)
    finally:
        tortie("down", "--name", name)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with up(NAME) as made:
        yield made


@pytest.mark.skipif(ETCD is None, reason="no etcd on this machine (package etcd-server)")
def test_every_step_of_the_document_does_as_it_says() -> None:
    with up(BARE, "--bare") as lab:
        ran = tortie("walk", "environments", "--here", "--json", "--name", BARE, timeout=1700)
        assert ran.returncode == 0, f"{ran.stderr}{story(BARE)}"
        assert untyped("environments", ran.stderr) == []
        type_then("environments", lab)
        assert tortie("up", "environments", "--name", BARE).returncode == 0, "the same lab, at its end"
    report = json.loads(ran.stdout)
    assert report["holds"]
    assert [check["step"] for check in report["checks"]][-1] == "S-e"
    assert list(report["matrices"]) == ["7", "9", "10", "S-e"]
    for step, cells in report["matrices"].items():
        between = {(c["source"], c["destination"]) for c in cells if c["source"] in APPS and c["destination"] in APPS}
        assert len(between) == 30, step
        crossed = {
            (source.partition("@")[0], destination)
            for source, destination, there in ((c["source"], c["destination"], c["destinationHost"]) for c in cells)
            if source.partition("@")[2] not in ("", there)
        }
        assert {pair for pair in crossed if set(pair) <= set(APPS)}, "second containers, on other agents"


def test_the_laptop_s_key_opens_master_and_agents_and_nobody_else_s_does(lab: Lab) -> None:
    laptop = lab.host("laptop")
    for host in ("master", "agent-1", "agent-3"):
        ran = laptop.run(["ssh", f"core@{host}", "hostname; command -v calicoctl; exit 7"])
        assert (ran.returncode, ran.stdout.split()) == (7, [host, "/usr/local/bin/calicoctl"]), ran.stderr
    refused = lab.host("agent-2").run(["ssh", "-o", "StrictHostKeyChecking=no", "core@172.24.197.102", "true"])
    assert refused.returncode == 255
    assert "Permission denied (publickey)" in refused.stderr


def test_images_are_there_for_every_host_and_what_one_imports_all_have(lab: Lab) -> None:
    made = lab.host("agent-2").run(
        ["bash", "-c", "mkdir -p tiny/bin && cp /bin/true tiny/bin/true && tortie image import --no-docker tiny tiny"]
    )
    assert made.returncode == 0, made.stderr
    for host in ("agent-1", "agent-3"):
        listed = lab.host(host).run(["find", "/var/lib/tortie/images", "-name", "*.tar", "-printf", "%P\n"])
        assert sorted(listed.stdout.split()) == [
            "donch/net-tools:latest.tar",
            "nginx:alpine.tar",
            "oscarfonts/h2:latest.tar",
            "tiny:latest.tar",
            "tortie/tortie:0.1.0.tar",
        ]
    pulled = lab.host("agent-2").run(["docker", "pull", "nginx:alpine"], timeout=600)
    assert pulled.returncode == 0, pulled.stderr


def test_the_product_is_rolled_out_under_running_containers_and_taken_back(lab: Lab) -> None:
    """Over ssh, as its operator would; two containers speak all the while, and not one of their packets is lost."""
    master, one, two = (lab.host(name) for name in ("master", "agent-1", "agent-2"))
    before = [_rolled(host) for host in (one, two)]
    network = ["docker", "network", "create", "--driver", "calico", "--ipam-driver", "calico-ipam", "rolled"]
    assert one.run(network).returncode == 0
    wait_for("the network on agent-2", lambda: two.run(["docker", "network", "inspect", "rolled"]).returncode == 0)
    start = ["docker", "run", "-d", "--net", "rolled", "--name"]
    assert two.run([*start, "answering", "donch/net-tools", "sleep", "86400"]).returncode == 0
    found = json.loads(two.run(["docker", "inspect", "answering"]).stdout)[0]
    address = found["NetworkSettings"]["Networks"]["rolled"]["IPAddress"]
    assert one.run([*start, "asking", "donch/net-tools", "ping", "-i", "0.2", address]).returncode == 0
    wait_for("the first answer", lambda: "bytes from" in _log(one))
    hosts = {"store": "sqlite:///var/lib/tortie/store", "ssh": {"user": "core"}, "cni": None, "settle": 1}
    document = json.dumps({**hosts, "hosts": [{"name": "agent-1"}, {"name": "agent-2"}]})
    assert master.run(["tee", "/root/hosts.yaml"], stdin=document).returncode == 0
    dry = master.run(["tortie", "rollout", "/root/hosts.yaml", "--dry-run", "--json"])
    assert dry.returncode == 2, dry.stderr
    digest = json.loads(dry.stdout)["hash"]
    assert [_rolled(host) for host in (one, two)] == before, "a dry run leaves nothing"
    applied = master.run(["tortie", "rollout", "/root/hosts.yaml", "--apply", digest], timeout=600)
    assert applied.returncode == 0, f"{applied.stdout}{applied.stderr}{story(NAME)}"
    again = master.run(["tortie", "rollout", "/root/hosts.yaml", "--dry-run"])
    assert (again.returncode, again.stdout) == (0, "agent-1: nothing to do\nagent-2: nothing to do\n")
    version = one.run(["/opt/tortie/current/bin/tortie", "--version"])
    assert version.stdout.startswith("tortie, version "), version.stderr
    undone = master.run(["tortie", "rollout", "undo"], timeout=600)
    assert undone.returncode == 0, f"{undone.stdout}{undone.stderr}{story(NAME)}"
    assert [_rolled(host) for host in (one, two)] == before
    assert one.run(["docker", "kill", "--signal", "INT", "asking"]).returncode == 0
    told = wait_until(lambda: _COUNT.search(_log(one)), message=lambda: _log(one))
    assert told is not None
    sent, received = int(told[1]), int(told[2])
    # The last one may have been on its way when it was told to end.
    assert sent - received <= 1, _log(one)


def _log(host: Host) -> str:
    return host.run(["docker", "logs", "asking"]).stdout


def _rolled(host: Host) -> list[str]:
    """All that the roller may have put there."""
    places = ["/opt/tortie", "/etc/tortie", "/etc/calico", "/etc/systemd/system", "/var/lib/tortie/rollout"]
    return sorted(host.run(["find", *places, "-maxdepth", "2"]).stdout.split())
