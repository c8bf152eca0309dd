from __future__ import annotations

from typing import Any

from tortie.mesos.agent.status import container_status, ended, found_addresses
from tortie.mesos.agent.updates import UpdateStream
from tortie.wire import mesos as wire


def inspect(mode: str, **networks: dict[str, str]) -> dict[str, Any]:
    return {"HostConfig": {"NetworkMode": mode}, "NetworkSettings": {"IPAddress": "", "Networks": networks}}


def test_the_address_is_that_of_the_network_by_name_or_id() -> None:
    client = {"IPAddress": "192.168.0.5", "NetworkID": "abc", "GlobalIPv6Address": "fd00::5"}
    assert found_addresses(inspect("client", client=client)) == ["192.168.0.5", "fd00::5"]
    assert found_addresses(inspect("abc", client=client)) == ["192.168.0.5", "fd00::5"]
    assert found_addresses(inspect("gone", client=client)) == ["192.168.0.5", "fd00::5"]
    assert found_addresses(inspect("host", host={"IPAddress": ""})) == []
    old = {"HostConfig": {"NetworkMode": "default"}, "NetworkSettings": {"IPAddress": "172.17.0.2"}}
    assert found_addresses(old) == ["172.17.0.2"]


def test_a_status_always_has_an_address() -> None:
    info = wire.convert(
        {
            "name": "t",
            "task_id": {"value": "t"},
            "agent_id": {"value": "a"},
            "container": {"type": "DOCKER", "network_infos": [{"name": "client", "ip_addresses": [{}]}]},
        },
        wire.TaskInfo,
    )
    with_own = container_status(info, "c", ["192.168.0.5"], "10.0.0.1").network_infos
    assert with_own == [
        wire.NetworkInfo(name="client", ip_addresses=[wire.IPAddress(protocol="IPv4", ip_address="192.168.0.5")])
    ]
    without = container_status(info, "c", [], "10.0.0.1").network_infos
    assert without == [wire.NetworkInfo(ip_addresses=[wire.IPAddress(ip_address="10.0.0.1")])]
    assert info.container is not None
    assert info.container.network_infos[0].ip_addresses == [wire.IPAddress()]


def test_how_a_container_ended() -> None:
    assert ended({"ExitCode": 0}, killed=True) == ("TASK_FINISHED", "Container exited with status 0")
    assert ended({"ExitCode": 3}, killed=False) == ("TASK_FAILED", "Container exited with status 3")
    assert ended({"ExitCode": 143}, killed=True)[0] == "TASK_KILLED"
    assert "out of memory" in ended({"ExitCode": 137, "OOMKilled": True}, killed=False)[1]


def status(state: wire.TaskState) -> wire.TaskStatus:
    return wire.TaskStatus(task_id=wire.ID(value="t"), state=state, uuid=wire.new_uuid())


def test_the_next_update_waits_for_the_acknowledgement_of_the_first() -> None:
    stream = UpdateStream()
    first, second = status("TASK_RUNNING"), status("TASK_FINISHED")
    stream.add(first)
    stream.add(second)
    assert first.uuid
    assert second.uuid
    assert stream.due(0) is first
    assert stream.due(9.9) is None
    assert stream.acknowledge(second.uuid) is None
    assert stream.due(10) is first
    assert stream.due(29.9) is None
    assert stream.due(30) is first
    assert stream.acknowledge(first.uuid) is first
    assert stream.acknowledge(first.uuid) is None
    assert stream.due(30) is second


def test_retries_never_wait_longer_than_ten_minutes() -> None:
    stream = UpdateStream()
    stream.add(status("TASK_RUNNING"))
    now = 0.0
    gaps: list[float] = []
    while len(gaps) < 10:
        before = now
        while stream.due(now) is None:
            now += 10
        gaps.append(now - before)
    assert gaps[:4] == [0, 10, 20, 40]
    assert gaps[-1] == 600
