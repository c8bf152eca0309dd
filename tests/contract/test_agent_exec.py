"""Sessions and attaching by the agent's API and its client, over local processes and pseudo-terminals."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.agent_api import TASK, AgentApi
from tests.support.waiting import wait_until

from tortie.base.errors import Unavailable
from tortie.wire.agent_client import AgentClient, Refused, Stream, exit_code

PARENT = {"value": TASK}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentApi]:
    with AgentApi(tmp_path_factory.mktemp("agent")) as running:
        running.task()
        yield running


@pytest.fixture(params=[False, True], ids=["json", "protobuf"])
def client(request: pytest.FixtureRequest, api: AgentApi) -> AgentClient:
    return AgentClient(api.url, protobuf=request.param, timeout=60)


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


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def runs(api: AgentApi, container_id: str) -> bool:
    process = api.local.processes[container_id].popen
    return process is not None and process.poll() is None


def test_output_streams_and_exit_code(client: AgentClient) -> None:
    with client.session(PARENT, ["sh", "-c", "echo a; echo b >&2; exit 7"]) as session:
        assert all_of(session) == (b"a\n", b"b\n")
        status = session.wait()
    assert (status, exit_code(status)) == (1792, 7)


def test_environment_of_the_call(client: AgentClient) -> None:
    with client.session(PARENT, ["sh", "-c", "echo $COLOUR"], environment={"COLOUR": "tortie"}) as session:
        assert all_of(session) == (b"tortie\n", b"")


def test_input_and_its_end(client: AgentClient) -> None:
    with client.session(PARENT, ["cat"]) as session:
        session.write(b"x")
        session.close_input()
        assert all_of(session) == (b"x", b"")
        assert session.wait() == 0


def test_ten_megabytes_each_way_whole_and_in_order(client: AgentClient) -> None:
    sent = os.urandom(1 << 20) * 10
    with client.session(PARENT, ["cat"]) as session:

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
    assert got.digest() == hashlib.sha256(sent).digest()


def test_a_terminal_with_its_size_and_a_change_of_it(client: AgentClient) -> None:
    with client.session(PARENT, ["sh"], terminal=True, rows=24, columns=80) as session:
        output = session.output()
        session.write(b"stty size; echo en''d\n")
        assert b"24 80" in read_until(output, b"end")
        session.resize(30, 132)
        session.write(b"stty size; echo do''ne\n")
        assert b"30 132" in read_until(output, b"done")
        session.close_input()
        session.write(b"exit 3\n")
        for kind, _ in output:
            assert kind == "STDOUT"
        assert exit_code(session.wait()) == 3


def test_the_keys_of_a_terminal_make_signals(client: AgentClient) -> None:
    # A shell that is about to start a command may lose an interrupt, unless it has a trap.
    script = "trap 'exit 9' INT; echo ready; while :; do sleep 0.05; done"
    with client.session(PARENT, ["sh", "-c", script], terminal=True) as session:
        output = session.output()
        read_until(output, b"ready")
        session.write(b"\x03")
        list(output)
        assert exit_code(session.wait()) == 9


def test_a_signal_by_call(client: AgentClient) -> None:
    script = "trap 'exit 5' USR1; echo ready; while :; do sleep 0.05; done"
    with client.session(PARENT, ["sh", "-c", script]) as session:
        output = session.output()
        read_until(output, b"ready")
        client.kill(session.container_id, signal.SIGUSR1)
        list(output)
        assert exit_code(session.wait()) == 5


def test_a_session_ends_with_its_client(client: AgentClient, api: AgentApi) -> None:
    with client.session(PARENT, ["sh", "-c", "echo $$; sleep 1000 & sleep 1000"]) as session:
        pid = int(read_until(session.output(), b"\n"))
    wait_until(lambda: is_gone(pid), message="the end of the session's process")
    wait_until(lambda: session.container_id["value"] not in api.local.processes)
    assert runs(api, TASK)
    assert client.wait(session.container_id, timeout=60) == signal.SIGKILL


def test_a_client_that_leaves_in_mid_stream(client: AgentClient, api: AgentApi) -> None:
    with client.session(PARENT, ["sh", "-c", "while :; do echo yes; done"]) as session:
        assert next(session.output())
    wait_until(lambda: session.container_id["value"] not in api.local.processes)


def test_a_client_that_reads_slowly_holds_the_command_back(client: AgentClient, tmp_path: Path) -> None:
    whole, most_under_way = 64 << 20, 24 << 20
    done = tmp_path / "done"
    with client.session(PARENT, ["sh", "-c", f"head -c {whole} /dev/zero; touch {done}"]) as session:
        read = 0
        for _, data in session.output():
            read += len(data)
            assert whole - read <= most_under_way or not done.exists()
        assert read == whole
    assert done.exists()


def test_a_task_does_not_wait_for_whoever_only_watches(
    client: AgentClient, api: AgentApi, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    done = tmp_path / "done"
    name = f"watched-{request.node.callspec.id}"
    api.task(name, ["sh", "-c", f"read x; head -c {64 << 20} /dev/zero; touch {done}; exec sleep 1000"])
    with client.attach({"value": name}) as watching:
        watching.write(b"go\n")
        wait_until(done.exists, message="the task has said everything, though nobody read it")
        with pytest.raises(Unavailable):
            list(watching.output())
    assert runs(api, name)


def test_attach_to_a_task_and_let_it_go(client: AgentClient, api: AgentApi) -> None:
    name = f"22222222-aaaa-bbbb-cccc-00000000000{int(client.codec.media_type.endswith('protobuf'))}"
    api.task(name, ["cat"])
    with client.attach({"value": name}) as first, client.attach({"value": name}) as second:
        first.write(b"one\n")
        assert read_until(first.output(), b"one\n") == b"one\n"
        assert read_until(second.output(), b"one\n") == b"one\n"
    with client.attach({"value": name}) as again:
        wait_until(lambda: name not in api.agent.nested._inputs)
        again.write(b"two\n")
        assert read_until(again.output(), b"two\n") == b"two\n"
    assert runs(api, name)


def test_a_second_input_is_refused(client: AgentClient, api: AgentApi) -> None:
    with client.session(PARENT, ["cat"]) as session:
        session.write(b"mine\n")
        output = session.output()
        read_until(output, b"mine\n")
        with client.attach(session.container_id) as other:
            other.open_input()
            with pytest.raises(Refused, match="Multiple input connections are not allowed") as refused:
                list(other.output())
            assert refused.value.status == 409
        session.write(b"still mine\n")
        read_until(output, b"still mine\n")


def test_a_command_that_does_not_exist(client: AgentClient) -> None:
    with client.session(PARENT, ["/no/such/program"]) as session:
        assert b"No such file" in all_of(session)[1]
        assert exit_code(session.wait()) == 127


def refused(function: Any, *arguments: Any, **options: Any) -> tuple[int, str]:
    with pytest.raises(Refused) as error:
        function(*arguments, **options)
    return error.value.status, error.value.text


def test_containers_that_are_not_there(client: AgentClient) -> None:
    nobody = {"value": "nobody"}
    status, text = refused(client.session, nobody, ["true"])
    assert (status, text.startswith("Container nobody."), text.endswith(" cannot be found")) == (404, True, True)
    assert refused(client.attach, nobody) == (404, "Container nobody cannot be found")
    assert refused(client.wait, {"value": "x", "parent": PARENT}) == (404, f"Container {TASK}.x cannot be found")
    assert refused(client.kill, nobody) == (404, "Container nobody cannot be found")


def test_what_cannot_be_meant(client: AgentClient) -> None:
    assert refused(client.session, {"value": "../x"}, ["true"])[0] == 400
    assert refused(client.session, {"value": ""}, ["true"])[0] == 400
    assert refused(client.session, PARENT, ["a\0b"])[0] == 400
    assert refused(client.session, PARENT, ["true"], environment={"A=B": "c"})[0] == 400
    assert refused(client.kill, PARENT, 99)[0] == 400
    deep: dict[str, Any] = {"value": "x"}
    for _ in range(30):
        deep = {"value": "x", "parent": deep}
    assert refused(client.session, deep, ["true"])[0] == 400
