"""Deciding of blue-green deployments as marathon-lb's zdd.py makes them. Pure.

A deployment is a second app of the same HAPROXY_DEPLOYMENT_GROUP. The balancer merges both and sets servers of the
old one aside (bluegreen.py); step by step those are killed, once idle, and the new app grows.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from tortie.base.errors import Conflict, Invalid
from tortie.lb.bluegreen import ALT_PORT, COLOUR, GROUP, NEW_INSTANCES, STARTED_AT, TARGET, number, started_at
from tortie.lb.service import plain_id, server_name
from tortie.wire.marathon_apps import App

Json = dict[str, Any]
PORT = "HAPROXY_0_PORT"
APP_ID = "HAPROXY_APP_ID"
_UP = ("UP", "no check")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the command line asks for. `new_instances`: so many new ones beside old ones, to stay."""

    initial_instances: int = 1
    linear_increase: int = 0
    new_instances: int = 0
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Listener:
    """A server of one balancer's statistics."""

    name: str
    status: str
    busy: bool


def read_definition(data: bytes) -> Json:
    """An app's JSON without its nulls. Invalid names what a deployment misses."""
    try:
        app = _without_nulls(msgspec.json.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"the app's JSON: {error}") from error
    if not isinstance(app, dict) or not isinstance(app.get("id"), str) or not app["id"].strip("/"):
        raise Invalid("the app's JSON has no id")
    labels = app.get("labels")
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        raise Invalid(f"no labels found: {GROUP} is needed")
    for name in (GROUP, ALT_PORT):
        if not labels.get(name, "").strip():
            raise Invalid(f"the label {name} is needed")
    if not _is_port(labels[ALT_PORT]):
        raise Invalid(f"label {ALT_PORT}: {labels[ALT_PORT]!r} is not a port")
    if not _is_count(app.setdefault("instances", 1)):
        raise Invalid(f"instances: {app['instances']!r} is not a number")
    return app


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value if item is not None] if isinstance(value, list) else value


def _is_port(text: str) -> bool:
    return text.isascii() and text.strip().isdecimal() and 0 < int(text[:9]) < 65536


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**6


def same_group(apps: Iterable[App], app: Json) -> list[App]:
    """Deployed apps of the definition's group, the last one first."""
    group = app["labels"][GROUP].strip("/")
    found = [one for one in apps if (one.labels or {}).get(GROUP, "").strip("/") == group]
    try:
        return sorted(found, key=lambda one: (started_at(one), one.id), reverse=True)
    except ValueError as error:
        raise Conflict(f"deployment group {group}: {error}") from error


def prepared(definition: Json, previous: App | None, wishes: Wishes, now: datetime) -> Json:
    """The definition as the app to deploy: colour, id, ports, first instances, and labels that remember them."""
    app = msgspec.json.decode(msgspec.json.encode(definition))
    labels = app["labels"]
    public = service_port(app)
    if previous is None:
        colour, port, target, more = "blue", public, app["instances"], 0
    else:
        colour = "green" if (previous.labels or {}).get(COLOUR) == "blue" else "blue"
        port, target = _other_port(previous, public), previous.instances
        more = min(wishes.new_instances, target)
        app["instances"] = min(wishes.initial_instances, more or target)
    labels[APP_ID] = app["id"]
    app["id"] = "/" + f"{app['id']}-{colour}".lstrip("/")
    labels[PORT] = str(public)
    _set_service_port(app, port)
    labels |= {
        TARGET: str(target), COLOUR: colour, NEW_INSTANCES: str(more),
        STARTED_AT: now.replace(tzinfo=None).isoformat(timespec="microseconds"),
    }  # fmt: skip
    return dict(app)


def _other_port(previous: App, public: int) -> int:
    """The port that the app before does not have: its alternative, or the public one when it has that."""
    labels = previous.labels or {}
    alternative = labels.get(ALT_PORT, "")
    if not _is_port(alternative):
        raise Conflict(f"{previous.id}: label {ALT_PORT}: {alternative!r} is not a port")
    if previous.service_ports()[:1] != [int(alternative)]:
        return int(alternative)
    return int(labels[PORT]) if _is_port(labels.get(PORT, "")) else public


