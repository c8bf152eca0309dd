"""The life of one Docker task: fetch, pull, run, watch, end."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

import anyio

from tortie.base.errors import Invalid, NotFound, TortieError, Unavailable
from tortie.mesos.agent.checks import passes
from tortie.mesos.agent.containers import Containers
from tortie.mesos.agent.docker_run import Launch, create_arguments, docker_of
from tortie.mesos.agent.fetcher import Fetcher
from tortie.mesos.agent.health import Health
from tortie.mesos.agent.live import LiveTask
from tortie.mesos.agent.status import container_status, ended, found_addresses, running_parts, was_started
from tortie.wire import mesos as wire

log = logging.getLogger("agent")


@dataclass(frozen=True, slots=True)
class Life:
    """`clock` says now; `changed` is called after each report."""

    containers: Containers
    fetcher: Fetcher
    clock: Callable[[], float]
    changed: Callable[[], None]
    default_grace: float = 5.0

    async def live(self, task: LiveTask) -> None:
        """From wherever the task stands to its terminal state; never raises for what befalls the task."""
        try:
            if not task.saved.started:
                await self._launch(task)
            if not task.terminal:
                await self._watch(task)
        except TortieError as error:
            self.fail(task, str(error))
        log.info("task %s ended: %s", task.id, task.saved.state)

    def fail(self, task: LiveTask, message: str) -> None:
        """It cannot be run here at all."""
        self._report(task, "TASK_FAILED", message, "REASON_CONTAINER_LAUNCH_FAILED")

    # -- launch --------------------------------------------------------------------------------------------------------

    async def _launch(self, task: LiveTask) -> None:
        launch = self._where(task)
        if await self._runs_already(launch.name):
            self._started(task)
            return
        with anyio.CancelScope() as task.launching:
            if not task.killed:
                await self._prepare(task, launch)
                with anyio.CancelScope(shield=True):
                    _say(task, "stdout", f"Starting task {task.id}")
                    task.saved.log_base = {n: (task.sandbox / n).stat().st_size for n in ("stdout", "stderr")}
                    task.keep()
                    await self.containers.start(launch)
                    self._started(task)
                return
        task.launching = None
        await self.containers.remove(launch.name)
        self._report(
            task, "TASK_KILLED", "Container destroyed while it was being prepared", "REASON_EXECUTOR_TERMINATED"
        )

    def _where(self, task: LiveTask) -> Launch:
        return Launch(task.saved.info, task.saved.container_id, str(task.sandbox), self.containers.owner)

    async def _runs_already(self, name: str) -> bool:
        """Whether an agent before us had started it; half a container is removed."""
        try:
            if was_started(await self.containers.inspect(name)):
                return True
        except NotFound:
            return False
        except Unavailable as error:
            log.warning("%s", error)
            return False
        await self.containers.remove(name)
        return False

    async def _prepare(self, task: LiveTask, launch: Launch) -> None:
        """Everything that can be refused is looked at before anything is fetched."""
        info = task.saved.info
        create_arguments(launch)
        command = info.command or wire.CommandInfo(shell=False)
        user = command.user or task.saved.framework.user
        try:
            task.host.workdir.make_sandbox(task.host.agent_id, task.saved, user)
        except (Invalid, OSError) as error:
            raise Invalid(f"Failed to launch container: Failed to create the sandbox: {error}") from error
        for uri in command.uris:
            try:
                await self.fetcher.fetch(uri, task.sandbox, user, lambda text: _say(task, "stderr", text))
            except (TortieError, OSError) as error:
                _say(task, "stderr", f"Failed to fetch '{uri.value}': {error}")
                raise Invalid(
                    f"Failed to launch container: Failed to fetch all URIs for container '{task.saved.container_id}' "
                    f"with exit status: 256: {error}"
                ) from error
        docker = docker_of(info)[1]
        try:
            await self.containers.pull(docker.image, force=bool(docker.force_pull_image))
        except TortieError as error:
            raise Invalid(f"Failed to launch container: {error}") from error

    def _started(self, task: LiveTask) -> None:
        task.launching = None
        task.saved.started = True
        task.keep()

    # -- watch ---------------------------------------------------------------------------------------------------------

    async def _watch(self, task: LiveTask) -> None:
        async with anyio.create_task_group() as group:
            logs = anyio.Event()
            group.start_soon(self._logs, task, logs)
            if task.killed:
                self._begin_end(task)
                group.start_soon(self._end, task)
            else:
                group.start_soon(self._end_when_asked, task)
            group.start_soon(self._health, task)
            await self._until_ended(task)
            with anyio.move_on_after(5):
                await logs.wait()
            group.cancel_scope.cancel()

    async def _until_ended(self, task: LiveTask) -> None:
        name = self._where(task).name
        while True:
            try:
                inspect = await self.containers.inspect(name)
                state = inspect.get("State") or {}
                task.addresses = task.addresses or found_addresses(inspect)
                if task.saved.state == "TASK_STAGING" and was_started(inspect):
                    self._report(task, "TASK_RUNNING", None, None, **running_parts(inspect, task.addresses))
                if not state.get("Running"):
                    final, message = ended(state, killed=task.killed)
                    self._report(task, final, message, None)
                    return
                await self.containers.wait(name)
            except NotFound:
                final = "TASK_KILLED" if task.killed else "TASK_FAILED"
                self._report(task, final, "The container was removed", "REASON_EXECUTOR_TERMINATED")
                return
            except TortieError as error:
                log.warning("task %s: %s", task.id, error)
                await anyio.sleep(1)

    async def _logs(self, task: LiveTask, done: anyio.Event) -> None:
        name = self._where(task).name
        while True:
            try:
                tty = bool((await self.containers.inspect(name)).get("Config", {}).get("Tty"))
                await self.containers.follow_logs(name, task.sandbox, task.saved.log_base, tty=tty)
                if not (await self.containers.inspect(name)).get("State", {}).get("Running"):
                    break
            except Unavailable as error:
                log.debug("logs of %s: %s", task.id, error)
            except (TortieError, OSError) as error:
                log.warning("logs of %s: %s", task.id, error)
                break
            await anyio.sleep(1)
        done.set()

    async def _health(self, task: LiveTask) -> None:
        check = task.saved.info.health_check
        if check is None:
            return
        health = Health.of(check, task.healthy)
        began = task.running_since or self.clock()
        await anyio.sleep(max(check.delay_seconds - (self.clock() - began), 0))
        while not task.killed:
            ok, said = await passes(self.containers, self._where(task).name, check)
            verdict = health.judge(ok=ok, age=self.clock() - began)
            if not ok:
                log.info("task %s: health check failed (%d in a row): %s", task.id, health.failures, said)
            if verdict.healthy is not None and task.saved.state == "TASK_RUNNING":
                task.healthy = verdict.healthy
                self._report(task, "TASK_RUNNING", None if ok else f"Health check failed: {said}"[:500], None)
            if verdict.kill:
                self.kill(task, None)
            await anyio.sleep(max(check.interval_seconds, 0.1))

    # -- end -----------------------------------------------------------------------------------------------------------

    def kill(self, task: LiveTask, policy: wire.KillPolicy | None) -> None:
        """Asks it to end. A second wish may only shorten the time it has."""
        policy = policy or task.saved.info.kill_policy
        grace = policy.grace_period.seconds if policy and policy.grace_period else self.default_grace
        task.patient = bool(policy and policy.grace_period)
        task.kill_deadline = min(task.kill_deadline, self.clock() + max(grace, 0))
        task.keep()
        if task.launching is not None:
            task.launching.cancel()
        task.kill_changed.set()

    async def _end_when_asked(self, task: LiveTask) -> None:
        await task.kill_changed.wait()
        self._begin_end(task)
        await self._end(task)

    def _begin_end(self, task: LiveTask) -> None:
        if task.saved.framework.can("TASK_KILLING_STATE") and task.saved.state == "TASK_RUNNING":
            self._report(task, "TASK_KILLING", None, None)

    async def _end(self, task: LiveTask) -> None:
        """Its own stop signal, then SIGKILL at the deadline; the engine being away only delays it.

        Nobody waits for a first process that cannot notice the signal, as a plain shell, unless the time was asked for.
        """
        name = self._where(task).name
        gentle = True
        while True:
            try:
                if gentle:
                    inspect = await self.containers.inspect(name)
                    gentle = False
                    signal = inspect.get("Config", {}).get("StopSignal") or "SIGTERM"
                    hears = task.patient or await self.containers.hears(name, inspect, signal)
                    await self.containers.signal(name, signal)
                    if not hears:
                        task.kill_deadline = self.clock()
                await self._until_deadline(task)
                await self.containers.signal(name, "SIGKILL")
                return
            except NotFound:
                return
            except TortieError as error:
                log.warning("task %s: %s", task.id, error)
                await anyio.sleep(1)

    async def _until_deadline(self, task: LiveTask) -> None:
        while (left := task.kill_deadline - self.clock()) > 0:
            task.kill_changed = anyio.Event()
            with anyio.move_on_after(left if math.isfinite(left) else None):
                await task.kill_changed.wait()

    def _report(
        self, task: LiveTask, state: wire.TaskState, message: str | None, reason: str | None, **parts: object
    ) -> None:
        where = container_status(task.saved.info, task.saved.container_id, task.addresses, task.host.ip)
        status = wire.TaskStatus(
            task_id=task.saved.info.task_id,
            state=state,
            message=message,
            reason=reason,
            source="SOURCE_EXECUTOR" if reason is None else "SOURCE_AGENT",
            executor_id=wire.ID(value=task.id),
            timestamp=self.clock(),
            container_status=where,
            healthy=task.healthy,
        )
        for name, value in parts.items():
            setattr(status, name, value)
        task.report(status)
        self.changed()


def _say(task: LiveTask, stream: str, text: str) -> None:
    """A line of the agent's own in the task's output."""
    if task.sandbox.exists():
        with (task.sandbox / stream).open("a") as file:
            file.write(f"{text}\n")
