"""An agent as a program: from its options to its end."""

from __future__ import annotations

import logging
import signal

import anyio

from tortie.base.errors import Unavailable
from tortie.mesos.agent.choice import DOCKER
from tortie.mesos.agent.containerizer import Containerizer
from tortie.mesos.agent.docker_containers import DockerContainers
from tortie.mesos.agent.front import router
from tortie.mesos.agent.runtime import Agent, Settings
from tortie.web.serve import serve, tcp_listener
from tortie.wire import mesos as wire

log = logging.getLogger("agent")


async def run(info: wire.AgentInfo, settings: Settings) -> None:
    """Until SIGTERM or SIGINT, which leave its containers running; SIGUSR1 ends them and unregisters."""
    listener = tcp_listener(settings.ip, info.port)
    try:
        served = containerizers(settings)
        agent = Agent(info, settings, served)
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


def containerizers(settings: Settings) -> dict[str, Containerizer]:
    """Those that are enabled, in their order."""
    docker = DockerContainers(str(settings.work_dir), docker=settings.docker, socket=settings.docker_socket)
    known: dict[str, Containerizer] = {DOCKER: docker}
    return {name: known[name] for name in settings.containerizers}


async def _signals(agent: Agent, scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGUSR1) as signals:
        async for number in signals:
            if number != signal.SIGUSR1:
                scope.cancel()
                return
            agent.leave("it was asked to unregister")
