"""What the front page and the health documents say."""

from __future__ import annotations

import json
from typing import Any

from tortie.door.board import Probe, Rollout, Seen, agent_units, board, node, nodes
from tortie.door.services import Summary, summary_of
from tortie.wire.marathon_apps import decode

MASTER = Probe("dcos-mesos-master.service", "Mesos master", "10.0.0.1:5050", "mesos/")


def summary(*, active: bool = True) -> Summary:
    frameworks = [{"id": "f", "name": "marathon", "webui_url": "http://10.0.0.1:8080/", "active": active}]
    slaves = [{"id": "S0", "hostname": "one", "pid": "slave(1)@10.0.0.2:5051", "active": active}]
    return summary_of(json.dumps({"cluster": "c", "frameworks": frameworks, "slaves": slaves}).encode())


def shown(*apps: dict[str, Any], **labels: str) -> list[dict[str, Any]]:
    found, _ = decode(json.dumps({"apps": [{"id": "/a", "labels": labels, **app} for app in apps]}).encode())
    lines: list[dict[str, Any]] = board(Seen([MASTER], summary(), found))["services"]
    return lines


def test_all_is_well_when_everything_is() -> None:
    found = board(Seen([MASTER], summary(), []))
    assert found["state"] == "good"
    assert found["cluster"] == "c"
    assert found["agents"] == [{"name": "one", "state": "good", "text": "10.0.0.2:5051", "link": "agent/S0/state"}]
    assert found["frameworks"][0]["link"] == "service/marathon/"


def test_a_rollout_that_is_under_way_is_told_and_one_that_is_over_is_not() -> None:
    rolling = board(Seen([MASTER], summary(), [], rollout=Rollout("rolling", "2 of 5 agents done, a3: Gate")))
    line = {"name": "rolling", "state": "wait", "text": "2 of 5 agents done, a3: Gate", "link": "service/calico/"}
    assert (rolling["rollout"], rolling["state"]) == (line, "wait")
    stopped = board(Seen([MASTER], summary(), [], rollout=Rollout("stopped", "a3: gate: not ready")))
    assert (stopped["rollout"]["state"], stopped["state"]) == ("bad", "bad")
    for over in (None, Rollout("done", "5 of 5 agents done"), Rollout("none", "looking")):
        assert board(Seen([MASTER], summary(), [], rollout=over))["rollout"] is None
    waiting = board(Seen([MASTER], summary(), [], rollout=Rollout("waiting", "there is no framework etcd")))
    line = {"name": "waiting", "state": "wait", "text": "there is no framework etcd", "link": "service/calico/"}
    assert (waiting["rollout"], waiting["state"]) == (line, "wait")


def test_agents_are_in_the_order_of_their_addresses() -> None:
    slaves = [{"id": name, "hostname": name} for name in ("10.0.0.10", "10.0.0.9", "b", "a2", "a10")]
    found = board(Seen([], summary_of(json.dumps({"slaves": slaves}).encode()), []))
    names = [line["name"] for line in found["agents"]]
    assert names.index("10.0.0.9") < names.index("10.0.0.10")
    assert names.index("a2") < names.index("a10") < names.index("b")


def test_a_part_that_fails_says_why() -> None:
    failing = Probe("dcos-marathon.service", "Marathon", "10.0.0.1:8080", failure="Connection refused")
    found = board(Seen([MASTER, failing], None, None))
    assert found["state"] == "bad"
    assert found["parts"][1]["text"] == "Connection refused"
    assert found["services"] is found["agents"] is found["frameworks"] is None


def test_an_agent_or_framework_that_is_away_is_seen() -> None:
    found = board(Seen([MASTER], summary(active=False), []))
    assert (found["agents"][0]["state"], found["frameworks"][0]["state"]) == ("bad", "wait")


def test_the_states_of_an_app() -> None:
    counted: list[tuple[dict[str, Any], str, str]] = [
        ({"instances": 2, "tasksRunning": 2}, "good", "2 of 2 running"),
        ({"instances": 2, "tasksRunning": 1}, "wait", "1 of 2 running"),
        ({"instances": 1, "tasksRunning": 1, "tasksUnhealthy": 1}, "bad", "1 of 1 running, 1 unhealthy"),
        ({"instances": 0}, "off", "suspended"),
        ({"instances": 1, "deployments": [{"id": "d"}]}, "wait", "0 of 1 running, deploying"),
    ]
    for app, state, text in counted:
        line = shown(app)[0]
        assert (line["state"], line["text"], line["link"]) == (state, text, "")


def test_an_app_with_the_labels_of_a_service_has_a_link() -> None:
    labels = {"DCOS_SERVICE_NAME": "/g/a", "DCOS_SERVICE_SCHEME": "http", "DCOS_SERVICE_PORT_INDEX": "0"}
    assert shown({"tasksRunning": 1}, **labels)[0]["link"] == "service/g/a/"
    assert shown({"tasksRunning": 0}, **labels)[0]["link"] == ""


def test_a_service_whose_health_is_looked_at_has_a_link_once_it_is_healthy() -> None:
    labels = {"DCOS_SERVICE_NAME": "a", "DCOS_SERVICE_SCHEME": "http", "DCOS_SERVICE_PORT_INDEX": "0"}
    starting = {"tasksRunning": 1, "healthChecks": [{}]}
    line = shown(starting, **labels)[0]
    assert (line["state"], line["text"], line["link"]) == ("wait", "1 of 1 running, 0 known to be healthy", "")
    line = shown({**starting, "tasksHealthy": 1}, **labels)[0]
    assert (line["state"], line["text"], line["link"]) == ("good", "1 of 1 running", "service/a/")


def test_a_page_that_does_not_answer_is_no_link_and_no_fault() -> None:
    absent = Probe("", "Shop", "10.0.0.9:80", ":8123/", "Connection refused")
    found = board(Seen([MASTER], summary(), [], links=[Probe("", "Wiki", "", "/wiki"), absent]))
    assert [(line["name"], line["state"], line["link"]) for line in found["links"]] == [
        ("Wiki", "good", "/wiki"),
        ("Shop", "wait", ""),
    ]
    assert found["state"] == "good"


def test_health_is_that_of_the_units_and_hosts() -> None:
    failing = Probe("dcos-marathon.service", "Marathon", "", failure="away")
    whole = node([MASTER, failing], hostname="m", address="10.0.0.1", version="1.9.2")
    assert [(unit["id"], unit["health"], unit["output"]) for unit in whole["units"]] == [
        ("dcos-mesos-master.service", 0, ""),
        ("dcos-marathon.service", 1, "away"),
    ]
    assert nodes([MASTER], summary(active=False), "10.0.0.1") == [
        {"host_ip": "10.0.0.1", "health": 0, "role": "master"},
        {"host_ip": "10.0.0.2", "health": 1, "role": "agent"},
    ]
    units = agent_units(summary(active=False), "10.0.0.2")
    assert units is not None
    assert units[0]["health"] == 1
    assert agent_units(summary(), "10.0.0.3") is None
