"""The servers that live in the node agent's process: plug-ins of container runtimes, and the clean-up of addresses."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread

from tortie.ipam.audit import Source
from tortie.node.agent import Agent
from tortie.store.port import Datastore
from tortie.wire.docker import DockerClient

Companion = Callable[[Agent, Datastore], Coroutine[Any, Any, None]]
"""It runs until cancelled."""


@dataclass(frozen=True, slots=True)
class CniPaths:
    """Where launchers find the agent, and where they keep what it is to do later."""

    socket: Path
    spool: Path


def companions(*, docker: bool, cni: CniPaths | None) -> Sequence[Companion]:
    """`cni` None: no CNI plug-in is served."""
    found: list[Companion] = [_docker] if docker else []
    return [*found, partial(_cni_and_collect, docker=docker, cni=cni)]


async def _docker(agent: Agent, datastore: Datastore) -> None:
    from tortie.ipam.allocator import Allocator
    from tortie.plugins.docker.service import run_docker_driver

    await run_docker_driver(
        datastore=datastore,
        gate=agent,
        addresses=Allocator(datastore, agent.brain.node),
        hostname=agent.brain.node,
        mtu=lambda: agent.brain.ways.mtu,
    )


async def _cni_and_collect(agent: Agent, datastore: Datastore, *, docker: bool, cni: CniPaths | None) -> None:
    """The clean-up asks each plug-in what lives; what none speaks for stays."""
    from tortie.node.collect import collect_addresses

    node = agent.brain.node
    sources: list[Source] = []
    # No AsyncExitStack: it can tie the contexts of cancellations to a ring, which anyio follows for ever.
    async with DockerClient() as client, anyio.create_task_group() as tasks:
        if docker:
            sources.append(_docker_source(client, datastore, node))
        if cni is not None:
            from tortie.ipam.allocator import Allocator
            from tortie.plugins.cni.plugin import Plugin
            from tortie.plugins.cni.service import run_cni
            from tortie.plugins.cni.source import cni_source

            plugin = Plugin(
                datastore=datastore,
                gate=agent,
                addresses=Allocator(datastore, node),
                node=node,
                mtu=lambda: agent.brain.ways.mtu,
            )
            sources.append(cni_source(datastore, lambda: list(plugin.handles), node=node))
            tasks.start_soon(partial(run_cni, plugin, path=cni.socket, spool=cni.spool))
        await collect_addresses(datastore, node, sources)


def _docker_source(client: DockerClient, datastore: Datastore, node: str) -> Source:
    from tortie.plugins.docker.engine import DockerEngine
    from tortie.plugins.docker.source import docker_source

    engine = DockerEngine(client)
    # Asked from the collector's worker thread.
    return docker_source(datastore, lambda: anyio.from_thread.run(engine.endpoint_ids), node=node)
