"""The events that clients subscribe to; each is one JSON object with `eventType` and `timestamp`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tortie.marathon.clock import iso
from tortie.marathon.deploy.instance import Instance
from tortie.marathon.deploy.plan import Action, Plan
from tortie.marathon.model.app import App
from tortie.marathon.model.show import show_health

_CONDITIONS = {"TASK_STAGING": "Staging", "TASK_STARTING": "Starting", "TASK_RUNNING": "Running"}


def event(kind: str, now: float, **fields: Any) -> dict[str, Any]:
    return {**fields, "eventType": kind, "timestamp": iso(now)}


def show_addresses(instance: Instance) -> list[dict[str, str]]:
    return [{"ipAddress": a, "protocol": "IPv6" if ":" in a else "IPv4"} for a in instance.addresses]


def status_update(instance: Instance, state: str, message: str, now: float) -> dict[str, Any]:
    return event(
        "status_update_event",
        now,
        slaveId=instance.agent,
        taskId=instance.id,
        taskStatus=state,
        message=message,
        appId=instance.app,
        host=instance.host,
        ipAddresses=show_addresses(instance),
        ports=list(instance.ports),
        version=instance.version,
    )


def instance_changed(instance: Instance, state: str, now: float) -> dict[str, Any]:
    condition = _CONDITIONS.get(state, state.removeprefix("TASK_").capitalize())
    return event(
        "instance_changed_event",
        now,
        instanceId=instance.id,
        condition=condition,
        runSpecId=instance.app,
        agentId=instance.agent,
        host=instance.host,
        runSpecVersion=instance.version,
    )


def health_changed(instance: Instance, now: float) -> list[dict[str, Any]]:
    """In the words of older and of newer versions."""
    about = {"appId": instance.app, "taskId": instance.id, "instanceId": instance.id, "version": instance.version}
    run_spec = {"runSpecId": instance.app, "runSpecVersion": instance.version, "healthy": instance.healthy}
    return [
        event("health_status_changed_event", now, **about, alive=instance.healthy),
        event("instance_health_changed_event", now, instanceId=instance.id, **run_spec),
    ]


def unhealthy_kill(instance: Instance, cause: str, now: float) -> list[dict[str, Any]]:
    about = {"appId": instance.app, "taskId": instance.id, "instanceId": instance.id, "version": instance.version}
    where = {"host": instance.host, "slaveId": instance.agent}
    kinds = ("unhealthy_task_kill_event", "unhealthy_instance_kill_event")
    return [event(kind, now, **about, **where, reason=cause) for kind in kinds]


def checks_changed(app_id: str, before: App | None, after: App | None, now: float) -> list[dict[str, Any]]:
    """That the health checks of an app are others than they were."""
    old, new = before.health_checks if before else (), after.health_checks if after else ()
    if old == new:
        return []
    found = [event("remove_health_check_event", now, appId=app_id)] if old else []
    version = after.version if after else ""
    return found + [
        event("add_health_check_event", now, appId=app_id, version=version, healthCheck=show_health(check))
        for check in new
    ]


def show_actions(actions: Sequence[Action]) -> list[dict[str, str]]:
    """With the key `action` of newer and `type` of older versions."""
    return [{"action": a.action, "type": a.action, "app": a.app} for a in actions]


class PlanEvent(dict[str, Any]):
    """An event about a deployment. It is light; with `plan` the groups before and after can be added."""

    def __init__(self, plan: Plan, fields: Mapping[str, Any]) -> None:
        super().__init__(fields)
        self.plan = plan


def show_plan(plan: Plan) -> dict[str, Any]:
    steps = [{"actions": show_actions(step)} for step in plan.steps]
    return {"id": plan.id, "version": plan.version, "steps": steps}


def deployment(kind: str, plan: Plan, now: float) -> PlanEvent:
    """`deployment_info` and `deployment_step_*` carry the step, `deployment_success` and `_failed` the id."""
    if kind in ("deployment_success", "deployment_failed"):
        return PlanEvent(plan, event(kind, now, id=plan.id, plan=show_plan(plan)))
    step = {"actions": show_actions(plan.actions)}
    return PlanEvent(plan, event(kind, now, plan=show_plan(plan), currentStep=step))
