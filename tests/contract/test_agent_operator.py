"""The agent's /api/v1 as any client meets it: headers, both encodings, framing, errors."""

from __future__ import annotations

import base64
import errno
import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.agent_api import TASK, AgentApi
from tests.support.mesos_client import get, request
from tests.support.waiting import PATIENCE, wait_until

from tortie.mesos.agent.sandbox_files import SandboxFiles
from tortie.wire.mesos_fields import SCHEMA
from tortie.wire.protobuf import from_bytes, to_bytes
from tortie.wire.recordio import Deframer, frame

PATH = "/api/v1"
JSON = {"Content-Type": "application/json"}
BINARY = {"Content-Type": "application/x-protobuf"}
RECORDS = {"Content-Type": "application/recordio", "Message-Content-Type": "application/json"}
PARENT = {"value": TASK}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentApi]:
    with AgentApi(tmp_path_factory.mktemp("agent")) as running:
        running.task()
        yield running


@pytest.fixture(scope="module")
def port(api: AgentApi) -> int:
    return api.port


def post(port: int, body: Any, headers: dict[str, str] | None = None, path: str = PATH) -> tuple[int, str]:
    status, text, _ = request(port, "POST", path, body, JSON if headers is None else headers)
    return status, text


def ask(port: int, kind: str, **payload: Any) -> Any:
    status, text = post(port, {"type": kind, **({kind.lower(): payload} if payload else {})})
    assert status == 200, text
    reply = json.loads(text)
    assert reply["type"] == kind
    return reply[kind.lower()]


def binary(port: int, document: dict[str, Any]) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    headers = {**BINARY, "Accept": "application/x-protobuf"}
    connection.request("POST", PATH, to_bytes(SCHEMA, "agent.Call", document), headers)
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    assert (reply.status, reply.getheader("content-type")) == (200, "application/x-protobuf"), body
    return from_bytes(SCHEMA, "agent.Response", body)


def nested(name: str) -> dict[str, Any]:
    return {"value": name, "parent": PARENT}


def launch(port: int, name: str, script: str, **more: Any) -> tuple[int, str]:
    payload = {"container_id": nested(name), "command": {"value": script}, **more}
    return post(port, {"type": "LAUNCH_NESTED_CONTAINER", "launch_nested_container": payload})


# -- headers and bodies ------------------------------------------------------------------------------------------------


def test_headers_that_do_not_fit(port: int) -> None:
    health = {"type": "GET_HEALTH"}
    status, _, headers = request(port, "GET", PATH)
    assert (status, headers["allow"]) == (405, "POST")
    assert post(port, health, {}) == (400, "Expecting 'Content-Type' to be present")
    assert post(port, health, {"Content-Type": "text/plain"}) == (
        415,
        "Expecting 'Content-Type' of application/json or application/x-protobuf or application/recordio",
    )
    assert post(port, health, JSON | {"Accept": "text/plain"}) == (
        406,
        "Expecting 'Accept' to allow application/json or application/x-protobuf or application/recordio",
    )
    assert post(port, health, JSON | {"Accept": "application/json", "Message-Accept": "application/json"}) == (
        406,
        "Expecting 'Message-Accept' to be not set for non-streaming responses",
    )
    assert post(port, health, {"Content-Type": "application/recordio"}) == (
        400,
        "Expecting 'Message-Content-Type' to be set for streaming requests",
    )
    assert post(port, health, JSON | {"Message-Content-Type": "application/json"})[0] == 415
    assert post(port, health, RECORDS | {"Message-Content-Type": "text/plain"})[0] == 415
    assert post(port, health, JSON | {"Accept": "application/recordio"})[0] == 406
    assert post(port, health, JSON | {"Accept": "application/json;q=0"})[0] == 406


