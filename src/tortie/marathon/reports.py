"""What is learned about tasks: status updates, results of health checks. No I/O; `now` is given."""

from __future__ import annotations

import msgspec

from tortie.marathon import events
from tortie.marathon.clock import iso
from tortie.marathon.deploy.backoff import Delay, after_failure
from tortie.marathon.deploy.instance import FAILURES, UNREACHABLE, Instance, absorb, ended, meaning
from tortie.marathon.model import ids
from tortie.marathon.world import TaskFailure, World
from tortie.wire import mesos

_BACKS_OFF = FAILURES | {"TASK_FINISHED"}


class Reports:
    """Takes reports into the world and remembers which apps they touched (`_dirty`)."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.delays: dict[str, Delay] = {}
        self._kill_sent: dict[str, float] = {}
        self._dirty: set[str] = set()

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
        if status.uuid is not None and status.agent_id is not None:
            acknowledge = mesos.Acknowledge(agent_id=status.agent_id, task_id=status.task_id, uuid=status.uuid)
            self.world.out.calls.append(mesos.Call(type="ACKNOWLEDGE", acknowledge=acknowledge))

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
            kill = mesos.Kill(task_id=status.task_id, agent_id=status.agent_id)
            self.world.out.calls.append(mesos.Call(type="KILL", kill=kill))

    def _own_words(self, app_id: str | None, status: mesos.TaskStatus) -> None:
        """A task's own last update says why it ended; an answer to a reconciliation that overtook it could not."""
        failure = self.world.failures.get(app_id or "")
        if failure is None or failure.task_id != status.task_id.value or not status.message:
            return
        if status.reason != "REASON_RECONCILIATION" and failure.message != status.message:
            self.world.put_failure(msgspec.structs.replace(failure, message=status.message))

    def _alive(self, instance: Instance, status: mesos.TaskStatus, now: float) -> None:
        new = absorb(instance, status, now)
        if new == instance:
            return
        self.world.put_instance(new)
        if (new.state, new.addresses) != (instance.state, instance.addresses) or not instance.confirmed:
            self._tell(new, new.state, status.message or "", now)
        if new.healthy != instance.healthy and new.healthy is not None:
            self.tell_health(new, now)
        self._dirty.add(instance.app)

    def _ended(self, instance: Instance, status: mesos.TaskStatus, state: str, now: float) -> None:
        self.world.drop_instance(instance)
        self._kill_sent.pop(instance.id, None)
        message = status.message or ""
        shown = "TASK_LOST" if state == "TASK_UNKNOWN" else state
        if state in FAILURES:
            self.failed(instance, shown, message, now)
        app = self.world.tree.apps.get(instance.app)
        if app is not None and state in _BACKS_OFF and not instance.leaving:
            self.delays[app.id] = after_failure(app, self.delays.get(app.id), now)
        self._tell(instance, shown, message, now)
        self._dirty.add(instance.app)

    def failed(self, instance: Instance, state: str, message: str, now: float) -> None:
        """Keeps it as the app's last failure, if the app is still there."""
        if instance.app in self.world.tree.apps:
            failure = TaskFailure(
                app_id=instance.app,
                host=instance.host,
                message=message,
                state=state,
                task_id=instance.id,
                timestamp=iso(now),
                version=instance.version,
                slave_id=instance.agent,
            )
            self.world.put_failure(failure)

    def healthy(self, instance_id: str, healthy: bool, now: float) -> None:
        """The result of a health check of our own, when it has changed."""
        instance = self.world.instances.get(instance_id)
        if instance is not None and instance.healthy != healthy:
            new = msgspec.structs.replace(instance, healthy=healthy)
            self.world.put_instance(new)
            self.tell_health(new, now)
            self._dirty.add(new.app)

    def _tell(self, instance: Instance, state: str, message: str, now: float) -> None:
        self.world.out.events.append(events.status_update(instance, state, message, now))
        self.world.out.events.append(events.instance_changed(instance, state, now))

    def tell_health(self, instance: Instance, now: float) -> None:
        about = {"appId": instance.app, "taskId": instance.id, "instanceId": instance.id, "version": instance.version}
        kind = "health_status_changed_event"
        self.world.out.events.append(events.event(kind, now, **about, alive=instance.healthy))
