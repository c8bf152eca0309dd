"""Whether a task may be launched, in the master's words."""

from __future__ import annotations

from tortie.base.errors import Invalid
from tortie.mesos.master.cluster import Framework
from tortie.mesos.resources import Resources, from_wire, total
from tortie.wire import mesos as wire


def bad_id(value: str) -> str | None:
    if not value:
        return "ID must be non-empty"
    if len(value.encode()) > 255:
        return "ID must not be greater than 255 characters"
    if value in (".", ".."):
        return f"'{value}' is disallowed"
    if any(ord(c) < 32 or ord(c) == 127 or c in "/\\" for c in value):
        return f"'{value}' contains invalid characters"
    return None


def task_problem(task: wire.TaskInfo, framework: Framework, agent_id: str, available: Resources) -> str | None:
    """The first thing that is wrong with the task, given what its offers still hold."""
    if problem := bad_id(task.task_id.value):
        return f"Task has invalid ID: {problem}"
    if task.task_id.value in framework.tasks:
        return f"Task has duplicate ID: {task.task_id.value}"
    if task.task_id.value in framework.unreachable:
        return f"Task reuses the ID of an unreachable task: {task.task_id.value}"
    if task.agent_id.value != agent_id:
        return f"Task uses invalid agent {task.agent_id.value} while agent {agent_id} is expected"
    if (task.command is None) == (task.executor is None):
        return "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present"
    if task.executor and (problem := bad_id(task.executor.executor_id.value)):
        return f"Executor has invalid ID: {problem}"
    return _resources_problem(task, available) or _parts_problem(task)


def wanted(task: wire.TaskInfo) -> Resources:
    """Of the task and its own executor. Raises Invalid."""
    executor = task.executor.resources if task.executor else []
    return total([from_wire(task.resources), from_wire(executor)])


def _resources_problem(task: wire.TaskInfo, available: Resources) -> str | None:
    if not task.resources:
        return "Task uses no resources"
    try:
        want = wanted(task)
    except Invalid as error:
        return f"Task uses invalid resources: {error}"
    if not want:
        return "Task uses no resources"
    if not available.holds(want):
        return (
            f"Total resources {text(want)} required by task and its executor is more than available {text(available)}"
        )
    return None


def _parts_problem(task: wire.TaskInfo) -> str | None:
    policy = task.kill_policy
    if policy and policy.grace_period and policy.grace_period.nanoseconds < 0:
        return "Task's 'kill_policy.grace_period' must be non-negative"
    if task.container and task.container.type == "DOCKER":
        if task.container.docker is None:
            return "DockerInfo 'docker' is not set for DOCKER typed ContainerInfo"
        if any(p.key == "name" for p in task.container.docker.parameters):
            return "Parameter in DockerInfo must not be 'name'"
    if task.command and task.command.environment:
        for variable in task.command.environment.variables:
            if variable.value is None:
                return f"Environment variable '{variable.name}' must have a value set"
    if task.health_check and (problem := _health_problem(task.health_check)):
        return f"Task uses invalid health check: {problem}"
    return None


def _health_problem(check: wire.HealthCheck) -> str | None:
    if check.type is None or check.type == "UNKNOWN":
        return "HealthCheck must specify 'type'"
    if check.type == "COMMAND":
        if check.command is None:
            return "Expecting 'command' to be set for command health check"
        if check.command.shell and check.command.value is None:
            return "Command health check must contain 'shell command'"
    if check.type == "HTTP":
        if check.http is None:
            return "Expecting 'http' to be set for HTTP health check"
        if check.http.scheme not in (None, "http", "https"):
            return f"Unsupported HTTP health check scheme: '{check.http.scheme}'"
        if check.http.path and not check.http.path.startswith("/"):
            return f"The path '{check.http.path}' of HTTP health check must start with '/'"
    if check.type == "TCP" and check.tcp is None:
        return "Expecting 'tcp' to be set for TCP health check"
    return None


def text(resources: Resources) -> str:
    """`cpus(*):1; ports(*):[1-2]`, as in log lines and messages."""
    parts = []
    for key, value in resources:
        shown: object = value
        if isinstance(value, int):
            shown = f"{value / 1000:g}"
        elif isinstance(value, tuple):
            shown = "[" + ", ".join(f"{b}-{e}" for b, e in value) + "]"
        else:
            shown = "{" + ", ".join(sorted(value)) + "}"
        parts.append(f"{key.name}({key.role}):{shown}")
    return "; ".join(parts)
