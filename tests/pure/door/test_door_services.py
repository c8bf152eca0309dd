"""Which server stands behind a service's name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tortie.base.errors import Invalid
from tortie.door.services import AskDns, Server, frameworks_of, server_of, services_of, srv_server, summary_of
from tortie.wire.marathon_apps import decode

LABELS = {"DCOS_SERVICE_NAME": "group/app", "DCOS_SERVICE_SCHEME": "http", "DCOS_SERVICE_PORT_INDEX": "1"}


def served(**app: Any) -> dict[str, Server]:
    task = {"id": "t", "host": "10.0.0.5", "ports": [31000, 31001], "state": "TASK_RUNNING"}
    whole = {"id": "/app", "labels": LABELS, "tasks": [task], **app}
    apps, problems = decode(json.dumps({"apps": [whole]}).encode())
    assert not problems
    return services_of(apps)


def test_an_app_with_all_three_labels_serves_where_its_first_running_task_is() -> None:
    assert served() == {"app.group": Server("10.0.0.5", 31001)}
    waiting = {"id": "s", "host": "10.0.0.4", "ports": [1, 2], "state": "TASK_STAGING"}
    running = {"id": "t", "host": "10.0.0.6", "ports": [3, 4], "state": "TASK_RUNNING"}
    assert served(tasks=[waiting, running]) == {"app.group": Server("10.0.0.6", 4)}


@pytest.mark.parametrize("missing", sorted(LABELS))
def test_with_two_of_the_three_labels_it_is_no_service(missing: str) -> None:
    assert served(labels={name: value for name, value in LABELS.items() if name != missing}) == {}


@pytest.mark.parametrize(
    ("label", "value"),
    [("SCHEME", "ftp"), ("PORT_INDEX", "x"), ("PORT_INDEX", "-1"), ("PORT_INDEX", "2"), ("PORT_INDEX", "9" * 400),
     ("NAME", "/")],
)  # fmt: skip
def test_labels_that_lead_nowhere_are_no_service(label: str, value: str) -> None:
    assert served(labels={**LABELS, f"DCOS_SERVICE_{label}": value}) == {}


def test_without_a_running_task_there_is_no_server() -> None:
    assert served(tasks=[]) == {}


def test_a_container_with_its_own_address_is_asked_itself() -> None:
    task = {
        "id": "t",
        "host": "h",
        "ports": [31000],
        "state": "TASK_RUNNING",
        "ipAddresses": [{"ipAddress": "192.168.0.7"}],
    }
    discovery = {"ports": [{"number": 80}, {"number": 8080}]}
    assert served(tasks=[task], ipAddress={"discovery": discovery}) == {"app.group": Server("192.168.0.7", 8080)}


def test_a_service_may_want_its_prefix() -> None:
    kept = served(labels={**LABELS, "DCOS_SERVICE_REWRITE_REQUEST_URLS": "false"})
    assert kept["app.group"].strip is False


def summary(**found: Any) -> Any:
    return frameworks_of(summary_of(json.dumps(found).encode()))


def test_frameworks_are_found_by_id_and_by_name() -> None:
    known = summary(
        frameworks=[
            {"id": "f1", "name": "calico", "webui_url": "http://calico.marathon.mesos:31000/"},
            {"id": "f2", "name": "etcd", "webui_url": ""},
            {"id": "f3", "name": "bare"},
            {"id": "f4", "name": "odd", "webui_url": "http://host:port/"},
            {"id": "f5", "name": "g/ui", "webui_url": "https://h/ui/"},
        ]
    )
    assert known.by_id["f1"] == known.by_name["calico"] == Server("calico.marathon.mesos", 31000)
    assert known.by_name["etcd"] == AskDns("etcd")
    assert known.by_name["odd"] is None
    assert known.by_name["ui.g"] == Server("h", 443, "https", "/ui")


def test_of_two_frameworks_of_one_name_the_active_one_is_meant() -> None:
    old = {"id": "f1", "name": "x", "webui_url": "http://old/", "active": False}
    new = {"id": "f2", "name": "x", "webui_url": "http://new/", "active": True}
    for order in ([old, new], [new, old]):
        assert summary(frameworks=order).by_name["x"] == Server("new", 80)


def test_agents_are_where_their_pid_says() -> None:
    known = summary(
        slaves=[{"id": "S0", "pid": "slave(1)@10.0.0.2:5051"}, {"id": "S1", "pid": "slave(1)@[fd00::2]:5051"}]
    )
    assert known.agents == {"S0": Server("10.0.0.2", 5051), "S1": Server("fd00::2", 5051)}
    assert known.agents["S1"].authority == "[fd00::2]:5051"


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b'{"frameworks": 1}', b'{"slaves": [{"pid": 1}]}', b"\xff"])
def test_a_summary_that_is_none_is_said_to_be_none(text: bytes) -> None:
    with pytest.raises(Invalid):
        summary_of(text)


@pytest.mark.parametrize("url", ["", "x", "ftp://x/", "http://", "http://x:99999/", "http://x:y/", "http://h/a b"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(Invalid):
        server_of(url)


def test_mesos_dns_answers_unknown_names_with_an_empty_record() -> None:
    empty = {"service": "", "host": "", "ip": "", "port": ""}
    assert srv_server(json.dumps([empty]).encode()) is None
    assert srv_server(json.dumps([empty, {**empty, "ip": "10.0.0.3", "port": "31000"}]).encode()) == Server(
        "10.0.0.3", 31000
    )
    with pytest.raises(Invalid):
        srv_server(b"{}")
