"""A rolling upgrade of containers on a lab's agents, under requests; who may check health."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.stars_lab import Container, in_netns, story, tortie
from tests.support.waiting import PATIENCE, wait_until

from tortie.lab.api import Host, Lab

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(1200)]

NAME = f"rolltest-{os.getpid()}"
API = "http://172.24.197.101:8080/v2"
INSTANCES = 3
# Answers with its version; told to end it goes on for a second, as long as others still send to it.
SERVER = """
import os, signal, socket, threading, time
signal.signal(signal.SIGTERM, lambda *_: threading.Timer(1, os._exit, (0,)).start())
server = socket.create_server(('', 8000), backlog=99)
body = os.environ['VERSION'].encode()
def serve(c):
    c.recv(999)
    c.sendall(b'HTTP/1.0 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%s' % (len(body), body))
    c.close()
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    ran = tortie("up", "stars", "--until", "0", "--name", NAME)
    try:
        assert ran.returncode == 0, ran.stderr
        started = Lab.find(NAME)
        words = ["docker", "network", "create", "--driver", "calico", "--ipam-driver", "calico", "shop"]
        made = started.host("agent-1").run(words)
        assert made.returncode == 0, made.stderr
        yield started
    finally:
        tortie("down", "--name", NAME)


def call(host: Host, method: str, path: str, body: Any = None) -> Any:
    words = ["curl", "-sS", "--fail", "-X", method, "-H", "Content-Type: application/json", API + path]
    ran = host.run([*words, *(["-d", json.dumps(body)] if body is not None else [])])
    assert ran.returncode == 0, f"{method} {path}: {ran.stderr}{ran.stdout}{story(NAME)}"
    return json.loads(ran.stdout)


def shop(version: str, check: dict[str, Any]) -> dict[str, Any]:
    times = {"intervalSeconds": 0.2, "delaySeconds": 0, "maxConsecutiveFailures": 0}
    docker = {"image": "calico/star:v0.5.0", "parameters": [{"key": "net", "value": "shop"}]}
    return {
        "id": "/shop",
        "cmd": 'exec python3 -c "$SERVER"',
        "cpus": 0.1,
        "mem": 48,
        "instances": INSTANCES,
        "env": {"VERSION": version, "SERVER": SERVER},
        "container": {"type": "DOCKER", "docker": docker},
        "ipAddress": {"discovery": {"ports": [{"number": 8000, "name": "http", "protocol": "tcp"}]}},
        "healthChecks": [times | check],
        "taskKillGracePeriodSeconds": 30,
    }


INSIDE = {"protocol": "MESOS_HTTP", "path": "/", "portIndex": 0, "timeoutSeconds": 60}
OUTSIDE = {"protocol": "HTTP", "path": "/", "portIndex": 0, "timeoutSeconds": 1}
COMMAND = {"protocol": "COMMAND", "timeoutSeconds": 60, "command": {"value": "test -e /proc/1"}}


def fit(host: Host) -> dict[str, str]:
    """Addresses of the tasks that Marathon calls running and healthy, by id."""
    tasks = call(host, "GET", "/apps/shop/tasks")["tasks"]
    healthy = [t for t in tasks if t["state"] == "TASK_RUNNING" and all_alive(t)]
    return {task["id"]: task["ipAddresses"][0]["ipAddress"] for task in healthy}


def all_alive(task: dict[str, Any]) -> bool:
    results = task.get("healthCheckResults", [])
    return bool(results) and all(result["alive"] for result in results)


def settled(host: Host) -> bool:
    return bool(call(host, "GET", "/deployments") == [])


class Customers:
    """Ask every server that is on the list, one after the other, until told to stop."""

    def __init__(self, shopper: Container, host: Host) -> None:
        self.host = host
        self.servers: dict[str, str] = fit(host)
        self.answers: list[str] = []
        self.failures: list[str] = []
        self._enough = threading.Event()
        self._thread = threading.Thread(target=lambda: in_netns(shopper.netns, self._run))

    def __enter__(self) -> Customers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._enough.wait(0.005):
            for task, address in list(self.servers.items()):
                try:
                    self.answers.append(ask(address))
                except OSError as error:
                    # Whoever is on its way out may have gone since the list was made; nobody else may.
                    if task in fit(self.host):
                        self.failures.append(f"{task} at {address}: {error!r}")


