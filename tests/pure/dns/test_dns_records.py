"""State to records: sources of addresses, names in both forms, services."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.fake_mesos_master import state, task
from tests.support.names import CONFIG, Told, cluster, mesos, relist, told

from tortie.base.errors import Invalid
from tortie.dns.config import Config
from tortie.dns.records import names_to_resolve
from tortie.dns.state import decode


def records(tasks: list[dict[str, Any]], config: Config = CONFIG) -> Told:
    return told(mesos(cluster(tasks), config))


def sources(*names: str) -> Config:
    return Config(masters=("172.24.197.101:5050",), ip_sources=names)


def frontend() -> dict[str, Any]:
    discovery = {
        "visibility": "FRAMEWORK",
        "name": "frontend.calico-stars",
        "ports": {"ports": [{"number": 9001, "name": "http", "protocol": "tcp"}, {"number": 53}]},
    }
    return task("frontend.calico-stars", "192.168.0.1", discovery=discovery)


def test_a_marathon_task_has_the_dotted_and_the_dashed_name_with_its_own_address() -> None:
    found = records([frontend()])
    assert found.a["frontend.calico-stars.marathon.mesos"] == {"192.168.0.1"}
    assert found.a["frontend-calico-stars.marathon.mesos"] == {"192.168.0.1"}
    assert found.a["frontend-calico-stars.marathon.slave.mesos"] == {"172.24.197.102"}
    assert [n for n in found.a if n.startswith("frontend-calico-stars-") and n.endswith("-s1.marathon.mesos")]


def test_discovery_ports_become_services_and_a_port_without_protocol_both() -> None:
    found = records([frontend()])
    ((target, port),) = (s for s in found.srv["_frontend-calico-stars._tcp.marathon.mesos"] if s[1] == 9001)
    assert found.a[target] == {"192.168.0.1"}
    assert port == 9001
    assert "_http._frontend-calico-stars._tcp.marathon.mesos" in found.srv
    assert {p for _, p in found.srv["_frontend-calico-stars._udp.marathon.mesos"]} == {53}
    assert {p for _, p in found.srv["_frontend-calico-stars._tcp.marathon.slave.mesos"]} == {31000, 31001}


def test_without_discovery_there_is_the_dashed_name_only_and_services_are_the_resource_ports() -> None:
    found = records([task("a.b", "192.168.0.1")])
    assert "a.b.marathon.mesos" not in found.a
    assert {p for _, p in found.srv["_a-b._tcp.marathon.mesos"]} == {31000, 31001}


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (("netinfo", "docker", "mesos", "host"), {"10.3.0.1"}),
        (("host",), {"172.24.197.102"}),
        (("host", "netinfo"), {"172.24.197.102"}),
        (("docker", "host"), {"172.24.197.102"}),
        (("mesos", "host"), {"10.9.9.9"}),
    ],
)
def test_the_first_source_that_gives_anything_wins(order: tuple[str, ...], expected: set[str]) -> None:
    given = task("t", "10.3.0.1")
    given["statuses"][0]["labels"] = [{"key": "MesosContainerizer.NetworkSettings.IPAddress", "value": "10.9.9.9"}]
    assert records([given], sources(*order)).a["t.marathon.mesos"] == expected


def test_only_the_newest_running_status_counts() -> None:
    given = task("t", "10.3.0.1")
    older = json.loads(json.dumps(given["statuses"][0]))
    older["timestamp"], older["container_status"]["network_infos"][0]["ip_addresses"][0]["ip_address"] = 1.0, "10.0.0.9"
    given["statuses"].append(older)
    assert records([given]).a["t.marathon.mesos"] == {"10.3.0.1"}


def test_all_addresses_of_both_families_are_used() -> None:
    given = task("t")
    addresses = [{"ip_address": a} for a in ("10.3.0.1", "10.3.0.2", "fd01:b::1:8000:2", "not an address")]
    given["statuses"][0]["container_status"]["network_infos"] = [{"ip_addresses": addresses}]
    found = records([given], sources("netinfo"))
    assert found.a["t.marathon.mesos"] == {"10.3.0.1", "10.3.0.2"}
    assert found.aaaa["t.marathon.mesos"] == {"fd01:b::1:8000:2"}


def test_tasks_that_do_not_run_or_whose_agent_is_unknown_have_no_names() -> None:
    found = records([task("s", "10.0.0.1", state="TASK_STAGING"), task("u", "10.0.0.2", slave_id="c-S9")])
    assert not [n for n in found.a if n.startswith(("s.", "u."))]


def test_masters_leader_agents_and_frameworks() -> None:
    config = Config(masters=("10.0.0.5:5050",))
    found = records([], config)
    assert found.a["leader.mesos"] == {"172.24.197.101"}
    assert found.a["master.mesos"] == {"10.0.0.5", "172.24.197.101"}
    assert found.a["master0.mesos"] == {"10.0.0.5"}
    assert found.a["master1.mesos"] == {"172.24.197.101"}
    assert found.srv["_leader._tcp.mesos"] == {("leader.mesos", 5050)}
    assert found.a["slave.mesos"] == {"172.24.197.102"}
    assert found.srv["_slave._tcp.mesos"] == {("slave.mesos", 5051)}
    assert found.a["marathon.mesos"] == {"172.24.197.101"}
    assert found.a["ns1.mesos"] == {"172.24.197.101"}


def test_host_names_are_asked_for_and_used_once_known() -> None:
    data = state([])
    data["frameworks"][0]["hostname"] = "boss.example"
    found = cluster([], data)
    assert names_to_resolve(found, CONFIG.masters) == {"boss.example"}
    listing = mesos(found)
    assert "marathon.mesos" not in told(listing).a
    found.hosts = {"boss.example": ("10.1.1.1",)}
    relist(listing, found)
    assert told(listing).a["marathon.mesos"] == {"10.1.1.1"}


@pytest.mark.parametrize("data", [b"", b"[]", b'{"slaves": 3}', b'{"frameworks":[{"tasks":[]}]}', b"\xff\xfe"])
def test_a_document_that_no_master_writes_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid, match="state"):
        decode(data)
