"""What a task asks of the Mesos containerizer, and how its end is told."""

from __future__ import annotations

from typing import Any

import pytest

from tortie.base.errors import Invalid, NotFound
from tortie.mesos.agent.docker_run import Launch
from tortie.mesos.agent.hearing import noticed, number_of
from tortie.mesos.agent.streams import Session
from tortie.mesos.agent.ucr.bundle import session_process, volumes
from tortie.mesos.agent.ucr.ending import ended, lost
from tortie.mesos.agent.ucr.place import checked_id
from tortie.mesos.agent.ucr.process import User
from tortie.mesos.agent.ucr.shim import Client, frame, size
from tortie.mesos.agent.ucr.wanted import wanted, wish
from tortie.wire import mesos as wire

MIB = 1 << 20


def launch(container: wire.ContainerInfo | None, **command: Any) -> Launch:
    task = wire.TaskInfo(
        name="t",
        task_id=wire.ID(value="t"),
        agent_id=wire.ID(value="a"),
        command=wire.CommandInfo(**command) if command else None,
        container=container,
    )
    return Launch(task, "c-1", "/sandbox", "agent")


def mesos(image: Any = None, **fields: Any) -> wire.ContainerInfo:
    return wire.ContainerInfo(type="MESOS", mesos={"image": image} if image else None, **fields)


def test_a_task_of_its_own_kind() -> None:
    infos = [wire.NetworkInfo(name="calico", groups=["g"])]
    image = {"type": "DOCKER", "docker": {"name": "team/web"}}
    asked = wanted(launch(mesos(image, hostname="web", network_infos=infos, tty_info={}), value="x"))
    assert (asked.image, asked.hostname, asked.terminal, asked.as_docker) == ("team/web:latest", "web", True, False)
    told = wish(launch(mesos(image)), asked)
    assert (told.container_id, told.hostname, told.network_infos) == ("c-1", "web", infos)
    bare = wanted(launch(None, value="x"))
    assert (bare.image, bare.terminal, bare.network_infos) == ("", False, [])
    assert wanted(launch(mesos())).image == ""


@pytest.mark.parametrize(
    "image", [{"type": "APPC", "appc": {}}, {"type": "DOCKER"}, {"type": "DOCKER", "docker": {"name": 7}}, {"type": 1}]
)
def test_images_of_another_kind_or_without_a_name(image: Any) -> None:
    with pytest.raises(Invalid):
        wanted(launch(mesos(image)))


def docker(*parameters: tuple[str, str], **fields: Any) -> wire.ContainerInfo:
    named = {"hostname": fields.pop("hostname")} if "hostname" in fields else {}
    listed = [wire.Parameter(key=key, value=value) for key, value in parameters]
    info = wire.DockerInfo(image="web", parameters=listed, **fields)
    return wire.ContainerInfo(type="DOCKER", docker=info, **named)


def test_a_task_written_for_docker() -> None:
    parameters = [("net", "frontend"), ("ip", "192.168.1.2"), ("env", "A=b=c"), ("hostname", "h"), ("v", "/x:/y:ro")]
    ports = [wire.DockerPortMapping(host_port=31000, container_port=80)]
    asked = wanted(launch(docker(*parameters, privileged=True, port_mappings=ports)))
    assert (asked.image, asked.as_docker, asked.privileged, asked.hostname) == ("web:latest", True, True, "h")
    assert asked.variables == {"A": "b=c"}
    (info,) = asked.network_infos
    assert (info.name, [a.ip_address for a in info.ip_addresses], info.port_mappings) == (
        "frontend",
        ["192.168.1.2"],
        ports,
    )
    (_, mount) = volumes(asked.container, "/sandbox")
    assert (mount.source, mount.target, mount.read_only) == ("/x", "/y", True)


