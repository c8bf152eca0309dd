"""The records of Mesos-DNS's zone: what each part of a cluster gives. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tortie.dns import labels
from tortie.dns.book import Entries
from tortie.dns.config import SOURCES, Config, split_address
from tortie.dns.state import (
    Cluster,
    DiscoveryPort,
    Framework,
    Slave,
    Status,
    Task,
    latest_running,
    network_infos,
    pid_host_port,
)

_STATUS_LABELS = {
    "mesos": "MesosContainerizer.NetworkSettings.IPAddress",
    "docker": "Docker.NetworkSettings.IPAddress",
}
SOURCES_LABEL = "DNS_IP_SOURCES"
"""A task's own order of sources, as `netinfo,host`, instead of the configuration's."""
SERVICE_LABEL = "DNS_SERVICE"
"""A discovery port's further name, as `_etcd-client._tcp`, beside the one that its task's name and protocol make."""
_MAX_PORTS = 1024
"""Of one task as services: more do not fit into any answer."""


class Giver:
    """What each part of a cluster gives to one zone; nothing, unless a zone says otherwise."""

    def fixed(self, cluster: Cluster) -> Entries:
        """What hangs on no single agent, framework or task."""
        return Entries()

    def agent(self, slave: Slave, addresses: tuple[str, ...]) -> Entries:
        return Entries()

    def framework(self, framework: Framework, hosts: Mapping[str, tuple[str, ...]]) -> Entries:
        return Entries()

    def task(self, framework: Framework, task: Task, agent: tuple[str, ...]) -> Entries:
        """Of a running task; `agent`: the addresses of its agent."""
        return Entries()


@dataclass(frozen=True, slots=True)
class MesosRecords(Giver):
    """The domain of the configuration. `own` are the addresses that the server listens on."""

    config: Config
    own: tuple[str, ...] = ()

    def fixed(self, cluster: Cluster) -> Entries:
        """Leader, masters, the server itself."""
        entries, domain = Entries(), self.config.domain
        entries.address(self.config.soa_mname, self.own)
        host, port = pid_host_port(cluster.leader)
        leader = host_addresses(host, cluster.hosts)
        if leader:
            entries.address(f"leader.{domain}", leader)
            for proto in ("_tcp", "_udp"):
                entries.service(f"_leader.{proto}.{domain}", f"leader.{domain}", port)
        for index, group in enumerate(master_groups(self.config.masters, leader, cluster.hosts)):
            entries.address(f"master{index}.{domain}", group)
            entries.address(f"master.{domain}", group)
        return entries

    def agent(self, slave: Slave, addresses: tuple[str, ...]) -> Entries:
        entries, domain = Entries(), self.config.domain
        _, port = pid_host_port(slave.pid)
        entries.address(f"slave.{domain}", addresses)
        for proto in ("_tcp", "_udp") if addresses else ():
            entries.service(f"_slave.{proto}.{domain}", f"slave.{domain}", port)
        return entries

    def framework(self, framework: Framework, hosts: Mapping[str, tuple[str, ...]]) -> Entries:
        entries = Entries()
        name = labels.domain(framework.name, strict=self.config.strict_labels)
        host, port = framework_host(framework)
        addresses = host_addresses(host, hosts)
        if not name or not addresses:
            return entries
        owner = f"{name}.{self.config.domain}"
        entries.address(owner, addresses)
        if port:
            entries.service(f"_framework._tcp.{owner}", owner, port)
        return entries

    def task(self, framework: Framework, task: Task, agent: tuple[str, ...]) -> Entries:
        entries, config = Entries(), self.config
        strict = config.strict_labels
        above = labels.domain(framework.name, strict=strict)
        names = task_names(task, strict=strict)
        if not above or not names:
            return entries
        zone, slave_zone = f"{above}.{config.domain}", f"{above}.slave.{config.domain}"
        addresses = task_addresses(task, own_sources(task) or config.ip_sources, agent)
        tail = f"{labels.task_hash(task.id)}-{labels.agent_tail(task.slave_id)}"
        for name in names:
            canonical = f"{name}-{tail}"
            for owner in (name, canonical):
                entries.address(f"{owner}.{zone}", addresses)
                entries.address(f"{owner}.{slave_zone}", agent)
            _services(entries, task, name, (zone, slave_zone), canonical)
        return entries


def as_address(text: str) -> str | None:
    """The address in its shortest form, or None when the text is a name or nothing."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    plain = mapped or address
    # An address with a zone (fe80::1%eth0) means nothing to an asker.
    return None if getattr(plain, "scope_id", None) else str(plain)


