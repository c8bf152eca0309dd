"""An agent as a program: from its options to its end."""

from __future__ import annotations

import logging
import signal

import anyio

from tortie.base.errors import Unavailable
from tortie.mesos.agent.choice import DOCKER, MESOS
from tortie.mesos.agent.chosen_networks import ChosenNetworks
from tortie.mesos.agent.cni.directory import Directory
from tortie.mesos.agent.cni.networks import CniNetworks
from tortie.mesos.agent.containerizer import Containerizer
from tortie.mesos.agent.docker_containers import DockerContainers
from tortie.mesos.agent.front import router
from tortie.mesos.agent.netmodules.networks import NetModulesNetworks, present
from tortie.mesos.agent.network_choice import Way
from tortie.mesos.agent.networks import Networks
from tortie.mesos.agent.runtime import Agent, Settings
from tortie.mesos.agent.ucr.containers import UcrContainers
from tortie.mesos.agent.ucr.host_network import HostNetworks
from tortie.mesos.agent.ucr.images import Images
from tortie.mesos.agent.ucr.making import Options
from tortie.mesos.agent.ucr.oci import KNOWN, Runtime, choose
from tortie.mesos.agent.ucr.place import Place
from tortie.web.serve import serve, tcp_listener
from tortie.wire import mesos as wire

log = logging.getLogger("agent")


async def run(info: wire.AgentInfo, settings: Settings) -> None:
    """Until SIGTERM or SIGINT, which leave its containers running; SIGUSR1 ends them and unregisters."""
    listener = tcp_listener(settings.ip, info.port)
    try:
        reached = networks(info, settings) if MESOS in settings.containerizers else None
        served = containerizers(settings, reached)
        ours = served.get(MESOS)
        agent = Agent(info, settings, served, reached, ours.streams if isinstance(ours, UcrContainers) else None)
    except BaseException:
        listener.close()
        raise
    log.info("agent %s:%d work_dir=%s", settings.ip, info.port, settings.work_dir)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(serve, router(agent), [listener])
            group.start_soon(_signals, agent, group.cancel_scope)
            await agent.run()
            group.cancel_scope.cancel()
    finally:
        for containerizer in served.values():
            await containerizer.close()
    if agent.leaving:
        raise Unavailable(f"agent ended: {agent.leaving}")


def networks(info: wire.AgentInfo, settings: Settings) -> Networks:
    """The ways to a network that tasks without Docker have."""
    directory = Directory(settings.cni_config_dir, settings.cni_plugins_dir)
    ways: dict[Way, Networks] = {
        Way.HOST: HostNetworks(),
        Way.CNI: CniNetworks(directory, settings.cni_root, str(settings.work_dir)),
    }
    if settings.modules and (commands := present(settings.modules)):
        root = settings.work_dir / "isolators/network/net-modules"
        ways[Way.MODULES] = NetModulesNetworks(commands, info.hostname, root)
    return ChosenNetworks(ways)


def containerizers(settings: Settings, reached: Networks | None) -> dict[str, Containerizer]:
    """Those that are enabled, in their order. Raises Unavailable when one cannot work here."""
    made: dict[str, Containerizer] = {}
    for name in settings.containerizers:
        if name == DOCKER:
            made[name] = DockerContainers(str(settings.work_dir), docker=settings.docker, socket=settings.docker_socket)
        else:
            assert reached is not None
            made[name] = _ucr(settings, reached)
    return made


def _ucr(settings: Settings, reached: Networks) -> UcrContainers:
    own = settings.ucr
    options = Options(
        owner=str(settings.work_dir),
        data=own.store,
        variables=own.variables,
        hard=own.hard,
        processes=own.processes,
    )
    place = Place(own.runtime_dir / "ucr")
    runtime = Runtime(choose((own.program,) if own.program else KNOWN), place.runtime, own.cgroups_root)
    log.info("containers run by %s, with cgroups below %s", runtime.program, own.cgroups_root)
    try:
        return UcrContainers(options, place, runtime, Images(own.images, own.store), reached)
    except OSError as error:
        raise Unavailable(f"{error.filename}: {error.strerror}") from error


async def _signals(agent: Agent, scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGUSR1) as signals:
        async for number in signals:
            if number != signal.SIGUSR1:
                scope.cancel()
                return
            agent.leave("it was asked to unregister")
