from __future__ import annotations

from typing import Any

import pytest

from tortie.base.errors import Invalid
from tortie.mesos.agent.docker_containers import Demux
from tortie.mesos.agent.docker_run import Launch, create_arguments, image_with_tag
from tortie.wire import mesos as wire


def launch(docker: dict[str, Any] | None = None, command: Any = None, **container: Any) -> list[str]:
    described = {
        "name": "t",
        "task_id": {"value": "t"},
        "agent_id": {"value": "a"},
        "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.5}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 64}},
            {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 31000, "end": 31002}]}},
        ],
        "command": command if command is not None else {"value": "echo hi"},
        "container": {"type": "DOCKER", "docker": {"image": "calico/star", **(docker or {})}, **container},
    }
    return create_arguments(Launch(wire.convert(described, wire.TaskInfo), "c1", "/sandbox", "/var/lib/mesos"))


def refused(docker: dict[str, Any] | None = None, command: Any = None, **container: Any) -> str:
    with pytest.raises(Invalid) as caught:
        launch(docker, command, **container)
    return str(caught.value)


def nets(arguments: list[str]) -> list[str]:
    return [a for a in arguments if a.startswith(("--net", "--ip"))]


def test_the_whole_command_of_a_shell_task() -> None:
    assert launch({"network": "BRIDGE"}) == [
        "--cpu-shares=512",
        "--memory=67108864",
        *("-e", "MESOS_SANDBOX=/mnt/mesos/sandbox", "-e", "MESOS_CONTAINER_NAME=mesos-c1"),
        *("-v", "/sandbox:/mnt/mesos/sandbox"),
        "--net=bridge",
        *("--label=io.tortie.mesos.agent=/var/lib/mesos", "--label=io.tortie.mesos.container=c1"),
        *("--label=io.tortie.mesos.task=t", "--label=io.tortie.mesos.task-name=t"),
        *("--entrypoint", "/bin/sh", "--name", "mesos-c1", "calico/star:latest", "-c", "echo hi"),
    ]


def test_arguments_keep_the_entrypoint_of_the_image() -> None:
    found = launch(command={"shell": False, "arguments": ["--urls=x", "y"]})
    assert found[-3:] == ["calico/star:latest", "--urls=x", "y"]
    assert "--entrypoint" not in found
    assert launch(command={"shell": False, "value": "run", "arguments": ["a"]})[-2:] == ["run", "a"]
    assert launch(command={"shell": False})[-1] == "calico/star:latest"


@pytest.mark.parametrize("mode", ["BRIDGE", "HOST", "NONE", "USER", None])
def test_a_net_parameter_wins_whatever_the_mode_says(mode: str | None) -> None:
    parameters = [{"key": "net", "value": "management-ui"}, {"key": "ip", "value": "192.168.255.254"}]
    docker = {"parameters": parameters, **({"network": mode} if mode else {})}
    assert nets(launch(docker, network_infos=[{"name": "other"}])) == ["--net=management-ui", "--ip=192.168.255.254"]


def test_only_the_first_net_parameter_is_the_network() -> None:
    parameters = [{"key": "network", "value": "a"}, {"key": "net", "value": "b"}]
    assert nets(launch({"parameters": parameters})) == ["--net=a", "--net=b"]


def test_a_hostname_needs_a_network_of_its_own() -> None:
    assert refused(hostname="h") == "Unable to set hostname with host network mode"
    parameters = [{"key": "net", "value": "client"}]
    assert "--hostname=h" in launch({"parameters": parameters}, hostname="h")


def test_user_networks_take_their_name_from_the_network_info() -> None:
    labels = {"labels": [{"key": "role", "value": "db"}]}
    found = launch({"network": "USER"}, network_infos=[{"name": "client", "labels": labels}])
    assert nets(found) == ["--net=client"]
    assert "--label=org.projectcalico.label.role=db" in found
    assert refused({"network": "USER"}) == "No network info found in container info"
    assert refused({"network": "USER"}, network_infos=[{}]) == "No network name found in network info"
    two = [{"name": "a"}, {"name": "b"}]
    assert refused({"network": "USER"}, network_infos=two) == "Only a single network can be defined in Docker run"


def test_ports_must_be_in_the_resources() -> None:
    def mapping(port: int) -> dict[str, Any]:
        return {"network": "BRIDGE", "port_mappings": [{"host_port": port, "container_port": 80, "protocol": "TCP"}]}

    found = launch(mapping(31002))
    assert found[found.index("-p") + 1] == "31002:80/tcp"
    assert refused(mapping(31003)) == "Port [31003] not included in resources"
    text = "Port mappings are only supported for bridge and user-defined networks"
    assert refused({**mapping(31002), "network": "HOST"}) == text


def test_volumes_are_relative_to_the_sandbox_on_one_side_only() -> None:
    def volume(host: str | None, inside: str) -> dict[str, Any]:
        described = {"container_path": inside, "mode": "RO"}
        return {"volumes": [described | ({"host_path": host} if host is not None else {})]}

    def mounted(**described: Any) -> str:
        found = launch(**described)
        return found[found.index("-v") + 1]

    assert mounted(**volume("/etc", "/x")) == "/etc:/x:ro"
    assert mounted(**volume("data", "/x")) == "/sandbox/data:/x:ro"
    assert mounted(**volume("/etc", "x")) == "/etc:/mnt/mesos/sandbox/x:ro"
    assert refused(**volume("a", "b")) == "Both host_path 'a' and container_path 'b' of a volume are relative"
    assert refused(**volume(None, "/x")) == "Host path or volume source is required"
    assert "leaves the sandbox" in refused(**volume("../../etc", "/x"))


@pytest.mark.parametrize("key", ["", "-v", "a b", "x=y", "detach", "rm"])
def test_a_parameter_that_is_no_option_is_refused(key: str) -> None:
    assert "Docker parameter" in refused({"parameters": [{"key": key, "value": "1"}]})


def test_an_image_or_variable_cannot_pose_as_an_option() -> None:
    assert "not the name of an image" in refused({"image": "--privileged"})
    assert "invalid name" in refused(
        command={"value": "x", "environment": {"variables": [{"name": "a=b", "value": ""}]}}
    )
    assert refused(command={"shell": True}) == "Shell specified but no command value provided"


def test_an_image_gets_a_tag_where_it_has_none() -> None:
    assert image_with_tag("star") == "star:latest"
    assert image_with_tag("host:5000/star") == "host:5000/star:latest"
    assert image_with_tag("host:5000/star:v1") == "host:5000/star:v1"
    assert image_with_tag("star@sha256:ab") == "star@sha256:ab"


def test_docker_frames_are_told_apart_however_they_are_cut() -> None:
    raw = b"\x01\0\0\0\0\0\0\x03one\x02\0\0\0\0\0\0\x02er\x01\0\0\0\0\0\0\x01!"
    for step in (1, 5, 100):
        demux, out = Demux(), {"stdout": b"", "stderr": b""}
        for start in range(0, len(raw), step):
            for stream, part in demux.feed(raw[start : start + step]):
                out[stream] += part
        assert out == {"stdout": b"one!", "stderr": b"er"}
