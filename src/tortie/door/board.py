"""What the front page shows and what /system/health/v1 answers, from what the parts of the cluster said. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal
from urllib.parse import quote

from tortie.base.natural import natural
from tortie.door.paths import normal
from tortie.door.services import Framework, Slave, Summary
from tortie.wire.marathon_apps import App

State = Literal["good", "wait", "bad", "off"]


@dataclass(frozen=True, slots=True)
class Probe:
    """What one program of the cluster said: `failure` empty when it answered."""

    unit: str
    title: str
    address: str
    link: str = ""
    failure: str = ""

    @property
    def state(self) -> State:
        return "bad" if self.failure else "good"


@dataclass(frozen=True, slots=True)
class Rollout:
    """What the framework that rolls the product out says of it, in one line."""

    state: str
    text: str


ROLLOUT_LINK = "service/calico/"
ROLLOUT_STATES: Mapping[str, State] = {
    **dict.fromkeys(("waiting", "rolling", "paused", "undoing", "aborting"), "wait"),
    **dict.fromkeys(("stopped", "silent"), "bad"),
}
"""A rollout that is over is no news; one that waits for something is, as its words name that."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at the cluster. `apps` is None where Marathon did not answer, `summary` where no master did."""

    probes: Sequence[Probe]
    summary: Summary | None
    apps: Sequence[App] | None
    deployments: int = 0
    rollout: Rollout | None = None
    links: Sequence[Probe] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the page. `link` is an address relative to the door, or empty."""

    name: str
    state: State
    text: str
    link: str = ""


def board(seen: Seen) -> dict[str, Any]:
    """The front page's contents: parts, agents, frameworks, services, links, and one word for all but the links, which
    may lead to what nobody has begun yet. None: nobody told."""
    parts = [_part(probe) for probe in seen.probes]
    agents = (
        [_agent(slave) for slave in sorted(seen.summary.slaves, key=lambda slave: natural(slave.hostname))]
        if seen.summary
        else None
    )
    frameworks = [_framework(found) for found in seen.summary.frameworks] if seen.summary else None
    services = [_service(app) for app in seen.apps] if seen.apps is not None else None
    under_way = _rollout(seen.rollout)
    rows = {"parts": parts, "agents": agents, "frameworks": frameworks, "services": services}
    return {
        "state": _worst(
            [line.state for lines in (*rows.values(), [under_way] if under_way else []) for line in lines or ()]
        ),
        "cluster": seen.summary.cluster if seen.summary else "",
        "deployments": seen.deployments,
        "rollout": asdict(under_way) if under_way else None,
        "links": [asdict(replace(_part(probe), state="wait" if probe.failure else "good")) for probe in seen.links],
        **{name: None if lines is None else [asdict(line) for line in lines] for name, lines in rows.items()},
    }


def _part(probe: Probe) -> Line:
    """Only what answers is worth a link."""
    return Line(probe.title, probe.state, probe.failure or probe.address, "" if probe.failure else probe.link)


def _rollout(found: Rollout | None) -> Line | None:
    """None while there is nothing to say."""
    if found is None or found.state not in ROLLOUT_STATES:
        return None
    return Line(found.state, ROLLOUT_STATES[found.state], found.text, ROLLOUT_LINK)


def _worst(states: Sequence[State]) -> State:
    return next((state for state in ("bad", "wait") if state in states), "good")


def _agent(slave: Slave) -> Line:
    link = f"agent/{slave.id}/state" if slave.active else ""
    return Line(slave.hostname or slave.id, "good" if slave.active else "bad", slave.pid.partition("@")[2], link)


def _framework(found: Framework) -> Line:
    link = f"service/{quote(found.name)}/" if found.webui_url is not None and "/" not in found.name else ""
    if not found.active:
        return Line(found.name, "wait", "disconnected: its tasks go on", "")
    return Line(found.name, "good", "connected", link)


def _service(app: App) -> Line:
    labels = app.labels or {}
    name = labels.get("DCOS_SERVICE_NAME", "")
    whole = name and labels.get("DCOS_SERVICE_SCHEME") and labels.get("DCOS_SERVICE_PORT_INDEX")
    # Where somebody looks whether tasks serve, one that runs need not do so yet.
    serving = app.tasks_healthy if app.health_checks else app.tasks_running
    link = f"service/{quote('/'.join(reversed(normal(name).split('.'))))}/" if whole and serving else ""
    running = f"{app.tasks_running} of {app.instances} running"
    if app.deployments:
        return Line(app.id, "wait", f"{running}, deploying", link)
    if app.instances == 0:
        return Line(app.id, "off", "suspended", "")
    if app.tasks_unhealthy:
        return Line(app.id, "bad", f"{running}, {app.tasks_unhealthy} unhealthy", link)
    if app.tasks_running < app.instances:
        return Line(app.id, "wait", running, link)
    if serving < app.tasks_running:
        return Line(app.id, "wait", f"{running}, {serving} known to be healthy", link)
    return Line(app.id, "good", running, link)


# -- /system/health/v1 -------------------------------------------------------------------------------------------------


def units(probes: Sequence[Probe]) -> list[dict[str, Any]]:
    """The programs of a master, as the diagnostics component lists units: health 0 is well, 1 is not."""
    return [
        {
            "id": probe.unit,
            "health": int(bool(probe.failure)),
            "output": probe.failure,
            "description": probe.title,
            "help": "",
            "name": probe.title,
        }
        for probe in probes
    ]


def node(probes: Sequence[Probe], *, hostname: str, address: str, version: str) -> dict[str, Any]:
    """/system/health/v1: the node that the door is on."""
    return {
        "units": units(probes),
        "hostname": hostname,
        "ip": address,
        "dcos_version": version,
        "node_role": "master",
        "mesos_id": "",
        "dcos_diagnostics_version": "tortie",
    }


def nodes(probes: Sequence[Probe], summary: Summary, address: str) -> list[dict[str, Any]]:
    """/system/health/v1/nodes: masters and agents."""
    found = [{"host_ip": address, "health": int(any(p.failure for p in probes)), "role": "master"}]
    return [*found, *({"host_ip": host, "health": health, "role": "agent"} for host, health in _hosts(summary).items())]


def agent_units(summary: Summary, address: str) -> list[dict[str, Any]] | None:
    """The units of an agent's host; None for a host that the master does not know."""
    health = _hosts(summary).get(address)
    if health is None:
        return None
    failure = "the master does not hear it" if health else ""
    return units([Probe("dcos-mesos-slave.service", "Mesos agent", address, failure=failure)])


def _hosts(summary: Summary) -> Mapping[str, int]:
    return {
        slave.pid.partition("@")[2].rpartition(":")[0].strip("[]"): int(not slave.active) for slave in summary.slaves
    }
