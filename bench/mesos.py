"""From an accepted offer to a running task, against `docker run -d` on the same engine; allocation among many tasks."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.docker_host import DockerHost
from tests.support.mesos_client import Framework, task
from tests.support.mesos_cluster import MesosCluster

from tortie.mesos.master import agents, frameworks, offers
from tortie.mesos.master.cluster import Cluster
from tortie.mesos.protocol import AgentSubscribe
from tortie.mesos.resources import parse, to_wire
from tortie.wire import mesos as wire

ROUNDS = 10
AGENTS = 50
TASKS = 5000


def _timed(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def _engine(host: DockerHost) -> float:
    return _timed(lambda: host.docker("run", "-d", "--net=none", host.image, "/bin/sleep", "60"))


def _ours(framework: Framework, name: str) -> float:
    offer = framework.offer()
    container = {"type": "DOCKER", "docker": {"image": DockerHost.image, "network": "NONE"}}
    described = task(offer, name, command={"value": "exec sleep 60"}, container=container)

    def launch() -> None:
        framework.accept(offer, described)
        framework.status(name, "TASK_RUNNING")

    return _timed(launch)


def _launches() -> list[tuple[str, str]]:
    with (
        tempfile.TemporaryDirectory() as work,
        DockerHost("mesosb") as host,
        MesosCluster(Path(work), docker_socket=host.socket) as cluster,
    ):
        framework = Framework(cluster.master.port).subscribe()
        _engine(host), _ours(framework, "warm")
        pairs = [(_engine(host), _ours(framework, f"t{n}")) for n in range(ROUNDS)]
        framework.close()
    engine, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
    return [
        ("docker run -d (median)", f"{engine * 1000:.0f} ms"),
        ("ACCEPT to TASK_RUNNING with its address (median)", f"{ours * 1000:.0f} ms"),
        ("ratio of neighbouring launches (median)", f"{statistics.median(b / a for a, b in pairs):.2f}"),
    ]


def _large() -> list[tuple[str, str]]:
    """One round of allocation with every agent free again, and one launch, in a cluster of many tasks."""
    cluster = Cluster(wire.MasterInfo(id="m", ip=0, port=5050))
    for number in range(AGENTS):
        info = wire.AgentInfo(hostname=f"h{number}", resources=to_wire(parse("cpus:64;mem:262144;ports:[1025-32000]")))
        agents.subscribe(cluster, AgentSubscribe(agent_info=info, ip="10.0.0.1"), f"a{number}", 0.0)
    me = wire.FrameworkInfo(user="root", name="f", failover_timeout=60.0, checkpoint=True)
    framework = frameworks.subscribe(cluster, wire.Subscribe(framework_info=me), "f", 0.0)
    assert framework is not None
    shuffle = random.Random(1)
    offers.make(cluster, 0.0, shuffle)
    per_agent = TASKS // AGENTS
    started = time.perf_counter()
    for offer in list(cluster.offers.values()):
        wanted = to_wire(parse("cpus:0.1;mem:64"))
        infos = [
            wire.TaskInfo(
                name="t",
                task_id=wire.ID(value=f"{offer.id}.{n}"),
                agent_id=wire.ID(value=offer.agent_id),
                resources=wanted,
                command=wire.CommandInfo(value="x"),
            )
            for n in range(per_agent)
        ]
        launch = wire.Operation(type="LAUNCH", launch=wire.Launch(task_infos=infos))
        filters = wire.Filters(refuse_seconds=0.0)
        accept = wire.Accept(offer_ids=[wire.ID(value=offer.id)], operations=[launch], filters=filters)
        offers.accept(cluster, framework, accept, 0.0)
    launching = (time.perf_counter() - started) / TASKS
    assert len(framework.tasks) == TASKS
    allocation = _timed(lambda: offers.make(cluster, 1.0, shuffle))
    return [
        (f"launching one of {TASKS} tasks on {AGENTS} agents", f"{launching * 1e6:.0f} us"),
        (f"one round of allocation with {TASKS} tasks running", f"{allocation * 1000:.1f} ms"),
    ]


def run() -> list[tuple[str, str]]:
    return [*_launches(), *_large()]
