"""The rules an app must keep, every problem with its path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from tortie.marathon.model import ids
from tortie.marathon.model.app import App, Docker, HealthCheck, IpAddress, ReadinessCheck

Found: TypeAlias = Iterator[tuple[str, str]]
MOST = 2**31 - 1
PORT_NAME = re.compile(r"[a-z0-9-]+")
_EXECUTOR = re.compile(r"(//cmd)|(/?[^/]+(/[^/]+)*)|")
_WHAT_RUNS = "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'."
_NO_SUCH_PORT = "Health check port indices must address an element of the ports array or container port mappings."


def check(app: App) -> Found:
    """Yields (path, problem) for everything wrong with the app."""
    yield from (("/id", problem) for problem in ids.problems(app.id))
    if app.id == ids.ROOT:
        yield "/id", "Path must contain at least one path element"
    elif ids.segments(app.id)[-1] in ids.RESERVED:
        yield "/id", f"must not end with any of the following reserved keywords: {', '.join(sorted(ids.RESERVED))}"
    yield from _numbers(app)
    yield from _what_runs(app)
    yield from _ports(app)
    for index, constraint in enumerate(app.constraints):
        yield from ((f"/constraints({index})", problem) for problem in _constraint(constraint))
    for index, health in enumerate(app.health_checks):
        yield from ((f"/healthChecks({index})", problem) for problem in _health(app, health))
    if sum(health.by_mesos for health in app.health_checks) > 1:
        yield "/healthChecks", "AppDefinition can contain at most one Mesos health check"
    if len(app.readiness_checks) > 1:
        yield "/readinessChecks", "AppDefinition can contain at most one readiness check"
    for index, readiness in enumerate(app.readiness_checks):
        yield from ((f"/readinessChecks({index})/{at}", problem) for at, problem in _readiness(app, readiness))
    if app.labels.get("MARATHON_SINGLE_INSTANCE_APP") == "true" and app.instances > 1:
        yield "/instances", "Single instance app may only have one instance"
    yield from _unreachable(app)


def _numbers(app: App) -> Found:
    for name in ("instances", "cpus", "mem", "disk", "gpus"):
        if (value := getattr(app, name)) < 0:
            yield f"/{name}", f"got {value}, expected 0 or more"
    if app.instances > MOST:
        yield "/instances", f"got {app.instances}, expected {MOST} or less"
    for name, value in (
        ("minimumHealthCapacity", app.upgrade_strategy.minimum_health_capacity),
        ("maximumOverCapacity", app.upgrade_strategy.maximum_over_capacity),
    ):
        if not 0 <= value <= 1:
            yield f"/upgradeStrategy/{name}", f"got {float(value)}, expected between 0.0 and 1.0"
    for name, value, low in (
        ("backoffSeconds", app.backoff_seconds, 0),
        ("backoffFactor", app.backoff_factor, 1),
        ("maxLaunchDelaySeconds", app.max_launch_delay_seconds, 0),
        ("taskKillGracePeriodSeconds", app.task_kill_grace_period_seconds or 0, 0),
    ):
        if not low <= value <= MOST:
            yield f"/{name}", f"got {value}, expected between {low} and {MOST}"


def _what_runs(app: App) -> Found:
    image = app.docker is not None and bool(app.docker.image)
    given = (app.cmd is not None) + (app.args is not None)
    if given > 1 or (given == 0 and not image):
        yield "/", _WHAT_RUNS
    if not _EXECUTOR.fullmatch(app.executor):
        yield "/executor", "must fully match regular expression '^(//cmd)|(/?[^/]+(/[^/]+)*)|$'"
    elif app.executor not in ("", "//cmd"):
        yield "/executor", "only the command executor is supported"
    if app.gpus:
        yield "/gpus", "Feature gpu_resources is not enabled. Enable with --enable_features gpu_resources)"
    for key in app.env:
        if not key or "=" in key or "\0" in key:
            yield "/env", f"{key!r} is not a name of an environment variable"


def _ports(app: App) -> Found:
    if app.ip_address:
        yield from _discovery(app.ip_address)
        if app.port_definitions and not app.mappings:
            yield "/", "You cannot specify both an IP address and ports"
    fixed = [d.port for d in app.port_definitions if d.port]
    if len(set(fixed)) < len(fixed):
        yield "/portDefinitions", "Ports must be unique."
    yield from _port_range("/portDefinitions", (d.port for d in app.port_definitions))
    names = [d.name for d in app.port_definitions if d.name]
    if len(set(names)) < len(names):
        yield "/portDefinitions", "Port names must be unique."
    for index, definition in enumerate(app.port_definitions):
        yield from _protocol(f"/portDefinitions({index})/protocol", definition.protocol)
    if app.docker:
        yield from _mappings(app.docker)


def _mappings(docker: Docker) -> Found:
    where = "/container/docker/portMappings"
    for mapping in docker.port_mappings:
        yield from _port_range(where, (mapping.container_port, mapping.service_port, mapping.host_port or 0))
        yield from _protocol(where, mapping.protocol)
    names = [m.name for m in docker.port_mappings if m.name]
    if len(set(names)) < len(names):
        yield where, "Port names must be unique."


def _discovery(address: IpAddress) -> Found:
    where = "/ipAddress/discovery/ports"
    for index, port in enumerate(address.ports):
        if not PORT_NAME.fullmatch(port.name):
            yield f"{where}({index})/name", "Port name must fully match regular expression ^[a-z0-9-]+$"
        if port.protocol not in ("tcp", "udp"):
            yield f"{where}({index})/protocol", "Invalid protocol. Only 'udp' or 'tcp' are allowed."
    yield from _port_range(where, (port.number for port in address.ports))
    if len({port.name for port in address.ports}) < len(address.ports):
        yield where, "Port names are not unique."
    if len({(port.number, port.protocol) for port in address.ports}) < len(address.ports):
        yield where, "There may be only one port with a particular port number/protocol combination."


def _port_range(where: str, ports: Iterable[int]) -> Found:
    for port in ports:
        if not 0 <= port <= 65535:
            yield where, f"got {port}, expected between 0 and 65535"


def _protocol(where: str, protocol: str) -> Found:
    parts = protocol.split(",")
    if not set(parts) <= {"tcp", "udp"}:
        yield where, "is not one of (tcp,udp)"
    elif len(set(parts)) < len(parts):
        yield where, "protocols must be unique."


def _constraint(constraint: tuple[str, ...]) -> Iterator[str]:
    operator, value = constraint[1], constraint[2] if len(constraint) > 2 else None
    if operator == "UNIQUE" and value is not None:
        yield "Value specified but not used"
    elif operator == "GROUP_BY" and value is not None and not value.isdecimal():
        yield "Value was specified but is not a number"
    elif operator == "MAX_PER" and (value is None or not value.isdecimal()):
        yield "Value was not specified or is not a number"
    elif operator == "IS" and value is None:
        yield "A value must be provided"
    elif operator in ("LIKE", "UNLIKE"):
        if value is None:
            yield "A regular expression value must be provided"
        elif not _compiles(value):
            yield f"'{value}' is not a valid regular expression"


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return False
    return True


def _health(app: App, health: HealthCheck) -> Iterator[str]:
    times = (health.grace_period_seconds, health.delay_seconds, health.max_consecutive_failures)
    if not all(0 < value <= MOST for value in (health.interval_seconds, health.timeout_seconds)):
        yield f"intervalSeconds and timeoutSeconds must be greater than 0 and at most {MOST}"
    if not all(0 <= value <= MOST for value in times):
        yield f"gracePeriodSeconds, delaySeconds and maxConsecutiveFailures must be between 0 and {MOST}"
    if health.protocol == "COMMAND":
        if not health.command:
            yield "COMMAND health check must have a command"
        return
    if health.port is not None and not 1 <= health.port <= 65535:
        yield f"got port {health.port}, expected between 1 and 65535"
    if health.port is not None and health.port_index is not None:
        yield "HealthCheck must specify either a port or a portIndex"
    elif health.port is None:
        known = len(app.port_definitions) or (len(app.ip_address.ports) if app.ip_address else 0)
        if health.port_index is None or not 0 <= health.port_index < known:
            yield _NO_SUCH_PORT


def _readiness(app: App, check: ReadinessCheck) -> Found:
    if not 0 < check.interval_seconds <= MOST:
        yield "intervalSeconds", f"must be greater than 0 and at most {MOST}"
    if not 0 < check.timeout_seconds < check.interval_seconds:
        yield "timeoutSeconds", "must be greater than 0 and less than intervalSeconds"
    if not check.codes or not all(100 <= code <= 599 for code in check.codes):
        yield "httpStatusCodesForReady", "must be one or more HTTP status codes"
    if check.port_name not in app.port_names:
        yield "portName", f"No port definition reference for portName {check.port_name}"


def _unreachable(app: App) -> Found:
    inactive = app.unreachable_strategy.inactive_after_seconds
    expunge = app.unreachable_strategy.expunge_after_seconds
    if inactive is None or expunge is None:
        return
    if inactive < 0 or inactive > expunge:
        yield "/unreachableStrategy", "inactiveAfterSeconds must be 0 or more and not above expungeAfterSeconds"
