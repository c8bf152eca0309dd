"""Every record form of Mesos-DNS and of DC/OS, each asked for by name: what is answered, read by dnspython."""

from __future__ import annotations

import random
from typing import Any

import dns.rcode
import dns.rdatatype
import pytest
from tests.support.fake_mesos_master import task
from tests.support.names import asked, authority, cluster, data, listed

from tortie.dns import dcos
from tortie.dns.config import Config
from tortie.dns.records import MesosRecords
from tortie.dns.resolver import Resolver, cluster_listings, host_listings
from tortie.dns.zone import Zone

MASTERS = ("172.24.197.101:5050", "172.24.197.100:5050")
CONFIG = Config(masters=MASTERS)


def discovered(name: str, *ports: dict[str, Any]) -> dict[str, Any]:
    return {"visibility": "FRAMEWORK", "name": name, "ports": {"ports": list(ports)}}


def port(number: int, name: str = "", protocol: str = "", **labels: str) -> dict[str, Any]:
    listing = [{"key": key.replace("__", "-"), "value": value} for key, value in labels.items()]
    return {"number": number, "name": name, "protocol": protocol, "labels": {"labels": listing}}


def dual() -> dict[str, Any]:
    made = task("dual", id="dual.1", discovery=discovered("dual"))
    addresses = [{"ip_address": text} for text in ("10.3.0.1", "10.3.0.2", "fd01:b::1:8000:2")]
    made["statuses"][0]["container_status"]["network_infos"] = [{"ip_addresses": addresses}]
    return made


def unhealthy() -> dict[str, Any]:
    made = task("sick", "192.168.0.40", discovery=discovered("sick", port(80, protocol="tcp", VIP_0="/direct:80")))
    made["statuses"][0]["healthy"] = False
    return made


FRONTEND = task(
    "frontend.calico-stars", "192.168.0.1", id="task-1",
    discovery=discovered("frontend.calico-stars", port(9000, "http", "tcp"), port(9001, "admin")),
)  # fmt: skip
BRIDGED = task(
    "bridged", "172.17.0.2", slave_id="c-S2",
    discovery=discovered("bridged", port(80, "web", "tcp", VIP_0="/bridged:80", VIP_1="/br.idged/x:31005")),
    container={"type": "DOCKER", "docker": {"port_mappings": [{"host_port": 31005, "container_port": 80}]}},
)  # fmt: skip
MAPPED = task("mapped", "192.168.0.30", container={"type": "MESOS", "network_infos": [
    {"name": "calico", "port_mappings": [{"host_port": 31007, "container_port": 81}]}]})  # fmt: skip
MARATHON = [
    FRONTEND,
    task("myapp.sub.outer", "192.168.0.2", discovery=discovered("myapp.sub.outer")),
    task("old.app", "192.168.0.3", id="test"),
    task(
        "onhost", discovery=discovered("onhost", port(31000, "", "tcp", network__scope="host", VIP_0="/onhost:31000"))
    ),
    BRIDGED,
    MAPPED,
    dual(),
    task("spread", "192.168.0.10", id="spread.1"),
    task("spread", "192.168.0.11", id="spread.2", slave_id="c-S2"),
    task("labelled", "192.168.0.20", labels=[{"key": "DNS_IP_SOURCES", "value": "host, netinfo"}]),
    task("mislabelled", "192.168.0.21", labels=[{"key": "DNS_IP_SOURCES", "value": "host,magic"}]),
    task("direct", "192.168.0.41", discovery=discovered("direct", port(80, protocol="tcp", VIP_0="/direct:80"))),
    unhealthy(),
    task("staging", "192.168.0.50", state="TASK_STAGING"),
    task("nowhere", "192.168.0.51", slave_id="c-S9"),
]
LIQUOR = "liquor-store.b8db9f73-562f-11e4-a088-c20493233aa5"
ETCD = [
    task(
        "etcd-server",
        "10.0.0.7",
        id=LIQUOR,
        discovery=discovered(
            "etcd-server",
            port(2379, "", "client", DNS_SERVICE="_etcd-client._tcp"),
            port(2380, "", "tcp", DNS_SERVICE="nonsense"),
        ),
    )
]
DOCUMENT: dict[str, Any] = {
    "leader": "master@172.24.197.101:5050",
    "slaves": [
        {"id": "c-S1", "hostname": "172.24.197.102", "pid": "slave(1)@172.24.197.102:5051"},
        {"id": "c-S2", "hostname": "172.24.197.103", "pid": "slave(1)@172.24.197.103:5052"},
    ],
    "frameworks": [
        {"id": "f-0", "name": "marathon", "hostname": "m", "pid": "scheduler-1@172.24.197.101:15101",
         "tasks": MARATHON},
        {"id": "f-1", "name": "etcd", "hostname": "172.24.197.103", "pid": "", "tasks": ETCD},
        {"id": "f-2", "name": "Batch Jobs.v2", "hostname": "172.24.197.100", "tasks": [task("job_1", "192.168.0.60")]},
    ],
}  # fmt: skip
CLUSTER = cluster([], DOCUMENT)
NAMES = authority(
    listed(MesosRecords(CONFIG, ("172.24.197.101",)), Zone(CONFIG.apex, dice=random.Random(1)), CLUSTER),
    *(
        listed(listing.giver, listing.zone, CLUSTER)
        for listing in cluster_listings(Resolver((("198.51.100.1", 53),), MASTERS, "6yfwz"))
    ),
    *host_listings(("198.51.100.1",)),
)
S1, S2, M1, M0 = "172.24.197.102", "172.24.197.103", "172.24.197.101", "172.24.197.100"
DCOS = "dcos.thisdcos.directory"
L4LB = "l4lb.thisdcos.directory"
CANONICAL = "frontend-calico-stars-yuqzm-s1"


