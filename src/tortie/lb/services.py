"""From Marathon's apps to the services of the balancer: one per app and service port. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import ip_address

from tortie.lb.bluegreen import merged
from tortie.lb.hosts import without_doubles
from tortie.lb.labels import in_group, labelled, make_service, ports_by_label, truth, without_effect
from tortie.lb.ports import choose
from tortie.lb.service import Server, Service, server_id, server_name
from tortie.wire.marathon_apps import App, Task

_KILLING = "TASK_KILLING"
_ENDED = frozenset(
    f"TASK_{state}"
    for state in (
        "STAGING", "STARTING", "KILLING", "FINISHED", "FAILED", "KILLED", "ERROR", "DROPPED", "GONE",
        "GONE_BY_OPERATOR", "UNKNOWN",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Choice:
    """What the command line says about apps."""

    groups: tuple[str, ...]
    ports: range = range(0)
    strict: bool = False
    health_check: bool = False
    own_app: str = ""
    own_templates: bool = True
    reserved: frozenset[int] = frozenset()


Resolve = Callable[[str], str | None]
Known = dict[str, tuple[tuple[object, ...], list[Service], list[str]]]
"""By app: what its services followed from, and they."""


def services(
    apps: Collection[App],
    choice: Choice,
    resolve: Resolve,
    remembered: Mapping[str, bool] | None = None,
    known: Known | None = None,
) -> tuple[list[Service], list[str]]:
    """The services in the order of the file, and a line for everything that was left out.

    `known` spares work from call to call with the same choice: services of an app as it was are the very same ones.
    """
    said: list[str] = []
    apps, disabled = merged(apps, said)
    taken = {port for app in apps for port in (*app.service_ports(), *ports_by_label(app)) if port} | choice.reserved
    found: list[Service] = []
    before, after = known if known is not None else {}, Known()
    for app in apps:
        if choice.own_app and app.id.replace("/", "") == choice.own_app.replace("/", ""):
            continue
        ports = _service_ports(app, choice, taken, said)
        basis = _basis(app, ports, choice, disabled, resolve, remembered or {})
        last = before.get(app.id)
        if last is None or last[0] != basis:
            last = (basis, *_of_app(app, ports, choice, disabled, resolve, remembered or {}))
        after[app.id] = last
        found += last[1]
        said += last[2]
    if known is not None:
        known.clear()
        known.update(after)
    kept = _without_clashes(sorted(found, key=lambda s: (s.app_id, s.port)), choice, said)
    return without_doubles(kept, said), said


def _basis(
    app: App,
    ports: list[int],
    choice: Choice,
    disabled: Collection[str],
    resolve: Resolve,
    remembered: Mapping[str, bool],
) -> tuple[object, ...]:
    """Everything that the services of an app follow from."""
    tasks = app.tasks or ()
    addresses = [resolve(task.host) for task in tasks] if app.mode() != "container" else ()
    alive = [remembered.get(task.id) for task in tasks] if choice.health_check and app.health_checks else ()
    return app, ports, addresses, alive, [task.id in disabled for task in tasks] if disabled else ()


def _of_app(
    app: App,
    ports: list[int],
    choice: Choice,
    disabled: Collection[str],
    resolve: Resolve,
    remembered: Mapping[str, bool],
) -> tuple[list[Service], list[str]]:
    found, said = [], []
    for index, port in enumerate(ports):
        if not port or not in_group(app, index, choice.groups):
            continue
        try:
            if not 0 < port < 65536:
                raise ValueError(f"{port} is not a port")
            service = make_service(app, index, port, own_templates=choice.own_templates)
        except ValueError as error:
            said.append(f"{app.id}: port {index} left out: {error}")
            continue
        if truth(labelled(app, index, "ENABLED"), not choice.strict):
            tasks = [t for t in app.tasks or () if _takes_part(t, app, choice, remembered)]
            going = [t for t in app.tasks or () if t.state == _KILLING]
            servers = _servers(service, app, tasks, disabled, resolve, said)
            leaving = _servers(service, app, going, disabled, resolve, [])
            found.append(replace(service, servers=servers, leaving=leaving))
    if any(in_group(app, index, choice.groups) for index in range(len(ports))):
        said += [f"{app.id}: {line}" for line in without_effect(app, len(ports))]
    return found, said


def _service_ports(app: App, choice: Choice, taken: set[int], said: list[str]) -> list[int]:
    """Marathon's service ports, chosen ones in the gaps of apps whose containers have addresses of their own."""
    given = app.service_ports()
    if app.mode() != "container":
        return given
    inner = app.container_ports()
    ports = []
    for index, task_port in enumerate(inner):
        port = given[index] if index < len(given) else 0
        if not port and choice.ports:
            port = choose(app.id, task_port, choice.ports, taken) or 0
            taken.add(port)
            if not port:
                said.append(f"{app.id}: port {index} left out: Service ports are exhausted")
        ports.append(port)
    if not inner and any(in_group(app, index, choice.groups) for index in range(max(1, len(given)))):
        said.append(f"{app.id}: left out: it names no ports of its containers (ipAddress.discovery.ports)")
    return ports


