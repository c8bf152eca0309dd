"""An agent's HTTP front in this process, on a thread and event loop of its own, with tasks that were never launched."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import anyio
import anyio.from_thread

from tests.support.local_streams import LocalStreams
from tests.support.ports import free_port
from tortie.mesos.agent.checkpoint import TaskCheckpoint
from tortie.mesos.agent.choice import MESOS
from tortie.mesos.agent.front import router
from tortie.mesos.agent.live import Host, LiveTask
from tortie.mesos.agent.runtime import Agent, Settings
from tortie.mesos.agent.streams import Streams
from tortie.mesos.resources import parse, to_wire
from tortie.web.serve import serve, tcp_listener
from tortie.wire import mesos as wire

TASK = "11111111-aaaa-bbbb-cccc-000000000001"


class AgentApi:
    """`streams` are those of its containers. The master it looks for does not exist."""

    def __init__(self, work: Path, streams: Streams | None = None) -> None:
        self.local = LocalStreams()
        self.streams: Streams | None = streams or self.local
        self.listener: socket.socket = tcp_listener("127.0.0.1", 0)
        self.port: int = self.listener.getsockname()[1]
        info = wire.AgentInfo(
            hostname="agent.test",
            port=self.port,
            resources=to_wire(parse("cpus:4;mem:1024")),
            id=wire.ID(value="m-S1"),
        )
        nowhere = f"127.0.0.1:{free_port()}"
        settings = Settings(
            nowhere, "127.0.0.1", work / "agent", work / "cache", containerizers=[MESOS], flags={"ip": "127.0.0.1"}
        )
        self.agent = Agent(info, settings, {}, streams=self.streams)
        self._portal: anyio.from_thread.BlockingPortal | None = None
        self._thread = threading.Thread(target=anyio.run, args=(self._main,), daemon=True)
        self._up = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1"

    async def _main(self) -> None:
        async with anyio.from_thread.BlockingPortal() as portal:
            self._portal = portal
            async with anyio.create_task_group() as group:
                group.start_soon(self.agent.run)
                group.start_soon(serve, router(self.agent), [self.listener])
                self._up.set()
                await portal.sleep_until_stopped()
                group.cancel_scope.cancel()
            self.local.close()

    def __enter__(self) -> Self:
        self._thread.start()
        self._up.wait()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._portal is not None
        self._portal.start_task_soon(self._portal.stop)
        self._thread.join()

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """On the agent's event loop."""
        assert self._portal is not None
        return self._portal.call(function, *arguments)

    def task(
        self, container_id: str = TASK, arguments: Sequence[str] = ("sleep", "1000"), *, terminal: bool = False
    ) -> LiveTask:
        """One that runs, with a container of the local kind."""
        task: LiveTask = self.call(self._task, container_id, list(arguments), terminal)
        return task

    def _task(self, container_id: str, arguments: list[str], terminal: bool) -> LiveTask:
        framework = wire.FrameworkInfo(user="root", name="test", id=wire.ID(value="f-1"))
        info = wire.TaskInfo(
            name="app",
            task_id=wire.ID(value=f"app.{container_id}"),
            agent_id=wire.ID(value="m-S1"),
            resources=to_wire(parse("cpus:0.5;mem:64")),
            command=wire.CommandInfo(value=" ".join(arguments)),
        )
        saved = TaskCheckpoint(
            framework=framework,
            info=info,
            container_id=container_id,
            state="TASK_RUNNING",
            started=True,
            containerizer=MESOS,
        )
        work = self.agent.workdir
        task = LiveTask(Host("m-S1", "127.0.0.1", work), saved, work.sandbox("m-S1", saved))
        task.sandbox.mkdir(parents=True)
        self.agent.tasks[task.framework_id, task.id] = task
        self.local.run(container_id, *arguments, terminal=terminal)
        return task
