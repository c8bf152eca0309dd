"""From a Mesos master's state to the records of the zone, by Mesos-DNS's rules. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tortie.dns import labels
from tortie.dns.config import Config, split_address
from tortie.dns.state import Framework, Slave, State, Status, Task, pid_host_port

_STATUS_LABELS = {
    "mesos": "MesosContainerizer.NetworkSettings.IPAddress",
    "docker": "Docker.NetworkSettings.IPAddress",
}
_NO_HOSTS: Mapping[str, tuple[str, ...]] = {}


@dataclass(slots=True)
class Records:
    """Owner names in lower case without the last dot; addresses as texts; SRV data as (target, port)."""

    a: dict[str, set[str]] = field(default_factory=dict)
    aaaa: dict[str, set[str]] = field(default_factory=dict)
    srv: dict[str, set[tuple[str, int]]] = field(default_factory=dict)

    def address(self, name: str, addresses: Iterable[str]) -> None:
        """Add addresses of both families."""
        for address in addresses:
            (self.aaaa if ":" in address else self.a).setdefault(name, set()).add(address)

    def service(self, name: str, target: str, port: int) -> None:
        self.srv.setdefault(name, set()).add((target, port))


def as_address(text: str) -> str | None:
    """The address in its shortest form, or None when the text is a name or nothing."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def host_addresses(host: str, hosts: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """An address itself, or what `hosts` knows of a name."""
    literal = as_address(host)
    return (literal,) if literal else hosts.get(host, ())


def names_to_resolve(state: State, config: Config) -> set[str]:
    """Host names in the state that are no addresses: somebody has to look them up."""
    hosts = {pid_host_port(state.leader)[0], *(split_address(m, None)[0] for m in config.masters)}
    hosts |= {pid_host_port(slave.pid)[0] for slave in state.slaves}
    hosts |= {_framework_host(framework)[0] for framework in state.frameworks}
    return {host for host in hosts if host and as_address(host) is None}


def _framework_host(framework: Framework) -> tuple[str, int]:
    host, port = pid_host_port(framework.pid)
    return (host, port) if host else (framework.hostname, port)


def build(
    state: State, config: Config, own: Iterable[str] = (), hosts: Mapping[str, tuple[str, ...]] = _NO_HOSTS
) -> Records:
    """Every record of the zone. `own` are the listener's addresses, `hosts` the addresses of host names."""
    records = Records()
    records.address(config.soa_mname, own)
    _masters(records, state, config, hosts)
    agents = _agents(records, state.slaves, config, hosts)
    for framework in state.frameworks:
        _framework(records, framework, config, hosts)
        for task in _running(framework, agents):
            _task(records, framework, task, config, agents[task.slave_id])
    return records


def _running(framework: Framework, agents: Container[str]) -> Iterator[Task]:
    return (task for task in framework.tasks if task.state == "TASK_RUNNING" and task.slave_id in agents)


def by_task(
    state: State, config: Config, hosts: Mapping[str, tuple[str, ...]] = _NO_HOSTS
) -> Iterator[tuple[Framework, Iterator[tuple[Task, Records]]]]:
    """The records of each task alone, framework by framework: what `/v1/enumerate` lists."""
    agents = _agents(Records(), state.slaves, config, hosts)

    def tasks(framework: Framework) -> Iterator[tuple[Task, Records]]:
        for task in _running(framework, agents):
            records = Records()
            _task(records, framework, task, config, agents[task.slave_id])
            yield task, records

    return ((framework, tasks(framework)) for framework in state.frameworks)


def _masters(records: Records, state: State, config: Config, hosts: Mapping[str, tuple[str, ...]]) -> None:
    host, port = pid_host_port(state.leader)
    leader = host_addresses(host, hosts)
    if leader:
        records.address(f"leader.{config.domain}", leader)
        for proto in ("_tcp", "_udp"):
            records.service(f"_leader.{proto}.{config.domain}", f"leader.{config.domain}", port)
    groups = [host_addresses(split_address(master, None)[0], hosts) for master in config.masters]
    if leader and not any(set(leader) & set(group) for group in groups):
        groups.append(leader)
    for index, group in enumerate(groups):
        records.address(f"master{index}.{config.domain}", group)
        records.address(f"master.{config.domain}", group)


