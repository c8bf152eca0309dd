"""The agent at work: its tasks, their updates, its master."""

from __future__ import annotations

import logging
import uuid
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskGroup

from tortie.base.errors import Invalid
from tortie.mesos.agent.checkpoint import TaskCheckpoint, WorkDir
from tortie.mesos.agent.choice import DOCKER, containerizer_for, nobody
from tortie.mesos.agent.containerizer import Containerizer
from tortie.mesos.agent.fetcher import Fetcher
from tortie.mesos.agent.life import Life
from tortie.mesos.agent.link import MasterLink
from tortie.mesos.agent.live import Host, LiveTask, taken_up
from tortie.mesos.agent.nested import NestedContainers, Parent
from tortie.mesos.agent.netmodules.modules import Commands
from tortie.mesos.agent.networks import Networks
from tortie.mesos.agent.streams import Streams
from tortie.mesos.agent.sweep import Sweep
from tortie.mesos.clock import SteadyClock
from tortie.mesos.protocol import AcknowledgeUpdate, AgentCall, AgentSubscribe, MasterMessage, RunTask, StatusUpdate
from tortie.wire import mesos as wire

log = logging.getLogger("agent")


@dataclass(frozen=True, slots=True, kw_only=True)
class UcrSettings:
    """Of the Mesos containerizer. `runtime_dir`: what need not outlive the host; `images`: folders of archives;
    `store`: on a file system that overlayfs can use; `program`: an OCI runtime, empty for one that can run here."""

    runtime_dir: Path = Path("/var/run/mesos")
    images: Sequence[Path] = ()
    store: Path = Path("/var/lib/mesos/store/docker")
    cgroups_root: str = "mesos"
    program: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    hard: bool = False
    processes: int = 0


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds."""

    master: str
    ip: str
    work_dir: Path
    fetcher_cache: Path
    containerizers: Sequence[str] = (DOCKER,)
    docker: str = "docker"
    docker_socket: str = "/var/run/docker.sock"
    default_grace: float = 5.0
    remove_delay: float = 6 * 3600.0
    gc_delay: float = 7 * 86400.0
    kill_orphans: bool = True
    cni_config_dir: str = ""
    cni_plugins_dir: str = ""
    cni_root: Path = Path("/var/run/mesos/isolators/network/cni")
    modules: Commands | None = None
    ucr: UcrSettings = field(default_factory=UcrSettings)
    flags: Mapping[str, str] = field(default_factory=dict)


class Agent:
    """`containerizers` by name, in the order in which they are asked; `networks` and `streams`: those of the containers
    that the Mesos one runs. Raises Invalid when the work directory belongs to an agent that was not like this one."""

    def __init__(
        self,
        info: wire.AgentInfo,
        settings: Settings,
        containerizers: Mapping[str, Containerizer],
        networks: Networks | None = None,
        streams: Streams | None = None,
    ) -> None:
        self.settings = settings
        self.workdir = WorkDir(settings.work_dir)
        self.info = _same_as_before(self.workdir, info)
        self.clock = SteadyClock()
        self.started = self.clock()
        self.containerizers = containerizers
        self.networks = networks
        fetcher = Fetcher(settings.fetcher_cache)
        self.life = Life(containerizers, fetcher, self.clock, self.changed, settings.default_grace)
        self.link = MasterLink(settings.master, self._greeting, self._heard)
        self.nested = NestedContainers(streams, self._parent, self._beside)
        self.tasks: dict[tuple[str, str], LiveTask] = {}
        self.completed: deque[LiveTask] = deque(maxlen=1000)
        self.leaving: str | None = None
        self._wake = anyio.Event()
        self._gone = anyio.Event()
        self._group: TaskGroup | None = None
        self.recovered = False

    @property
    def id(self) -> str | None:
        return self.info.id.value if self.info.id else None

    def changed(self) -> None:
        """There may be an update to send."""
        self._wake.set()

    async def run(self) -> None:
        """Until it leaves; cancelled, it leaves its containers running."""
        async with anyio.create_task_group() as group:
            self._group = group
            self._recover()
            self.recovered = True
            group.start_soon(self.link.run)
            group.start_soon(self._send_updates)
            group.start_soon(self._sweep().run)

    def _sweep(self) -> Sweep:
        return Sweep(
            containerizers=self.containerizers,
            networks=self.networks,
            workdir=self.workdir,
            clock=self.clock,
            tasks=lambda: list(self.tasks.values()),
            remove_delay=self.settings.remove_delay,
            gc_delay=self.settings.gc_delay,
            kill_orphans=self.settings.kill_orphans,
        )

    # -- what was here before ------------------------------------------------------------------------------------------

    def _recover(self) -> None:
        if self.id is None:
            return
        host = Host(self.id, self.settings.ip, self.workdir)
        for saved in self.workdir.tasks(self.id):
            task = taken_up(host, saved)
            self.tasks[task.framework_id, task.id] = task
            if not saved.framework.checkpoint:
                self._abandon(task)
            if not task.terminal or saved.abandoned:
                self._begin(task)
        log.info("recovered tasks=%d", len(self.tasks))

    def _greeting(self) -> AgentSubscribe:
        told = [task for task in self.tasks.values() if not task.saved.abandoned]
        frameworks = {task.framework_id: task.saved.framework for task in told}
        return AgentSubscribe(
            agent_info=self.info,
            ip=self.settings.ip,
            tasks=[task.record() for task in told],
            frameworks=list(frameworks.values()),
        )

    # -- what the master says ------------------------------------------------------------------------------------------

    def _heard(self, message: MasterMessage) -> None:
        if message.registered is not None:
            self._registered(message.registered.agent_id, message.type)
        elif message.run_task is not None:
            self.run_task(message.run_task)
        elif message.kill_task is not None:
            asked = message.kill_task
            task = self.tasks.get((asked.framework_id.value, asked.task_id.value))
            if task and not task.terminal:
                self.life.kill(task, asked.kill_policy)
        elif message.acknowledge is not None:
            self._acknowledged(message.acknowledge)
        elif message.type == "UPDATE_FRAMEWORK" and message.framework and message.framework.id:
            for task in self.tasks.values():
                if task.framework_id == message.framework.id.value:
                    task.saved.framework = message.framework
                    task.updates.restart()
                    task.keep()
            self.changed()
        elif message.type == "SHUTDOWN_FRAMEWORK" and message.framework_id:
            self._shut_down(message.framework_id.value)

    def _registered(self, agent_id: wire.ID, how: str) -> None:
        log.info("%s with master %s as %s", how.lower(), self.settings.master, agent_id.value)
        if self.info.id != agent_id:
            self.info.id = agent_id
            self.workdir.keep_agent(self.info)
        for task in self.tasks.values():
            task.updates.restart()
        self.changed()

    def run_task(self, asked: RunTask) -> None:
        """Keeps the task, then begins its life. A task that is here already is left alone."""
        if asked.framework.id is None or self.id is None:
            return
        key = (asked.framework.id.value, asked.task.task_id.value)
        if key in self.tasks:
            log.warning("task %s of framework %s is here already", key[1], key[0])
            return
        host = Host(self.id, self.settings.ip, self.workdir)
        saved = TaskCheckpoint(
            framework=asked.framework, info=asked.task, container_id=str(uuid.uuid4()), state="TASK_STAGING"
        )
        saved.containerizer = containerizer_for(asked.task, list(self.containerizers)) or ""
        task = LiveTask(host, saved, self.workdir.sandbox(self.id, saved))
        task.keep()
        self.tasks[key] = task
        self._begin(task)

    def _begin(self, task: LiveTask) -> None:
        self._beside(self._whole_life, task)

    def _beside(self, function: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        assert self._group is not None
        self._group.start_soon(function, *arguments)

    def of_container(self, container_id: str) -> LiveTask | None:
        """The running task whose own container this is."""
        running = (t for t in self.tasks.values() if t.saved.started and not t.terminal)
        return next((t for t in running if t.saved.container_id == container_id), None)

    def _parent(self, container_id: str) -> Parent | None:
        task = self.of_container(container_id)
        return None if task is None else Parent(task.sandbox, docker=task.saved.containerizer == DOCKER)

    async def _whole_life(self, task: LiveTask) -> None:
        if task.saved.containerizer:
            await self.life.live(task)
        else:
            self.life.fail(task, nobody(list(self.containerizers)))
        await self.nested.end_all_in(task.saved.container_id)
        if task.saved.abandoned:
            self._done_with(task)

    def _acknowledged(self, message: AcknowledgeUpdate) -> None:
        task = self.tasks.get((message.framework_id.value, message.task_id.value))
        if task is not None and task.acknowledge(message.uuid):
            self._done_with(task)
        self.changed()

    def _done_with(self, task: LiveTask) -> None:
        self.tasks.pop((task.framework_id, task.id), None)
        self.completed.append(task)
        task.forget()
        self._gone.set()

    def _shut_down(self, framework_id: str) -> None:
        for task in [t for t in self.tasks.values() if t.framework_id == framework_id]:
            self._abandon(task)
            if task.terminal:
                self._done_with(task)

    def _abandon(self, task: LiveTask) -> None:
        """Ends it without anybody to tell."""
        task.saved.abandoned = True
        task.updates.queue.clear()
        if task.terminal:
            task.keep()
        else:
            self.life.kill(task, None)

    def leave(self, reason: str) -> None:
        """Ends every task, forgets who it was and ends."""
        self.leaving = reason
        assert self._group is not None
        self._group.start_soon(self._leave)

    async def _leave(self) -> None:
        await self.link.say(AgentCall(type="UNREGISTER"))
        for task in list(self.tasks.values()):
            self._abandon(task)
            if task.terminal:
                self._done_with(task)
        with anyio.move_on_after(self.settings.default_grace + 10):
            while self.tasks:
                self._gone = anyio.Event()
                await self._gone.wait()
        self.workdir.forget_agent()
        assert self._group is not None
        self._group.cancel_scope.cancel()

    # -- what the master is told ---------------------------------------------------------------------------------------

    async def _send_updates(self) -> None:
        while True:
            with anyio.move_on_after(1.0):
                await self._wake.wait()
            self._wake = anyio.Event()
            if not self.link.connected:
                continue
            for task in list(self.tasks.values()):
                status = task.updates.due(self.clock())
                if status is None:
                    continue
                update = StatusUpdate(
                    framework_id=wire.ID(value=task.framework_id), status=status, latest=task.saved.state
                )
                if not await self.link.say(AgentCall(type="STATUS_UPDATE", update=update)):
                    task.updates.restart()
                    break


def _same_as_before(workdir: WorkDir, info: wire.AgentInfo) -> wire.AgentInfo:
    """With the id that the master gave it once. Raises Invalid when the agent was another one then."""
    before = workdir.agent_info()
    if before is None:
        return info
    for name in ("hostname", "port", "resources", "attributes"):
        old, new = getattr(before, name), getattr(info, name)
        if old != new:
            raise Invalid(
                f"Incompatible agent info detected: {name} was {wire.encode(old).decode()} and is "
                f"{wire.encode(new).decode()}. To start as a new agent: rm -f {workdir.root}/meta/slaves/latest"
            )
    info.id = before.id
    return info
