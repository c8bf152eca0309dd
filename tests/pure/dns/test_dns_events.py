"""Events of the operator API: what they change, and that a cluster heard equals a cluster read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.fake_mesos_master import state, task
from tests.support.names import asked, authority, cluster, data, mesos, told

from tortie.dns.events import RELOAD, Changed, Event, apply, decode
from tortie.dns.state import Cluster

KEY = ("f-0", "web.1")


def event(kind: str, **body: Any) -> Event:
    return decode(json.dumps({"type": kind, kind.lower(): body}).encode())


def status(state_: str, address: str | None = None, timestamp: float = 5.0, task_id: str = "web.1") -> dict[str, Any]:
    infos = [{"ip_addresses": [{"protocol": "IPv4", "ip_address": address}]}] if address else []
    return {
        "task_id": {"value": task_id}, "state": state_, "timestamp": timestamp, "uuid": "AAAA",
        "source": "SOURCE_EXECUTOR",
        "container_status": {"network_infos": infos}, "labels": {"labels": [{"key": "k", "value": "v"}]},
    }  # fmt: skip


def added(state_: str = "TASK_STAGING", **more: Any) -> Event:
    plain = {
        "name": "web", "task_id": {"value": "web.1"}, "framework_id": {"value": "f-0"}, "agent_id": {"value": "c-S1"},
        "state": state_, "statuses": [], "labels": {"labels": [{"key": "DNS_IP_SOURCES", "value": "netinfo"}]},
        "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
            {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 31000, "end": 31001}]}},
        ],
    }  # fmt: skip
    return event("TASK_ADDED", task=plain | more)


def updated(state_: str, address: str | None = None, **more: Any) -> Event:
    return event("TASK_UPDATED", framework_id={"value": "f-0"}, status=status(state_, address, **more), state=state_)


def start() -> Cluster:
    document = state([])
    document["frameworks"][0]["id"] = "f-0"
    return cluster([], document)


def test_a_task_has_its_name_from_the_update_that_tells_of_running_to_the_one_that_tells_of_its_end() -> None:
    found, listing = start(), mesos(start())
    names = authority(listing)
    story = [
        (added(), []),
        (updated("TASK_STARTING"), []),
        (updated("TASK_RUNNING", "192.168.0.1"), ["192.168.0.1"]),
        (updated("TASK_RUNNING", "192.168.0.2", timestamp=6.0), ["192.168.0.2"]),
        (updated("TASK_KILLING"), []),
        (updated("TASK_KILLED"), []),
    ]
    for heard, expected in story:
        assert apply(found, heard) == Changed(KEY)
        listing.tasks(found, [KEY])
        assert data(asked(names, "web.marathon.mesos")) == expected
    assert KEY not in found.tasks
    assert told(listing) == told(mesos(start()))


def test_a_cluster_that_was_heard_gives_the_records_of_one_that_was_read() -> None:
    found, listing = start(), mesos(start())
    discovery = {"name": "web.group", "ports": {"ports": [{"number": 80, "name": "http", "protocol": "tcp"}]}}
    for heard in (added(discovery=discovery), updated("TASK_RUNNING", "192.168.0.1")):
        apply(found, heard)
    listing.tasks(found, [KEY])
    document = state([task("web", "192.168.0.1", id="web.1", discovery=discovery)])
    document["frameworks"][0]["id"] = "f-0"
    assert told(listing) == told(mesos(cluster([], document)))


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        (added(framework_id={"value": "f-new"}), RELOAD),
        (added(agent_id={"value": "c-S9"}), RELOAD),
        (updated("TASK_RUNNING", task_id="unheard.of"), RELOAD),
        (updated("TASK_FINISHED", task_id="unheard.of"), None),
        (added("TASK_FINISHED"), None),
        (event("AGENT_ADDED", agent={"agent_info": {"id": {"value": "c-S2"}}, "pid": "slave(1)@1.2.3.4:5"}), RELOAD),
        (event("AGENT_REMOVED", agent_id={"value": "c-S1"}), RELOAD),
        (event("FRAMEWORK_ADDED", framework={}), RELOAD),
        (event("SUBSCRIBED", get_state={}), RELOAD),
        (event("HEARTBEAT"), None),
        (event("SOMETHING_NEW"), RELOAD),
        (decode(b"not json"), RELOAD),
        (decode(b'{"type":"TASK_UPDATED","task_updated":{"status":3}}'), RELOAD),
        (decode(b"[]"), RELOAD),
    ],
)  # fmt: skip
def test_what_events_do_not_tell_whole_is_read(heard: Event, expected: Any) -> None:
    assert apply(start(), heard) == expected


def test_the_tasks_of_two_frameworks_may_have_one_id() -> None:
    document = state([task("web", "192.168.0.1", id="web.1")])
    document["frameworks"] = [document["frameworks"][0] | {"id": f"f-{i}", "name": f"m{i}"} for i in range(2)]
    found = cluster([], document)
    listing = mesos(found)
    assert apply(found, updated("TASK_LOST")) == Changed(KEY)
    listing.tasks(found, [KEY])
    names = authority(listing)
    assert data(asked(names, "web.m0.mesos")) == []
    assert data(asked(names, "web.m1.mesos")) == ["192.168.0.1"]
