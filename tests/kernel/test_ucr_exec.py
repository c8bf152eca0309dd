"""Commands and terminals in real UCR containers, by the agent's API: what comes and goes, and that nothing is left."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.machine import needs_oci_runtime
from tests.support.mesos_client import get
from tests.support.mesos_client import request as ask
from tests.support.mesos_cluster import Daemon
from tests.support.ports import free_port
from tests.support.ucr_host import Tasks, UcrHost, container_of
from tests.support.waiting import wait_until

from tortie.base.errors import Unavailable
from tortie.wire.agent_client import AgentClient, Refused, Stream, exit_code

pytestmark = [pytest.mark.root, needs_oci_runtime]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UcrHost]:
    with UcrHost(tmp_path_factory.mktemp("exec")) as up:
        yield up


@pytest.fixture(scope="module")
def tasks(host: UcrHost) -> Iterator[Tasks]:
    with Tasks(host) as ours:
        yield ours


@pytest.fixture(scope="module")
def parent(tasks: Tasks) -> dict[str, Any]:
    variables = {"environment": {"variables": [{"name": "FROM_TASK", "value": "kept"}]}}
    return {"value": container_of(tasks.started("app", "while :; do sleep 1; done", command=variables))}


@pytest.fixture(scope="module")
def door(host: UcrHost) -> Iterator[Daemon]:
    port, master = free_port(), f"127.0.0.1:{host.master.port}"
    words = ("door", "run", "--listen", f"127.0.0.1:{port}", "--master", master, "--marathon", "127.0.0.1:1")
    program = Daemon(port, host.work / "door.log", *words, "--state", str(host.work / "door"), alive="/metadata")
    with program.running():
        yield program


@pytest.fixture(params=["json", "protobuf", "door"])
def client(request: pytest.FixtureRequest, host: UcrHost, door: Daemon) -> AgentClient:
    """Of the agent itself in both encodings, and through the entry door."""
    if request.param == "door":
        (agent,) = get(host.master.port, "/state")["slaves"]
        path = f"/slave/{agent['id']}"
        wait_until(lambda: ask(door.port, "GET", f"{path}/version")[0] == 200)
        return AgentClient(f"http://127.0.0.1:{door.port}{path}/api/v1", timeout=90)
    return AgentClient(f"http://127.0.0.1:{host.agent.port}/api/v1", protobuf=request.param == "protobuf", timeout=90)


@pytest.fixture(autouse=True)
def _nothing_is_left(host: UcrHost, parent: dict[str, Any]) -> Iterator[None]:
    yield
    wait_until(lambda: not sessions(host, parent), message=lambda: f"no session is left: {sessions(host, parent)}")


def sessions(host: UcrHost, parent: dict[str, Any]) -> list[str]:
    """Everything of the host that is neither of the task itself nor above it."""
    return [leak for leak in host.leaks() if "session" in leak]


def all_of(stream: Stream) -> tuple[bytes, bytes]:
    found = {"STDOUT": b"", "STDERR": b""}
    for kind, data in stream.output():
        found[kind] += data
    return found["STDOUT"], found["STDERR"]


def read_until(output: Iterator[tuple[str, bytes]], end: bytes) -> bytes:
    seen = b""
    for _, data in output:
        seen += data
        if end in seen:
            return seen
    raise AssertionError(f"ended without {end!r}: {seen!r}")


def test_a_command_in_the_container(client: AgentClient, parent: dict[str, Any]) -> None:
    script = "echo $FROM_TASK $COLOUR $MINE; hostname >&2; exit 7"
    with client.session(parent, ["bash", "-c", script], environment={"MINE": "too"}) as session:
        out, err = all_of(session)
        assert (out, err.strip() != b"") == (b"kept ginger too\n", True)
        assert session.wait() == 7 << 8


def test_it_is_in_the_namespaces_of_the_task(client: AgentClient, host: UcrHost, parent: dict[str, Any]) -> None:
    pid = int((host.container(parent["value"]) / "pid").read_text())
    kinds = ("net", "mnt", "pid", "uts", "ipc")
    inside = {kind: str(Path(f"/proc/{pid}/ns/{kind}").readlink()) for kind in kinds}
    with client.session(parent, ["ls", "-l", "/proc/self/ns"]) as session:
        out = all_of(session)[0].decode()
    assert [kind for kind in kinds if f"{kind} -> {inside[kind]}" not in out] == [], out


def test_input_to_its_end(client: AgentClient, parent: dict[str, Any]) -> None:
    with client.session(parent, ["cat"]) as session:
        session.write(b"x")
        session.close_input()
        assert all_of(session) == (b"x", b"")
        assert session.wait() == 0


def test_ten_megabytes_each_way_whole_and_in_order(client: AgentClient, parent: dict[str, Any]) -> None:
    sent = os.urandom(10 << 20)
    with client.session(parent, ["cat"]) as session:

        def feed() -> None:
            session.write(sent)
            session.close_input()

        feeding = threading.Thread(target=feed, daemon=True)
        feeding.start()
        got = hashlib.sha256()
        for _, data in session.output():
            assert data
            got.update(data)
        feeding.join()
        assert session.wait() == 0
    assert got.digest() == hashlib.sha256(sent).digest()


def test_a_shell_on_a_terminal(client: AgentClient, parent: dict[str, Any]) -> None:
    environment = {"TERM": "xterm", "PS1": "$ "}
    with client.session(
        parent, ["bash", "--norc"], terminal=True, environment=environment, rows=24, columns=80
    ) as session:
        output = session.output()
        session.write(b"stty size; echo en''d\r")
        assert b"24 80" in read_until(output, b"end\r\n")
        session.resize(30, 132)
        session.write(b"stty size; echo do''ne\r")
        assert b"30 132" in read_until(output, b"done\r\n")
        session.close_input()
        session.write(b"exit 3\r")
        list(output)
        assert exit_code(session.wait()) == 3


def test_the_keys_of_a_terminal_make_signals(client: AgentClient, parent: dict[str, Any]) -> None:
    script = "trap 'exit 9' INT; echo ready; while :; do sleep 0.05; done"
    with client.session(parent, ["bash", "-c", script], terminal=True) as session:
        output = session.output()
        read_until(output, b"ready")
        session.write(b"\x03")
        list(output)
        assert exit_code(session.wait()) == 9


def test_a_signal_and_a_death_by_one(client: AgentClient, parent: dict[str, Any]) -> None:
    with client.session(parent, ["bash", "-c", "trap 'exit 5' USR1; echo up; while :; do sleep 0.05; done"]) as session:
        output = session.output()
        read_until(output, b"up")
        client.kill(session.container_id, signal.SIGUSR1)
        list(output)
        assert exit_code(session.wait()) == 5
    with client.session(parent, ["bash", "-c", "echo up; exec sleep 1000"]) as session:
        output = session.output()
        read_until(output, b"up")
        client.kill(session.container_id)
        list(output)
        assert exit_code(session.wait()) == 128 + signal.SIGKILL


def test_a_program_that_is_not_there_and_a_user_that_is_not(client: AgentClient, parent: dict[str, Any]) -> None:
    with client.session(parent, ["/no/such/program"]) as session:
        out, err = all_of(session)
        assert b"/no/such/program" in out + err
        assert exit_code(session.wait()) == 127
    with pytest.raises(Refused) as refused:
        client.session(parent, ["true"], user="nobody-of-this-name")
    assert refused.value.status == 400
    with pytest.raises(Refused) as refused:
        client.session({"value": "0" * 8}, ["true"])
    assert refused.value.status == 404


def test_a_client_that_leaves_takes_its_session_with_it(
    client: AgentClient, host: UcrHost, tasks: Tasks, parent: dict[str, Any]
) -> None:
    mark = f"1{os.getpid()}"
    script = f"setsid sleep {mark} & sleep {mark} & while :; do echo yes; done"
    with client.session(parent, ["bash", "-c", script]) as session:
        read_until(session.output(), b"yes")
    wait_until(lambda: not running(f"sleep\x00{mark}"), message="the end of everything that the session had started")
    state = get(host.agent.port, "/state")
    (app,) = [e for f in state["frameworks"] for e in f["executors"] if e["id"] == "app"]
    assert (app["container"], [task["state"] for task in app["tasks"]]) == (parent["value"], ["TASK_RUNNING"])
    assert Path(app["directory"], "stdout").exists()
    assert client.wait(session.container_id) == signal.SIGKILL


def running(words: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if words in path.read_text(errors="replace"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_what_a_command_leaves_behind_ends_with_it(client: AgentClient, parent: dict[str, Any]) -> None:
    mark = f"2{os.getpid()}"
    with client.session(parent, ["bash", "-c", f"sleep {mark} & echo done"]) as session:
        assert all_of(session)[0] == b"done\n"
        assert session.wait() == 0
    wait_until(lambda: not running(f"sleep\x00{mark}"), message="the end of the command's children")


def test_attached_to_a_task_with_a_terminal(client: AgentClient, tasks: Tasks, request: pytest.FixtureRequest) -> None:
    name = f"tty.{request.node.callspec.id}"
    container = {"value": container_of(tasks.started(name, "cat", container={"tty_info": {}}))}
    with client.attach(container) as attached:
        attached.write(b"hello\r")
        read_until(attached.output(), b"hello")
    wait_until(lambda: _typed_its_end(client, container), message="the input of the client that left is free")
    assert tasks.ended(name)["state"] == "TASK_FINISHED"
    with pytest.raises(Refused) as refused:
        client.attach(container)
    assert refused.value.status in (404, 500)


def _typed_its_end(client: AgentClient, container: dict[str, Any]) -> bool:
    """False while somebody else has its input."""
    with client.attach(container) as again:
        again.write(b"\x04")
        try:
            list(again.output())
        except Refused as refused:
            if refused.status != 409:
                raise
            return False
    return True


def test_the_end_of_the_task_is_the_end_of_its_sessions(
    client: AgentClient, tasks: Tasks, request: pytest.FixtureRequest
) -> None:
    name = f"short.{request.node.callspec.id}"
    container = {"value": container_of(tasks.started(name, "while :; do sleep 1; done"))}
    with client.session(container, ["bash", "-c", "echo up; sleep 1000"]) as session:
        output = session.output()
        read_until(output, b"up")
        tasks.kill(name, 0)
        list(output)
        assert session.wait() in (signal.SIGTERM, signal.SIGKILL)
    tasks.ended(name)


def test_what_it_uses(host: UcrHost, parent: dict[str, Any]) -> None:
    def shown() -> Any:
        found = get(host.agent.port, "/containers")
        row = next(r for r in found if r["container_id"] == parent["value"])
        return (
            row if row["statistics"].get("mem_total_bytes") and row["statistics"].get("cpus_user_time_secs") else None
        )

    # Its own loop may use less than the kernel counts.
    client = AgentClient(f"http://127.0.0.1:{host.agent.port}/api/v1", timeout=90)

    def used() -> Any:
        with client.session(parent, ["bash", "-c", "for ((i = 0; i < 100000; i++)); do :; done"]) as session:
            all_of(session)
        return shown()

    row = wait_until(used, message=lambda: get(host.agent.port, "/containers"))
    assert row["statistics"]["mem_limit_bytes"] >= 32 << 20
    assert row["statistics"]["cpus_limit"] == 0.1
    assert row["statistics"]["processes"] >= 1
    rows = get(host.agent.port, "/monitor/statistics.json")
    assert parent["value"] not in rows
    assert next(r for r in rows if r["executor_id"] == "app")["statistics"]["timestamp"] > 0


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_an_agent_that_ends_loses_the_session_and_keeps_the_task(
    host: UcrHost, parent: dict[str, Any], how: signal.Signals
) -> None:
    client = AgentClient(f"http://127.0.0.1:{host.agent.port}/api/v1", timeout=90)
    mark = f"3{os.getpid()}"
    with client.session(parent, ["bash", "-c", f"echo up; sleep {mark}"]) as session:
        output = session.output()
        read_until(output, b"up")
        host.agent.stop(how)
        with pytest.raises(Unavailable):
            list(output)
    host.agent.start()
    wait_until(lambda: not running(f"sleep\x00{mark}"), message="the end of the session that lost its reader")
    wait_until(lambda: _runs_in(client, parent), message="the task is known again, and takes sessions")


def _runs_in(client: AgentClient, parent: dict[str, Any]) -> bool:
    try:
        with client.session(parent, ["bash", "-c", "echo here"]) as session:
            return all_of(session)[0] == b"here\n"
    except Refused as refused:
        if refused.status not in (404, 503):
            raise
        return False
