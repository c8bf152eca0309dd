"""The master's registry as records of the store: agents and frameworks. Tasks come back from the agents."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Invalid
from tortie.mesos.master.cluster import Agent, Cluster, Framework, Keep, RecoveredAgent
from tortie.wire import mesos as wire

log = logging.getLogger("master")
PREFIX = "/tortie/v1/mesos/"
AGENTS = PREFIX + "agents/"
FRAMEWORKS = PREFIX + "frameworks/"


class AgentRecord(wire.Message):
    """`unreachable`: since when, if the agent was given up."""

    info: wire.AgentInfo
    ip: str
    registered: float
    unreachable: float | None = None


class FrameworkRecord(wire.Message):
    """`completed`: removed; its id is never taken again."""

    info: wire.FrameworkInfo
    registered: float
    completed: bool = False


def keep_agent(agent: Agent, unreachable: float | None = None) -> Keep:
    return Keep(
        AGENTS + agent.id,
        AgentRecord(info=agent.info, ip=agent.ip, registered=agent.registered, unreachable=unreachable),
    )


def forget_agent(agent_id: str) -> Keep:
    return Keep(AGENTS + agent_id, None)


def keep_framework(framework: Framework, *, completed: bool = False) -> Keep:
    record = FrameworkRecord(info=framework.info, registered=framework.registered, completed=completed)
    return Keep(FRAMEWORKS + framework.id, record)


def recover(cluster: Cluster, records: Iterable[tuple[str, bytes]], now: float) -> None:
    """What a master that starts knows: whom to wait for. The failover timeouts begin anew.

    Raises Invalid when a record cannot be read: a registry that is only half known must not be acted on.
    """
    for key, value in records:
        try:
            if key.startswith(AGENTS):
                _agent(cluster, key.removeprefix(AGENTS), msgspec.json.decode(value, type=ready(AgentRecord)), now)
            elif key.startswith(FRAMEWORKS):
                kept = msgspec.json.decode(value, type=ready(FrameworkRecord))
                _framework(cluster, key.removeprefix(FRAMEWORKS), kept, now)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Invalid(f"registry: {key} cannot be read: {error}") from error


def _agent(cluster: Cluster, agent_id: str, record: AgentRecord, now: float) -> None:
    if record.unreachable is not None:
        cluster.unreachable[agent_id] = record.unreachable
        return
    deadline = now + cluster.settings.reregister_timeout
    cluster.recovered[agent_id] = RecoveredAgent(record.info, record.ip, record.registered, deadline)


def _framework(cluster: Cluster, framework_id: str, record: FrameworkRecord, now: float) -> None:
    framework = Framework(framework_id, record.info, record.registered)
    if record.completed:
        cluster.refused.add(framework_id)
        cluster.completed[framework_id] = framework
        framework.unregistered = now
        return
    framework.recovered, framework.disconnected = True, now
    cluster.frameworks[framework_id] = framework
