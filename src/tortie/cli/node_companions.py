"""The servers that live in the node agent's process: plug-ins of container runtimes, and the clean-up of addresses."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
from anyio.abc import TaskGroup

from tortie.ipam.audit import Source
from tortie.node.agent import Agent
from tortie.store.port import Datastore
from tortie.wire.docker import DockerClient

Companion = Callable[[Agent, Datastore], Coroutine[Any, Any, None]]
"""It runs until cancelled."""


@dataclass(frozen=True, slots=True)
class LauncherPaths:
    """Where launchers find the agent, and where they keep what it is to do later; the log of net-modules' calls."""

    socket: Path
    spool: Path
    journal: Path


def companions(*, docker: bool, launchers: LauncherPaths | None) -> Sequence[Companion]:
    """`launchers` None: neither CNI nor net-modules are served."""
    found: list[Companion] = [_docker] if docker else []
    return [*found, partial(_launchers_and_collect, docker=docker, paths=launchers)]


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


async def _launchers_and_collect(
    agent: Agent, datastore: Datastore, *, docker: bool, paths: LauncherPaths | None
) -> None:
    """The clean-up asks each plug-in what lives; what none speaks for stays."""
    from tortie.node.collect import collect_addresses

    node = agent.brain.node
    sources: list[Source] = []
    # No AsyncExitStack: it can tie the contexts of cancellations to a ring, which anyio follows for ever.
    async with DockerClient() as client, anyio.create_task_group() as tasks:
        if docker:
            sources.append(_docker_source(client, datastore, node))
        if paths is not None:
            sources += _start_launchers(tasks, agent, datastore, paths)
        await collect_addresses(datastore, node, sources)


def _start_launchers(tasks: TaskGroup, agent: Agent, datastore: Datastore, paths: LauncherPaths) -> list[Source]:
    """What runtimes execute a launcher of: CNI and net-modules, on one socket."""
    from tortie.ipam.allocator import Allocator
    from tortie.plugins.cni.front import CniFront
    from tortie.plugins.cni.install import NAMES
    from tortie.plugins.cni.plugin import Plugin as Cni
    from tortie.plugins.netmodules.front import NetModulesFront
    from tortie.plugins.netmodules.install import NAME
    from tortie.plugins.netmodules.journal import Journal
    from tortie.plugins.netmodules.plugin import Plugin as NetModules
    from tortie.plugins.service import Front, run_plugins
    from tortie.plugins.source import cni_source, netmodules_source
    from tortie.plugins.spool import Spool

    brain, spool = agent.brain, Spool(paths.spool)
    addresses = Allocator(datastore, brain.node)
    cni = Cni(datastore=datastore, gate=agent, addresses=addresses, node=brain.node, mtu=lambda: brain.ways.mtu)
    modules = NetModules(
        datastore=datastore,
        gate=agent,
        addresses=addresses,
        node=brain.node,
        host=brain.address,
        mtu=lambda: brain.ways.mtu,
    )
    fronts: dict[str, Front] = dict.fromkeys(NAMES, CniFront(cni, spool))
    fronts[NAME] = NetModulesFront(modules, spool, Journal(paths.journal))
    tasks.start_soon(partial(run_plugins, fronts, spool, [cni, modules], path=paths.socket, folder=paths.spool))
    return [
        cni_source(datastore, cni.busy, node=brain.node),
        netmodules_source(datastore, modules.busy, node=brain.node),
    ]


def _docker_source(client: DockerClient, datastore: Datastore, node: str) -> Source:
    from tortie.plugins.docker.engine import DockerEngine
    from tortie.plugins.docker.source import docker_source

    engine = DockerEngine(client)
    # Asked from the collector's worker thread.
    return docker_source(datastore, lambda: anyio.from_thread.run(engine.endpoint_ids), node=node)
