"""Tasks without Docker: from an agent's order to a real runtime and back, and nothing left of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.image_archives import Entry, saved, tar
from tests.support.machine import needs_oci_runtime
from tests.support.ucr_host import Tasks, UcrHost, container_of, kill_shim
from tests.support.waiting import wait_until

from tortie.base import cgroups

pytestmark = [pytest.mark.root, needs_oci_runtime]
Json = dict[str, Any]
MIB = 1 << 20


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UcrHost]:
    options = ["--container-pids", "64", "--cgroups-enable-cfs=true", "--executor_shutdown_grace_period=10mins"]
    with UcrHost(tmp_path_factory.mktemp("ucr"), agent=options) as up:
        yield up


@pytest.fixture
def tasks(host: UcrHost) -> Iterator[Tasks]:
    with Tasks(host) as ours:
        yield ours


@pytest.mark.parametrize(
    ("line", "state", "message"),
    [
        ("exit 0", "TASK_FINISHED", "Command exited with status 0"),
        ("exit 3", "TASK_FAILED", "Command exited with status 3"),
        ("sh -c 'kill -TERM $$'; exit $?", "TASK_FAILED", "Command exited with status 143"),
    ],
)
def test_how_a_task_ends_is_told(tasks: Tasks, line: str, state: str, message: str) -> None:
    tasks.run("t", line)
    ended = tasks.ended("t")
    assert ended["state"] == state
    assert ended["message"] == message


def test_it_runs_its_image_with_its_environment_and_leaves_its_output(host: UcrHost, tasks: Tasks) -> None:
    line = 'echo "$GREETING $COLOUR $MESOS_SANDBOX $PWD"; echo oops >&2; echo kept > $MESOS_SANDBOX/file; ls /; id -u'
    variables = {"environment": {"variables": [{"name": "GREETING", "value": "hello\nworld"}]}}
    tasks.run("web.1", line, command=variables)
    ended = tasks.ended("web.1")
    assert ended["state"] == "TASK_FINISHED"
    said = host.said("web.1")
    assert "hello\nworld ginger /mnt/mesos/sandbox /mnt/mesos/sandbox\n" in said
    assert "mnt" in said.split()
    assert host.said("web.1", "stderr") == "oops\n"
    assert (host.sandbox("web.1") / "file").read_text() == "kept\n"
    states = [status["state"] for status in tasks.framework.statuses("web.1")]
    assert states in (["TASK_RUNNING", "TASK_FINISHED"], ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"])
    shown = ended["container_status"]["network_infos"][0]["ip_addresses"][0]["ip_address"]
    assert shown == "127.0.0.1"


def test_the_images_own_command_runs_when_the_task_has_none(host: UcrHost, tasks: Tasks) -> None:
    status = tasks.started("default", None)
    pid = int((host.container(container_of(status)) / "pid").read_text())
    wait_until(
        lambda: cmdline(pid) == ["sleep", "1000"], message=lambda: f"the image's command runs, not {cmdline(pid)}"
    )


def cmdline(pid: int) -> list[str]:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return [word.decode() for word in file.read().split(b"\0") if word]


def test_limits_are_the_kernels(host: UcrHost, tasks: Tasks) -> None:
    container = container_of(tasks.started("limited", "sleep 1000", cpus=0.5, mem=64))
    if cgroups.unified():
        assert host.limit("memory", container, "memory.max") == str(64 * MIB)
        assert host.limit("cpu", container, "cpu.max") == "50000 100000"
    else:
        assert host.limit("memory", container, "memory.limit_in_bytes") == str(64 * MIB)
        assert host.limit("cpu", container, "cpu.shares") == "512"
        assert host.limit("cpu", container, "cpu.cfs_quota_us") == "50000"
    assert host.limit("pids", container, "pids.max") == "64"


def test_one_that_needs_more_memory_than_it_has_is_told_so(tasks: Tasks) -> None:
    tasks.run("hungry", "x=$(head -c 200000000 /dev/zero | tail -c 200000000); sleep 1000", mem=32)
    ended = tasks.ended("hungry")
    assert ended["state"] == "TASK_FAILED"
    assert ended["reason"] == "REASON_CONTAINER_LIMITATION_MEMORY"
    assert ended["message"].startswith("Memory limit exceeded: Requested: 32MB Maximum Used: 3")


def test_a_kill_goes_to_every_process_and_escalates(host: UcrHost, tasks: Tasks) -> None:
    on = "while :; do sleep 0.1; done"
    line = f"trap 'echo parent' TERM; (trap 'echo child' TERM; echo up; {on}) & {on}"
    tasks.started("deaf", line)
    wait_until(lambda: "up\n" in host.said("deaf"), message="the traps are set")
    tasks.kill("deaf", 600)
    wait_until(lambda: {"parent", "child"} <= set(host.said("deaf").split()), message="both have heard it")
    tasks.kill("deaf", 0)
    ended = tasks.ended("deaf")
    assert (ended["state"], ended["message"]) == ("TASK_KILLED", "Command terminated with signal Killed")
    assert [s["state"] for s in tasks.framework.statuses("deaf")][-2:] == ["TASK_KILLING", "TASK_KILLED"]


def test_nobody_waits_for_a_lone_process_that_cannot_notice(tasks: Tasks) -> None:
    tasks.started("lone", None)
    tasks.kill("lone")
    assert tasks.ended("lone")["state"] == "TASK_KILLED"


def test_a_terminal_is_one(host: UcrHost, tasks: Tasks) -> None:
    tty = {"tty_info": {"window_size": {"rows": 33, "columns": 99}}}
    tasks.run("tty", "stty size; echo oops >&2; [ -t 0 ] && echo yes", container=tty)
    assert tasks.ended("tty")["state"] == "TASK_FINISHED"
    assert host.said("tty").splitlines()[-3:] == ["33 99", "oops", "yes"]


def test_a_task_without_an_image_sees_the_hosts_files_and_not_its_processes(host: UcrHost, tasks: Tasks) -> None:
    line = f"ls -d {host.work}; echo $$; pwd; echo x > here; ls /proc/1/root/etc/passwd"
    tasks.run("bare", line, container=None)
    ended = tasks.ended("bare")
    assert ended["state"] == "TASK_FINISHED", (ended, host.said("bare", "stderr"))
    assert [str(host.work), "1", str(host.sandbox("bare").resolve())] == host.said("bare").splitlines()[-4:-1]
    assert (host.sandbox("bare") / "here").read_text() == "x\n"


def test_volumes_of_the_host_and_of_the_sandbox(host: UcrHost, tasks: Tasks) -> None:
    (host.work / "given").mkdir()
    (host.work / "given" / "file").write_text("theirs\n")
    volumes = [
        {"mode": "RO", "container_path": "/given", "host_path": str(host.work / "given")},
        {"mode": "RW", "container_path": "data", "host_path": "own"},
    ]
    tasks.run("mounts", "cat /given/file; echo x > /given/new; echo mine > data/file", container={"volumes": volumes})
    assert tasks.ended("mounts")["state"] == "TASK_FINISHED"
    assert host.said("mounts").endswith("theirs\n")
    assert "Read-only" in host.said("mounts", "stderr")
    assert (host.sandbox("mounts") / "own" / "file").read_text() == "mine\n"


def test_a_user_capabilities_and_limits_of_its_own(host: UcrHost, tasks: Tasks) -> None:
    asked = {
        "linux_info": {"capability_info": {"capabilities": []}},
        "rlimit_info": {"rlimits": [{"type": "RLMT_NOFILE", "soft": 100, "hard": 200}]},
        "volumes": [{"mode": "RW", "container_path": "data", "host_path": "own"}],
    }
    line = "echo x > data/file && echo x > $MESOS_SANDBOX/file || exit 1"
    line += "; id -u; ulimit -Sn; ulimit -Hn; grep CapEff /proc/self/status"
    tasks.run("nobody", line, container=asked, command={"user": "nobody"})
    assert tasks.ended("nobody")["state"] == "TASK_FINISHED"
    assert host.said("nobody").split()[-5:] == ["65534", "100", "200", "CapEff:", "0" * 16]


HOSTILE: list[Entry] = [("../outside", b"x")]


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"image": "nothing:v1"}, "image nothing:v1: no nothing:v1.tar in"),
        ({"image": "hostile"}, "leads out of the image"),
        ({"image": "empty"}, "No executable is found"),
        ({"image": "../../etc"}, "a repository and a tag are needed"),
        ({"command": {"value": "/no/such/program"}}, "no such file or directory"),
        ({"command": {"user": "nemo"}}, "No such user 'nemo'"),
        ({"container": {"volumes": [{"mode": "RW", "container_path": "/x", "host_path": "/no/such"}]}}, "/no/such"),
        (
            {"container": {"volumes": [{"mode": "RW", "container_path": "/x"}]}},
            "Host path or volume source is required",
        ),
        ({"container": {"linux_info": {"capability_info": 7}}}, "a list of capabilities is needed"),
        ({"container": {"linux_info": {"capability_info": {"capabilities": ["FLY"]}}}}, "FLY"),
        ({"container": {"mesos": {"image": {"type": "APPC"}}}}, "Only images of type DOCKER"),
        ({"container": {"network_infos": [{"name": "nowhere"}]}}, "Unknown CNI network 'nowhere'"),
    ],
)
def test_what_cannot_run_says_why_and_leaves_nothing(host: UcrHost, tasks: Tasks, parts: Json, words: str) -> None:
    saved(host.images / "hostile:latest.tar", [tar(HOSTILE)])
    saved(host.images / "empty:latest.tar", [tar([("etc", None)])])
    tasks.run("bad", None, **parts)
    ended = tasks.ended("bad")
    assert (ended["state"], ended["reason"]) == ("TASK_FAILED", "REASON_CONTAINER_LAUNCH_FAILED")
    assert words.lower() in ended["message"].lower(), ended["message"]
    wait_until(host.clean, message=lambda: f"nothing is left: {host.leaks()}")


def test_an_agent_that_was_killed_finds_its_containers(host: UcrHost, tasks: Tasks) -> None:
    for name in ("stays", "ends", "speaks"):
        tasks.started(name, "echo up; while [ ! -e $MESOS_SANDBOX/go ]; do sleep 0.05; done; echo late; exit 7")
    pids = {name: (host.container(running(tasks, name)) / "pid").read_text() for name in ("stays", "speaks")}
    host.agent.stop(signal.SIGKILL)
    (host.sandbox("ends") / "go").touch()
    wait_until((host.container(running(tasks, "ends")) / "status").exists, message="it ends without an agent")
    host.agent.start()
    ended = tasks.ended("ends")
    assert (ended["state"], ended["message"]) == ("TASK_FAILED", "Command exited with status 7")
    for name, pid in pids.items():
        assert (host.container(running(tasks, name)) / "pid").read_text() == pid
        os.kill(int(pid), 0)
    (host.sandbox("speaks") / "go").touch()
    assert tasks.ended("speaks")["message"] == "Command exited with status 7"
    assert host.said("speaks").endswith("up\nlate\n")
    tasks.kill("stays", 0)
    assert tasks.ended("stays")["state"] == "TASK_KILLED"


def running(tasks: Tasks, task_id: str) -> str:
    return container_of(tasks.framework.status(task_id, "TASK_RUNNING"))


def test_a_shim_that_was_killed_takes_its_task_with_it(host: UcrHost, tasks: Tasks) -> None:
    container = container_of(tasks.started("orphan", "sleep 1000"))
    pid = int((host.container(container) / "pid").read_text())
    kill_shim(host.container(container))
    ended = tasks.ended("orphan")
    told = (ended["state"], ended["reason"], ended["message"])
    assert told == ("TASK_FAILED", "REASON_EXECUTOR_TERMINATED", "Executor terminated")
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), message="its process is gone")


def test_a_container_that_nobody_knows_is_removed(host: UcrHost, tasks: Tasks) -> None:
    container = container_of(tasks.started("forgotten", "sleep 1000"))
    host.agent.stop(signal.SIGKILL)
    checkpoint = next(host.work_dir.glob(f"meta/slaves/*/frameworks/*/executors/forgotten/runs/{container}/task.json"))
    checkpoint.unlink()
    host.agent.start()
    wait_until(lambda: not host.container(container).exists(), message=lambda: f"it is gone: {host.leaks()}")


def test_output_is_rotated(host: UcrHost, tasks: Tasks) -> None:
    tasks.run("loud", "head -c 5000000 /dev/zero; echo; echo last")
    assert tasks.ended("loud")["state"] == "TASK_FINISHED"
    sizes = {path.name: path.stat().st_size for path in host.sandbox("loud").glob("stdout*")}
    assert sum(sizes.values()) >= 5_000_000
    assert max(sizes.values()) <= 2 * MIB + 65536
    assert host.said("loud").endswith("last\n")


def test_a_health_check_runs_in_the_container(host: UcrHost, tasks: Tasks) -> None:
    check = {
        "type": "COMMAND",
        "command": {"value": "[ -e $MESOS_SANDBOX/well ] && [ $COLOUR = ginger ]"},
        "delay_seconds": 0,
        "interval_seconds": 0.1,
        "timeout_seconds": 60,
        "grace_period_seconds": 0,
        "consecutive_failures": 0,
    }
    tasks.started("checked", "sleep 1000", health_check=check)
    wait_until(lambda: healths(tasks)[-1:] == [False], message="it is unwell")
    (host.sandbox("checked") / "well").touch()
    wait_until(lambda: healths(tasks)[-1:] == [True], message="it is well")


def healths(tasks: Tasks) -> list[bool]:
    return [status["healthy"] for status in tasks.framework.statuses("checked") if "healthy" in status]


def test_a_task_written_for_docker_is_served(host: UcrHost, tasks: Tasks) -> None:
    docker = {"image": "box", "network": "HOST", "parameters": [{"key": "env", "value": "A=b"}]}
    tasks.run("docker", "echo $A $COLOUR; pwd", container={"type": "DOCKER", "docker": docker}, image="")
    assert tasks.ended("docker")["state"] == "TASK_FINISHED"
    assert host.said("docker").splitlines()[-2:] == ["b ginger", "/"]
    tasks.run("odd", "true", container={"type": "DOCKER", "docker": {**docker, "network": "BRIDGE"}}, image="")
    assert "Docker's network 'bridge' is not served without Docker" in tasks.ended("odd")["message"]


def test_the_agent_says_what_runs_its_containers(host: UcrHost) -> None:
    log = host.agent.log
    wait_until(lambda: "containers run by /" in log.read_text(), message=log.read_text)
    wait_until(lambda: host.state()["slaves"], message=log.read_text)
