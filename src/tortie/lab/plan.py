"""What a lab is made of, as values: hosts, daemons, forwarded pages. Nothing here touches the machine."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from tortie.base.errors import Invalid

SUBNET = "172.24.197.0/24"
PREFIX = "172.24.197."
NETWORK, FIRST_SUBNET, MAX_SUBNETS = "172.24.0.0/16", 197, 50
SWITCH = "switch"
SWITCH_ADDRESS = f"{PREFIX}2"
POOL = "192.168.0.0/16"
RESOLVER = "198.51.100.1"
"""Every host's own name server, on its loopback interface."""
DEFAULT_NAME = "default"
MAX_AGENTS = 99
"""Agents have .102 to .200."""

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {
    "PATH": PATH,
    "HOME": "/root",
    "USER": "root",
    "LOGNAME": "root",
    "SHELL": "/bin/bash",
    "LANG": "C.UTF-8",
}
"""What every program of a host starts with; nothing of the caller's environment."""

MASTER_LAST = 101
MASTER, LAPTOP = f"{PREFIX}{MASTER_LAST}", f"{PREFIX}10"
NODE_AS, FABRIC_AS = 64512, 64513
"""Autonomous systems of the nodes and of the router between the subnets."""

PUBLIC_FIRST, MAX_PUBLIC = 201, 54
"""Public agents have .201 to .254, all on the first subnet."""

Role = Literal["switch", "outside", "master", "agent", "public", "router"]


@dataclass(frozen=True, slots=True)
class Ready:
    """When a daemon counts as up. `exit`: it ran to its end with 0; `listens`: something takes connections at `at`;
    `http`: a GET of `path` there is answered with 200. `at` is HOST:PORT or the path of a unix socket."""

    kind: Literal["started", "exit", "listens", "http"] = "started"
    at: str = ""
    path: str = "/"


@dataclass(frozen=True, slots=True)
class Manner:
    """How a program is begun, begun again and ended, where that is not the lab's own way.

    `before`: programs that run to their ends first, each with a `-` before it if its failure counts for nothing;
    `restart`: when it is started again after its end; `delay`: seconds until then, None for ever longer waits; `once`:
    it is over when it has ended well; `env_files`: read at each start, with a `-` if one may be absent; `group`: what
    it started ends with it; `open_files`: its limit of these, 0 for the supervisor's.
    """

    before: tuple[tuple[str, ...], ...] = ()
    restart: str = "always"
    delay: float | None = None
    once: bool = False
    env_files: tuple[str, ...] = ()
    group: bool = False
    directory: str = ""
    open_files: int = 0


@dataclass(frozen=True, slots=True)
class Daemon:
    """One program that a host's supervisor keeps running; it starts once every daemon in `after` is ready."""

    name: str
    argv: tuple[str, ...]
    after: tuple[str, ...] = ()
    ready: Ready = Ready()
    env: Mapping[str, str] = field(default_factory=dict)
    grace: float = 5.0
    """Seconds between SIGTERM and SIGKILL when it is stopped."""
    listen: tuple[str, ...] = ()
    """Names of forwarded pages whose listening sockets it inherits."""
    manner: Manner = Manner()


@dataclass(frozen=True, slots=True)
class Host:
    name: str
    address: str
    role: Role
    daemons: tuple[Daemon, ...] = ()
    routes: tuple[tuple[str, str], ...] = ()
    """(destination, gateway) pairs that the lab itself sets."""
    nameserver: str = ""
    others: tuple[str, ...] = ()
    """Its addresses on further subnets, one interface each."""

    @property
    def forwards(self) -> bool:
        """Whether it passes packets on between its interfaces."""
        return self.role in ("master", "agent", "public", "router")


@dataclass(frozen=True, slots=True)
class Page:
    """A page shown on 127.0.0.1: at `port` if that is free, led to `target` inside the lab; it begins at `path`."""

    name: str
    port: int
    target: str
    path: str = "/"


