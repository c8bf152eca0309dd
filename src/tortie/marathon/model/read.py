"""Apps from JSON: old and new input forms, all problems of a document at once.

A reading gives only the fields that were there, so that the same reader serves a new app (`create`) and a partial
update (`update`). Unknown fields are ignored, null counts as absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tortie.marathon.model import ids
from tortie.marathon.model.app import (
    App,
    DiscoveryPort,
    Fetch,
    HealthCheck,
    IpAddress,
    PortDefinition,
    ReadinessCheck,
    UnreachableStrategy,
    UpgradeStrategy,
)
from tortie.marathon.model.place import (
    Place,
    Reader,
    fields,
    filled,
    flag,
    listed,
    mapped,
    need,
    number,
    one_of,
    take,
    text,
    whole,
)
from tortie.marathon.model.read_container import container, from_networks

OPERATORS = ("UNIQUE", "CLUSTER", "GROUP_BY", "LIKE", "UNLIKE", "MAX_PER", "IS")
_ARCHIVES = (".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz", ".zip")
_PROTOCOLS = ("HTTP", "HTTPS", "TCP", "COMMAND", "MESOS_HTTP", "MESOS_HTTPS", "MESOS_TCP")
labels = mapped(text)
DEFAULT_PORT = PortDefinition(name="default")


def constraint(value: Any, place: Place) -> tuple[str, ...]:
    parts = tuple(value) if isinstance(value, list) else ()
    if not 2 <= len(parts) <= 3 or not all(isinstance(part, str) for part in parts):
        place.say("Constraint definition must be an array of strings in format: <key>, <operator>[, value]")
        return ("hostname", "UNIQUE")
    if parts[1] not in OPERATORS:
        place.say(f"Constraint operator must be one of the following: [{', '.join(OPERATORS)}]")
        return ("hostname", "UNIQUE")
    return parts


def fetch(value: Any, place: Place) -> Fetch:
    given = fields(value, place)
    return Fetch(
        uri=need(given, place, "uri", filled) or "",
        extract=take(given, place, "extract", flag, True),
        executable=take(given, place, "executable", flag, False),
        cache=take(given, place, "cache", flag, False),
        output_file=take(given, place, "destPath", text, take(given, place, "outputFile", text, "")) or None,
    )


def uris(value: Any, place: Place) -> tuple[Fetch, ...]:
    """The old form: only archives are unpacked."""
    return tuple(Fetch(uri=uri, extract=uri.endswith(_ARCHIVES)) for uri in listed(filled)(value, place))


def ports(value: Any, place: Place) -> tuple[PortDefinition, ...]:
    return tuple(PortDefinition(port=port) for port in listed(whole)(value, place))


def port_definition(value: Any, place: Place) -> PortDefinition:
    given = fields(value, place)
    return PortDefinition(
        port=take(given, place, "port", whole, 0),
        protocol=take(given, place, "protocol", text, "tcp"),
        name=take(given, place, "name", text, "") or None,
        labels=take(given, place, "labels", labels, {}),
    )


def discovery_port(value: Any, place: Place) -> DiscoveryPort:
    given = fields(value, place)
    return DiscoveryPort(
        number=need(given, place, "number", whole) or 0,
        name=need(given, place, "name", text) or "",
        protocol=need(given, place, "protocol", text) or "",
        labels=take(given, place, "labels", labels, {}),
    )


def ip_address(value: Any, place: Place) -> IpAddress:
    given = fields(value, place)
    discovery = fields(given.get("discovery", {}), place.at("discovery"))
    return IpAddress(
        groups=take(given, place, "groups", listed(text), ()),
        labels=take(given, place, "labels", labels, {}),
        ports=take(discovery, place.at("discovery"), "ports", listed(discovery_port), ()),
        network_name=take(given, place, "networkName", text, "") or None,
    )


def upgrade_strategy(value: Any, place: Place) -> UpgradeStrategy:
    given = fields(value, place)
    return UpgradeStrategy(
        minimum_health_capacity=take(given, place, "minimumHealthCapacity", number, 1.0),
        maximum_over_capacity=take(given, place, "maximumOverCapacity", number, 1.0),
    )


def health_check(value: Any, place: Place) -> HealthCheck:
    given = fields(value, place)
    command = fields(given.get("command", {}), place.at("command"))
    protocol = one_of(*_PROTOCOLS, otherwise="{} is not a valid protocol")
    return HealthCheck(
        protocol=take(given, place, "protocol", protocol, "HTTP"),
        path=take(given, place, "path", text, "") or None,
        port=take(given, place, "port", whole, None),
        port_index=take(given, place, "portIndex", whole, None),
        command=take(command, place.at("command"), "value", text, "") or None,
        grace_period_seconds=take(given, place, "gracePeriodSeconds", number, 300),
        interval_seconds=take(given, place, "intervalSeconds", number, 60),
        timeout_seconds=take(given, place, "timeoutSeconds", number, 20),
        max_consecutive_failures=take(given, place, "maxConsecutiveFailures", whole, 3),
        ignore_http1xx=take(given, place, "ignoreHttp1xx", flag, False),
        delay_seconds=take(given, place, "delaySeconds", number, 15),
    )


def readiness_check(value: Any, place: Place) -> ReadinessCheck:
    given = fields(value, place)
    protocol = one_of("HTTP", "HTTPS", otherwise="{} is not a valid protocol")
    return ReadinessCheck(
        name=take(given, place, "name", filled, "readinessCheck"),
        protocol=take(given, place, "protocol", protocol, "HTTP"),
        path=take(given, place, "path", text, "/"),
        port_name=take(given, place, "portName", text, "http-api"),
        interval_seconds=take(given, place, "intervalSeconds", number, 30),
        timeout_seconds=take(given, place, "timeoutSeconds", number, 10),
        codes=take(given, place, "httpStatusCodesForReady", listed(whole), (200,)),
        preserve_last_response=take(given, place, "preserveLastResponse", flag, False),
    )


def unreachable_strategy(value: Any, place: Place) -> UnreachableStrategy:
    if value == "disabled":
        return UnreachableStrategy(inactive_after_seconds=None, expunge_after_seconds=None)
    given = fields(value, place)
    return UnreachableStrategy(
        inactive_after_seconds=take(given, place, "inactiveAfterSeconds", whole, 300),
        expunge_after_seconds=take(given, place, "expungeAfterSeconds", whole, 600),
    )


def env_value(value: Any, place: Place) -> str:
    if isinstance(value, dict) and "secret" in value:
        place.say("Feature secrets is not enabled. Enable with --enable_features secrets)")
        return ""
    return text(value, place)


FIELDS: Mapping[str, tuple[str, Reader[Any]]] = {
    "cmd": ("cmd", filled),
    "args": ("args", listed(text)),
    "user": ("user", text),
    "env": ("env", mapped(env_value)),
    "instances": ("instances", whole),
    "cpus": ("cpus", number),
    "mem": ("mem", number),
    "disk": ("disk", number),
    "gpus": ("gpus", whole),
    "executor": ("executor", text),
    "constraints": ("constraints", listed(constraint)),
    "fetch": ("fetch", listed(fetch)),
    "backoffSeconds": ("backoff_seconds", number),
    "backoffFactor": ("backoff_factor", number),
    "maxLaunchDelaySeconds": ("max_launch_delay_seconds", number),
    "container": ("container", container),
    "healthChecks": ("health_checks", listed(health_check)),
    "readinessChecks": ("readiness_checks", listed(readiness_check)),
    "dependencies": ("dependencies", listed(text)),
    "upgradeStrategy": ("upgrade_strategy", upgrade_strategy),
    "labels": ("labels", labels),
    "acceptedResourceRoles": ("accepted_resource_roles", listed(text)),
    "ipAddress": ("ip_address", ip_address),
    "requirePorts": ("require_ports", flag),
    "portDefinitions": ("port_definitions", listed(port_definition)),
    "taskKillGracePeriodSeconds": ("task_kill_grace_period_seconds", number),
    "unreachableStrategy": ("unreachable_strategy", unreachable_strategy),
    "killSelection": ("kill_selection", one_of("YOUNGEST_FIRST", "OLDEST_FIRST", otherwise="{} is not valid")),
}

UNSUPPORTED = {
    "residency": "resident tasks are not supported",
    "storeUrls": "there is no artifact store",
    "secrets": "Feature secrets is not enabled. Enable with --enable_features secrets)",
}


def given_fields(value: Any, place: Place, base: str) -> dict[str, Any]:
    """The fields of App that the document gives; `base` is what its relative dependencies are seen from."""
    given = fields(value, place)
    read = {name: of(given[key], place.at(key)) for key, (name, of) in FIELDS.items() if key in given}
    for key, reason in UNSUPPORTED.items():
        if given.get(key):
            place.at(key).say(reason)
    if "acceptedResourceRoles" in given and not read["accepted_resource_roles"]:
        place.at("acceptedResourceRoles").say("set must not be empty")
    _old_uris(given, read, place)
    _old_ports(given, read, place)
    from_networks(given, read, place)
    if "dependencies" in read:
        read["dependencies"] = tuple(ids.resolve(dependency, base) for dependency in read["dependencies"])
    return read


def _old_uris(given: dict[str, Any], read: dict[str, Any], place: Place) -> None:
    if "uris" not in given:
        return
    old = uris(given["uris"], place.at("uris"))
    if "fetch" not in read:
        read["fetch"] = old
    elif old and [f.uri for f in old] != [f.uri for f in read["fetch"]]:
        place.say("You cannot specify both uris and fetch fields")


def _old_ports(given: dict[str, Any], read: dict[str, Any], place: Place) -> None:
    if "ports" not in given:
        return
    old = ports(given["ports"], place.at("ports"))
    if "port_definitions" not in read:
        read["port_definitions"] = old
    elif [p.port for p in old] != [p.port for p in read["port_definitions"]]:
        place.say("You cannot specify both ports and port definitions")


def create(app_id: str, given: Mapping[str, Any]) -> App:
    """A new app: defaults where nothing was given."""
    return complete(App(id=app_id, **given), ports_given="port_definitions" in given)


def update(app: App, given: Mapping[str, Any]) -> App:
    """A field that was given replaces the old one whole."""
    merged = dict(given)
    if "args" in merged and not merged["args"]:
        merged["args"] = None
    new = App(**{name: merged.get(name, getattr(app, name)) for name in App.__struct_fields__})
    if "ip_address" in given and "port_definitions" not in given:
        new = _with(new, port_definitions=())
    return complete(new, ports_given=True)


def complete(app: App, *, ports_given: bool) -> App:
    """What follows from the fields together: ports from mappings, the default port, the single-instance label."""
    if app.mappings:
        app = _with(app, port_definitions=_ports_of_mappings(app))
    elif app.ip_address is None and not ports_given:
        app = _with(app, port_definitions=(DEFAULT_PORT,))
    if app.labels.get("MARATHON_SINGLE_INSTANCE_APP") == "true":
        app = _with(app, upgrade_strategy=UpgradeStrategy(minimum_health_capacity=0.0, maximum_over_capacity=0.0))
    if app.health_checks and (app.port_definitions or (app.ip_address and app.ip_address.ports)):
        app = _with(app, health_checks=tuple(_indexed(check) for check in app.health_checks))
    return app


def _ports_of_mappings(app: App) -> tuple[PortDefinition, ...]:
    """Service ports of the mappings, kept where the app already had some."""
    return tuple(
        PortDefinition(port=m.service_port, protocol=m.protocol, name=m.name, labels=m.labels) for m in app.mappings
    )


def _indexed(check: HealthCheck) -> HealthCheck:
    if check.protocol == "COMMAND" or check.port is not None or check.port_index is not None:
        return check
    return HealthCheck(**{f: getattr(check, f) for f in HealthCheck.__struct_fields__} | {"port_index": 0})


def _with(app: App, **changes: Any) -> App:
    return App(**{name: changes.get(name, getattr(app, name)) for name in App.__struct_fields__})
