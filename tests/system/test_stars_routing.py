"""The Stars demo over several subnets: in VXLAN, which hides containers from the router, and by BGP, which tells it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from tests.support.etcd_server import ETCD
from tests.support.stars_lab import check, tortie
from tests.support.waiting import wait_until

from tortie.lab.api import Lab

IMAGE = "calico/star:v0.5.0"
pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module", params=[("vxlan", "sqlite"), ("bgp", "etcd")], ids=lambda asked: asked[0])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    routing, store = request.param
    if store == "etcd" and ETCD is None:
        pytest.skip("no etcd on this machine (package etcd-server)")
    if routing == "bgp" and shutil.which("bird") is None:
        pytest.skip("no BIRD on this machine (package bird2)")
    name = f"{routing}-{os.getpid()}"
    ran = tortie("up", "stars", "--routing", routing, "--subnets", "2", "--store", store, "--name", name)
    try:
        assert ran.returncode == 0, ran.stderr
        yield Lab.find(name)
    finally:
        tortie("down", "--name", name)


def test_agents_on_two_subnets_reach_each_other_as_policy_says(lab: Lab) -> None:
    assert [lab.host(name).address for name in ("agent-1", "agent-2")] == ["172.24.197.102", "172.24.198.103"]
    check(lab.name, "9b")


def test_a_container_sends_no_more_than_fits_into_the_tunnel(lab: Lab) -> None:
    vxlan = lab.state["options"]["routing"] == "vxlan"
    ran = lab.host("agent-1").run(
        ["docker", "run", "--rm", "--net", "client", "--entrypoint", "cat", IMAGE, "/sys/class/net/cali0/mtu"]
    )
    assert ran.stdout.strip() == ("1450" if vxlan else "1500"), ran.stderr


def test_the_router_knows_containers_only_when_bgp_told_it(lab: Lab) -> None:
    routing = lab.state["options"]["routing"]
    known = lab.host("router").run(["ip", "route"]).stdout
    assert ("192.168." in known) == (routing == "bgp"), known


def test_status_shows_the_sessions_in_every_grammar(lab: Lab) -> None:
    bgp = lab.state["options"]["routing"] == "bgp"
    agent = lab.host("agent-2")

    def shown() -> str:
        return agent.run(["calicoctl", "node", "status"]).stdout

    def settled() -> bool:
        return shown().count("Established") == (3 if bgp else 0)

    wait_until(settled, message=shown)
    text = shown()
    assert text.startswith("Calico process is running.\n\nIPv4 BGP status\n")
    assert text.rstrip().endswith("IPv6 BGP status\nNo IPv6 peers found.")
    assert ("| 172.24.197.102 | node-to-node mesh | up " in text) == bgp
    assert ("| 172.24.198.1 " in text and "| node specific " in text) == bgp
    older = agent.run(["env", "CALICOCTL_GRAMMAR=0.19", "calicoctl", "status"]).stdout
    assert ("node-to-node mesh" in older) == bgp
