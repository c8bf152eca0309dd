"""What an OCI runtime is told of a task: program, variables, files, limits."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tortie.base.errors import Invalid
from tortie.mesos.agent.docker_run import SANDBOX
from tortie.mesos.agent.ucr.bundle import CAPABILITIES, Limits, Mount, Shape, config, limits_of, volumes
from tortie.mesos.agent.ucr.images import ImageConfig
from tortie.mesos.agent.ucr.process import Process, User, arguments, directory, environment
from tortie.mesos.resources import parse
from tortie.wire import mesos as wire

BOTH = ImageConfig(entrypoint=("/entry", "-e"), cmd=("one", "two"))
CMD = ImageConfig(cmd=("/cmd", "x"))
EMPTY = ImageConfig()


def command(**fields: Any) -> wire.CommandInfo:
    return wire.CommandInfo(**fields)


@pytest.mark.parametrize(
    ("given", "image", "wanted"),
    [
        (command(value="sleep 1"), BOTH, ["/bin/sh", "-c", "sleep 1"]),
        (command(value="sleep 1", arguments=["x"]), None, ["/bin/sh", "-c", "sleep 1"]),
        (command(shell=False, value="/bin/ls", arguments=["ls", "-l"]), BOTH, ["/bin/ls", "-l"]),
        (command(shell=False, value="/bin/ls"), BOTH, ["/bin/ls"]),
        (command(shell=False), BOTH, ["/entry", "-e", "one", "two"]),
        (command(shell=False), CMD, ["/cmd", "x"]),
        (command(shell=False, arguments=["a"]), BOTH, ["/entry", "-e", "a"]),
        (command(shell=False, arguments=["a"]), CMD, ["/cmd", "a"]),
    ],
)
def test_what_is_executed(given: wire.CommandInfo, image: ImageConfig | None, wanted: list[str]) -> None:
    assert arguments(given, image) == wanted


def test_a_task_written_for_docker_keeps_its_entry_point() -> None:
    given = command(shell=False, value="a", arguments=["b"])
    assert arguments(given, BOTH, as_docker=True) == ["/entry", "-e", "a", "b"]
    assert arguments(command(shell=False, arguments=["/x", "y"]), EMPTY, as_docker=True) == ["/x", "y"]


@pytest.mark.parametrize(
    ("given", "image", "words"),
    [
        (command(), BOTH, "Shell specified but no command value provided"),
        (command(shell=False), EMPTY, "No executable is found"),
        (command(shell=False), None, "No executable is found"),
        (command(shell=False, arguments=["x"]), EMPTY, "No executable is found"),
    ],
)
def test_nothing_to_execute(given: wire.CommandInfo, image: ImageConfig | None, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        arguments(given, image)


def test_later_variables_win() -> None:
    image = ImageConfig(env=("PATH=/i", "A=image", "B=image", "C=image", "D=image", "broken"))
    variables = [wire.Variable(name="D", value="task"), wire.Variable(name="E")]
    given = command(environment=wire.Environment(variables=variables))
    found = environment(given, image, {"B": "agent", "C": "agent"}, {"C": "mesos"})
    assert found == {"PATH": "/i", "A": "image", "B": "agent", "C": "mesos", "D": "task", "E": ""}
    for name in ("", "A=B", "A\0"):
        broken = command(environment=wire.Environment(variables=[wire.Variable(name=name)]))
        with pytest.raises(Invalid, match="invalid name"):
            environment(broken, None, {}, {})
    assert (directory(EMPTY), directory(ImageConfig(working_dir="srv")), directory(None)) == (SANDBOX, "/srv", SANDBOX)


def shape(**fields: Any) -> Shape:
    process = Process(
        arguments=["/x"], environment={"A": "b"}, directory="/", user=User(uid=1000, gid=1000, groups=[4])
    )
    return Shape(**{"process": process, "root": "/r", "cgroup": "/mesos/c", **fields})


def test_the_whole_of_a_container() -> None:
    mounts = [Mount(source="/s", target="/t", read_only=True)]
    limits = Limits(cpus=0.5, memory=64 << 20, processes=100, hard=True)
    told = config(shape(hostname="web", network="/run/ns", mounts=mounts, limits=limits))
    assert msgspec.json.decode(msgspec.json.encode(told)) == told
    assert told["process"]["user"] == {"uid": 1000, "gid": 1000, "additionalGids": [4]}
    assert (told["process"]["env"], told["hostname"], told["root"]["path"]) == (["A=b"], "web", "/r")
    assert {"type": "network", "path": "/run/ns"} in told["linux"]["namespaces"]
    assert told["mounts"][-1] == {
        "destination": "/t",
        "type": "none",
        "source": "/s",
        "options": ["rbind", "rprivate", "ro"],
    }
    resources = told["linux"]["resources"]
    assert resources["cpu"] == {"shares": 512, "quota": 50_000, "period": 100_000}
    assert (resources["memory"], resources["pids"]) == ({"limit": 64 << 20}, {"limit": 100})


def test_on_the_hosts_network_its_sysfs_is_shown_and_not_made() -> None:
    told = config(shape())
    assert all(found["type"] != "network" for found in told["linux"]["namespaces"])
    (sys,) = (mount for mount in told["mounts"] if mount["destination"] == "/sys")
    assert (sys["type"], sys["source"], "bind" in sys["options"], "ro" in sys["options"]) == (
        "none",
        "/sys",
        True,
        True,
    )
    assert "hostname" not in told


def test_the_agents_processes_are_no_namespace_of_its_own_and_who_may_mount_has_no_masks() -> None:
    root = Process(arguments=["/x"], environment={}, directory="/", user=User())
    linux = config(shape(process=root, agents_pid=True, privileged=True))["linux"]
    assert [one["type"] for one in linux["namespaces"]] == ["mount", "uts", "ipc"]
    assert (linux["maskedPaths"], linux["readonlyPaths"]) == ([], [])
    for masked in (shape(process=root, agents_pid=True), shape(agents_pid=True, privileged=True)):
        linux = config(masked)["linux"]
        assert "/proc/sys" in linux["readonlyPaths"]
        assert "/proc/kcore" in linux["maskedPaths"], "who is not root may mount nothing"


def test_limits_of_a_tasks_resources() -> None:
    assert limits_of(parse("cpus:0.001;mem:1")) == Limits(cpus=0.001, memory=32 << 20)
    assert config(shape(limits=limits_of(parse("cpus:0.001"))))["linux"]["resources"]["cpu"] == {"shares": 2}
    assert "memory" not in config(shape())["linux"]["resources"]


def container(**fields: Any) -> wire.ContainerInfo:
    return wire.ContainerInfo(type="MESOS", **fields)


def test_capabilities_limits_and_terminals_as_asked() -> None:
    usual = config(shape(container=container()))["process"]
    assert usual["capabilities"]["effective"] == list(CAPABILITIES)
    asked = container(
        linux_info={"capability_info": {"capabilities": ["NET_ADMIN"]}},
        rlimit_info={"rlimits": [{"type": "RLMT_NOFILE", "soft": 10, "hard": 20}, {"type": "RLMT_CORE"}]},
        tty_info={"window_size": {"rows": 24, "columns": 80}},
    )
    process = Process(arguments=["/x"], environment={}, directory="/", user=User(), terminal=True)
    told = config(shape(container=asked, process=process))["process"]
    assert told["capabilities"]["bounding"] == ["CAP_NET_ADMIN"]
    assert told["rlimits"][0] == {"type": "RLIMIT_NOFILE", "soft": 10, "hard": 20}
    assert told["rlimits"][1]["soft"] == told["rlimits"][1]["hard"] == 2**64 - 1
    assert told["consoleSize"] == {"height": 24, "width": 80}
    for wrong in (
        {"linux_info": {"effective_capabilities": {"capabilities": "ALL"}}},
        {"rlimit_info": {"rlimits": [{"type": "NOFILE"}]}},
        {"rlimit_info": {"rlimits": [{"type": "RLMT_NOFILE", "soft": 1}]}},
    ):
        with pytest.raises(Invalid):
            config(shape(container=container(**wrong)))


def volume(path: str, host: str | None = None, **fields: Any) -> wire.Volume:
    return wire.Volume(mode=fields.pop("mode", "RW"), container_path=path, host_path=host, **fields)


def test_volumes_lie_where_they_are_asked_for() -> None:
    own = {"type": "SANDBOX_PATH", "sandbox_path": {"type": "SELF", "path": "data"}}
    asked = container(
        volumes=[volume("/a", "/host", mode="RO"), volume("b", "c/d"), volume("/e", source=own)],
    )
    assert volumes(asked, "/sandbox") == [
        Mount(source="/sandbox", target=SANDBOX),
        Mount(source="/host", target="/a", read_only=True),
        Mount(source="/sandbox/c/d", target=f"{SANDBOX}/b"),
        Mount(source="/sandbox/data", target="/e"),
    ]
    out = {"type": "SANDBOX_PATH", "sandbox_path": {"path": "../x"}}
    for wrong in (
        volume("/a"),
        volume("/a", "../b"),
        volume("../a", "/b"),
        volume("/a/../../b", "/b"),
        volume("/a", source=out),
        volume("/a", source={"type": "SECRET"}),
        volume("/a", image={"type": "DOCKER"}),
    ):
        with pytest.raises(Invalid):
            volumes(container(volumes=[wrong]), "/sandbox")
