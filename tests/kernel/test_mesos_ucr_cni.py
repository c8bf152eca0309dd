"""Tasks of the Mesos containerizer in the network of a real node, while every daemon is killed in turn."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from tests.kernel.mesos_world import World, addresses, on
from tests.kernel.test_cni_kernel import endpoints, handles
from tests.support.machine import needs_oci_runtime
from tests.support.mesos_client import get
from tests.support.ucr_host import Tasks, container_of, kill_shim
from tests.support.waiting import PATIENCE, wait_until

from tortie.model.kinds.workload_endpoint import TASK_ANNOTATION, TASK_NAME_ANNOTATION, WORKLOAD_ENDPOINT

pytestmark = [pytest.mark.root, needs_oci_runtime, pytest.mark.timeout(900)]
Json = dict[str, Any]
HOST = ""
"""No image: the host's own root."""
SERVER = """
import socketserver
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)
socketserver.ThreadingTCPServer.daemon_threads = True
server = socketserver.ThreadingTCPServer(("", 7), Echo)
print("listening", flush=True)
server.serve_forever()
"""
CLIENT = (
    "exec 3<>/dev/tcp/{address}/7; "
    "while echo beat >&3 && read -t 60 -r beat <&3; do echo $beat; sleep 0.2; done; exit 9"
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World.up(tmp_path_factory.mktemp("ucr-cni")) as world:
        yield world


@pytest.fixture
def tasks(world: World) -> Iterator[Tasks]:
    with Tasks(world.host) as ours:
        yield ours
    wait_until(world.clean, message=lambda: f"nothing of it is left in the network: {world.left()}")


def test_a_task_is_in_its_networks_and_everybody_is_told(world: World, tasks: Tasks) -> None:
    labels = {"labels": [{"key": "app", "value": "web"}]}
    line = "cat /etc/hosts /etc/hostname; hostname; ip -o -4 addr; echo told; sleep 1000"
    status = tasks.started("web", line, container=on("blue", "red", labels=labels))
    container, (first, second) = container_of(status), addresses(status)
    assert [info["name"] for info in status["container_status"]["network_infos"]] == ["blue", "red"]
    assert status["container_status"]["network_infos"][0]["labels"] == labels
    wait_until(lambda: "told" in world.host.said("web"), message=lambda: world.host.said("web"))
    said = world.host.said("web")
    assert f"127.0.0.1 localhost\n{first} {container}\n{container}\n{container}\n" in said
    assert f"inet {first}/32" in said
    assert f"inet {second}/32" in said
    found = {e.spec.endpoint: e for e in world.lab.client.list(WORKLOAD_ENDPOINT).items}
    assert {name: (e.spec.container_id, e.spec.profiles) for name, e in found.items()} == {
        "eth0": (container, ("blue",)),
        "eth1": (container, ("red",)),
    }
    assert found["eth0"].metadata.labels["app"] == "web"
    notes = found["eth0"].metadata.annotations
    assert (notes[TASK_ANNOTATION], notes[TASK_NAME_ANNOTATION]) == ("web", "web")

    shown = get(world.host.agent.port, "/containers")[0]["status"]
    assert shown == status["container_status"]
    (framework,) = get(world.host.master.port, "/state")["frameworks"]
    (listed,) = framework["tasks"]
    infos = listed["statuses"][0]["container_status"]["network_infos"]
    assert [info["ip_addresses"] for info in infos] == [
        [{"protocol": "IPv4", "ip_address": address}] for address in (first, second)
    ]
    assert infos[0]["labels"] == labels["labels"]


def test_what_cni_refuses_fails_the_task_in_its_words(world: World, tasks: Tasks) -> None:
    tasks.started("holder", "sleep 1000", container=on("blue", ip_addresses=[{"ip_address": "192.168.7.7"}]))
    cases = {
        "unknown": (on("nowhere"), "Failed to launch container: Unknown CNI network 'nowhere'"),
        "twice": (
            on("blue", "blue"),
            "Failed to launch container: Attempted to join CNI network 'blue' multiple times",
        ),
        "taken": (
            on("red", ip_addresses=[{"ip_address": "192.168.7.7"}]),
            "Failed to launch container: The CNI plugin '",
        ),
    }
    for name, (container, said) in cases.items():
        tasks.run(name, "sleep 1000", container=container)
        failed = tasks.ended(name)
        assert (failed["state"], failed["reason"]) == ("TASK_FAILED", "REASON_CONTAINER_LAUNCH_FAILED")
        assert failed["message"].startswith(said), failed["message"]
    assert "192.168.7.7" in failed["message"]
    assert len(endpoints(world.lab)) == 1


def test_an_address_is_free_as_soon_as_the_end_of_its_task_is_told(world: World, tasks: Tasks) -> None:
    fixed = on("blue", ip_addresses=[{"ip_address": "192.168.7.8"}])
    for name in ("first", "second", "third"):
        assert addresses(tasks.started(name, "sleep 1000", container=fixed)) == ["192.168.7.8"]
        tasks.kill(name, 0)
        assert tasks.ended(name)["state"] == "TASK_KILLED"


@pytest.mark.parametrize(
    "check",
    [
        {"type": "HTTP", "http": {"port": 80, "path": "/"}},
        {"type": "TCP", "tcp": {"port": 80}},
        {"type": "COMMAND", "command": {"value": "ip -o -4 addr show eth0 | grep -q 192.168"}},
    ],
    ids=lambda check: check["type"],
)
def test_health_is_asked_inside_its_network(tasks: Tasks, check: Json) -> None:
    often = {"delay_seconds": 0, "interval_seconds": 0.2, "grace_period_seconds": 600, "consecutive_failures": 1}
    line = "cd /etc; exec python3 -m http.server --bind 127.0.0.1 80"
    started = tasks.started("checked", line, container=on("blue"), image=HOST, health_check={**check, **often})
    assert started["state"] == "TASK_RUNNING", started
    healthy = tasks.framework.wait(lambda e: e.get("update", {}).get("status", {}).get("healthy") is not None)
    assert healthy["update"]["status"]["healthy"] is True


def test_nobody_waits_for_a_plug_in_whose_task_is_killed(world: World, tasks: Tasks) -> None:
    world.recorder.does("ADD", "hang")
    tasks.run("waiting", "sleep 1000", container=on("slow"))
    wait_until(lambda: world.recorder.child, message="the plug-in runs")
    tasks.kill("waiting")
    ended = tasks.ended("waiting")
    assert (ended["state"], ended["reason"]) == ("TASK_KILLED", "REASON_EXECUTOR_TERMINATED"), ended
    assert [call.split()[0] for call in world.recorder.calls] == ["ADD", "DEL"]


def test_an_executor_that_is_killed_gives_its_address_back(world: World, tasks: Tasks) -> None:
    status = tasks.started("doomed", "sleep 1000", container=on("blue"))
    kill_shim(world.host.container(container_of(status)))
    failed = tasks.ended("doomed")
    assert (failed["state"], failed["reason"]) == ("TASK_FAILED", "REASON_EXECUTOR_TERMINATED")
    wait_until(world.clean, message=lambda: f"nothing of it is left in the network: {world.left()}")


def active(world: World) -> bool:
    return [a["active"] for a in get(world.host.master.port, "/slaves")["slaves"]] == [True]


def heard_of(world: World, names: list[str]) -> bool:
    kept = world.host.work_dir.glob("meta/slaves/*/frameworks/*/executors/*/runs/*/task.json")
    return {path.parents[2].name for path in kept} >= set(names)


def test_an_agent_killed_while_it_launches_begins_again_or_goes_on(world: World, tasks: Tasks) -> None:
    names = [f"early-{number}" for number in range(5)]
    for name in names:
        tasks.run(name, "sleep 1000", container=on("blue"))
    # What an agent has not heard of when it dies is lost, as in the original.
    wait_until(lambda: heard_of(world, names), message="the agent knows them all")
    wait_until(world.kept, message="one joins its network")
    world.host.agent.stop(signal.SIGKILL)
    world.host.agent.start()
    told = [addresses(tasks.running(name)) for name in names]
    assert len({address for (address,) in told}) == len(names)
    states = {name: [s["state"] for s in tasks.framework.statuses(name)] for name in names}
    assert all(set(state) == {"TASK_RUNNING"} for state in states.values()), states
    wait_until(lambda: len(endpoints(world.lab)) == len(names), message=world.left)
    wait_until(lambda: len(handles(world.lab)) == len(names), message=world.left)


def test_twenty_tasks_outlive_agent_node_and_master(world: World, tasks: Tasks) -> None:
    server = tasks.started("server", f"exec python3 -c '{SERVER}'", container=on("blue"), image=HOST)
    address = addresses(server)[0]
    wait_until(lambda: "listening" in world.host.said("server"), message=lambda: world.host.said("server", "stderr"))
    names = [f"client-{number}" for number in range(19)]
    for name in names:
        tasks.run(name, CLIENT.format(address=address), container=on("blue"))
    before = {name: tasks.running(name) for name in names}
    assert {status["state"] for status in before.values()} == {"TASK_RUNNING"}
    all_beat(world, names, "first")

    world.host.agent.stop(signal.SIGKILL)
    all_beat(world, names, "while the agent is away")
    world.host.agent.start()
    wait_until(lambda: active(world), message="the agent is back")
    world.node.host.kill(signal.SIGKILL)
    all_beat(world, names, "while the node is away")
    world.node.again()
    world.host.master.stop(signal.SIGKILL)
    assert tasks.framework.ended.wait(PATIENCE)
    all_beat(world, names, "while the master is away")
    world.host.master.start()
    tasks.framework.subscribe()
    wait_until(lambda: active(world), message="the agent is back")
    all_beat(world, names, "at the end")

    wait_until(lambda: states(world) == ["TASK_RUNNING"] * 20, message=lambda: f"all run: {states(world)}")
    for name in names:
        told = [s["state"] for s in tasks.framework.statuses(name)]
        assert set(told) == {"TASK_RUNNING"}, (name, told)
    assert len(endpoints(world.lab)) == len(handles(world.lab)) == 20
    for name in names:
        tasks.kill(name, 0)
    for name in names:
        assert tasks.ended(name)["state"] == "TASK_KILLED"
    wait_until(lambda: len(endpoints(world.lab)) == 1, message=lambda: f"the server's alone: {world.left()}")


def states(world: World) -> list[str]:
    (framework,) = get(world.host.master.port, "/state")["frameworks"]
    return [task["state"] for task in framework["tasks"]]


def all_beat(world: World, names: list[str], when: str) -> None:
    """Each of the connections carries something more."""
    had = {name: world.host.said(name).count("beat") for name in names}

    def quiet() -> list[str]:
        return [name for name in names if world.host.said(name).count("beat") <= had[name]]

    wait_until(lambda: not quiet(), message=lambda: f"{when}: nothing flows for {quiet()}")
