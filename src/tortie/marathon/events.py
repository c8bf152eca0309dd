"""The events that clients subscribe to; each is one JSON object with `eventType` and `timestamp`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tortie.marathon.clock import iso
from tortie.marathon.deploy.instance import Instance
from tortie.marathon.deploy.plan import Action, Plan

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


def show_actions(actions: Sequence[Action]) -> list[dict[str, str]]:
    """With the key `action` of newer and `type` of older versions."""
    return [{"action": a.action, "type": a.action, "app": a.app} for a in actions]


def show_plan(plan: Plan, original: Any = None, target: Any = None) -> dict[str, Any]:
    """`original` and `target` are whole groups; a light plan leaves them out."""
    shown: dict[str, Any] = {"id": plan.id, "version": plan.version}
    if original is not None:
        shown |= {"original": original, "target": target}
    return shown | {"steps": [{"actions": show_actions(step)} for step in plan.steps]}


def deployment(kind: str, plan: Plan, now: float) -> dict[str, Any]:
    """`deployment_info` and `deployment_step_*` carry the step, `deployment_success` and `_failed` the id."""
    if kind in ("deployment_success", "deployment_failed"):
        return event(kind, now, id=plan.id, plan=show_plan(plan))
    return event(kind, now, plan=show_plan(plan), currentStep={"actions": show_actions(plan.actions)})
