"""Master and agent with a real engine: launch, status, logs, kill, and every daemon killed in turn."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.docker_host import DockerHost
from tests.support.mesos_client import Framework, get, request, task
from tests.support.mesos_cluster import MesosCluster
from tests.support.waiting import PATIENCE, wait_until

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]
Json = dict[str, Any]
FAST = {"grace_period": {"nanoseconds": 10**8}}


@pytest.fixture(scope="module")
def host() -> Iterator[DockerHost]:
    with DockerHost("mesos") as started:
        yield started


@pytest.fixture
def cluster(host: DockerHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MesosCluster]:
    long = ["--executor_shutdown_grace_period=10mins"]
    with MesosCluster(tmp_path_factory.mktemp("mesos"), docker_socket=host.socket, agent=long) as started:
        yield started


@pytest.fixture
def framework(cluster: MesosCluster) -> Iterator[Framework]:
    started = Framework(cluster.master.port, capabilities=[{"type": "TASK_KILLING_STATE"}]).subscribe()
    yield started
    started.close()


def docker_task(offer: Json, task_id: str, line: str | None, **parts: Any) -> Json:
    container = {"type": "DOCKER", "docker": {"image": DockerHost.image, "network": "NONE", **parts.pop("docker", {})}}
    described: Json = {"shell": True, "value": line} if line is not None else {"shell": False}
    described |= parts.pop("command", {})
    return task(offer, task_id, command=described, container=container, **parts)


def run(framework: Framework, task_id: str, line: str | None, **parts: Any) -> None:
    offer = framework.offer()
    framework.accept(offer, docker_task(offer, task_id, line, **parts))


def test_a_task_runs_with_its_environment_and_leaves_its_output(cluster: MesosCluster, framework: Framework) -> None:
    command = 'echo "$GREETING from $MESOS_SANDBOX"; echo oops >&2; echo kept > $MESOS_SANDBOX/file; exit 3'
    variables = {"environment": {"variables": [{"name": "GREETING", "value": "hello\nworld"}]}}
    run(framework, "app.1", command, command=variables)
    running = framework.status("app.1", "TASK_RUNNING")
    assert running["container_status"]["container_id"]["value"]
    assert running["container_status"]["network_infos"][0]["ip_addresses"][0]["ip_address"] == "127.0.0.1"
    failed = framework.status("app.1", "TASK_FAILED")
    assert failed["message"] == "Container exited with status 3"
    sandbox = next((cluster.work_dir / "slaves").glob("*/frameworks/*/executors/app.1/runs/latest"))
    wait_until(lambda: "hello\nworld from /mnt/mesos/sandbox" in (sandbox / "stdout").read_text(), message="its output")
    wait_until(lambda: (sandbox / "stderr").read_text() == "oops\n", message="its errors")
    assert (sandbox / "file").read_text() == "kept\n"
    assert [s["state"] for s in framework.statuses("app.1")] == ["TASK_RUNNING", "TASK_FAILED"]


def test_a_kill_escalates_at_the_end_of_its_grace(framework: Framework) -> None:
    run(framework, "deaf", "trap '' TERM; echo up; while true; do sleep 1; done")
    framework.status("deaf", "TASK_RUNNING")
    framework.call("KILL", {"task_id": {"value": "deaf"}, "kill_policy": FAST})
    assert framework.status("deaf", "TASK_KILLED")["message"] == "Container exited with status 137"
    assert [s["state"] for s in framework.statuses("deaf")] == ["TASK_RUNNING", "TASK_KILLING", "TASK_KILLED"]


def test_nobody_waits_for_a_process_that_cannot_notice_its_signal(framework: Framework) -> None:
    run(framework, "shell", "sleep 1000; true")
    framework.status("shell", "TASK_RUNNING")
    framework.call("KILL", {"task_id": {"value": "shell"}})
    assert framework.status("shell", "TASK_KILLED")["message"] == "Container exited with status 137"


def test_a_process_that_handles_its_signal_has_its_time(cluster: MesosCluster, framework: Framework) -> None:
    run(framework, "tidy", "trap 'sleep 1; exit 7' TERM; echo up; while true; do sleep 0.1; done")
    framework.status("tidy", "TASK_RUNNING")
    sandbox = next((cluster.work_dir / "slaves").glob("*/frameworks/*/executors/tidy/runs/latest"))
    wait_until(lambda: "up\n" in (sandbox / "stdout").read_text(), message="the trap is set")
    framework.call("KILL", {"task_id": {"value": "tidy"}})
    assert framework.status("tidy", "TASK_KILLED")["message"] == "Container exited with status 7"


def test_what_docker_refuses_is_the_message_of_the_failed_task(host: DockerHost, framework: Framework) -> None:
    cases = {
        "image": ({"image": "no.such.registry.invalid/x"}, "Failed to launch container: Failed to run 'docker"),
        "flag": ({"parameters": [{"key": "no-such-flag", "value": "x"}]}, "unknown flag: --no-such-flag"),
        "network": ({"parameters": [{"key": "net", "value": "nowhere"}]}, "network nowhere not found"),
        "ip": ({"parameters": [{"key": "ip", "value": "10.1.1.1"}]}, "Failed to run docker container: "),
        "null": ({"parameters": [{"key": "label", "value": "a=\0"}]}, "embedded null byte"),
        "image name": ({"image": "../../info"}, "Failed to launch container: "),
        "path": ({"parameters": [{"key": "volume", "value": ":::"}]}, "Failed to run docker container: "),
    }
    for name, (docker, expected) in cases.items():
        run(framework, name, "sleep 100", docker=docker)
        failed = framework.status(name, "TASK_FAILED")
        assert expected in failed["message"], failed["message"]
    assert host.docker("ps", "-aq", "--filter", "status=created").stdout == ""


def test_the_limit_of_memory_is_hard_and_the_first_network_parameter_wins(
    cluster: MesosCluster, host: DockerHost, framework: Framework
) -> None:
    docker = {"network": "BRIDGE", "parameters": [{"key": "net", "value": "host"}, {"key": "label", "value": "a=b"}]}
    run(framework, "limited", "sleep 100", docker=docker)
    running = framework.status("limited", "TASK_RUNNING")
    name = f"mesos-{running['container_status']['container_id']['value']}"
    found = json.loads(host.docker("inspect", name).stdout)[0]
    assert found["HostConfig"]["Memory"] == 32 * 1024 * 1024
    assert found["HostConfig"]["CpuShares"] == 102
    assert found["HostConfig"]["NetworkMode"] == "host"
    assert found["Config"]["Labels"]["a"] == "b"
    assert cluster.master.port != cluster.agent.port


def test_a_fetched_file_is_there_and_a_missing_one_fails_the_task(
    tmp_path: Path, cluster: MesosCluster, framework: Framework
) -> None:
    (tmp_path / "tool.sh").write_text("#!/bin/sh\necho fetched\n")
    uri = {"value": f"file://{tmp_path}/tool.sh", "executable": True}
    run(framework, "fetching", "$MESOS_SANDBOX/tool.sh", command={"uris": [uri]})
    framework.status("fetching", "TASK_FINISHED")
    state = get(cluster.agent.port, "/slave(1)/state.json")
    executors = [e for f in state["frameworks"] for e in f["executors"] + f["completed_executors"]]
    directory = next(e["directory"] for e in executors if e["id"] == "fetching")
    read = get(cluster.agent.port, f"/files/read?path={directory}/stdout&offset=0")
    assert read["data"].endswith("fetched\n"), read
    end = get(cluster.agent.port, f"/files/read.json?path={directory}/stdout&offset=-1")
    assert end == {"data": "", "offset": len(read["data"])}
    names = [e["path"].rpartition("/")[2] for e in get(cluster.agent.port, f"/files/browse?path={directory}")]
    assert names == ["stderr", "stdout", "tool.sh"]
    assert request(cluster.agent.port, "GET", f"/files/browse?path={directory}/../../..")[0] == 404
    run(framework, "missing", "true", command={"uris": [{"value": f"file://{tmp_path}/none"}]})
    failed = framework.status("missing", "TASK_FAILED")
    assert "Failed to fetch all URIs" in failed["message"]
    assert "No such file or directory" in failed["message"]


def test_a_task_outlives_agent_and_master_and_the_engine(
    cluster: MesosCluster, host: DockerHost, framework: Framework
) -> None:
    run(framework, "stays", "echo one; i=0; while test ! -e $MESOS_SANDBOX/end; do sleep 0.1; done; echo two; exit 5")
    running = framework.status("stays", "TASK_RUNNING")
    name = f"mesos-{running['container_status']['container_id']['value']}"
    pid = host.docker("inspect", "-f", "{{.State.Pid}}", name).stdout
    agent_id = running["agent_id"]["value"]

    cluster.agent.stop(signal.SIGKILL)
    cluster.agent.start()
    wait_until(
        lambda: [a for a in get(cluster.master.port, "/slaves")["slaves"] if a["active"]], message="the agent is back"
    )
    assert [a["id"] for a in get(cluster.master.port, "/slaves")["slaves"]] == [agent_id]

    cluster.master.stop(signal.SIGKILL)
    assert framework.ended.wait(PATIENCE)
    cluster.master.start()
    framework.subscribe()
    wait_until(
        lambda: [a for a in get(cluster.master.port, "/slaves")["slaves"] if a["active"]], message="the agent is back"
    )
    found = get(cluster.master.port, "/state")["frameworks"]
    assert [(f["id"], f["connected"], [t["state"] for t in f["tasks"]]) for f in found] == [
        (framework.id, True, ["TASK_RUNNING"])
    ]

    host.stop_engine()
    host.start_engine()
    assert host.docker("inspect", "-f", "{{.State.Pid}}", name).stdout == pid

    cluster.agent.stop(signal.SIGKILL)
    sandbox = next((cluster.work_dir / "slaves").glob("*/frameworks/*/executors/stays/runs/latest"))
    (sandbox / "end").touch()
    host.docker("wait", name)
    cluster.agent.start()
    assert framework.status("stays", "TASK_FAILED")["message"] == "Container exited with status 5"
    wait_until(
        lambda: (sandbox / "stdout").read_text().endswith("one\ntwo\n"), message="all output is in the sandbox, once"
    )
    assert (sandbox / "stdout").read_text().count("one") == 1


def test_containers_that_no_task_knows_are_removed(
    cluster: MesosCluster, host: DockerHost, framework: Framework
) -> None:
    run(framework, "orphan", "sleep 1000")
    running = framework.status("orphan", "TASK_RUNNING")
    name = f"mesos-{running['container_status']['container_id']['value']}"
    cluster.agent.stop(signal.SIGKILL)
    for path in (cluster.work_dir / "meta").glob("slaves/*/frameworks/*/executors/*/runs/*/task.json"):
        os.unlink(path)
    cluster.agent.start()
    wait_until(lambda: name not in host.docker("ps", "--format", "{{.Names}}").stdout, message="the orphan is gone")
    framework.status("orphan", "TASK_LOST")


def test_a_task_that_stays_unhealthy_is_killed(framework: Framework) -> None:
    check = {
        "type": "COMMAND",
        "command": {"value": "test ! -e /seen; found=$?; echo > /seen; exit $found"},
        "delay_seconds": 0,
        "interval_seconds": 0.1,
        "grace_period_seconds": 0,
        "consecutive_failures": 2,
    }
    run(framework, "sick", "exec sleep 100", health_check=check, kill_policy=FAST)
    last = framework.status("sick", "TASK_KILLED")
    assert last["healthy"] is False
    seen = [(s["state"], s.get("healthy")) for s in framework.statuses("sick")]
    assert ("TASK_RUNNING", True) in seen
    assert ("TASK_RUNNING", False) in seen


def test_a_container_of_dockers_takes_no_sessions(cluster: MesosCluster, framework: Framework) -> None:
    run(framework, "closed", "sleep 1000")
    container_id = framework.status("closed", "TASK_RUNNING")["container_status"]["container_id"]
    payload = {"container_id": {"value": "x", "parent": container_id}, "command": {"value": "true"}}
    call = {"type": "LAUNCH_NESTED_CONTAINER_SESSION", "launch_nested_container_session": payload}
    refused = request(cluster.agent.port, "POST", "/api/v1", call, {"Content-Type": "application/json"})
    assert (refused[0], "no sessions there" in refused[1]) == (400, True)
    # This engine counts its processes otherwise than we do: what a stranger of the same number uses is not shown.
    (row,) = wait_until(lambda: get(cluster.agent.port, "/monitor/statistics"))
    assert (row["executor_id"], set(row["statistics"])) == ("closed", {"timestamp", "cpus_limit", "mem_limit_bytes"})
    framework.call("KILL", {"task_id": {"value": "closed"}, "kill_policy": FAST})
    framework.status("closed", "TASK_KILLED")
