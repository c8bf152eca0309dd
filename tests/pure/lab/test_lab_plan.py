"""The hosts and daemons of a lab, as values."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tortie.base.errors import Invalid
from tortie.lab import files
from tortie.lab.daemons import plan_of, with_ports
from tortie.lab.documents import STARS, check_options, from_first_line
from tortie.lab.first import vxlan_mode
from tortie.lab.network import router_peers
from tortie.lab.plan import Daemon, Options, as_json, check_name, daemon_from, in_order, limited

PLAIN: dict[str, Any] = {"agents": None, "store": "sqlite", "routing": "direct", "runtime": "docker"}


def test_stars_has_the_documents_hosts_and_addresses() -> None:
    plan = plan_of("t", Options())
    assert {host.name: host.address for host in plan.hosts if host.role != "switch"} == {
        "laptop": "172.24.197.10",
        "master": "172.24.197.101",
        "agent-1": "172.24.197.102",
        "agent-2": "172.24.197.103",
    }
    assert plan.host("switch").address == "172.24.197.2"


def test_more_agents_get_the_next_addresses_and_none_twice() -> None:
    plan = plan_of("t", Options(agents=99))
    addresses = [ipaddress.ip_address(host.address) for host in plan.hosts]
    assert len(set(addresses)) == len(addresses)
    assert plan.host("agent-99").address == "172.24.197.200"


def test_several_subnets_share_out_the_agents_and_meet_in_a_router() -> None:
    plan = plan_of("t", check_options("stars", **{**PLAIN, "agents": 3, "routing": "bgp", "subnets": 2}))
    assert [plan.host(f"agent-{n}").address for n in (1, 2, 3)] == [
        "172.24.197.102",
        "172.24.198.103",
        "172.24.197.104",
    ]
    router = plan.host("router")
    assert (router.address, router.others, router.forwards) == ("172.24.197.1", ("172.24.198.1",), True)
    assert plan.host("agent-2").routes == (("172.24.197.0/24", "172.24.198.1"),)
    assert plan.host("laptop").routes == (("172.24.198.0/24", "172.24.197.1"), ("192.168.0.0/16", "172.24.197.102"))
    assert plan.host("switch").others == ("172.24.198.2",)


def test_the_router_learns_of_containers_by_bgp_only() -> None:
    daemons = {
        routing: [d.name for d in plan_of("t", Options(routing=routing, subnets=2)).host("router").daemons]
        for routing in ("vxlan", "bgp")
    }
    assert daemons == {"vxlan": [], "bgp": ["bird"]}


def test_a_pool_is_encapsulated_as_the_routing_says() -> None:
    modes = {(r, n): vxlan_mode(Options(routing=r, subnets=n)) for r in ("direct", "vxlan", "bgp") for n in (1, 2)}
    assert {key for key, mode in modes.items() if mode != "Never"} == {("vxlan", 1), ("vxlan", 2)}
    assert (modes["vxlan", 1], modes["vxlan", 2]) == ("Always", "CrossSubnet")
    peers = {peer.spec.node: peer.spec.peer_ip for peer in router_peers(Options(routing="bgp", subnets=2))}
    assert peers == {"master": "172.24.197.1", "agent-1": "172.24.197.1", "agent-2": "172.24.198.1"}
    assert router_peers(Options(routing="bgp")) == router_peers(Options(routing="vxlan", subnets=2)) == []


def test_laptop_runs_a_resolver_only_and_reaches_the_pool_by_the_first_agent() -> None:
    laptop = plan_of("t", Options()).host("laptop")
    assert [daemon.name for daemon in laptop.daemons] == ["resolver"]
    assert laptop.routes == (("192.168.0.0/16", "172.24.197.102"),)
    assert not laptop.forwards


def test_the_closed_table_is_loaded_before_any_engine() -> None:
    for host in plan_of("t", Options()).hosts:
        order = [daemon.name for daemon in in_order(host.daemons)]
        if "dockerd" in order:
            assert order.index("node-boot") < order.index("dockerd")
            assert "node-boot" in next(d for d in host.daemons if d.name == "dockerd").after


def test_engines_of_two_labs_have_cgroups_of_their_own() -> None:
    def parents(name: str) -> set[str]:
        daemons = (d for host in plan_of(name, Options()).hosts for d in host.daemons if d.name == "dockerd")
        return {word for d in daemons for word in d.argv if word.startswith("--cgroup-parent")}

    assert len(parents("a")) == 3
    assert not parents("a") & parents("b")


def test_agents_offer_the_same_whatever_the_machine_has() -> None:
    agent = next(d for d in plan_of("t", Options()).host("agent-2").daemons if d.name == "agent")
    words = dict(zip(agent.argv, agent.argv[1:], strict=False))
    assert words["--hostname"] == "172.24.197.103"
    assert words["--resources"].startswith("cpus:4;mem:4096;ports:[1025-2180,")


def test_a_page_leads_to_each_port_that_the_document_opens_in_a_browser() -> None:
    assert {page.name: page.target for page in STARS.pages} == {
        "stars": "172.24.197.101:23078",
        "door": "172.24.197.101:8081",
        "marathon": "172.24.197.101:8080",
        "mesos": "172.24.197.101:5050",
        "haproxy": "172.24.197.101:9090",
    }


def test_the_door_is_at_80_but_where_the_balancer_is() -> None:
    def door(document: str) -> Sequence[str]:
        found = plan_of("t", Options(document=document)).host("master").daemons
        return next(d for d in found if d.name == "door").argv

    stars, hello = door("stars"), door("hello")
    assert "172.24.197.101:8081" in stars
    assert "--link=Stars=:23078/" in stars
    assert "--balancer" in stars
    assert "172.24.197.101:80" in hello
    assert "--link=HAProxy=:9090/haproxy?stats" in hello
    assert "--ask=HAProxy=http://172.24.197.201:9090/haproxy?stats" in hello


def test_the_door_leads_to_the_ports_that_were_free() -> None:
    moved = with_ports(plan_of("t", Options(document="hello")), {"hello": 10120, "haproxy": 9091, "door": 8082})
    argv = next(d for d in moved.host("master").daemons if d.name == "door").argv
    assert {"--link=Hello=:10120/", "--link=HAProxy=:9091/haproxy?stats"} <= set(argv)
    assert "--ask=HAProxy=http://172.24.197.201:9090/haproxy?stats" in argv


def test_the_package_service_is_there_and_behind_the_door_where_a_document_installs_packages() -> None:
    for document in ("hello", "environments"):
        daemons = {d.name: d.argv for d in plan_of("t", Options(document=document)).host("master").daemons}
        listen = daemons["packages"][daemons["packages"].index("--listen") + 1]
        assert daemons["door"][daemons["door"].index("--packages") + 1] == f"http://{listen}"
    stars = plan_of("t", Options(document="stars")).host("master").daemons
    assert "packages" not in [daemon.name for daemon in stars]


def test_a_daemon_survives_the_way_through_json() -> None:
    for host in plan_of("t", Options()).hosts:
        for daemon in host.daemons:
            assert daemon_from(as_json(daemon)) == daemon


def test_a_circle_of_daemons_is_refused() -> None:
    with pytest.raises(Invalid, match="daemon a waits for b"):
        in_order([Daemon("a", ("a",), ("b",)), Daemon("b", ("b",), ("a",))])


def test_a_limited_plan_does_not_wait_for_what_it_leaves_out() -> None:
    plan = limited(plan_of("t", Options()), ["dockerd"])
    assert [d.name for d in plan.host("agent-1").daemons] == ["dockerd"]
    assert plan.host("agent-1").daemons[0].after == ()
    with pytest.raises(Invalid, match="no daemon dokcerd"):
        limited(plan, ["dokcerd"])


@pytest.mark.parametrize("name", ["", "-a", "A", "a/b", "..", "a b", "a" * 33])
def test_a_name_that_could_leave_its_directory_is_refused(name: str) -> None:
    with pytest.raises(Invalid):
        check_name(name)


def test_defaults_are_stars_with_two_agents() -> None:
    assert check_options("stars", **PLAIN) == Options("stars", 2, "sqlite", "direct", "docker")


@pytest.mark.parametrize(
    ("document", "change", "named"),
    [
        ("net-modules", {"agents": 3}, "document net-modules has exactly 2 agents"),
        ("net-modules", {"public_agents": 1}, "document net-modules has exactly 2 agents, and no public one"),
        ("environment", {}, "no document 'environment'.*environments"),
        ("nonsense", {}, "nonsense'; there are stars, hello, net-modules, environments"),
        ("stars", {"bare": True}, "--bare with stars: it installs no packages"),
        ("stars", {"subnets": 2}, "--subnets 2 with --routing direct"),
        ("stars", {"subnets": 0}, "--subnets 0"),
        ("stars", {"public_agents": 55}, "--public-agents 55: expected 0 to 54"),
        ("hello", {"public_agents": 0}, "--public-agents 0: expected 1 to 54"),
        ("stars", {"store": "zookeeper"}, "--store zookeeper: there are sqlite and etcd"),
        ("stars", {"routing": "ospf"}, "--routing ospf: there are direct, vxlan, bgp"),
        ("stars", {"runtime": "podman"}, "--runtime podman: there are docker and ucr"),
        ("stars", {"agents": 0}, "--agents 0"),
        ("stars", {"agents": 100}, "--agents 100"),
    ],
)
def test_what_there_is_not_is_refused_by_its_name(document: str, change: dict[str, Any], named: str) -> None:
    with pytest.raises(Invalid, match=named):
        check_options(document, **{**PLAIN, **change})


@pytest.mark.parametrize(
    ("document", "change", "placed"),
    [
        ("hello", {}, ""),
        ("environments", {"store": "etcd", "agents": 5}, ""),
        ("hello", {"bare": True}, ""),
        ("hello", {"routing": "bgp"}, ""),
        ("environments", {"routing": "vxlan", "subnets": 2}, ""),
        ("hello", {"routing": "bgp", "subnets": 2}, ""),
        ("environments", {"runtime": "ucr"}, ""),
        ("hello", {"agents": 2}, "--agents 2: the etcd package has 3 members"),
    ],
)
def test_a_replay_begins_without_a_network_where_its_packages_can_bring_it(
    document: str, change: dict[str, Any], placed: str
) -> None:
    asked = check_options(document, **{**PLAIN, **change})
    options, why = from_first_line(asked)
    assert options == replace(asked, bare=placed == "")
    assert placed in why
    assert bool(placed) == bool(why)


@pytest.mark.parametrize("document", ["stars", "net-modules"])
def test_a_document_without_packages_begins_with_its_network(document: str) -> None:
    asked = check_options(document, **PLAIN)
    assert from_first_line(asked) == (asked, "")


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        check_options("net-moduls", **{**PLAIN, "store": "zookeeper", "routing": "ospf"})
    assert len(caught.value.problems) == 3


def test_hosts_know_each_other_and_the_lab_s_own_internet() -> None:
    hosts = plan_of("t", Options()).hosts
    lines = files.etc_hosts(hosts[1], hosts).splitlines()
    assert "172.24.197.103\tagent-2" in lines
    assert "172.24.197.2\tgithub.com raw.githubusercontent.com" in lines
    assert not any("switch" in line for line in lines)


def test_the_resolver_of_every_host_is_the_master() -> None:
    hosts = plan_of("t", Options()).hosts
    for host in hosts[1:]:
        listed = {
            file.path: file.text
            for file in files.of_host(host, hosts, document=STARS, python="/p", path=["/src"], store="s")
        }
        assert listed["/etc/resolv.conf"] == "nameserver 172.24.197.101\n"
        assert ("/etc/mesos-dns/config.json" in listed) == (host.name == "master")


def test_every_host_has_a_resolver_of_its_own_for_names_of_tasks() -> None:
    for host in plan_of("t", Options(agents=3)).hosts[1:]:
        (found,) = (daemon for daemon in host.daemons if daemon.name == "resolver")
        assert found.argv[-2:] == ("--forward", "mesos=172.24.197.101:53")
        assert ("--listen", "198.51.100.1:53") in itertools.pairwise(found.argv)


def test_a_path_with_blanks_and_quotes_is_quoted_in_the_programs() -> None:
    written = {file.path: file.text for file in files.programs("/a b/it's/python", ["/c d"])}
    assert "exec '/a b/it'\"'\"'s/python' -P" in written["/usr/local/bin/tortie"]