@pytest.mark.parametrize(
    ("container", "words"),
    [
        (docker(network="BRIDGE"), "not served without Docker"),
        (docker(("net", "container:x")), "not served without Docker"),
        (docker(("gpus", "all"), network="HOST"), "'gpus' is not served"),
        (docker(("pid", "container:x"), network="HOST"), "'pid' is not served"),
        (docker(("volume", "name:/x"), network="HOST"), "HOST:CONTAINER"),
        (docker(("volume", "/a:/b:z"), network="HOST"), "HOST:CONTAINER"),
        (docker(network="HOST", hostname="h"), "Unable to set hostname"),
        (
            docker(network="HOST", port_mappings=[wire.DockerPortMapping(host_port=1, container_port=1)]),
            "Port mappings are only supported",
        ),
    ],
)
def test_what_only_docker_has_is_refused(container: wire.ContainerInfo, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        wanted(launch(container))


def test_the_agents_processes_are_seen_by_who_asks() -> None:
    assert wanted(launch(docker(("pid", "host"), network="HOST"))).agents_pid
    assert not wanted(launch(docker(network="HOST"))).agents_pid
    for given, seen in (({"share_pid_namespace": True}, True), ({}, False), (None, False)):
        assert wanted(launch(wire.ContainerInfo(type="MESOS", linux_info=given))).agents_pid is seen
    with pytest.raises(Invalid, match="share_pid_namespace is true or false"):
        wanted(launch(wire.ContainerInfo(type="MESOS", linux_info={"share_pid_namespace": "yes"})))


def test_how_an_end_is_told() -> None:
    assert (ended(3 << 8).message, ended(3 << 8).code) == ("Command exited with status 3", 3)
    assert (ended(9).message, ended(9).code) == ("Command terminated with signal Killed", 137)
    out = ended(9, out_of_memory=True, requested=64 * MIB, peak=63 * MIB + 7)
    assert out.message == "Memory limit exceeded: Requested: 64MB Maximum Used: 63MB"
    assert out.reason == "REASON_CONTAINER_LIMITATION_MEMORY"
    assert ended(0, out_of_memory=True).reason is None
    assert (lost().reason, lost().message) == ("REASON_EXECUTOR_TERMINATED", "Executor terminated")


def test_a_session_has_the_process_of_its_container_but_for_what_it_asks() -> None:
    told = {
        "args": ["x"],
        "env": ["A=b=c", "B="],
        "user": {"uid": 1},
        "cwd": "/w",
        "consoleSize": {},
        "rlimits": [{"type": "RLIMIT_NOFILE"}],
    }
    session = Session(id="s", parent="c", arguments=["sh"], environment={"B": "d"}, terminal=True, rows=2, columns=3)
    assert session_process(told, session, None) == {
        **told,
        "args": ["sh"],
        "env": ["A=b=c", "B=d"],
        "terminal": True,
        "consoleSize": {"height": 2, "width": 3},
    }
    plain = session_process(told, Session(id="s", parent="c", arguments=["sh"]), User(uid=7, gid=8, groups=[9]))
    assert plain["user"] == {"uid": 7, "gid": 8, "additionalGids": [9]}
    assert "consoleSize" not in plain


def test_ids_are_no_paths() -> None:
    assert checked_id("0f-a_b.c") == "0f-a_b.c"
    for wrong in ("", ".", "..", ".x", "a/b", "a\0", "x" * 201, "a b"):
        with pytest.raises(NotFound):
            checked_id(wrong)


def test_signals_and_who_notices_them() -> None:
    assert [number_of(name) for name in ("SIGTERM", "TERM", "15", "SIGKILL", "NONE")] == [15, 15, 15, 9, 0]
    assert noticed(["0", "0", "4000"], 15)
    assert not noticed(["0", "0", "4000"], 2)
    assert noticed(["0", "0"], 34)
    assert noticed(["rubbish"], 15)


def test_frames_come_whole_or_not_yet() -> None:
    client: Any = Client.__new__(Client)
    client.read = bytearray()
    whole = frame(b"i", b"abc") + frame(b"w")
    found = []
    for byte in whole:
        client.read.append(byte)
        if (order := client.order()) is not None:
            found.append(order)
    assert found == [(b"i", b"abc"), (b"w", b"")]
    client.read += b"i\xff\xff\xff\xff"
    with pytest.raises(ValueError):
        client.order()
    assert len(size(bytes([0, 24, 0, 80]))) == 8