def host_addresses(host: str, hosts: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """An address itself, or what `hosts` knows of a name."""
    literal = as_address(host)
    return (literal,) if literal else hosts.get(host, ())


def agent_addresses(slave: Slave, hosts: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    return host_addresses(pid_host_port(slave.pid)[0], hosts) or host_addresses(slave.hostname, hosts)


def framework_host(framework: Framework) -> tuple[str, int]:
    host, port = pid_host_port(framework.pid)
    return (host, port) if host else (framework.hostname, port)


def master_groups(
    masters: Iterable[str], leader: tuple[str, ...], hosts: Mapping[str, tuple[str, ...]]
) -> list[tuple[str, ...]]:
    """The addresses of each master; a leader that is none of them comes last."""
    groups = [host_addresses(split_address(master, None)[0], hosts) for master in masters]
    if leader and not any(set(leader) & set(group) for group in groups):
        groups.append(leader)
    return groups


def names_to_resolve(cluster: Cluster, masters: Iterable[str]) -> set[str]:
    """Host names in the cluster that are no addresses: somebody has to look them up."""
    hosts = {pid_host_port(cluster.leader)[0], *(split_address(m, None)[0] for m in masters)}
    hosts |= {pid_host_port(slave.pid)[0] or slave.hostname for slave in cluster.slaves.values()}
    hosts |= {framework_host(framework)[0] for framework in cluster.frameworks.values()}
    return {host for host in hosts if host and as_address(host) is None}


def task_names(task: Task, *, strict: bool) -> list[str]:
    """A discovery name with its dots and as one label, else the task's name as one label; nothing when none is left."""
    given = task.discovery.name if task.discovery else ""
    plain = labels.label(given or task.name, strict=strict)
    if not plain:
        return []
    dotted = labels.domain(given, strict=strict)
    return [dotted, plain] if dotted and dotted != plain else [plain]


def _services(entries: Entries, task: Task, name: str, zones: tuple[str, str], canonical: str) -> None:
    zone, slave_zone = zones
    for port in resource_ports(task):
        for proto in ("_tcp", "_udp"):
            target = f"{canonical}.{slave_zone}"
            entries.service(f"_{name}.{proto}.{slave_zone}", target, port)
            if task.discovery is None:
                entries.service(f"_{name}.{proto}.{zone}", target, port)
    for found in task.discovery.ports.ports[:_MAX_PORTS] if task.discovery else ():
        if not 0 <= found.number < 65536:
            continue
        proto_label = labels.label(found.protocol)
        for proto in (f"_{proto_label}",) if proto_label else ("_tcp", "_udp"):
            target = f"{canonical}.{zone}"
            entries.service(f"_{name}.{proto}.{zone}", target, found.number)
            if port_name := labels.label(found.name):
                entries.service(f"_{port_name}._{name}.{proto}.{zone}", target, found.number)
        if further := own_service(found):
            entries.service(f"{further}.{zone}", f"{canonical}.{zone}", found.number)


def resource_ports(task: Task) -> list[int]:
    """`[31000-31001, 31005-31005]` spelt out."""
    text = task.resources.get("ports")
    found: list[int] = []
    for part in text.strip("[] ").split(",") if isinstance(text, str) else ():
        low, _, high = part.strip().partition("-")
        if low.isascii() and high.isascii() and low.isdigit() and high.isdigit() and int(high) < 65536:
            found.extend(range(int(low), int(high) + 1)[: _MAX_PORTS - len(found)])
    return found


def own_service(port: DiscoveryPort) -> str:
    """What the port's label asks for, as two labels; nothing when it has none or one that is no service's name."""
    for given in port.labels.labels if port.labels else ():
        if given.key == SERVICE_LABEL:
            parts = given.value.split(".")
            plain = [labels.label(part.removeprefix("_")) for part in parts]
            fits = len(parts) == 2 and all(part.startswith("_") for part in parts) and all(plain)
            return ".".join(f"_{part}" for part in plain) if fits else ""
    return ""


def own_sources(task: Task) -> tuple[str, ...]:
    """What the task's label asks for; nothing when it has none or one that names anything but sources."""
    for label in task.labels:
        if label.key == SOURCES_LABEL:
            words = tuple(label.value.replace(",", " ").split())
            return words if all(word in SOURCES for word in words) else ()
    return ()


def task_addresses(task: Task, sources: Iterable[str], agent: tuple[str, ...]) -> tuple[str, ...]:
    """The first source that gives anything wins, with all its addresses."""
    for source in sources:
        if found := agent if source == "host" else _from_status(task, source):
            return found
    return ()


def _from_status(task: Task, source: str) -> tuple[str, ...]:
    return netinfo(task) if source == "netinfo" else _addresses(_labelled(latest_running(task), _STATUS_LABELS[source]))


def netinfo(task: Task) -> tuple[str, ...]:
    """The addresses on container networks that the task's newest running status tells of."""
    infos = list(network_infos(task))
    listed = _addresses(address.ip_address for info in infos for address in info.ip_addresses)
    return listed or _addresses(info.ip_address for info in infos)


def _labelled(status: Status | None, key: str) -> Iterator[str]:
    return (label.value for label in (status.labels if status else ()) if label.key == key)


def _addresses(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(found for text in texts if (found := as_address(text))))