def test_bodies_that_are_no_calls(port: int) -> None:
    assert post(port, b"{")[1].startswith("Failed to parse body into JSON: ")
    assert post(port, [])[1] == "Failed to convert JSON into Call protobuf: Expecting a JSON object"
    assert post(port, {}) == (400, "Failed to validate agent::Call: Expecting 'type' to be present")
    assert post(port, {"type": "DANCE"}) == (501, "Call DANCE is not served by this agent")
    assert post(port, {"type": "__INIT__"})[0] == 501
    assert post(port, {"type": "ANSWER"})[0] == 501
    assert post(port, {"type": "UNKNOWN"})[0] == 501
    assert post(port, {"type": "READ_FILE"}) == (
        400,
        "Failed to validate agent::Call: Expecting 'read_file' to be present",
    )
    missing = {"type": "WAIT_CONTAINER", "wait_container": {}}
    words = "Failed to convert JSON into Call protobuf: Missing required fields: wait_container.container_id"
    assert post(port, missing) == (400, words)
    status, text = post(port, b"\xff\xff\xff", BINARY)
    assert (status, text.startswith("Failed to parse body into Call protobuf")) == (400, True)
    assert post(port, {"type": "ATTACH_CONTAINER_INPUT", "attach_container_input": {}})[0] == 415
    orphan = {"type": "KILL_NESTED_CONTAINER", "kill_nested_container": {"container_id": {"value": "x"}}}
    words = "Failed to validate agent::Call: Expecting 'kill_nested_container.container_id.parent' to be present"
    assert post(port, orphan) == (400, words)


def test_a_body_without_end_is_cut_off(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.putrequest("POST", PATH)
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(1 << 40))
    connection.endheaders()
    piece = b" " * (1 << 20)
    with pytest.raises(OSError):  # noqa: PT012 - the agent hangs up at some piece
        for _ in range(4096):
            connection.send(piece)
    connection.close()
    assert get(port, "/version")["version"]


# -- reading -----------------------------------------------------------------------------------------------------------


def test_what_operators_read(api: AgentApi, port: int) -> None:
    assert ask(port, "GET_HEALTH") == {"healthy": True}
    assert ask(port, "GET_VERSION")["version_info"]["version"] == get(port, "/version")["version"]
    assert ask(port, "GET_FLAGS") == {"flags": [{"name": "ip", "value": "127.0.0.1"}]}
    names = {metric["name"] for metric in ask(port, "GET_METRICS")["metrics"]}
    assert {"slave/uptime_secs", "slave/cpus_total"} <= names
    assert ask(port, "GET_METRICS", timeout={"nanoseconds": 5})["metrics"]
    assert ask(port, "GET_AGENT")["agent_info"]["id"] == {"value": "m-S1"}
    task = ask(port, "GET_TASKS")["launched_tasks"][0]
    assert (task["name"], task["state"], task["framework_id"]) == ("app", "TASK_RUNNING", {"value": "f-1"})
    executor = ask(port, "GET_EXECUTORS")["executors"][0]["executor_info"]
    assert executor["executor_id"] == task["task_id"]
    assert ask(port, "GET_FRAMEWORKS")["frameworks"][0]["framework_info"]["name"] == "test"
    state = ask(port, "GET_STATE")
    assert state["get_tasks"]["launched_tasks"] == [task]
    assert (set(state), len(state["get_executors"]["executors"])) == (
        {"get_tasks", "get_executors", "get_frameworks"},
        1,
    )
    assert post(port, {"type": "GET_HEALTH"}, path="/slave(1)/api/v1")[0] == 200


def test_the_same_in_protobuf(port: int) -> None:
    for kind in ("GET_HEALTH", "GET_VERSION", "GET_FLAGS", "GET_AGENT", "GET_TASKS", "GET_EXECUTORS", "GET_STATE"):
        told = binary(port, {"type": kind})
        assert told == {"type": kind, kind.lower(): filled(ask(port, kind))}
    assert binary(port, {"type": "GET_METRICS"})["get_metrics"]["metrics"]


def filled(document: Any) -> Any:
    """Without empty lists, which protocol buffers do not know. No message of these has bytes."""
    if isinstance(document, list):
        return [filled(item) for item in document]
    if isinstance(document, dict):
        return {name: filled(value) for name, value in document.items() if value != []}
    return document


