"""The records of DC/OS's own zones below thisdcos.directory: what each part of a cluster gives. Pure.

Names are one label for the task and one for the framework, never dotted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tortie.dns import labels
from tortie.dns.book import Entries
from tortie.dns.records import Giver, host_addresses, master_groups, netinfo
from tortie.dns.state import Cluster, DiscoveryPort, Framework, Task, latest_running, network_infos, pid_host_port
from tortie.dns.zone import Apex

DIRECTORY, GLOBAL = "thisdcos.directory", "thisdcos.global"
NAME_SERVER = "ns.spartan"


def apex(domain: str) -> Apex:
    """The constants of every DC/OS zone: five seconds, so that a moved task is soon found."""
    return Apex(
        domain=domain, ttl=5, ns_ttl=3600, mname=NAME_SERVER, rname="support.mesosphere.com",
        refresh=60, retry=180, expire=86400, minttl=1, fixed_serial=1,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class TaskRecords(Giver):
    """`dcos.thisdcos.directory`: the container's, the agent's and the reachable address of each task; the masters."""

    masters: tuple[str, ...]
    domain: str = f"dcos.{DIRECTORY}"

    def fixed(self, cluster: Cluster) -> Entries:
        entries = Entries()
        leader = host_addresses(pid_host_port(cluster.leader)[0], cluster.hosts)
        entries.address(f"leader.{self.domain}", leader)
        for group in master_groups(self.masters, leader, cluster.hosts):
            entries.address(f"master.{self.domain}", group)
        return entries

    def task(self, framework: Framework, task: Task, agent: tuple[str, ...]) -> Entries:
        entries = Entries()
        name, above = _name(task), labels.label(framework.name)
        if not name or not above:
            return entries
        own = netinfo(task) or agent
        mapped = any(True for _ in _mappings(task)) or any(_scope(port) == "host" for port in _discovered(task))
        for kind, addresses in (("containerip", own), ("agentip", agent), ("autoip", agent if mapped else own)):
            entries.address(f"{name}.{above}.{kind}.{self.domain}", addresses)
        return entries


@dataclass(frozen=True, slots=True)
class VipRecords(Giver):
    """`l4lb.thisdcos.directory`: names of virtual addresses.

    There is no balancer behind a virtual address here, so a name answers with the backends themselves, where they
    listen on the very port of the virtual address; a name whose port is another one exists without an address.
    """

    domain: str = f"l4lb.{DIRECTORY}"

    def task(self, framework: Framework, task: Task, agent: tuple[str, ...]) -> Entries:
        entries = Entries()
        above = labels.label(framework.name)
        status = latest_running(task)
        healthy = status is None or status.healthy is not False
        for port in _discovered(task) if above else ():
            for name, wanted in _vips(port):
                owner = f"{name}.{above}.{self.domain}"
                entries.exists(owner)
                addresses, number = _backend(task, port, agent)
                if healthy and number == wanted:
                    entries.address(owner, addresses)
        return entries


@dataclass(frozen=True, slots=True)
class ComponentRecords(Giver):
    """`component.thisdcos.directory`: the cluster's own services, which all are on the masters."""

    masters: tuple[str, ...]
    domain: str = f"component.{DIRECTORY}"

    def fixed(self, cluster: Cluster) -> Entries:
        entries = Entries()
        leader = host_addresses(pid_host_port(cluster.leader)[0], cluster.hosts)
        for group in master_groups(self.masters, leader, cluster.hosts):
            entries.address(f"registry.{self.domain}", group)
        return entries


@dataclass(frozen=True, slots=True)
class HostRecords(Giver):
    """`spartan` and `localhost`: the names that a resolver at `addresses` has without any cluster."""

    domain: str
    addresses: tuple[str, ...]

    def fixed(self, _cluster: Cluster) -> Entries:
        entries = Entries()
        if self.domain == "localhost":
            entries.address("localhost", ("127.0.0.1", "::1"))
        else:
            entries.address(NAME_SERVER, self.addresses)
            entries.address("ready.spartan", ("127.0.0.1",))
        return entries


def _name(task: Task) -> str:
    return labels.label((task.discovery.name if task.discovery else "") or task.name)


def _discovered(task: Task) -> list[DiscoveryPort]:
    return task.discovery.ports.ports if task.discovery else []


def _mappings(task: Task) -> Iterator[tuple[int, int]]:
    """Container ports with the host ports that lead to them."""
    container = task.container
    if container is not None and container.type == "DOCKER":
        found = container.docker.port_mappings if container.docker else []
    elif container is not None and container.network_infos:
        found = [mapping for info in container.network_infos for mapping in info.port_mappings]
    else:
        found = [mapping for info in network_infos(task) for mapping in info.port_mappings]
    return ((mapping.container_port, mapping.host_port) for mapping in found if mapping.host_port)


def _scope(port: DiscoveryPort) -> str:
    """`host` or `container`: whose port the number is."""
    given = port.labels.labels if port.labels else []
    return next((label.value for label in given if label.key == "network-scope"), "container")


def _backend(task: Task, port: DiscoveryPort, agent: tuple[str, ...]) -> tuple[tuple[str, ...], int]:
    if _scope(port) == "host":
        return agent, port.number
    mapped = next((host for container, host in _mappings(task) if container == port.number), None)
    return (netinfo(task) or agent, port.number) if mapped is None else (agent, mapped)


def _vips(port: DiscoveryPort) -> Iterator[tuple[str, int]]:
    """Names and ports of the virtual addresses of a port: `/name:port`; one that is an address has no name."""
    for label in port.labels.labels if port.labels else ():
        name, _, number = label.value.rpartition(":")
        if not label.key.lower().startswith("vip") or not name.startswith("/") or not number.isascii():
            continue
        plain = labels.domain(name.replace("/", ""))
        if plain and number.isdigit():
            yield plain, int(number)
