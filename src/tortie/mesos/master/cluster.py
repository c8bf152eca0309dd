"""What the master knows, and what it wants said and kept: values only, no I/O.

Functions of this package change a Cluster and append to its `outbox`; the runtime commits every Keep first and then
delivers every Say and HangUp, in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec

from tortie.mesos.protocol import MasterMessage
from tortie.mesos.resources import Resources
from tortie.wire import mesos as wire


@dataclass(frozen=True, slots=True)
class Say:
    """One message on one stream; a stream that is gone takes it with it."""

    stream: str
    message: Any


@dataclass(frozen=True, slots=True)
class HangUp:
    stream: str


@dataclass(frozen=True, slots=True)
class Keep:
    """A record of the registry; None removes it."""

    key: str
    value: msgspec.Struct | None


Effect: TypeAlias = Say | HangUp | Keep


@dataclass(slots=True)
class Task:
    """`state` is the newest; `sent_*` belong to the update that was forwarded last."""

    info: wire.TaskInfo
    framework_id: str
    agent_id: str
    resources: Resources
    state: str = "TASK_STAGING"
    statuses: list[wire.TaskStatus] = field(default_factory=list)
    sent_state: str | None = None
    sent_uuid: bytes | None = None
    kill: wire.Kill | None = None
    released: bool = False

    @property
    def id(self) -> str:
        return self.info.task_id.value

    @property
    def terminal(self) -> bool:
        return self.state in wire.TERMINAL


@dataclass(frozen=True, slots=True)
class Filter:
    """Until then no offer of this agent to this role that is no more than `resources`."""

    agent_id: str
    role: str
    resources: Resources
    until: float


@dataclass(slots=True)
class Framework:
    id: str
    info: wire.FrameworkInfo
    registered: float
    stream: str | None = None
    reregistered: float | None = None
    unregistered: float = 0.0
    disconnected: float | None = None
    recovered: bool = False
    suppressed: set[str] = field(default_factory=set)
    filters: list[Filter] = field(default_factory=list)
    tasks: dict[str, Task] = field(default_factory=dict)
    unreachable: dict[str, Task] = field(default_factory=dict)
    completed: deque[Task] = field(default_factory=lambda: deque(maxlen=1000))
    allocations: int = 0

    @property
    def connected(self) -> bool:
        return self.stream is not None

    @property
    def roles(self) -> list[str]:
        if self.info.can("MULTI_ROLE"):
            return self.info.roles
        return [self.info.role or "*"]

    @property
    def failover_timeout(self) -> float:
        return self.info.failover_timeout or 0.0


@dataclass(slots=True)
class Agent:
    """`free` is what neither a live task nor an offer holds."""

    id: str
    info: wire.AgentInfo
    ip: str
    version: str
    total: Resources
    free: Resources
    registered: float
    stream: str | None = None
    reregistered: float | None = None
    disconnected: float | None = None
    last_pong: float = 0.0
    tasks: dict[tuple[str, str], Task] = field(default_factory=dict)

    @property
    def active(self) -> bool:
        return self.stream is not None

    @property
    def pid(self) -> str:
        return f"slave(1)@{self.ip}:{self.info.port}"


@dataclass(frozen=True, slots=True)
class Offer:
    id: str
    framework_id: str
    agent_id: str
    role: str
    resources: Resources
    made: float


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds."""

    ping_timeout: float = 15.0
    max_pings: int = 5
    reregister_timeout: float = 600.0
    heartbeat: float = 15.0
    offer_timeout: float | None = None
    roles: frozenset[str] | None = None
    max_completed_frameworks: int = 50


@dataclass(slots=True)
class RecoveredAgent:
    """Known from the registry, not back yet."""

    info: wire.AgentInfo
    ip: str
    registered: float
    deadline: float


@dataclass(slots=True)
class Cluster:
    info: wire.MasterInfo
    settings: Settings = field(default_factory=Settings)
    agents: dict[str, Agent] = field(default_factory=dict)
    recovered: dict[str, RecoveredAgent] = field(default_factory=dict)
    unreachable: dict[str, float] = field(default_factory=dict)
    frameworks: dict[str, Framework] = field(default_factory=dict)
    completed: dict[str, Framework] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    offers: dict[str, Offer] = field(default_factory=dict)
    outbox: list[Effect] = field(default_factory=list)
    next_agent: int = 0
    next_framework: int = 0
    next_offer: int = 0
    watchers: set[str] = field(default_factory=set)
    counters: dict[str, int] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.info.id

    def say(self, framework: Framework, event: wire.Event) -> None:
        """Nothing when the framework is not connected."""
        if framework.stream is not None:
            self.outbox.append(Say(framework.stream, event))

    def tell(self, agent: Agent, message: MasterMessage) -> None:
        """Nothing when the agent is not connected."""
        if agent.stream is not None:
            self.outbox.append(Say(agent.stream, message))

    def announce(self, kind: str, **payload: Any) -> None:
        """To every reader of the operator API's event stream."""
        event = {"type": kind, **({kind.lower(): payload} if payload else {})}
        self.outbox += [Say(stream, event) for stream in sorted(self.watchers)]

    def count(self, name: str, by: int = 1) -> None:
        self.counters[name] = self.counters.get(name, 0) + by

    def take_outbox(self) -> list[Effect]:
        taken, self.outbox = self.outbox, []
        return taken

    def tasks(self) -> Iterator[Task]:
        for framework in self.frameworks.values():
            yield from framework.tasks.values()

    def release(self, task: Task) -> None:
        """Gives its resources back to the agent, once."""
        if task.released:
            return
        task.released = True
        if agent := self.agents.get(task.agent_id):
            agent.free = agent.free + task.resources
