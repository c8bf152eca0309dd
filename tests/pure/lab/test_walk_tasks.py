"""Tasks without Docker as a walk sees them, a collector's pictures, and the matrices of the two later documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tortie.lab.walks import environments, net_modules
from tortie.lab.walks.environments_stages import PROBING
from tortie.lab.walks.matrix import Party, Probe, Seen, Stage, wanted
from tortie.lab.walks.pictures import bright, edges, edges_of
from tortie.lab.walks.prober import Target, parts
from tortie.lab.walks.tasks import Task, running_tasks

HTTP, WEB, SQL, SSH = (Probe("tcp", port) for port in (80, 81, 1521, 22))
UDP, PING, STATUS, PAGE = Probe("udp", 9), Probe("icmp"), Probe("tcp", 9000), Probe("tcp", 9001)
OPEN, R, D = Seen.OPEN, Seen.REFUSED, Seen.DROPPED


def party(name: str, host: str = "agent-1") -> Party:
    listens = {**PROBING.listens, **net_modules.PROBING.listens}[name]
    return Party(name, "app", host, "192.168.0.1", name, listens)


LAPTOP = Party("laptop", "host", "laptop", "172.24.197.10")
AGENT, OTHER = (Party(name, "host", name, f"172.24.197.10{n}") for n, name in ((2, "agent-1"), (3, "agent-2")))


def reaches(stage: Stage, source: Party, destination: str, probe: Probe) -> Seen:
    return wanted(stage, source, party(destination), probe)


@pytest.mark.parametrize(
    ("stage", "source", "destination", "probe", "seen"),
    [
        ("7", "tester2", "frontend", HTTP, OPEN),
        ("7", "frontend", "tester2", SSH, R),
        ("9", "tester2", "frontend2", HTTP, D),
        ("9", "tester2", "frontend2", PING, D),
        ("10", "tester", "frontend2", HTTP, OPEN),
        ("10", "tester", "frontend2", PING, OPEN),
        ("10", "frontend", "database2", SQL, OPEN),
        ("10", "tester2", "database2", WEB, D),
        ("10", "tester2", "frontend", HTTP, D),
        ("10", "tester2", "database2", SSH, D),
        ("10", "tester2", "database2", UDP, D),
        ("S-e", "tester", "frontend2", HTTP, D),
        ("S-e", "tester", "frontend2", PING, D),
        ("S-e", "tester2", "frontend2", HTTP, OPEN),
        ("S-e", "tester2", "database2", WEB, OPEN),
        ("S-e", "tester2", "database2", SQL, D),
        ("S-e", "frontend2", "database2", SQL, OPEN),
        ("S-e", "frontend", "database2", SQL, D),
        ("S-e", "database2", "tester2", PING, OPEN),
    ],
)
def test_a_cell_of_environments(stage: str, source: str, destination: str, probe: Probe, seen: Seen) -> None:
    assert reaches(environments.STORY.stages[stage], party(source, "agent-2"), destination, probe) is seen


@pytest.mark.parametrize(
    ("stage", "destination", "probe", "seen"),
    [
        ("7", "frontend2", HTTP, D),
        ("10", "frontend2", WEB, R),
        ("10", "frontend2", PING, OPEN),
        ("10", "frontend2", HTTP, D),
        ("S-e", "frontend2", HTTP, OPEN),
        ("S-e", "frontend2", PING, D),
        ("S-e", "frontend", HTTP, D),
    ],
)
def test_what_the_lan_reaches_of_environments(stage: str, destination: str, probe: Probe, seen: Seen) -> None:
    stages = environments.STORY.stages
    assert reaches(stages[stage], LAPTOP, destination, probe) is seen
    assert reaches(stages[stage], AGENT, destination, probe) is not D, "a host reaches its own"


@pytest.mark.parametrize(
    ("source", "destination", "probe", "seen"),
    [
        (party("star-iso/probe-a"), "star-iso/probe-b", STATUS, OPEN),
        (party("star-iso/probe-a"), "star-iso/probe-c", STATUS, D),
        (party("star-iso/probe-d"), "star-iso/probe-c", PAGE, R),
        (party("star-iso/collect"), "star-iso/probe-c", STATUS, OPEN),
        (party("star-iso/probe-c"), "star-iso/collect", PAGE, OPEN),
        (party("star-iso/probe-a"), "star/probe-a", STATUS, OPEN),
        (party("star/probe-a"), "star-iso/probe-a", STATUS, D),
        (party("star/probe-a"), "star-iso/collect", PAGE, OPEN),
        (AGENT, "star-iso/probe-a", STATUS, OPEN),
        (OTHER, "star-iso/probe-a", STATUS, D),
        (LAPTOP, "star-iso/probe-a", PING, D),
        (LAPTOP, "star/probe-a", STATUS, OPEN),
    ],
)
def test_a_cell_of_net_modules(source: Party, destination: str, probe: Probe, seen: Seen) -> None:
    assert reaches(net_modules.APART, source, destination, probe) is seen


def test_the_pictures_of_net_modules() -> None:
    assert len(bright(edges(net_modules.NODES, net_modules.ALL_EDGES))) == 12
    assert bright(edges(net_modules.NODES, net_modules.WITHIN_HALVES)) == {
        *(("A", "B"), ("B", "A"), ("C", "D"), ("D", "C")),
    }
    assert bright(net_modules.edges_beside(["B", "D"])) == {("B", "D"), ("D", "B")}


def test_the_edges_of_what_a_collector_answers() -> None:
    def status(*targets: tuple[str, bool]) -> dict[str, Any]:
        listed = [
            {"url": f"http://probe-{name}.star.marathon.mesos:9000/status", "reachable": r} for name, r in targets
        ]
        return {"json": {"status": {"targets": listed}}}

    answer = {"responses": {"A": status(("b", True), ("c", False)), "B": None}}
    picture = edges_of(answer, net_modules.node_of)
    assert picture == {"A": {"B": True, "C": False}, "B": None}
    assert bright(picture) == {("A", "B")}


def test_tasks_of_the_masters_state_are_those_that_run_with_what_they_asked_for() -> None:
    def task(task_id: str, state: str = "TASK_RUNNING", **info: Any) -> dict[str, Any]:
        status = {
            "state": "TASK_RUNNING",
            "container_status": {"container_id": {"value": f"c-{task_id}"}, "network_infos": [info]},
        }
        return {"id": task_id, "slave_id": "S0", "state": state, "statuses": [{"state": "TASK_STARTING"}, status]}

    addresses = [{"protocol": "IPv4", "ip_address": "192.168.1.2"}]
    state = {
        "slaves": [{"id": "S0", "hostname": "172.24.197.102"}],
        "frameworks": [
            {
                "tasks": [
                    task("a.1", name="calico", ip_addresses=addresses),
                    task("gone.1", "TASK_KILLED", name="calico", ip_addresses=addresses),
                    task("other.1", name="calico", ip_addresses=addresses),
                    task("b.1", ip_addresses=[{"ip_address": "172.24.197.102"}]),
                ]
            }
        ],
    }
    found = running_tasks(state, {"a.1": "/dev/a", "b.1": "/b", "gone.1": "/gone"}, {"172.24.197.102": "agent-1"})
    assert found == [
        Task("dev/a", "agent-1", "192.168.1.2", "calico", "c-a.1"),
        Task("b", "agent-1", "172.24.197.102", "", "c-b.1"),
    ]
    assert running_tasks({}, {}, {}) == []


def test_probes_are_tried_in_parts_that_have_room() -> None:
    work = {
        Path(name): [Target("192.168.0.1", PING)] * count for name, count in (("a", 3), ("b", 2), ("c", 9), ("d", 1))
    }
    sizes = [[len(targets) for targets in part.values()] for part in parts(work, 5)]
    assert sizes == [[3, 2], [9], [1]]
    assert [list(part) for part in parts(work, 100)] == [list(work)]
    assert list(parts({}, 5)) == []