def _port_places(app: Json) -> list[tuple[Any, Any]]:
    """Where a first service port may stand: a container and a key in it."""
    container = app.get("container") or {}
    found: list[tuple[Any, Any]] = []
    for mappings in ((container.get("docker") or {}).get("portMappings"), container.get("portMappings")):
        if mappings:
            found.append((mappings[0], "servicePort"))
    if app.get("portDefinitions"):
        found.append((app["portDefinitions"][0], "port"))
    if app.get("ports"):
        found.append((app["ports"], 0))
    return found


def service_port(app: Json) -> int:
    """The first service port of a definition; of an app whose containers have addresses, also its label."""
    try:
        for place, key in _port_places(app):
            port = place[key] if isinstance(place, list) else place.get(key)
            if port:
                return int(port)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Invalid("the app's JSON: its ports cannot be read") from error
    if _is_port(app["labels"].get(PORT, "")):
        return int(app["labels"][PORT])
    raise Invalid("the app has no service port")


def _set_service_port(app: Json, port: int) -> None:
    places = _port_places(app)
    if places:
        place, key = places[0]
        place[key] = port


def backend_name(app: App) -> str:
    """The backend that the balancer merges this app into."""
    labels = app.labels or {}
    return f"{plain_id(labels.get(GROUP, '').strip('/'))}_{labels.get(PORT, '')}"


def listeners(texts: Iterable[str], backend: str) -> list[Listener]:
    """Servers of a backend in the statistics (CSV) of all balancers."""
    found = []
    for text in texts:
        for row in csv.DictReader(text.lstrip("# ").splitlines()):
            if row.get("pxname") == backend and row.get("svname") not in ("BACKEND", "FRONTEND"):
                busy = any(int(row.get(key) or 0) for key in ("qcur", "scur"))
                found.append(Listener(row["svname"], row.get("status") or "", busy))
    return found


def target(app: App) -> int:
    return number(app, TARGET, app.instances)


def stays_split(app: App, wishes: Wishes) -> int:
    """How many new instances are to stay beside old ones; 0 when the new app takes over."""
    return 0 if wishes.complete else number(app, NEW_INSTANCES, 0)


def waits_for(new: App, old: App, seen: Sequence[Listener], balancers: int) -> str:
    """What is missing before tasks of the old app may go; empty when nothing is."""
    if len(seen) != balancers * (new.instances + old.instances):
        return f"{new.instances + old.instances} servers in each of {balancers} balancers, there are {len(seen)} in all"
    up = sum(one.status in _UP for one in seen)
    if up < balancers * target(new):
        return f"{target(new)} servers up in each of {balancers} balancers, there are {up} in all"
    # Where the target needs them all, none is set aside: the new app has to grow first.
    spare = new.instances + old.instances > target(new)
    if old.instances and spare and not any(_at_rest(one) for one in seen):
        return "a server of the old app that is set aside and idle"
    return ""


def _at_rest(listener: Listener) -> bool:
    return listener.status == "MAINT" and not listener.busy


def set_aside(
    old: App, address_of: Callable[[str], str], seen: Sequence[Listener], balancers: int, *, idle: bool
) -> list[str]:
    """Tasks of the old app whose servers rest in every balancer; `idle`: only those without connections."""
    resting = [one.name for one in seen if (_at_rest(one) if idle else one.status == "MAINT")]
    found = []
    for task in old.tasks or ():
        ports = old.task_ports(task)
        own = next((item.ip_address for item in task.ip_addresses or () if item.ip_address), "")
        address = own if old.mode() == "container" else address_of(task.host)
        if ports and address and resting.count(server_name(task.host, address, ports[0])) == balancers:
            found.append(task.id)
    return found


def finished(new: App, old: App, resting: int, wishes: Wishes) -> bool:
    """Whether nothing is left to do but to delete the old app, or, where both stay, nothing at all."""
    if more := stays_split(new, wishes):
        return new.instances == more and old.instances == target(old) - more
    return new.instances == target(new) and resting == old.instances


def more_instances(new: App, old: App, wishes: Wishes) -> int:
    """Half as many again; from the old app's number on, all of them. With a linear increase, so many more each time."""
    limit = stays_split(new, wishes)
    linear = wishes.linear_increase > 0
    grown = new.instances + wishes.linear_increase if linear else math.floor(new.instances + (new.instances + 1) / 2)
    if limit:
        return min(grown, limit)
    if linear:
        return min(grown, target(new))
    return target(new) if grown >= old.instances else min(grown, target(new))