def test_files_of_a_sandbox(api: AgentApi, port: int) -> None:
    task = next(iter(api.agent.tasks.values()))
    (task.sandbox / "words").write_bytes(b"a\xffb" * 10)
    listed = ask(port, "LIST_FILES", path=str(task.sandbox))["file_infos"]
    found = next(info for info in listed if info["path"].endswith("/words"))
    assert (found["size"], found["mode"] & 0o777, found["nlink"]) == (30, 0o644, 1)
    assert found["mtime"]["nanoseconds"] == (task.sandbox / "words").stat().st_mtime_ns
    path = f"{task.sandbox}/words"
    assert ask(port, "READ_FILE", path=path, offset=1, length=2) == {
        "size": 30,
        "data": base64.b64encode(b"\xffb").decode(),
    }
    told = binary(port, {"type": "READ_FILE", "read_file": {"path": path, "offset": 0}})
    assert told["read_file"] == {"size": 30, "data": b"a\xffb" * 10}
    read = {"type": "READ_FILE", "read_file": {"path": path, "offset": -1}}
    assert post(port, read)[0] == 400
    assert post(port, {"type": "READ_FILE", "read_file": {"path": path, "offset": 1 << 70}})[0] == 400
    assert post(port, {"type": "READ_FILE", "read_file": {"path": str(task.sandbox), "offset": 0}})[0] == 400
    for lost in ("/nowhere", f"{task.sandbox}/../../../../../../../meta", "/etc/passwd"):
        assert post(port, {"type": "READ_FILE", "read_file": {"path": lost, "offset": 0}})[0] == 404
        assert post(port, {"type": "LIST_FILES", "list_files": {"path": lost}})[0] == 404


def test_the_level_of_its_log(port: int) -> None:
    def level(number: int, nanoseconds: int) -> tuple[int, str]:
        payload = {"level": number, "duration": {"nanoseconds": nanoseconds}}
        return post(port, {"type": "SET_LOGGING_LEVEL", "set_logging_level": payload})

    assert level(7, 10**9)[0] == 400
    assert level(1, 0)[0] == 400
    assert level(2, 3600 * 10**9) == (200, "")
    assert ask(port, "GET_LOGGING_LEVEL") == {"level": 2}
    assert level(3, 1) == (200, "")
    wait_until(lambda: ask(port, "GET_LOGGING_LEVEL") == {"level": 0})
    assert request(port, "GET", "/logging/toggle?level=1&duration=1ms")[0] == 200
    wait_until(lambda: request(port, "GET", "/logging/toggle")[1] == "0\n")
    assert request(port, "GET", "/logging/toggle?level=x&duration=1ms")[0] == 400
    assert request(port, "GET", "/logging/toggle?level=1")[0] == 400
    assert request(port, "GET", "/logging/toggle?level=1&duration=soon")[0] == 400


# -- containers in containers ------------------------------------------------------------------------------------------


