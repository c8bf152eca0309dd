"""Tasks of the Mesos containerizer on a real node's network by net-modules."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from tests.kernel.netlab import Lab
from tests.kernel.test_netmodules_kernel import A1, Agent, endpoints, handles
from tests.support.machine import needs_oci_runtime
from tests.support.mesos_client import get
from tests.support.netns import within
from tests.support.ucr_host import Tasks, UcrHost, container_of
from tests.support.waiting import wait_until

from tortie.model.kinds.workload_endpoint import TASK_ANNOTATION, WORKLOAD_ENDPOINT
from tortie.wire.netmodules import HOOK, ISOLATOR

pytestmark = [pytest.mark.root, needs_oci_runtime, pytest.mark.timeout(900)]
Json = dict[str, Any]


class World:
    """A host with a node, a master and an agent that speaks net-modules."""

    def __init__(self, tmp: pytest.TempPathFactory) -> None:
        work = tmp.mktemp("ucr-net-modules")
        self.lab = Lab(work)
        self.agent = Agent(self.lab, "agent-1", A1)
        modules = self.agent.command.parent / "modules.json"
        flags = ["--modules", f"file://{modules}", "--isolation", f"{ISOLATOR},docker/runtime", "--hooks", HOOK]
        self.host = UcrHost(work, agent=[*flags, "--hostname", A1])

    def left(self) -> list[str]:
        """Everything of containers that is in the network, or kept."""
        kept = (self.host.work_dir / "isolators/network/net-modules").glob("*")
        return [*endpoints(self.lab), *handles(self.lab), *self.agent.links(), *map(str, kept)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory)
    try:
        with within(world.agent.host.netns), world.host:
            yield world
    finally:
        world.lab.close()


@pytest.fixture
def tasks(world: World) -> Iterator[Tasks]:
    with Tasks(world.host) as ours:
        yield ours
    wait_until(lambda: not world.left(), message=lambda: f"nothing of it is left in the network: {world.left()}")


def groups(*names: str, **more: Any) -> Json:
    return {"network_infos": [{"ip_addresses": [{"protocol": "IPv4"}], "groups": list(names), **more}]}


def address_of(status: Json) -> str:
    (info,) = status["container_status"]["network_infos"]
    (address,) = info["ip_addresses"]
    found: str = address["ip_address"]
    return found


def test_a_task_has_an_address_of_its_own_and_everybody_is_told(world: World, tasks: Tasks) -> None:
    labels = {"labels": [{"key": "app", "value": "web"}]}
    line = "ip -o -4 addr; echo libprocess=$LIBPROCESS_IP; echo told; sleep 1000"
    status = tasks.started("web", line, container=groups("star-1", "public", labels=labels))
    assert status["state"] == "TASK_RUNNING", status
    address = address_of(status)
    (info,) = status["container_status"]["network_infos"]
    assert (info["groups"], info["labels"]) == (["star-1", "public"], labels)
    wait_until(lambda: "told" in world.host.said("web"), message=lambda: world.host.said("web"))
    assert f"inet {address}/32" in world.host.said("web")
    assert f"libprocess={address}\n" in world.host.said("web")
    (endpoint,) = world.lab.client.list(WORKLOAD_ENDPOINT).items
    assert endpoint.spec.workload == container_of(status)
    assert endpoint.spec.profiles == (f"default_{A1}", "public", "star-1")
    assert (endpoint.metadata.labels["app"], endpoint.metadata.annotations[TASK_ANNOTATION]) == ("web", "web")
    shown = get(world.host.agent.port, "/containers")[0]["status"]
    assert shown == status["container_status"]


def test_it_is_opt_in_and_a_task_without_an_image_may(world: World, tasks: Tasks) -> None:
    status = tasks.started("plain", "ip -o link; echo told; sleep 1000")
    assert status["state"] == "TASK_RUNNING", status
    wait_until(lambda: "told" in world.host.said("plain"))
    assert "eth0" in world.host.said("plain")
    assert endpoints(world.lab) == []
    own = tasks.started("own", "ip -o -4 addr; echo told; sleep 1000", container=groups("star-1"), image="")
    wait_until(lambda: "told" in world.host.said("own"))
    assert f"inet {address_of(own)}/32" in world.host.said("own")


def test_what_net_modules_refuses_fails_the_task_in_its_words(world: World, tasks: Tasks) -> None:
    fixed = {"ip_addresses": [{"ip_address": "192.168.7.7"}]}
    tasks.started("holder", "sleep 1000", container=groups("star-1", **fixed))
    cases = {
        "two": (
            {"network_infos": [*groups("a")["network_infos"], *groups("b")["network_infos"]]},
            "NetworkIsolator:: multiple NetworkInfos are not supported.",
        ),
        "six": (groups("a", ip_addresses=[{"protocol": "IPv6"}]), "IPv6 is not supported at this time."),
        "taken": (groups("a", **fixed), "calico_mesos returned error: IP '192.168.7.7' already in use."),
    }
    for name, (container, said) in cases.items():
        tasks.run(name, "sleep 1000", container=container)
        failed = tasks.ended(name)
        assert (failed["state"], failed["reason"]) == ("TASK_FAILED", "REASON_CONTAINER_LAUNCH_FAILED")
        assert said in failed["message"], failed["message"]
    assert len(endpoints(world.lab)) == 1


def test_tasks_outlive_the_agent_and_end_while_it_is_away(world: World, tasks: Tasks) -> None:
    before = {name: tasks.started(name, "sleep 1000", container=groups("star-1")) for name in ("stays", "ends")}
    world.host.agent.stop(signal.SIGKILL)
    world.host.agent.start()
    wait_until(lambda: [a["active"] for a in get(world.host.master.port, "/slaves")["slaves"]] == [True])
    addresses = {name: address_of(status) for name, status in before.items()}
    wait_until(lambda: told(world) == addresses, message=lambda: told(world))
    tasks.kill("ends", 0)
    assert tasks.ended("ends")["state"] == "TASK_KILLED"
    wait_until(lambda: len(endpoints(world.lab)) == len(handles(world.lab)) == 1, message=world.left)


def told(world: World) -> dict[str, str]:
    (framework,) = get(world.host.master.port, "/state")["frameworks"]
    return {task["id"]: address_of(task["statuses"][-1]) for task in framework["tasks"]}
