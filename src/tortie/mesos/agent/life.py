"""The life of one task: fetch, prepare, run, watch, end."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import anyio

from tortie.base.errors import Invalid, NotFound, TortieError, Unavailable
from tortie.mesos.agent.checks import passes
from tortie.mesos.agent.containerizer import Containerizer, Seen
from tortie.mesos.agent.docker_run import Launch
from tortie.mesos.agent.fetcher import Fetcher
from tortie.mesos.agent.health import Health
from tortie.mesos.agent.live import LiveTask
from tortie.mesos.agent.sandbox_files import appending
from tortie.mesos.agent.status import container_status, terminal_state
from tortie.wire import mesos as wire

log = logging.getLogger("agent")


@dataclass(frozen=True, slots=True)
class Life:
    """`containerizers` by the names that checkpoints have for them; `clock` says now; `changed` is called after each
    report."""

    containerizers: Mapping[str, Containerizer]
    fetcher: Fetcher
    clock: Callable[[], float]
    changed: Callable[[], None]
    default_grace: float = 5.0

    async def live(self, task: LiveTask) -> None:
        """From wherever the task stands to its terminal state; never raises for what befalls the task."""
        try:
            if task.saved.containerizer not in self.containerizers:
                raise Invalid(
                    f"The containerizer '{task.saved.containerizer}' that the task was given to is not enabled"
                )
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

    def _by(self, task: LiveTask) -> Containerizer:
        return self.containerizers[task.saved.containerizer]

    # -- launch --------------------------------------------------------------------------------------------------------

    async def _launch(self, task: LiveTask) -> None:
        launch = self._where(task)
        by = self._by(task)
        if await self._runs_already(by, launch.name):
            self._started(task)
            return
        with anyio.CancelScope() as task.launching:
            if not task.killed:
                try:
                    await self._prepare(task, launch)
                except TortieError:
                    with anyio.CancelScope(shield=True):
                        await self._remove(by, launch.name)
                    raise
                with anyio.CancelScope(shield=True):
                    _say(task, "stdout", f"Starting task {task.id}")
                    task.saved.log_base = {n: (task.sandbox / n).stat().st_size for n in ("stdout", "stderr")}
                    task.keep()
                    await by.start(launch)
                    self._started(task)
                return
        task.launching = None
        await self._remove(by, launch.name)
        self._report(
            task, "TASK_KILLED", "Container destroyed while it was being prepared", "REASON_EXECUTOR_TERMINATED"
        )

    def name_of(self, task: LiveTask) -> str:
        """Its container's."""
        return self._where(task).name

    def _where(self, task: LiveTask) -> Launch:
        info = task.saved.info
        user = (info.command.user if info.command else None) or task.saved.framework.user
        return Launch(info, task.saved.container_id, str(task.sandbox), str(task.host.workdir.root), user)

    async def _runs_already(self, by: Containerizer, name: str) -> bool:
        """Whether an agent before us had started it; half a container is removed."""
        try:
            if (await by.look(name)).started:
                return True
        except NotFound:
            return False
        except Unavailable as error:
            log.warning("%s", error)
            return False
        await by.remove(name)
        return False

    async def _remove(self, by: Containerizer, name: str) -> None:
        """What cannot be done now is the sweep's."""
        try:
            await by.remove(name)
        except TortieError as error:
            log.warning("%s", error)

    async def _prepare(self, task: LiveTask, launch: Launch) -> None:
        """Everything that can be refused is looked at before anything is fetched."""
        by = self._by(task)
        by.check(launch)
        command = launch.task.command or wire.CommandInfo(shell=False)
        try:
            task.host.workdir.make_sandbox(task.host.agent_id, task.saved, launch.user)
        except (Invalid, OSError) as error:
            raise Invalid(f"Failed to launch container: Failed to create the sandbox: {error}") from error
        for uri in command.uris:
            try:
                await self.fetcher.fetch(uri, task.sandbox, launch.user, lambda text: _say(task, "stderr", text))
            except (TortieError, OSError) as error:
                _say(task, "stderr", f"Failed to fetch '{uri.value}': {error}")
                raise Invalid(
                    f"Failed to launch container: Failed to fetch all URIs for container '{task.saved.container_id}' "
                    f"with exit status: 256: {error}"
                ) from error
        try:
            await by.prepare(launch)
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
        by, name = self._by(task), self._where(task).name
        while True:
            try:
                seen = await by.look(name)
                task.networks, task.pid = task.networks or seen.networks, task.pid or seen.pid
                if task.saved.state == "TASK_STAGING" and seen.started:
                    self._report(task, "TASK_RUNNING", None, None, data=seen.data, labels=_labels(seen))
                if seen.exit is not None:
                    await self._release(by, name)
                    state = terminal_state(seen.exit, killed=task.killed)
                    self._report(task, state, seen.exit.message, seen.exit.reason)
                    return
                await by.wait(name)
            except NotFound:
                final: wire.TaskState = "TASK_KILLED" if task.killed else "TASK_FAILED"
                self._report(task, final, "The container was removed", "REASON_EXECUTOR_TERMINATED")
                return
            except TortieError as error:
                log.warning("task %s: %s", task.id, error)
                await anyio.sleep(1)

    async def _release(self, by: Containerizer, name: str) -> None:
        """The task has ended all the same when it fails: the containerizer tries again."""
        try:
            await by.release(name)
        except TortieError as error:
            log.warning("%s", error)

    async def _logs(self, task: LiveTask, done: anyio.Event) -> None:
        name = self._where(task).name
        while True:
            try:
                await self._by(task).follow_output(name, task.sandbox, task.saved.log_base)
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
            ok, said = await passes(self._by(task), self._where(task).name, check)
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
        by, name = self._by(task), self._where(task).name
        gentle = True
        while True:
            try:
                if gentle:
                    signal = (await by.look(name)).stop_signal
                    gentle = False
                    hears = task.patient or await by.hears(name, signal)
                    await by.signal(name, signal)
                    if not hears:
                        task.kill_deadline = self.clock()
                await self._until_deadline(task)
                await by.signal(name, "SIGKILL")
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
        where = container_status(task.saved.info, task.saved.container_id, task.networks, task.host.ip, task.pid)
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
        with appending(task.sandbox, stream) as file:
            file.write(f"{text}\n".encode())


def _labels(seen: Seen) -> wire.Labels | None:
    return wire.Labels(labels=[wire.Label(key=k, value=v) for k, v in seen.labels.items()]) if seen.labels else None