def _servers(
    service: Service, app: App, tasks: list[Task], disabled: Collection[str], resolve: Resolve, said: list[str]
) -> tuple[Server, ...]:
    if not tasks:
        return ()
    mode, wanted = app.mode(), {}
    for task in tasks:
        ports = app.task_ports(task)
        address = _address(task, mode, resolve)
        if address is None or service.index >= len(ports) or not 0 < ports[service.index] < 65536:
            said.append(f"{app.id}: task {task.id} left out: it has no {'port' if address else 'address'} yet")
            continue
        wanted[task.host, ports[service.index], address] = task.id, _check_port(service, ports)
    servers, ids = [], set[int]()
    for (host, port, address), (task_id, check_port) in sorted(wanted.items()):
        name = server_name(host, address, port)
        number = server_id(name, ids)
        ids.add(number)
        servers.append(Server(host, address, port, name, number, check_port, task_id, task_id in disabled))
    return tuple(servers)


def _check_port(service: Service, ports: list[int]) -> int:
    """Which port of the task a check goes to; 0 without a check."""
    if service.health is None:
        return 0
    if service.health_port_index is not None and service.health_port_index < len(ports):
        return ports[service.health_port_index]
    return service.health.port or ports[service.index]


def _takes_part(task: Task, app: App, choice: Choice, remembered: Mapping[str, bool]) -> bool:
    if task.state in _ENDED or (task.state is None and task.started_at is None):
        return False
    if not choice.health_check or not app.health_checks:
        return True
    results = [result for result in task.health_check_results or () if result is not None]
    if not results:
        return remembered.get(task.id, False)
    return any(result.alive for result in results)


def _address(task: Task, mode: str, resolve: Resolve) -> str | None:
    if mode != "container":
        return resolve(task.host) if task.host else None
    found = [item.ip_address for item in task.ip_addresses or () if item.ip_address]
    return found[0] if found and _is_address(found[0]) else None


@lru_cache(maxsize=65536)
def _is_address(text: str) -> bool:
    try:
        return ip_address(text).is_unspecified is False and "%" not in text
    except ValueError:
        return False


def _without_clashes(found: list[Service], choice: Choice, said: list[str]) -> list[Service]:
    """Two services cannot listen on one port of one address: the first in order keeps it."""
    owners: dict[int, list[tuple[str, str]]] = {port: [("*", "the balancer itself")] for port in choice.reserved}
    kept, names = [], set[str]()
    for service in found:
        if service.name in names:
            said.append(f"{service.app_id}: port {service.index} left out: there is another {service.name}")
            continue
        others = owners.setdefault(service.port, [])
        own = service.bind_address
        if owner := next((name for address, name in others if "*" in (own, address) or own == address), ""):
            said.append(f"{service.app_id}: port {service.index} left out: {service.port} is {owner}'s")
            continue
        others.append((own, service.app_id))
        names.add(service.name)
        kept.append(service)
    return kept


def resolvable(apps: Collection[App]) -> Iterator[str]:
    """Hosts of tasks that are reached through their host."""
    for app in apps:
        if app.mode() != "container":
            yield from (task.host for task in app.tasks or () if task.host)
