"""What is learned about the health of tasks, and what their failures lead to. No I/O; `now` is given."""

from __future__ import annotations

import msgspec

from tortie.marathon import events
from tortie.marathon.clock import iso
from tortie.marathon.deploy.backoff import Delay, after_failure
from tortie.marathon.deploy.instance import Instance
from tortie.marathon.model.show import show_health
from tortie.marathon.verdict import Asked, Health, LastResponse, after_result, overall
from tortie.marathon.world import TaskFailure, World

KILLED = "Task was killed since health check failed. Reason: "


class Checkups:
    """Remembers the results of each task's checks by their place in the app, and which apps were touched (`_dirty`)."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.delays: dict[str, Delay] = {}
        self.results: dict[str, dict[int, Health]] = {}
        self.asked: dict[str, Asked] = {}
        self._dirty: set[str] = set()

    def checked(self, instance_id: str, index: int, failure: str | None, now: float) -> bool:
        """One result of a check that Marathon does itself; `failure` None is a success. True: the task is to be killed.

        A task that has gone, or is about to, has no results any more.
        """
        instance = self.world.instances.get(instance_id)
        app = self.world.definition_of(instance) if instance is not None else None
        if instance is None or app is None or not instance.running or index >= len(app.health_checks):
            return False
        check, since = app.health_checks[index], instance.started_at or now
        health, kill = after_result(self._before(instance, index), check, failure, now, since)
        if failure is not None:
            self._tell_failure(instance, index, failure, now)
        self._take(instance, index, health, now)
        if kill:
            self._kill_follows(instance, failure or "", now)
        return kill

    def checked_by_mesos(
        self, instance: Instance, *, healthy: bool, cause: str | None, now: float, again: bool
    ) -> None:
        """What a status says of the check that the agent does; `again` when it only repeats what was said before."""
        app = self.world.definition_of(instance)
        index = next((n for n, check in enumerate(app.health_checks) if check.by_mesos), None) if app else None
        if index is None or (again and index in self.results.get(instance.id, {})):
            return
        before = self._before(instance, index)
        if healthy:
            first = before.first_success if before.first_success is not None else now
            health = msgspec.structs.replace(before, first_success=first, last_success=now, failures=0)
        else:
            health = msgspec.structs.replace(before, last_failure=now, last_cause=cause, failures=before.failures + 1)
            if not again:
                self._tell_failure(instance, index, cause or "", now)
        self._take(instance, index, health, now)

    def killed_by_mesos(self, instance: Instance, message: str, now: float) -> None:
        """The agent ended a task whose check failed too often."""
        causes = [h.last_cause for h in self.results.get(instance.id, {}).values() if not h.alive and h.last_cause]
        self._kill_follows(instance, causes[0] if causes else message, now)

    def asked_if_ready(self, instance_id: str, response: LastResponse, ready: bool, now: float) -> None:
        """What a task answered to its readiness check; once ready, it stays so."""
        instance = self.world.instances.get(instance_id)
        if instance is None or instance.ready or not instance.running:
            return
        self.asked[instance_id] = Asked(ready, response)
        if ready:
            self.world.put_instance(msgspec.structs.replace(instance, ready=True))
            self._dirty.add(instance.app)

    def forget_the_gone(self) -> None:
        """What was learned of tasks that are not there any more."""
        known = self.world.instances.keys()
        for gone in self.results.keys() - known:
            del self.results[gone]
        for gone in self.asked.keys() - known:
            del self.asked[gone]

    def _before(self, instance: Instance, index: int) -> Health:
        """The results so far; those of a Marathon before this one are known by their verdict only."""
        known = self.results.get(instance.id, {}).get(index)
        if known is not None:
            return known
        return Health(first_success=instance.started_at) if instance.healthy else Health()

    def _take(self, instance: Instance, index: int, health: Health, now: float) -> None:
        results = self.results.setdefault(instance.id, {})
        results[index] = health
        app = self.world.definition_of(instance)
        healthy = overall(len(app.health_checks) if app else 0, results)
        if healthy is None or healthy == instance.healthy:
            return
        new = msgspec.structs.replace(instance, healthy=healthy)
        self.world.put_instance(new)
        self.world.out.events += events.health_changed(new, now)
        self._dirty.add(new.app)

    def _tell_failure(self, instance: Instance, index: int, cause: str, now: float) -> None:
        app = self.world.definition_of(instance)
        check = show_health(app.health_checks[index]) if app else {}
        about = {"appId": instance.app, "taskId": instance.id, "instanceId": instance.id}
        kind = "failed_health_check_event"
        self.world.out.events.append(events.event(kind, now, **about, healthCheck=check, cause=cause))

    def _kill_follows(self, instance: Instance, cause: str, now: float) -> None:
        """A task that is killed for its health has failed: the next one waits as after any failure."""
        self.world.out.events += events.unhealthy_kill(instance, cause, now)
        self.failed(instance, "TASK_KILLED", KILLED + cause, now)
        self.back_off(instance, now)

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

    def back_off(self, instance: Instance, now: float) -> None:
        """The next launch of its app waits, unless the app has become another one since."""
        app = self.world.tree.apps.get(instance.app)
        if app is not None and self.world.up_to_date(app, instance):
            self.delays[app.id] = after_failure(app, self.delays.get(app.id), now)