def test_a_nested_container_from_its_beginning_to_its_end(api: AgentApi, port: int) -> None:
    task = next(iter(api.agent.tasks.values()))
    script = "trap 'exit 3' TERM; echo out; echo err >&2; while :; do sleep 0.05; done"
    assert launch(port, "steady", script) == (200, "")
    assert launch(port, "steady", script) == (202, "")
    place = task.sandbox / "containers" / "steady"
    wait_until(lambda: (place / "stdout").read_text() == "out\n" and (place / "stderr").read_text() == "err\n")
    shown = ask(port, "GET_CONTAINERS", show_nested=True)["containers"]
    assert nested("steady") in [row["container_id"] for row in shown]
    assert [row["container_id"] for row in ask(port, "GET_CONTAINERS")["containers"]] == [PARENT]
    of_it = {"container_id": nested("steady")}
    status, text = post(port, {"type": "REMOVE_CONTAINER", "remove_container": of_it})
    assert (status, "has not terminated yet" in text) == (500, True)
    session = {"type": "LAUNCH_NESTED_CONTAINER_SESSION", "launch_nested_container_session": _session("steady", "ls")}
    assert post(port, session)[0] == 409
    assert post(port, {"type": "KILL_NESTED_CONTAINER", "kill_nested_container": {**of_it, "signal": 15}}) == (200, "")
    assert ask(port, "WAIT_NESTED_CONTAINER", **of_it) == {"exit_status": 3 << 8}
    told = binary(port, {"type": "WAIT_CONTAINER", "wait_container": of_it})
    assert told == {"type": "WAIT_CONTAINER", "wait_container": {"exit_status": 3 << 8}}
    assert post(port, {"type": "KILL_CONTAINER", "kill_container": of_it})[0] == 404
    assert post(port, {"type": "REMOVE_NESTED_CONTAINER", "remove_nested_container": of_it}) == (200, "")
    assert post(port, {"type": "REMOVE_CONTAINER", "remove_container": of_it}) == (200, "")
    assert post(port, {"type": "WAIT_CONTAINER", "wait_container": of_it}) == (
        404,
        f"Container {TASK}.steady cannot be found",
    )


def _session(name: str, *words: str) -> dict[str, Any]:
    command = {"shell": False, "value": words[0], "arguments": list(words)}
    return {"container_id": nested(name), "command": command}


def test_containers_that_cannot_be_made(api: AgentApi, port: int) -> None:
    image = {"type": "MESOS", "mesos": {"image": {"type": "DOCKER", "docker": {"name": "nginx"}}}}
    docker = {"type": "DOCKER", "docker": {"image": "nginx"}}
    for container in (image, docker):
        assert launch(port, "odd", "true", container=container) == (400, "The provided ContainerInfo is not supported")
    wide = {"type": "MESOS", "tty_info": {"window_size": {"rows": 70000, "columns": 1}}}
    assert launch(port, "odd", "true", container=wide)[0] == 400
    assert launch(port, "odd", "true", container={"type": "MESOS", "tty_info": {"window_size": 3}})[0] == 400
    assert launch(port, "a.b", "true")[0] == 400
    assert launch(port, "x" * 200, "true")[0] == 400
    payload = {"container_id": nested("odd")}
    assert post(port, {"type": "LAUNCH_CONTAINER", "launch_container": payload}) == (
        400,
        "Expecting 'command' to be present",
    )
    alone = {"container_id": {"value": "alone"}, "command": {"value": "true"}}
    assert post(port, {"type": "LAUNCH_CONTAINER", "launch_container": alone}) == (
        400,
        "Expecting 'container_id.parent' to be present",
    )
    inside = {"container_id": {"value": "x", "parent": nested("nobody")}, "command": {"value": "true"}}
    assert post(port, {"type": "LAUNCH_CONTAINER", "launch_container": inside})[0] == 404
    assert set(api.local.processes) == {TASK}


def test_nothing_is_written_through_a_link_of_the_task(api: AgentApi, port: int, tmp_path: Path) -> None:
    name = "33333333-aaaa-bbbb-cccc-000000000001"
    task = api.task(name)
    (task.sandbox / "containers").symlink_to(tmp_path)
    payload = {"container_id": {"value": "sly", "parent": {"value": name}}, "command": {"value": "echo x"}}
    assert post(port, {"type": "LAUNCH_CONTAINER", "launch_container": payload})[0] == 400
    assert list(tmp_path.iterdir()) == []
    assert "sly" not in api.local.processes
    api.call(_end, api, task)


def _end(api: AgentApi, task: Any) -> None:
    del api.agent.tasks[task.framework_id, task.id]
    api.local.processes.pop(task.saved.container_id).kill()


# -- streams -----------------------------------------------------------------------------------------------------------


