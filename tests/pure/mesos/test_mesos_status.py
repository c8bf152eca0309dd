from __future__ import annotations

from typing import Any

import pytest

from tortie.mesos.agent.choice import containerizer_for, nobody
from tortie.mesos.agent.containerizer import Exit
from tortie.mesos.agent.docker_seen import ended, found_addresses, seen
from tortie.mesos.agent.status import (
    command_ended,
    container_status,
    network_of,
    own_networks,
    terminal_state,
    told_pid,
)
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
    with_own = container_status(info, "c", [network_of(["192.168.0.5"])], "10.0.0.1").network_infos
    assert with_own == [
        wire.NetworkInfo(name="client", ip_addresses=[wire.IPAddress(protocol="IPv4", ip_address="192.168.0.5")])
    ]
    without = container_status(info, "c", [], "10.0.0.1").network_infos
    assert without == [wire.NetworkInfo(ip_addresses=[wire.IPAddress(ip_address="10.0.0.1")])]
    assert info.container is not None
    assert info.container.network_infos[0].ip_addresses == [wire.IPAddress()]


def test_a_network_with_a_name_of_its_own_is_shown_as_it_is() -> None:
    info = task({"type": "MESOS", "network_infos": [{"name": "a", "groups": ["g"]}, {"name": "b"}]})
    told = [wire.NetworkInfo(name="a", ip_addresses=network_of(["10.1.0.1"]).ip_addresses), network_of(["fd00::1"])]
    shown = container_status(info, "c", told, "10.0.0.1").network_infos
    assert shown == [told[0], wire.NetworkInfo(name="b", ip_addresses=told[1].ip_addresses)]
    assert shown[1].ip_addresses[0].protocol == "IPv6"


def test_the_networks_told_last_are_the_container_s_own_unless_they_are_the_agent_s() -> None:
    info = task({"type": "MESOS"})
    own, agents = [network_of(["192.168.0.5", "fd00::5"])], network_of(["10.0.0.1"])
    for told, expected in ((own, own), ([agents], []), ([], [])):
        statuses = [status("TASK_STAGING"), status("TASK_RUNNING")]
        statuses[-1].container_status = container_status(info, "c", told, "10.0.0.1")
        assert own_networks(statuses, "10.0.0.1") == expected
    assert own_networks([], "10.0.0.1") == []


def test_the_first_process_is_told_and_known_again_after_a_restart() -> None:
    status = wire.TaskStatus(task_id=wire.ID(value="t"), state="TASK_RUNNING")
    info = wire.TaskInfo(name="t", task_id=wire.ID(value="t"), agent_id=wire.ID(value="a"))
    status.container_status = container_status(info, "c", [], "10.0.0.1", 4711)
    assert (status.container_status.executor_pid, told_pid([status])) == (4711, 4711)
    assert container_status(info, "c", [], "10.0.0.1").executor_pid is None
    assert told_pid([]) == 0


def test_how_a_docker_container_ended() -> None:
    assert ended({"ExitCode": 0}) == Exit(status=0, message="Container exited with status 0")
    assert ended({"ExitCode": 3}) == Exit(status=3 << 8, message="Container exited with status 3")
    assert ended({"ExitCode": 143}).code == 143
    assert ended({"ExitCode": 137, "OOMKilled": True}).message == "Container exited with status 137 (out of memory)"
    assert ended({"ExitCode": 1, "Error": "no such file"}).message.endswith("status 1: no such file")


def test_a_docker_container_as_it_is_seen() -> None:
    running = inspect("client", client={"IPAddress": "192.168.0.5"}) | {"State": {"Running": True, "Pid": 7}}
    found = seen(running)
    assert (found.running, found.pid, found.stop_signal) == (True, 7, "SIGTERM")
    assert found.labels == {"Docker.NetworkSettings.IPAddress": "192.168.0.5"}
    assert list(found.networks) == [network_of(["192.168.0.5"])]
    created = seen(inspect("host") | {"State": {"StartedAt": "0001-01-01T00:00:00Z"}, "Config": {"StopSignal": "3"}})
    assert (created.started, created.running, created.stop_signal, created.networks) == (False, False, "3", [])


@pytest.mark.parametrize(
    ("status", "reason", "killed", "expected"),
    [
        (0, None, True, "TASK_FINISHED"),
        (0, None, False, "TASK_FINISHED"),
        (3 << 8, None, False, "TASK_FAILED"),
        (15, None, True, "TASK_KILLED"),
        (9, "REASON_CONTAINER_LIMITATION_MEMORY", False, "TASK_FAILED"),
        (0, "REASON_EXECUTOR_TERMINATED", False, "TASK_FAILED"),
        (0, "REASON_EXECUTOR_TERMINATED", True, "TASK_KILLED"),
    ],
)
def test_the_terminal_state_of_a_task(status: int, reason: str | None, killed: bool, expected: str) -> None:
    assert terminal_state(Exit(status=status, message="", reason=reason), killed=killed) == expected


def test_how_a_command_ended() -> None:
    assert command_ended(0) == "Command exited with status 0"
    assert command_ended(3 << 8) == "Command exited with status 3"
    assert command_ended(9) == "Command terminated with signal Killed"
    assert command_ended(11 | 0x80) == "Command terminated with signal Segmentation fault (core dumped)"
    assert command_ended(64) == "Command terminated with signal Real-time signal 30"
    assert Exit(status=9, message="").code == 137


def task(container: Any = None, **parts: Any) -> wire.TaskInfo:
    given = {"name": "t", "task_id": {"value": "t"}, "agent_id": {"value": "a"}, "container": container, **parts}
    return wire.convert({k: v for k, v in given.items() if v is not None}, wire.TaskInfo)


@pytest.mark.parametrize(
    ("enabled", "docker", "mesos", "none"),
    [
        (["docker"], "docker", None, None),
        (["docker", "mesos"], "docker", "mesos", "mesos"),
        (["mesos", "docker"], "docker", "mesos", "mesos"),
        (["mesos"], "mesos", "mesos", "mesos"),
    ],
)
def test_which_containerizer_takes_a_task(
    enabled: list[str], docker: str | None, mesos: str | None, none: str | None
) -> None:
    assert containerizer_for(task({"type": "DOCKER", "docker": {"image": "x"}}), enabled) == docker
    assert containerizer_for(task({"type": "MESOS"}), enabled) == mesos
    assert containerizer_for(task(), enabled) == none
    own = {"executor_id": {"value": "e"}}
    assert containerizer_for(task({"type": "MESOS"}, executor=own), enabled) is None
    assert f"containerizers ({','.join(enabled)}) could" in nobody(enabled)


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