def both(service: str, *answers: str) -> list[tuple[str, str, list[str]]]:
    """The same answer of both protocols."""
    return [(service.replace("PROTO", proto), "SRV", list(answers)) for proto in ("_tcp", "_udp")]


FORMS: list[tuple[str, str, list[str]]] = [
    # The cluster itself.
    ("leader.mesos", "A", [M1]),
    ("master.mesos", "A", [M0, M1]),
    ("master0.mesos", "A", [M1]),
    ("master1.mesos", "A", [M0]),
    *both("_leader.PROTO.mesos", "0 1 5050 leader.mesos."),
    ("slave.mesos", "A", [S1, S2]),
    *both("_slave.PROTO.mesos", "0 1 5051 slave.mesos.", "0 1 5052 slave.mesos."),
    ("marathon.mesos", "A", [M1]),
    ("_framework._tcp.marathon.mesos", "SRV", ["0 1 15101 marathon.mesos."]),
    ("etcd.mesos", "A", [S2]),
    ("_framework._tcp.etcd.mesos", "SRV", []),
    ("batchjobs.v2.mesos", "A", [M0]),
    ("ns1.mesos", "A", [M1]),
    ("mesos", "NS", ["ns1.mesos."]),
    ("mesos", "SOA", ["ns1.mesos. root.ns1.mesos. 7 60 600 86400 60"]),
    # A task with a discovery name: dotted and dashed, plain and canonical, its own and its agent's address.
    ("frontend.calico-stars.marathon.mesos", "A", ["192.168.0.1"]),
    ("frontend-calico-stars.marathon.mesos", "A", ["192.168.0.1"]),
    ("frontend.calico-stars-yuqzm-s1.marathon.mesos", "A", ["192.168.0.1"]),
    (f"{CANONICAL}.marathon.mesos", "A", ["192.168.0.1"]),
    ("frontend.calico-stars.marathon.slave.mesos", "A", [S1]),
    ("frontend-calico-stars.marathon.slave.mesos", "A", [S1]),
    (f"{CANONICAL}.marathon.slave.mesos", "A", [S1]),
    ("frontend.calico-stars-yuqzm-s1.marathon.slave.mesos", "A", [S1]),
    # Its services: discovery ports under the framework, resource ports under `slave`.
    (
        "_frontend-calico-stars._tcp.marathon.mesos", "SRV",
        [f"0 1 9000 {CANONICAL}.marathon.mesos.", f"0 1 9001 {CANONICAL}.marathon.mesos."],
    ),
    ("_frontend-calico-stars._udp.marathon.mesos", "SRV", [f"0 1 9001 {CANONICAL}.marathon.mesos."]),
    ("_http._frontend-calico-stars._tcp.marathon.mesos", "SRV", [f"0 1 9000 {CANONICAL}.marathon.mesos."]),
    ("_http._frontend-calico-stars._udp.marathon.mesos", "SRV", []),
    *both("_admin._frontend-calico-stars.PROTO.marathon.mesos", f"0 1 9001 {CANONICAL}.marathon.mesos."),
    (
        "_http._frontend.calico-stars._tcp.marathon.mesos", "SRV",
        ["0 1 9000 frontend.calico-stars-yuqzm-s1.marathon.mesos."],
    ),
    *both(
        "_frontend-calico-stars.PROTO.marathon.slave.mesos",
        f"0 1 31000 {CANONICAL}.marathon.slave.mesos.", f"0 1 31001 {CANONICAL}.marathon.slave.mesos.",
    ),
    # Nested groups.
    ("myapp.sub.outer.marathon.mesos", "A", ["192.168.0.2"]),
    ("myapp-sub-outer.marathon.mesos", "A", ["192.168.0.2"]),
    # A task without discovery: dashed only; its services are the resource ports, in both places.
    ("old-app.marathon.mesos", "A", ["192.168.0.3"]),
    ("old-app-iffe9-s1.marathon.mesos", "A", ["192.168.0.3"]),
    ("old-app.marathon.slave.mesos", "A", [S1]),
    *both(
        "_old-app.PROTO.marathon.mesos",
        "0 1 31000 old-app-iffe9-s1.marathon.slave.mesos.", "0 1 31001 old-app-iffe9-s1.marathon.slave.mesos.",
    ),
    *both(
        "_old-app.PROTO.marathon.slave.mesos",
        "0 1 31000 old-app-iffe9-s1.marathon.slave.mesos.", "0 1 31001 old-app-iffe9-s1.marathon.slave.mesos.",
    ),
    # Protocols are free; other frameworks.
    ("_etcd-server._client.etcd.mesos", "SRV", ["0 1 2379 etcd-server-4dfjd-s1.etcd.mesos."]),
    ("_etcd-server._tcp.etcd.mesos", "SRV", ["0 1 2380 etcd-server-4dfjd-s1.etcd.mesos."]),
    ("_etcd-client._tcp.etcd.mesos", "SRV", ["0 1 2379 etcd-server-4dfjd-s1.etcd.mesos."]),
    ("nonsense.etcd.mesos", "SRV", []),
    ("job-1.batchjobs.v2.mesos", "A", ["192.168.0.60"]),
    # Addresses: all of the first source that has any; the task's own order of sources.
    ("dual.marathon.mesos", "A", ["10.3.0.1", "10.3.0.2"]),
    ("dual.marathon.mesos", "AAAA", ["fd01:b::1:8000:2"]),
    ("dual.marathon.slave.mesos", "A", [S1]),
    ("onhost.marathon.mesos", "A", [S1]),
    ("spread.marathon.mesos", "A", ["192.168.0.10", "192.168.0.11"]),
    ("labelled.marathon.mesos", "A", [S1]),
    ("mislabelled.marathon.mesos", "A", ["192.168.0.21"]),
    # An old way to ask.
    ("*.spread.marathon.mesos", "A", ["192.168.0.10", "192.168.0.11"]),
    # DC/OS: the container's, the agent's, the reachable address.
    (f"frontend-calico-stars.marathon.containerip.{DCOS}", "A", ["192.168.0.1"]),
    (f"frontend-calico-stars.marathon.agentip.{DCOS}", "A", [S1]),
    (f"frontend-calico-stars.marathon.autoip.{DCOS}", "A", ["192.168.0.1"]),
    (f"myapp-sub-outer.marathon.containerip.{DCOS}", "A", ["192.168.0.2"]),
    (f"onhost.marathon.containerip.{DCOS}", "A", [S1]),
    (f"onhost.marathon.autoip.{DCOS}", "A", [S1]),
    (f"bridged.marathon.containerip.{DCOS}", "A", ["172.17.0.2"]),
    (f"bridged.marathon.autoip.{DCOS}", "A", [S2]),
    (f"mapped.marathon.containerip.{DCOS}", "A", ["192.168.0.30"]),
    (f"mapped.marathon.autoip.{DCOS}", "A", [S1]),
    (f"dual.marathon.containerip.{DCOS}", "AAAA", ["fd01:b::1:8000:2"]),
    (f"dual.marathon.agentip.{DCOS}", "AAAA", []),
    (f"labelled.marathon.containerip.{DCOS}", "A", ["192.168.0.20"]),
    (f"job-1.batchjobs-v2.containerip.{DCOS}", "A", ["192.168.0.60"]),
    (f"leader.{DCOS}", "A", [M1]),
    (f"master.{DCOS}", "A", [M0, M1]),
    (DCOS, "NS", ["ns.spartan."]),
    (DCOS, "SOA", ["ns.spartan. support.mesosphere.com. 1 60 180 86400 1"]),
    # Its aliases.
    ("spread.marathon.agentip.dcos.thisdcos.global", "A", [S1, S2]),
    ("spread.marathon.agentip.dcos.6yfwz.dcos.directory", "A", [S1, S2]),
    ("dcos.thisdcos.global", "NS", ["ns.spartan."]),
    # Virtual addresses: the backends that listen on the very port.
    (f"direct.marathon.{L4LB}", "A", ["192.168.0.41"]),
    (f"bridged.marathon.{L4LB}", "A", []),
    (f"br.idgedx.marathon.{L4LB}", "A", [S2]),
    (f"onhost.marathon.{L4LB}", "A", [S1]),
    ("direct.marathon.dclb.thisdcos.directory", "A", ["192.168.0.41"]),
    ("direct.marathon.dclb.thisdcos.global", "A", ["192.168.0.41"]),
    ("direct.marathon.l4lb.6yfwz.dcos.directory", "A", ["192.168.0.41"]),
    # Names of the cluster's services and of the host's own resolver.
    ("registry.component.thisdcos.directory", "A", [M0, M1]),
    ("ns.spartan", "A", ["198.51.100.1"]),
    ("ready.spartan", "A", ["127.0.0.1"]),
    ("localhost", "A", ["127.0.0.1"]),
    ("localhost", "AAAA", ["::1"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind", "expected"), FORMS, ids=[f"{name} {kind}" for name, kind, _ in FORMS])
def test_a_record_form(name: str, kind: str, expected: list[str]) -> None:
    for tcp in (False, True):
        reply = asked(NAMES, name, kind, tcp=tcp)
        assert reply.rcode() == dns.rcode.NOERROR
        assert sorted(data(reply)) == sorted(expected)


@pytest.mark.parametrize(
    "name",
    [
        "staging.marathon.mesos",
        "nowhere.marathon.mesos",
        "old.app.marathon.mesos",
        "master2.mesos",
        "_master._tcp.mesos",
        "frontend.calico-stars.marathon.containerip.dcos.thisdcos.directory",
        "nobody.marathon.autoip.dcos.thisdcos.global",
        "sick.marathon.l4lb.thisdcos.directory",
        "other.spartan",
    ],
)
def test_a_name_that_is_not_made(name: str) -> None:
    reply = asked(NAMES, name)
    assert reply.rcode() == dns.rcode.NXDOMAIN
    (soa,) = reply.authority
    assert soa.rdtype == dns.rdatatype.SOA
    assert name.endswith(str(soa.name).rstrip("."))


@pytest.mark.parametrize(
    "name",
    [
        "sub.outer.marathon.mesos",
        "_tcp.marathon.mesos",
        "marathon.slave.mesos",
        "containerip.dcos.thisdcos.directory",
        "marathon.l4lb.thisdcos.directory",
    ],
)
def test_parents_of_names_have_no_data_but_exist(name: str) -> None:
    for kind in ("A", "AAAA", "TXT"):
        reply = asked(NAMES, name, kind)
        assert (reply.rcode(), reply.answer) == (dns.rcode.NOERROR, [])
        assert reply.authority


def test_services_bring_the_addresses_of_their_targets() -> None:
    reply = asked(NAMES, "_old-app._tcp.marathon.mesos", "SRV")
    assert {(str(rrset.name), str(item)) for rrset in reply.additional for item in rrset} == {
        ("old-app-iffe9-s1.marathon.slave.mesos.", S1)
    }


def test_dcos_names_live_five_seconds_and_mesos_names_as_configured() -> None:
    assert asked(NAMES, f"leader.{DCOS}").answer[0].ttl == 5
    assert asked(NAMES, DCOS, "NS").answer[0].ttl == 3600
    assert asked(NAMES, "leader.mesos").answer[0].ttl == 60
    # What is not there may be remembered for a second: a task that starts is soon found.
    assert asked(NAMES, f"nobody.{DCOS}").authority[0].ttl == 1


def test_what_is_left_of_a_cluster_without_a_leader() -> None:
    empty = cluster([], {"leader": "", "slaves": [], "frameworks": []})
    names = authority(listed(dcos.TaskRecords(MASTERS), Zone(dcos.apex(DCOS)), empty))
    assert asked(names, f"leader.{DCOS}").rcode() == dns.rcode.NXDOMAIN
    assert sorted(data(asked(names, f"master.{DCOS}"))) == [M0, M1]
