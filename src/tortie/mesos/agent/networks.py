"""How a UCR container comes to its networks: by CNI, by net-modules, or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tortie.wire import mesos as wire
from tortie.wire.labels import MESOS_TASK, MESOS_TASK_NAME


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a task asks for. `network_infos`: as in its container; empty: the host's network."""

    container_id: str
    hostname: str = ""
    network_infos: Sequence[wire.NetworkInfo] = ()
    task: wire.TaskInfo | None = None


def about(wish: Wish) -> dict[str, str]:
    """Who it is for, as people know it."""
    return {MESOS_TASK: wish.task.task_id.value, MESOS_TASK_NAME: wish.task.name} if wish.task else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """What it got. `namespace`: path of a network namespace, empty for the host's.

    `infos`: as statuses show them, addresses without prefix lengths. `environment`: what its process is told
    (LIBPROCESS_IP). `files`: a path in the container to a file of the host that is mounted there (/etc/hosts,
    /etc/hostname, /etc/resolv.conf).
    """

    namespace: str = ""
    hostname: str = ""
    infos: Sequence[wire.NetworkInfo] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


class Networks(Protocol):
    """Everything is kept on disk before it is done, so that an agent that comes back can go on or undo it."""

    def check(self, wish: Wish) -> None:
        """Raises Invalid in the original's words for what can be refused before anything is done."""

    async def join(self, wish: Wish) -> Joined:
        """Before the container is created. Raises Invalid or Unavailable; everything is undone then."""

    async def isolate(self, container_id: str, pid: int) -> None:
        """When its first process exists in its namespace and has not begun yet. Raises like `join`."""

    async def leave(self, container_id: str) -> None:
        """When all of its processes are dead. Raises what failed; what is left is tried again by the next `leave`."""

    def joined(self, container_id: str) -> Joined | None:
        """What an earlier life of the agent got for it."""

    def keeps(self, container_id: str) -> bool:
        """Whether something is kept of it. Cheap, however many there are."""

    def kept(self) -> Sequence[str]:
        """Every container that something is kept of."""