@dataclass(frozen=True, slots=True)
class Options:
    """What a person asked `up` for; two labs are the same when these are equal."""

    document: str = "stars"
    agents: int = 2
    store: str = "sqlite"
    routing: str = "direct"
    runtime: str = "docker"
    subnets: int = 1
    public_agents: int = 0
    bare: bool = False
    """No network yet: it comes by the packages."""


@dataclass(frozen=True, slots=True)
class Plan:
    name: str
    options: Options
    hosts: tuple[Host, ...]
    pages: tuple[Page, ...]

    def host(self, name: str) -> Host:
        """Raises KeyError."""
        return next(host for host in self.hosts if host.name == name)


def check_name(name: str) -> str:
    """The name of a lab becomes part of paths and cgroups: letters, digits, `-`; at most 32."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", name):
        raise Invalid(
            f"lab name {name!r}: expected at most 32 lower-case letters, digits and `-`, not beginning with `-`"
        )
    return name


def subnet_of(address: str) -> int:
    """Which of the lab's subnets an address lies on, from 0."""
    return int(address.split(".")[2]) - FIRST_SUBNET


def on_subnet(number: int, last: int) -> str:
    """The address with this last octet on one of the lab's subnets."""
    return f"172.24.{FIRST_SUBNET + number}.{last}"


def agent_address(options: Options, n: int) -> str:
    """The n-th agent's, from 1: agents are spread over the subnets, and keep their last octet."""
    return on_subnet((n - 1) % options.subnets, 101 + n)


def agents_of(options: Options) -> dict[str, str]:
    """Name and address of each agent, without the public ones."""
    return {f"agent-{n}": agent_address(options, n) for n in range(1, options.agents + 1)}


def public_agents_of(options: Options) -> dict[str, str]:
    """Name and address of each public agent."""
    return {f"public-{n}": on_subnet(0, PUBLIC_FIRST - 1 + n) for n in range(1, options.public_agents + 1)}


def as_json(value: Any) -> Any:
    """A plan or a part of it as plain dictionaries and lists."""
    return asdict(value)


def daemon_from(raw: Mapping[str, Any]) -> Daemon:
    """The reverse of `as_json` for a daemon."""
    return Daemon(
        name=raw["name"],
        argv=tuple(raw["argv"]),
        after=tuple(raw["after"]),
        ready=Ready(**raw["ready"]),
        env=dict(raw["env"]),
        grace=raw["grace"],
        listen=tuple(raw["listen"]),
    )


def in_order(daemons: Sequence[Daemon]) -> list[Daemon]:
    """Each after those it waits for; Invalid when one waits for an unknown one or for itself."""
    left, done, ordered = list(daemons), set[str](), list[Daemon]()
    while left:
        able = [daemon for daemon in left if done.issuperset(daemon.after)]
        if not able:
            raise Invalid(*(f"daemon {d.name} waits for {', '.join(d.after)}" for d in left))
        ordered += able
        done.update(daemon.name for daemon in able)
        left = [daemon for daemon in left if daemon not in able]
    return ordered


def limited(plan: Plan, names: Sequence[str]) -> Plan:
    """The plan with these daemons only (of the hosts that have them); Invalid names one that no host has."""
    known = {daemon.name for host in plan.hosts for daemon in host.daemons}
    if unknown := [name for name in names if name not in known]:
        raise Invalid(*(f"no daemon {name}; there are {', '.join(sorted(known))}" for name in unknown))
    return without(plan, known - set(names))


def without(plan: Plan, names: Set[str]) -> Plan:
    """The plan without these daemons; nobody waits for them."""

    def of(host: Host) -> Host:
        daemons = tuple(
            replace(d, after=tuple(a for a in d.after if a not in names)) for d in host.daemons if d.name not in names
        )
        return replace(host, daemons=daemons)

    return replace(plan, hosts=tuple(map(of, plan.hosts)))
