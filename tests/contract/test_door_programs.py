"""The door as a program, before a real master, agent and Marathon: each path, streams, the kill of what is behind."""

from __future__ import annotations

import http.client
import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import pytest
from tests.support.mesos_client import Framework, request
from tests.support.mesos_cluster import Daemon, MesosCluster, door_of, marathon_of
from tests.support.waiting import PATIENCE, wait_until


@dataclass
class World:
    cluster: MesosCluster
    marathon: Daemon
    door: Daemon

    def get(self, path: str) -> Any:
        status, text, _ = request(self.door.port, "GET", path)
        return json.loads(text) if status == 200 else status


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    work = tmp_path_factory.mktemp("door")
    with ExitStack() as stack:
        cluster = stack.enter_context(MesosCluster(work))
        at = f"127.0.0.1:{cluster.master.port}"
        marathon = stack.enter_context(marathon_of(work, at).running())
        door = stack.enter_context(door_of(work, at, marathon).running())
        yield World(cluster, marathon, door)


def agent_id(world: World) -> str:
    found: list[str] = []

    def registered() -> bool:
        summary = world.get("/mesos/master/state-summary")
        found[:] = [slave["id"] for slave in summary["slaves"]] if isinstance(summary, dict) else []
        return bool(found)

    wait_until(registered)
    return found[0]


def test_master_agent_and_marathon_are_behind_their_paths(world: World) -> None:
    name = agent_id(world)
    assert world.get("/mesos/state")["id"] in name
    for path in (f"/agent/{name}/state", f"/slave/{name}/state.json", f"/slave/{name}/slave(1)/state"):
        assert world.get(path)["id"] == name
    wait_until(lambda: world.get("/service/marathon/v2/info")["frameworkId"])
    assert world.get("/marathon/v2/info")["name"] == "marathon"
    status, _, headers = request(world.door.port, "GET", "/marathon/")
    assert status in (301, 302, 307)
    assert urljoin("/marathon/", headers["location"]) == "/marathon/ui/"
    framework = world.get("/service/marathon/v2/info")["frameworkId"]
    wait_until(lambda: world.get(f"/service/{framework}/v2/info") != 404)
    missing = request(world.door.port, "GET", f"/agent/{name}x/state")
    assert missing[:2] == (404, f"404 Not Found: agent `{name}x` unknown.\n")


def test_an_app_is_made_changed_and_removed_through_the_door(world: World) -> None:
    port = world.door.port
    app = {"id": "/door/app", "cmd": "sleep 1000", "instances": 0}
    status, text, headers = request(
        port, "POST", "/service/marathon/v2/apps", app, {"Content-Type": "application/json"}
    )
    assert status == 201, text
    assert "marathon-deployment-id" in headers
    assert world.get("/service/marathon/v2/apps//door/app")["app"]["cmd"] == "sleep 1000"
    wait_until(lambda: not world.get("/service/marathon/v2/deployments"))
    status, text, _ = request(port, "POST", "/service/marathon/v2/apps", b"{", {"Content-Type": "application/json"})
    assert status == 400
    assert request(port, "DELETE", "/service/marathon/v2/apps//door/app")[0] == 200
    wait_until(lambda: world.get("/service/marathon/v2/apps//door/app") == 404)


def test_events_pass_as_they_happen(world: World) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", world.door.port, timeout=PATIENCE)
    connection.request("GET", "/service/marathon/v2/events", headers={"Accept": "text/event-stream"})
    reply = connection.getresponse()
    assert reply.headers["Content-Type"].startswith("text/event-stream")
    assert reply.readline().startswith(b"event: ")
    app = {"id": "/door/seen", "cmd": "sleep 1000", "instances": 0}
    headers = {"Content-Type": "application/json"}
    assert request(world.door.port, "POST", "/marathon/v2/apps", app, headers)[0] == 201
    while b"/door/seen" not in (line := reply.readline()):
        assert line, "the stream has ended"
    connection.close()
    assert request(world.door.port, "DELETE", "/marathon/v2/apps//door/seen?force=true")[0] == 200


def test_a_framework_registers_and_calls_through_the_door(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = http.client.HTTPConnection.request

    def prefixed(self: Any, method: str, url: str, *rest: Any, **named: Any) -> None:
        plain(self, method, f"/mesos{url}" if url.startswith("/api/") else url, *rest, **named)

    monkeypatch.setattr(http.client.HTTPConnection, "request", prefixed)
    framework = Framework(world.door.port, name="behind the door", failover_timeout=0.0).subscribe()
    wait_until(lambda: framework.id)
    wait_until(lambda: framework.offers)
    known = world.get("/mesos/master/state-summary")["frameworks"]
    assert "behind the door" in [found["name"] for found in known]
    framework.close()
    wait_until(
        lambda: "behind the door" not in [f["name"] for f in world.get("/mesos/master/state-summary")["frameworks"]]
    )


def test_what_comes_back_after_a_kill_is_reached_again(world: World) -> None:
    master = world.cluster.master
    master.stop(signal.SIGKILL)
    status, text, _ = request(world.door.port, "GET", "/mesos/state")
    assert (status, text) == (502, f"502 Bad Gateway: 127.0.0.1:{master.port}: Connection refused\n")
    health = world.get("/system/health/v1/units/dcos-mesos-master.service")
    assert isinstance(health, dict)
    wait_until(lambda: world.get("/system/health/v1/units/dcos-mesos-master.service")["health"] == 1)
    master.start()
    wait_until(lambda: isinstance(world.get("/mesos/state"), dict))
    wait_until(lambda: world.get("/system/health/v1/units/dcos-mesos-master.service")["health"] == 0)


def test_it_ends_on_sigterm_and_begins_again(world: World) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", world.door.port, timeout=PATIENCE)
    connection.request("GET", "/service/marathon/v2/events")
    assert connection.getresponse().status == 200
    named = world.get("/metadata")["CLUSTER_ID"]
    assert world.door.stop() == 0
    world.door.start()
    assert world.get("/metadata")["CLUSTER_ID"] == named