def _agents(
    records: Records, slaves: Iterable[Slave], config: Config, hosts: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """The addresses of every agent by its id."""
    agents = {}
    for slave in slaves:
        host, port = pid_host_port(slave.pid)
        addresses = host_addresses(host, hosts) or host_addresses(slave.hostname, hosts)
        agents[slave.id] = addresses
        if not addresses:
            continue
        records.address(f"slave.{config.domain}", addresses)
        for proto in ("_tcp", "_udp"):
            records.service(f"_slave.{proto}.{config.domain}", f"slave.{config.domain}", port)
    return agents


def _framework(records: Records, framework: Framework, config: Config, hosts: Mapping[str, tuple[str, ...]]) -> None:
    name = labels.domain(framework.name, strict=config.strict_labels)
    host, port = _framework_host(framework)
    addresses = host_addresses(host, hosts)
    if not name or not addresses:
        return
    records.address(f"{name}.{config.domain}", addresses)
    if port:
        srv = f"_framework._tcp.{name}.{config.domain}"
        records.service(srv, f"{name}.{config.domain}", port)


def _task(records: Records, framework: Framework, task: Task, config: Config, agent: tuple[str, ...]) -> None:
    strict = config.strict_labels
    above = labels.domain(framework.name, strict=strict)
    given = task.discovery.name if task.discovery else ""
    names = [labels.label(given or task.name, strict=strict)]
    if given and (dotted := labels.domain(given, strict=strict)) not in names:
        names.insert(0, dotted)
    if not above or not names[-1]:
        return
    zone, addresses = f"{above}.{config.domain}", task_addresses(task, config.ip_sources, agent)
    tail = f"{labels.task_hash(task.id)}-{labels.agent_tail(task.slave_id)}"
    slave_zone = f"{above}.slave.{config.domain}"
    for name in names:
        canonical = f"{name}-{tail}"
        for owner in (name, canonical):
            records.address(f"{owner}.{zone}", addresses)
            records.address(f"{owner}.{slave_zone}", agent)
        _services(records, task, name, (zone, slave_zone), canonical)


def _services(records: Records, task: Task, name: str, zones: tuple[str, str], canonical: str) -> None:
    zone, slave_zone = zones
    for port in resource_ports(task):
        for proto in ("_tcp", "_udp"):
            target = f"{canonical}.{slave_zone}"
            records.service(f"_{name}.{proto}.{slave_zone}", target, port)
            if task.discovery is None:
                records.service(f"_{name}.{proto}.{zone}", target, port)
    for found in task.discovery.ports.ports if task.discovery else ():
        if not 0 <= found.number < 65536:
            continue
        proto_label = labels.label(found.protocol)
        for proto in (f"_{proto_label}",) if proto_label else ("_tcp", "_udp"):
            target = f"{canonical}.{zone}"
            records.service(f"_{name}.{proto}.{zone}", target, found.number)
            if port_name := labels.label(found.name):
                records.service(f"_{port_name}._{name}.{proto}.{zone}", target, found.number)


def resource_ports(task: Task) -> Iterator[int]:
    """`[31000-31001, 31005-31005]` spelt out."""
    text = task.resources.get("ports")
    if not isinstance(text, str):
        return
    for part in text.strip("[] ").split(","):
        low, _, high = part.strip().partition("-")
        if low.isdigit() and high.isdigit() and int(high) < 65536:
            yield from range(int(low), int(high) + 1)


def task_addresses(task: Task, sources: Iterable[str], agent: tuple[str, ...]) -> tuple[str, ...]:
    """The first source that gives anything wins, with all its addresses."""
    running = [status for status in task.statuses if status.state == "TASK_RUNNING"]
    latest = max(running, key=lambda status: status.timestamp, default=None)
    for source in sources:
        if found := agent if source == "host" else _from_status(latest, source):
            return found
    return ()


def _from_status(status: Status | None, source: str) -> tuple[str, ...]:
    if status is None:
        return ()
    if source == "netinfo":
        infos = status.container_status.network_infos if status.container_status else []
        texts = [a.ip_address for info in infos for a in info.ip_addresses]
        texts = texts or [info.ip_address for info in infos]
    else:
        texts = [label.value for label in status.labels if label.key == _STATUS_LABELS[source]]
    return tuple(dict.fromkeys(found for text in texts if (found := as_address(text))))