def ask(address: str) -> str:
    with socket.create_connection((address, 8000), timeout=PATIENCE) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        reply = b""
        while data := sock.recv(999):
            reply += data
    if not reply:
        raise ConnectionResetError("no answer")
    return reply.rpartition(b"\r\n\r\n")[2].decode()


class Stream:
    """The states of tasks as Marathon's event stream tells them."""

    def __init__(self, host: Host) -> None:
        path = "/v2/events?event_type=status_update_event"
        request = f"GET {path} HTTP/1.1\r\nHost: master\r\nAccept: text/event-stream\r\n\r\n".encode()

        def connect() -> socket.socket:
            sock = socket.create_connection(("172.24.197.101", 8080), timeout=PATIENCE)
            sock.sendall(request)
            return sock

        self._sock = in_netns(host.netns(), connect)
        self._data = self._sock.recv(65536)

    def states(self, until: Callable[[dict[str, list[str]]], bool]) -> dict[str, list[str]]:
        """By task, once they are so."""
        while not until(found := self._found()):
            more = self._sock.recv(65536)
            assert more, f"the stream ended after {found}"
            self._data += more
        self._sock.close()
        return found

    def _found(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for line in self._data.split(b"\r\n"):
            if line.startswith(b"data: {") and line.endswith(b"}"):
                event = json.loads(line[6:])
                if event["eventType"] == "status_update_event":
                    found.setdefault(event["taskId"], []).append(event["taskStatus"])
        return found


@pytest.mark.parametrize("check", [INSIDE, COMMAND], ids=["from inside", "by a command"])
def test_an_upgrade_under_requests_loses_none(lab: Lab, check: dict[str, Any]) -> None:
    """No listed server fails, never fewer than wanted are fit, old ones are told to end and have their time."""
    laptop = lab.host("laptop")
    call(laptop, "PUT", "/apps/shop", shop("one", check))
    wait_until(lambda: settled(laptop), message=lambda: f"the shop is open: {call(laptop, 'GET', '/apps/shop')}")
    old = fit(laptop)
    assert len(old) == INSTANCES
    stream = Stream(laptop)
    shopper = Container(lab.host("agent-1"), "shopper", "shop")
    fewest = INSTANCES
    try:
        with Customers(shopper, laptop) as customers:
            wait_until(lambda: set(customers.answers) == {"one"}, message=lambda: f"answers: {customers.failures}")
            call(laptop, "PUT", "/apps/shop", shop("two", check))
            while not settled(laptop):
                customers.servers = fit(laptop)
                fewest = min(fewest, len(customers.servers))
            customers.servers = fit(laptop)
            enough = len(customers.answers) + 2 * INSTANCES
            wait_until(lambda: len(customers.answers) >= enough, message="answers of the new ones")
        assert customers.failures == []
        assert fewest == INSTANCES
        assert customers.answers[-INSTANCES:] == ["two"] * INSTANCES
        assert not old.keys() & customers.servers.keys()
        states = stream.states(lambda found: all("TASK_FINISHED" in found.get(task, ()) for task in old))
        assert [states[task] for task in old] == [["TASK_KILLING", "TASK_FINISHED"]] * INSTANCES
    finally:
        shopper.remove()
        call(laptop, "DELETE", "/apps/shop")
        wait_until(lambda: settled(laptop), message="the shop is closed")


def test_policy_decides_who_may_check_health(lab: Lab) -> None:
    """The network lets only its own members in: Marathon, on another host, sees nothing, and the deployment waits."""
    laptop = lab.host("laptop")
    try:
        call(laptop, "PUT", "/apps/shop", shop("one", OUTSIDE))

        def refused() -> bool:
            tasks = call(laptop, "GET", "/apps/shop/tasks")["tasks"]
            causes = [r["lastFailureCause"] for task in tasks for r in task.get("healthCheckResults", [])]
            return causes == ["no answer within 1 s"] * INSTANCES

        wait_until(refused, message=lambda: str(call(laptop, "GET", "/apps/shop/tasks")))
        assert fit(laptop) == {}
        assert not settled(laptop)
    finally:
        call(laptop, "DELETE", "/apps/shop")
        wait_until(lambda: settled(laptop), message="the shop is closed")
