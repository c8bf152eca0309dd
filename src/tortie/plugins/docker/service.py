"""The Docker driver of one host as one task: both sockets, the replication of networks, the collector."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import anyio

from tortie.dataplane.kernel import veth
from tortie.node.ports import EndpointGate
from tortie.plugins.docker.collect import GRACE_SECONDS
from tortie.plugins.docker.driver import Driver
from tortie.plugins.docker.engine import DockerEngine
from tortie.plugins.docker.front import app
from tortie.plugins.docker.ports import Addresses
from tortie.plugins.docker.reconcile import Collector
from tortie.plugins.docker.replicate import Replicator
from tortie.store.port import Datastore
from tortie.web.serve import serve, unix_listener
from tortie.wire.docker import DEFAULT_SOCKET, DockerClient

log = logging.getLogger("docker")

PLUGIN_DIR = Path("/run/docker/plugins")
SOCKETS = ("calico.sock", "calico-ipam.sock")


async def run_docker_driver(
    *,
    datastore: Datastore,
    gate: EndpointGate,
    addresses: Addresses,
    hostname: str,
    docker_socket: str = DEFAULT_SOCKET,
    plugin_dir: Path = PLUGIN_DIR,
    mtu: Callable[[], int | None] = lambda: None,
    grace: float = GRACE_SECONDS,
) -> None:
    """Serve until cancelled. The engine may come and go: the sockets are there at once and stay.

    Raises Unavailable when the sockets cannot be made. They are left behind at the end: the next start renames its own
    over them, so that an engine never finds the name missing (it would give up on a container's restart).
    """
    listeners = [unix_listener(plugin_dir / name) for name in SOCKETS]
    async with DockerClient(docker_socket) as docker, anyio.create_task_group() as group:
        engine = DockerEngine(docker)
        driver = Driver(
            datastore=datastore,
            gate=gate,
            addresses=addresses,
            engine=engine,
            links=veth,
            node=hostname,
            mtu=mtu,
        )
        collector = Collector(driver, engine, veth, grace=grace)
        replicator = Replicator(driver, engine, on_engine=collector.nudge)
        group.start_soon(replicator.run)
        group.start_soon(collector.run)
        log.info("serving %s", ", ".join(str(plugin_dir / name) for name in SOCKETS))
        await serve(app(driver), listeners)
        group.cancel_scope.cancel()