class Wire:
    """One connection, byte by byte."""

    def __init__(self, port: int, headers: dict[str, str], body: bytes | None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        lines = [f"POST {PATH} HTTP/1.1", "Host: agent", *(f"{k}: {v}" for k, v in headers.items())]
        lines.append("Transfer-Encoding: chunked" if body is None else f"Content-Length: {len(body)}")
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode() + (body or b""))
        self.file = self.socket.makefile("rb")

    def head(self) -> tuple[int, dict[str, str]]:
        status = int(self.file.readline().split()[1])
        headers = {}
        while line := self.file.readline().strip().decode():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return status, headers

    def chunk(self) -> bytes:
        size = int(self.file.readline(), 16)
        data = self.file.read(size)
        assert self.file.readline() == b"\r\n"
        return data

    def send(self, *records: Any) -> None:
        for record in records:
            data = frame(record if isinstance(record, bytes) else json.dumps(record).encode())
            self.socket.sendall(b"%x\r\n%s\r\n" % (len(data), data))

    def close(self) -> None:
        self.file.close()
        self.socket.close()


def opened(port: int, name: str, *words: str, accept: dict[str, str] | None = None) -> Wire:
    call = {"type": "LAUNCH_NESTED_CONTAINER_SESSION", "launch_nested_container_session": _session(name, *words)}
    headers = JSON | (accept or {"Accept": "application/recordio", "Message-Accept": "application/json"})
    return Wire(port, headers, json.dumps(call).encode())


def records(stream: Wire) -> Iterator[Any]:
    deframer = Deframer()
    while data := stream.chunk():
        for record in deframer.feed(data):
            yield json.loads(record)


def said(kind: str, **payload: Any) -> dict[str, Any]:
    return {"type": "ATTACH_CONTAINER_INPUT", "attach_container_input": {"type": kind, **payload}}


def typed(data: bytes) -> dict[str, Any]:
    io = {"type": "DATA", "data": {"type": "STDIN", "data": base64.b64encode(data).decode()}}
    return said("PROCESS_IO", process_io=io)


def test_headers_come_before_output_and_the_end_is_told(port: int) -> None:
    stream = opened(port, "framed", "cat")
    status, headers = stream.head()
    assert status == 200
    assert headers["content-type"] == "application/recordio"
    assert headers["message-content-type"] == "application/json"
    assert headers["transfer-encoding"] == "chunked"
    line = Wire(port, RECORDS, None)
    line.send(said("CONTAINER_ID", container_id=nested("framed")), typed(b"hello"), typed(b""))
    told = list(records(stream))
    data = {"type": "STDOUT", "data": base64.b64encode(b"hello").decode()}
    assert told == [{"type": "DATA", "data": data}]
    assert line.head()[0] == 200
    assert ask(port, "WAIT_CONTAINER", container_id=nested("framed")) == {"exit_status": 0}


def test_any_accept_means_json_in_records_all_the_same(port: int) -> None:
    stream = opened(port, "any", "echo", "x", accept={"Accept": "*/*"})
    status, headers = stream.head()
    assert (status, headers["content-type"]) == (200, "application/json")
    assert "message-content-type" not in headers
    assert [record["type"] for record in records(stream)] == ["DATA"]


def test_an_input_of_one_record_takes_nothing_and_ends_nothing(port: int) -> None:
    """What dcos does first: a line with only the container's id, closed at once."""
    stream = opened(port, "first", "cat")
    stream.head()
    for _ in range(3):
        line = Wire(port, RECORDS, None)
        line.send(said("CONTAINER_ID", container_id=nested("first")))
        line.socket.sendall(b"0\r\n\r\n")
        assert line.head()[0] == 200
    line = Wire(port, RECORDS, None)
    line.send(said("CONTAINER_ID", container_id=nested("first")), typed(b"still"), typed(b""))
    assert b"".join(base64.b64decode(r["data"]["data"]) for r in records(stream)) == b"still"
    line.head()
    late = Wire(port, RECORDS, None)
    late.send(said("CONTAINER_ID", container_id=nested("first")))
    assert late.head()[0] == 500


