"""One task of an app, from the decision to launch it to the word that it has ended."""

from __future__ import annotations

import msgspec

from tortie.marathon.model.app import Value
from tortie.wire.mesos import TaskStatus

STAGING, STARTING, RUNNING, KILLING = "TASK_STAGING", "TASK_STARTING", "TASK_RUNNING", "TASK_KILLING"
UNREACHABLE, LOST, UNKNOWN = "TASK_UNREACHABLE", "TASK_LOST", "TASK_UNKNOWN"
TERMINAL = frozenset(
    {"TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_ERROR", "TASK_DROPPED", "TASK_GONE", "TASK_GONE_BY_OPERATOR"}
)
FAILURES = frozenset({"TASK_FAILED", "TASK_ERROR", "TASK_LOST", "TASK_DROPPED", "TASK_GONE", "TASK_UNKNOWN"})
_ONLY_AWAY = frozenset(
    {"REASON_RECONCILIATION", "REASON_SLAVE_DISCONNECTED", "REASON_SLAVE_REMOVED"}
    | {"REASON_AGENT_DISCONNECTED", "REASON_AGENT_REMOVED"}
)


class Instance(Value, frozen=True, kw_only=True):
    """A task as it is stored. `killed_at`: when we last asked for its end; `confirmed`: the master knows it;

    `inactive`: unreachable for so long that another takes its place; `ready`: its readiness check has passed once.
    """

    id: str
    app: str
    version: str
    agent: str
    host: str
    state: str = STAGING
    ports: tuple[int, ...] = ()
    addresses: tuple[str, ...] = ()
    attributes: dict[str, str] = {}
    staged_at: float = 0
    started_at: float | None = None
    killed_at: float | None = None
    unreachable_at: float | None = None
    healthy: bool | None = None
    inactive: bool = False
    ready: bool = False
    confirmed: bool = False

    @property
    def leaving(self) -> bool:
        """Its end was asked for and is not there yet."""
        return self.killed_at is not None or self.state == KILLING

    @property
    def active(self) -> bool:
        """Counts as one of the app's instances: not on its way out, and not away for so long that it is replaced."""
        return not self.leaving and not self.inactive

    @property
    def running(self) -> bool:
        return self.state == RUNNING and self.killed_at is None


def meaning(status: TaskStatus) -> str:
    """The state a status stands for: TASK_LOST of an agent that is only away becomes TASK_UNREACHABLE.

    A task that the master does not know (any more) is TASK_UNKNOWN.
    """
    if status.state == LOST:
        about_unknown = status.reason == "REASON_RECONCILIATION" and "unknown" in (status.message or "").lower()
        if status.reason == "REASON_TASK_UNKNOWN" or about_unknown:
            return UNKNOWN
        if status.reason in _ONLY_AWAY:
            return UNREACHABLE
    return status.state


def ended(state: str) -> bool:
    """Is it the last word about a task?"""
    return state in TERMINAL or state in (LOST, UNKNOWN)


def addresses(status: TaskStatus) -> tuple[str, ...]:
    """Every address of the container that the status names, in order, each once."""
    networks = status.container_status.network_infos if status.container_status else []
    found = [item.ip_address for network in networks for item in network.ip_addresses if item.ip_address]
    return tuple(dict.fromkeys(found))


def absorb(instance: Instance, status: TaskStatus, now: float) -> Instance:
    """The instance after a status that is not its end, but for its health; addresses stay when a status names none."""
    state = meaning(status)
    away = instance.unreachable_at if state == UNREACHABLE and instance.unreachable_at is not None else now
    return msgspec.structs.replace(
        instance,
        state=state,
        confirmed=True,
        addresses=addresses(status) or instance.addresses,
        started_at=now if state == RUNNING and instance.started_at is None else instance.started_at,
        unreachable_at=away if state == UNREACHABLE else None,
        inactive=instance.inactive and state == UNREACHABLE,
    )
