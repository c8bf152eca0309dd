"""A lab without a network: what its hosts have, and what they have not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tortie.lab import files, net
from tortie.lab.daemons import NETWORK_DAEMONS, plan_of, store_of
from tortie.lab.documents import DOCUMENTS, check_options
from tortie.lab.first import SETTLE
from tortie.lab.plan import Host, Plan, as_json, in_order

PLAIN: dict[str, Any] = {"agents": None, "store": "sqlite", "routing": "direct", "runtime": "docker", "bare": True}


def bare(document: str = "hello", **changes: Any) -> Plan:
    return plan_of("t", check_options(document, **{**PLAIN, **changes}))


def written(plan: Plan, name: str) -> dict[str, str]:
    document, store = DOCUMENTS[plan.options.document], store_of(plan.options)
    host = plan.host(name)
    made = files.of_host(
        host, plan.hosts, document=document, python="/p", path=["/src"], store=store, bare=plan.options.bare
    )
    return {file.path: file.text for file in made}


@pytest.mark.parametrize("document", ["hello", "environments"])
@pytest.mark.parametrize("store", ["sqlite", "etcd"])
def test_no_host_has_anything_of_the_network_and_all_daemons_can_start(document: str, store: str) -> None:
    for host in bare(document, store=store).hosts:
        assert NETWORK_DAEMONS.isdisjoint(daemon.name for daemon in host.daemons)
        in_order(host.daemons)
        assert all("tortie.lab.network" not in daemon.argv for daemon in host.daemons), "its store is not this one"


def test_all_else_is_there() -> None:
    plan = bare()
    assert [daemon.name for daemon in plan.host("agent-1").daemons] == ["dockerd", "agent", "resolver"]
    master = {daemon.name for daemon in plan.host("master").daemons}
    assert master == {"dockerd", "resolver", "master", "marathon", "dns", "packages", "door"}
    packages = next(daemon for daemon in plan.host("master").daemons if daemon.name == "packages")
    assert "--station" in packages.argv, "the master's node is the package's to bring"
    assert plan.host("laptop").routes == (("192.168.0.0/16", "172.24.197.102"),)


@pytest.mark.parametrize(("runtime", "docker"), [("docker", True), ("ucr", False)])
def test_the_roller_is_told_whether_agents_have_docker(runtime: str, docker: bool) -> None:
    plan = bare("environments", runtime=runtime)
    packages = next(daemon for daemon in plan.host("master").daemons if daemon.name == "packages")
    defaults = json.loads(packages.argv[packages.argv.index("--defaults") + 1])
    assert defaults["calico"]["Framework Settings"] == {"use-docker": docker, "settle": SETTLE}
    agent = next(daemon for daemon in plan.host("agent-1").daemons if daemon.name == "agent")
    assert agent.argv[agent.argv.index("--containerizers") + 1] == ("docker,mesos" if docker else "mesos")


def test_the_cluster_s_programs_wait_for_their_etcd() -> None:
    master = {daemon.name: daemon for daemon in bare(store="etcd").host("master").daemons}
    for name in ("master", "marathon", "packages"):
        assert "etcd" in master[name].after
        assert "etcd://172.24.197.101:2379" in master[name].argv
    assert "etcd" not in {daemon.name for daemon in bare(store="etcd").host("agent-1").daemons}


@pytest.mark.parametrize("name", ["laptop", "master", "agent-1", "public-1"])
def test_every_host_knows_the_cluster_s_store_and_none_of_the_network(name: str) -> None:
    assert written(bare(store="etcd"), name)["/etc/tortie/cluster-store"] == "etcd://172.24.197.101:2379\n"
    assert "/etc/tortie/store" not in written(bare(store="etcd"), name)
    placed = written(bare(bare=False), name)
    assert "/etc/tortie/store" in placed
    assert "/etc/tortie/cluster-store" not in placed


def test_folders_of_networks_are_there_and_empty() -> None:
    below = "/opt/mesosphere/etc/dcos/network/cni/"
    assert [path for path in written(bare("environments"), "agent-1") if path.startswith(below)] == [below]
    assert f"{below}calico.cni" in written(bare("environments", bare=False), "agent-1")


def test_hosts_that_get_a_network_forward_as_an_engine_wants_and_the_rest_is_the_kernel_s() -> None:
    plan = bare()

    def names(host: Host, *, bare: bool) -> set[str]:
        return {name.rpartition("/")[2] for name in net.settings(host, bare=bare)}

    for name in ("master", "agent-1", "public-1"):
        assert names(plan.host(name), bare=True) == {"ip_forward", "send_redirects", "icmp_ratelimit"}
    assert names(plan.host("laptop"), bare=True) == names(plan.host("laptop"), bare=False)


def test_a_bare_lab_is_another_one() -> None:
    assert bare().options != bare(bare=False).options
    assert as_json(bare().options)["bare"] is True