def test_inputs_that_are_wrong(port: int) -> None:
    stream = opened(port, "picky", "cat")
    stream.head()
    here = said("CONTAINER_ID", container_id=nested("picky"))
    window = {
        "type": "CONTROL",
        "control": {"type": "TTY_INFO", "tty_info": {"window_size": {"rows": -1, "columns": 1}}},
    }
    stdout = {"type": "DATA", "data": {"type": "STDOUT", "data": "eA=="}}
    for status, *sent in [
        (400, typed(b"x")),
        (400, here, here),
        (400, here, b"{"),
        (400, here, said("PROCESS_IO")),
        (400, here, said("PROCESS_IO", process_io=stdout)),
        (400, here, said("PROCESS_IO", process_io=window)),
        (400, said("CONTAINER_ID", container_id={"value": "../x"})),
        (400, {"type": "ATTACH_CONTAINER_INPUT"}),
        (404, said("CONTAINER_ID", container_id=nested("nobody"))),
        (404, said("CONTAINER_ID", container_id={"value": "nobody"})),
        (415, {"type": "GET_HEALTH"}),
    ]:
        line = Wire(port, RECORDS, None)
        line.send(*sent)
        assert line.head()[0] == status, sent
        line.close()
    for bad in (b"x\r\nx\r\n", b"99999999999\n"):
        line = Wire(port, RECORDS, None)
        line.socket.sendall(b"%x\r\n%s\r\n" % (len(bad), bad))
        assert line.head()[0] == 400
    empty = Wire(port, RECORDS, None)
    empty.socket.sendall(b"0\r\n\r\n")
    assert empty.head()[0] == 400
    torn = Wire(port, RECORDS, None)
    torn.send(here)
    torn.socket.sendall(b"3\r\n10\n\r\n0\r\n\r\n")
    assert torn.head()[0] == 400
    stream.close()


def test_an_input_that_breaks_off_frees_its_place(api: AgentApi, port: int) -> None:
    stream = opened(port, "torn", "cat")
    stream.head()
    told = records(stream)
    line = Wire(port, RECORDS, None)
    line.send(said("CONTAINER_ID", container_id=nested("torn")), typed(b"a"))
    assert next(told)["type"] == "DATA"
    line.close()
    wait_until(lambda: "torn" not in api.agent.nested._inputs)
    line = Wire(port, RECORDS, None)
    line.send(said("CONTAINER_ID", container_id=nested("torn")), typed(b"b"), typed(b""))
    assert [base64.b64decode(r["data"]["data"]) for r in told] == [b"b"]
    line.close()


def test_heartbeats_between_the_output(api: AgentApi, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tortie.mesos.agent.output.BEAT", 0.01)
    stream = opened(port, "quiet", "cat")
    stream.head()
    told = records(stream)
    first = next(told)
    assert (first["type"], first["control"]["type"]) == ("CONTROL", "HEARTBEAT")
    assert first["control"]["heartbeat"]["interval"]["nanoseconds"] == 10_000_000
    stream.close()


def test_the_end_of_a_task_is_the_end_of_what_runs_in_it(api: AgentApi, port: int) -> None:
    name = "44444444-aaaa-bbbb-cccc-000000000001"
    api.task(name)
    payload = {"container_id": {"value": "inner", "parent": {"value": name}}, "command": {"value": "sleep 1000"}}
    assert post(port, {"type": "LAUNCH_CONTAINER", "launch_container": payload})[0] == 200
    api.call(api.agent.nested.end_all_in, name)
    assert ask(port, "WAIT_CONTAINER", container_id=payload["container_id"]) == {"exit_status": 9}
    task = api.agent.of_container(name)
    api.call(_end, api, task)
    assert post(port, {"type": "WAIT_CONTAINER", "wait_container": {"container_id": {"value": name}}})[0] == 404


def test_a_full_disk_loses_output_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with SandboxFiles(tmp_path, "x") as files:
        assert files.write("STDOUT", b"kept") == 0
        monkeypatch.setattr("tortie.mesos.agent.sandbox_files.os.write", full)
        assert files.write("STDOUT", b"lost") == 4
    assert (tmp_path / "containers/x/stdout").read_bytes() == b"kept"
