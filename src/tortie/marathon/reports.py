"""What is learned about tasks: their status updates. No I/O; `now` is given."""

from __future__ import annotations

import msgspec

from tortie.framework import calls
from tortie.marathon import events
from tortie.marathon.checkups import Checkups
from tortie.marathon.deploy.instance import FAILURES, KILLING, RUNNING, UNREACHABLE, Instance, absorb, ended, meaning
from tortie.marathon.model import ids
from tortie.marathon.world import World
from tortie.wire import mesos

_BACKS_OFF = FAILURES | {"TASK_FINISHED"}


class Reports(Checkups):
    """Takes reports into the world and remembers which apps they touched (`_dirty`)."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._kill_sent: dict[str, float] = {}

    def status(self, status: mesos.TaskStatus, now: float) -> None:
        """One status update, ours or not; acknowledged when it asks for that."""
        state = meaning(status)
        instance = self.world.instances.get(status.task_id.value)
        if instance is None:
            self._stranger(status, state, now)
        elif ended(state):
            self._ended(instance, status, state, now)
        else:
            self._alive(instance, status, now)
        self.world.out.calls += calls.acknowledge(status)

    def _stranger(self, status: mesos.TaskStatus, state: str, now: float) -> None:
        """A task we do not know: it is killed if it runs."""
        task_id = status.task_id.value
        if ended(state):
            if state != "TASK_UNKNOWN":
                kind = "unknown_instance_terminated_event"
                spec, condition = ids.app_of_task(task_id), state.removeprefix("TASK_").capitalize()
                self._own_words(spec, status)
                self.world.out.events.append(
                    events.event(kind, now, instanceId=task_id, runSpecId=spec, condition=condition)
                )
        elif state != UNREACHABLE:
            self.world.out.calls.append(calls.kill(task_id, status.agent_id.value if status.agent_id else None))

    def _own_words(self, app_id: str | None, status: mesos.TaskStatus) -> None:
        """A task's own last update says why it ended; an answer to a reconciliation that overtook it could not."""
        failure = self.world.failures.get(app_id or "")
        if failure is None or failure.task_id != status.task_id.value or not status.message:
            return
        if status.reason != "REASON_RECONCILIATION" and failure.message != status.message:
            self.world.put_failure(msgspec.structs.replace(failure, message=status.message))

    def _alive(self, instance: Instance, status: mesos.TaskStatus, now: float) -> None:
        new = absorb(instance, status, now)
        if new != instance:
            self._changed(instance, new, status, now)
        if status.healthy is not None and new.state == RUNNING:
            again = status.reason == "REASON_RECONCILIATION"
            self.checked_by_mesos(new, healthy=status.healthy, cause=status.message, now=now, again=again)

    def _changed(self, instance: Instance, new: Instance, status: mesos.TaskStatus, now: float) -> None:
        self.world.put_instance(new)
        told_before = new.state == KILLING and instance.killed_at is not None
        news = (new.state, new.addresses) != (instance.state, instance.addresses) or not instance.confirmed
        if news and not told_before:
            self.tell(new, new.state, status.message or "", now)
        self._dirty.add(instance.app)

    def _ended(self, instance: Instance, status: mesos.TaskStatus, state: str, now: float) -> None:
        self.world.drop_instance(instance)
        self._kill_sent.pop(instance.id, None)
        message = status.message or ""
        shown = "TASK_LOST" if state == "TASK_UNKNOWN" else state
        if state in FAILURES:
            self.failed(instance, shown, message, now)
        elif state == "TASK_KILLED" and status.healthy is False and instance.killed_at is None:
            self.killed_by_mesos(instance, message, now)
        self.results.pop(instance.id, None)
        if state in _BACKS_OFF and not instance.leaving:
            self.back_off(instance, now)
        self.tell(instance, shown, message, now)
        self._dirty.add(instance.app)

    def tell(self, instance: Instance, state: str, message: str, now: float) -> None:
        self.world.out.events.append(events.status_update(instance, state, message, now))
        self.world.out.events.append(events.instance_changed(instance, state, now))
