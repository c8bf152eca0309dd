"""Marathon on the real master, agent and Docker Engine: a group runs, survives kills of every daemon, and goes."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.docker_host import DockerHost
from tests.support.mesos_cluster import TORTIE, Daemon, MesosCluster
from tests.support.ports import free_port
from tests.support.waiting import until

from tortie.base.errors import Unavailable
from tortie.wire.marathon import MarathonClient
from tortie.wire.marathon_apps import App

pytestmark = [pytest.mark.docker, pytest.mark.root, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def host() -> Iterator[DockerHost]:
    with DockerHost("marathon") as started:
        yield started


@pytest.fixture
def cluster(host: DockerHost, tmp_path: Path) -> Iterator[MesosCluster]:
    with MesosCluster(tmp_path, docker_socket=host.socket) as started:
        yield started


class Marathon(Daemon):
    """Answers /ping instead of /health."""

    def __init__(self, work: Path, master: int) -> None:
        port = free_port()
        super().__init__(
            port,
            work / "marathon.log",
            *("marathon", "run", "--master", f"127.0.0.1:{master}", "--store", f"sqlite://{work}/store"),
            *("--http-port", str(port), "--http-address", "127.0.0.1", "--hostname", "127.0.0.1"),
            *("--reconciliation-initial-delay", "1000", "--mesos-role", "slave_public"),
            *("--default-accepted-resource-roles", "*"),
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def docker_app(name: str, line: str = "sleep 1000", **fields: Any) -> dict[str, Any]:
    docker = {"image": DockerHost.image, "network": "NONE"}
    return {
        "id": name,
        "cmd": line,
        "cpus": 0.1,
        "mem": 32,
        "container": {"type": "DOCKER", "docker": docker},
        **fields,
    }


def test_a_group_runs_and_survives_every_daemon(host: DockerHost, cluster: MesosCluster, tmp_path: Path) -> None:
    marathon = Marathon(tmp_path, cluster.master.port)

    async def story() -> None:
        async with MarathonClient(marathon.url) as client:

            async def apps() -> dict[str, App]:
                try:
                    return {app.id: app for app in (await client.apps())[0]}
                except Unavailable:
                    return {}

            async def running(count: int) -> bool:
                found = await apps()
                return bool(found) and sum(app.tasks_running for app in found.values()) == count

            async def settled() -> bool:
                return bool(await apps()) and await client.deployments() == []

            await until(lambda: ready(client))
            body = {"apps": [docker_app("a"), docker_app("b", instances=2), docker_app("exits", "exit 3", instances=0)]}
            await client.put_group("g", body)
            await until(settled)
            before = containers(host)
            assert len(before) == 3
            (task,) = (await apps())["/g/a"].tasks or []
            assert task.ip_addresses
            for daemon in (marathon, cluster.master, cluster.agent):
                await asyncio.to_thread(daemon.stop, signal.SIGKILL)
                await asyncio.to_thread(start, daemon)
                await until(lambda: running(3))
            assert containers(host) == before
            await client.put_app("g/a", {"labels": {"changed": "yes"}})
            await until(settled)
            assert len(containers(host) - before) == 1
            await client.put_app("g/exits", {"instances": 1, "backoffSeconds": 100})
            await until(lambda: failed(client))
            await client.delete_group("g", force=True)
            await until(lambda: not containers(host))

    start(marathon)
    try:
        asyncio.run(story())
    finally:
        marathon.stop()


def start(daemon: Daemon) -> None:
    """Marathon answers no /health: it is waited for by its own API."""
    if not isinstance(daemon, Marathon):
        daemon.start()
        return
    with daemon.log.open("ab") as log:
        daemon.process = subprocess.Popen([*TORTIE, *daemon.arguments], stdin=subprocess.DEVNULL, stderr=log)


async def ready(client: MarathonClient) -> bool:
    try:
        await client.apps()
    except Unavailable:
        return False
    return True


async def failed(client: MarathonClient) -> bool:
    """The app's task ended by itself, and the reason is known."""
    (app,) = [app for app in (await client.apps(["apps.lastTaskFailure"]))[0] if app.id == "/g/exits"]
    return app.last_task_failure is not None and app.last_task_failure.message == "Container exited with status 3"


def containers(host: DockerHost) -> set[str]:
    return set(host.docker("ps", "-q", "--no-trunc").stdout.split())
