"""The master's operator API in protocol buffers, as clients in Go speak it."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from tests.support.mesos_agent import BareAgent
from tests.support.mesos_client import Framework, request, task
from tests.support.mesos_cluster import Daemon
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE, wait_until

from tortie.wire.mesos_fields import SCHEMA
from tortie.wire.protobuf import from_bytes, to_bytes
from tortie.wire.recordio import Deframer

JSON = {"Content-Type": "application/json"}
BINARY = {"Content-Type": "application/x-protobuf", "Accept": "application/x-protobuf"}


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    work, number = tmp_path_factory.mktemp("master"), free_port()
    arguments = ("--ip", "127.0.0.1", "--port", str(number), "--store", f"sqlite://{work}/store")
    with Daemon(number, work / "log", "master", "run", *arguments, "--allocation-interval=100ms").running() as daemon:
        yield daemon.port


@pytest.fixture(scope="module")
def agent(port: int) -> Iterator[BareAgent]:
    started = BareAgent(port).subscribe()
    yield started
    started.close()


def post(port: int, call: bytes, headers: dict[str, str]) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("POST", "/api/v1", call, headers)
    return connection.getresponse()


def binary(port: int, kind: str) -> Any:
    reply = post(port, to_bytes(SCHEMA, "master.Call", {"type": kind}), BINARY)
    body = reply.read()
    assert (reply.status, reply.getheader("content-type")) == (200, BINARY["Accept"]), body
    return from_bytes(SCHEMA, "master.Response", body)


def plain(port: int, kind: str) -> Any:
    status, text, _ = request(port, "POST", "/api/v1", {"type": kind}, JSON)
    assert status == 200, text
    return json.loads(text)


def filled(document: Any) -> Any:
    """As protocol buffers tell it: no empty lists, bytes for what JSON writes as base64."""
    if isinstance(document, list):
        return [filled(item) for item in document]
    if isinstance(document, dict):
        return {
            name: base64.b64decode(value) if name in ("uuid", "status_update_uuid", "data") else filled(value)
            for name, value in document.items()
            if value != []
        }
    return document


def same(port: int, kind: str) -> bool:
    return bool(binary(port, kind) == filled(plain(port, kind)))


def test_both_encodings_say_the_same(port: int, agent: BareAgent) -> None:
    framework = Framework(port, name="binary").subscribe()
    framework.accept(offer := framework.offer(), task(offer, "p1", command={"value": "x"}))
    agent.wait(lambda m: m["type"] == "RUN_TASK")
    agent.update(str(framework.id), "p1", "TASK_RUNNING")
    framework.status("p1", "TASK_RUNNING")
    for kind in ("GET_AGENTS", "GET_FRAMEWORKS", "GET_TASKS", "GET_VERSION", "GET_MASTER", "GET_STATE", "GET_ROLES"):
        # Offers come and go between the two questions.
        wait_until(partial(same, port, kind), message=kind)
    shown = binary(port, "GET_TASKS")["get_tasks"]["tasks"][0]
    assert (shown["name"], shown["state"]) == ("p1", "TASK_RUNNING")
    assert len(shown["statuses"][-1]["uuid"]) == 16
    framework.call("TEARDOWN")
    framework.close()


def test_bodies_that_are_no_calls(port: int) -> None:
    for body in (b"\xff", b"", to_bytes(SCHEMA, "master.Call", {"type": "TEARDOWN"})):
        assert post(port, body, BINARY).status == 400
    teardown = {"type": "TEARDOWN", "teardown": {"framework_id": {"value": "nobody"}}}
    reply = post(port, to_bytes(SCHEMA, "master.Call", teardown), BINARY)
    assert (reply.status, reply.read()) == (400, b"No framework found with specified ID")
    health = to_bytes(SCHEMA, "master.Call", {"type": "GET_HEALTH"})
    assert post(port, health, BINARY | {"Accept": "text/plain"}).status == 406
    assert post(port, health, BINARY | {"Message-Accept": "application/json"}).status == 406
    stream = {"Content-Type": "application/recordio", "Message-Content-Type": "application/json"}
    assert post(port, health, stream).status == 415


def test_events_in_protobuf(port: int, agent: BareAgent) -> None:
    headers = {"Accept": "application/recordio", "Message-Accept": "application/x-protobuf"}
    reply = post(port, to_bytes(SCHEMA, "master.Call", {"type": "SUBSCRIBE"}), BINARY | headers)
    assert reply.getheader("content-type") == "application/recordio"
    assert reply.getheader("message-content-type") == "application/x-protobuf"
    records: list[bytes] = []
    deframer = Deframer()
    while len(records) < 2:
        records += deframer.feed(reply.read1(65536))
    first, second = (from_bytes(SCHEMA, "master.Event", record) for record in records[:2])
    assert (first["type"], second["type"]) == ("SUBSCRIBED", "HEARTBEAT")
    hosts = [a["agent_info"]["hostname"] for a in first["subscribed"]["get_state"]["get_agents"]["agents"]]
    assert agent.info["hostname"] in hosts
    reply.close()
