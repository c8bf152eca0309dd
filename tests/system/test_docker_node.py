"""Real engines with the real agent on two hosts: packets between containers obey the profiles of their networks."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from tests.support.docker_node import NodeHost, two_hosts
from tests.support.waiting import PATIENCE, wait_until

from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
from tortie.plugins.docker.holdings import PREFIX
from tortie.store.client import Client

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

Hosts = tuple[NodeHost, NodeHost, Client, str]


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    with two_hosts() as found:
        yield found


def test_members_of_a_network_reach_each_other_on_every_host_and_others_do_not(hosts: Hosts) -> None:
    one, two, client, url = hosts
    blue1 = one.start_container("blue1", "blue", "--ip", "192.168.255.254")
    blue2 = two.start_container("blue2", "blue")
    red2 = two.start_container("red2", "red")
    wait_until(lambda: two.reaches("blue2", blue1), message="another host, the address pinned")
    wait_until(lambda: one.reaches("blue1", blue2), message="the other way")
    for source, target in (("red2", blue2), ("red2", blue1), ("blue2", red2)):
        assert not two.reaches(source, target)
    assert not one.reaches("blue1", red2)
    one.end_node(signal.SIGKILL)
    one.must_reach("blue1", blue2)
    assert not two.reaches("red2", blue1)
    one.start_node(url)
    one.must_reach("blue1", blue2)
    for host, names in ((one, ["blue1"]), (two, ["blue2", "red2"])):
        host.docker("rm", "-f", *names)
    wait_until(lambda: not client.list(WORKLOAD_ENDPOINT).items, message="no endpoint is left")
    wait_until(lambda: not client.datastore.list(PREFIX).items, message="no record is left")
    wait_until(lambda: "cali" not in one.ip("link") + two.ip("link"), message="no interface is left")


def test_a_pinned_address_moves_to_another_host_at_once(hosts: Hosts) -> None:
    one, two, _, _ = hosts
    one.start_container("old", "blue", "--ip", "192.168.7.7")
    peer = two.start_container("peer", "blue")
    wait_until(lambda: two.reaches("peer", "192.168.7.7"), message="on the first host")
    one.docker("rm", "-f", "old")
    two.start_container("new", "blue", "--ip", "192.168.7.7")
    wait_until(lambda: two.reaches("peer", "192.168.7.7"), message="on the second host")
    third = one.start_container("third", "blue")
    wait_until(lambda: one.reaches("third", "192.168.7.7"), message="from the first host, by its new route")
    two.must_reach("peer", third)
    one.must_reach("third", peer)
    one.docker("rm", "-f", "third")
    two.docker("rm", "-f", "peer", "new")


def test_the_first_packet_of_a_container_passes_or_does_not_as_its_policy_says(hosts: Hosts) -> None:
    """Join answers when the endpoint is programmed, so a command that sends at once needs no second try."""
    one, two, _, _ = hosts
    target = one.start_container("target", "blue")
    for host, network, patience, code in ((one, "blue", PATIENCE, 0), (one, "red", 2, 1), (two, "red", 2, 1)):
        once = ("ping", "-c", "1", "-W", f"{patience:.0f}", target)
        ran = host.docker("run", "--rm", "--net", network, "root:1", *once, check=False)
        assert ran.returncode == code, f"from {network} on {host.name}: {ran.stdout}{ran.stderr}"
    one.docker("rm", "-f", "target")


def test_a_container_is_not_started_while_the_agent_is_away(hosts: Hosts) -> None:
    """The engine looks for the plug-in for 15 s; then the start fails, and nothing of it is left."""
    one, _, client, url = hosts
    one.end_node(signal.SIGKILL)
    refused = one.docker("run", "--rm", "--net", "blue", "root:1", "/bin/true", check=False)
    assert refused.returncode in {125, 127}, refused.stderr
    assert "calico.sock" in refused.stderr
    one.start_node(url)
    one.docker("run", "--rm", "--net", "blue", "root:1", "/bin/true")
    wait_until(lambda: not client.datastore.list(PREFIX).items, message="no record is left")
