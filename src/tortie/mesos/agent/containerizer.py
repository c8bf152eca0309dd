"""What runs a task's container, whatever it is made with: Docker's engine, or an OCI runtime (UCR)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tortie.mesos.agent.docker_run import Launch
from tortie.wire import mesos as wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a container ended: wait(2)'s status, and the words for it in the terminal status of its task.

    `reason`: Mesos's, when it is not the process's own doing: out of memory, or whoever watched over it was lost.
    """

    status: int
    message: str
    reason: str | None = None

    @property
    def code(self) -> int:
        """As a shell tells it: 128 and the signal's number for a death by signal."""
        return 128 + (self.status & 0x7F) if self.status & 0x7F else self.status >> 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A container as it is now.

    `networks`: as its statuses show them, empty on the host's network; what one without a name and labels does not say
    is taken from what the task asked for at its place. `data` and `labels` go with the first RUNNING status.
    `stop_signal`: what its image asks to be ended with.
    """

    started: bool
    exit: Exit | None = None
    networks: Sequence[wire.NetworkInfo] = ()
    pid: int = 0
    data: bytes | None = None
    labels: Mapping[str, str] | None = None
    stop_signal: str = "SIGTERM"

    @property
    def running(self) -> bool:
        return self.started and self.exit is None


class Containerizer(Protocol):
    """Errors are TortieErrors; NotFound: there is no such container; Unavailable: ask again."""

    def check(self, launch: Launch) -> None:
        """Raises Invalid, in the original's words, for what can be refused before anything is fetched."""

    async def prepare(self, launch: Launch) -> None:
        """Its image, its networks, whatever else may take long. May be cancelled; leaves nothing that `remove` does
        not find."""

    async def start(self, launch: Launch) -> None:
        """Raises Invalid when it cannot be started; nothing of it is left then, no address, mount or cgroup."""

    async def look(self, name: str) -> Seen: ...

    async def wait(self, name: str) -> None:
        """Until it does not run."""

    async def signal(self, name: str, signal: str) -> None:
        """One that has ended already is fine."""

    async def hears(self, name: str, signal: str) -> bool:
        """Whether the signal may be noticed; True whenever that cannot be told."""

    async def release(self, name: str) -> None:
        """After its end, before anybody hears of it: gives back what others may ask for next, as its addresses. How it
        ended stays known until `remove`. Any number of times."""

    async def remove(self, name: str) -> None:
        """Ended first when it runs, then nothing of it is left. What is not there is fine."""

    async def follow_output(self, name: str, sandbox: Path, base: Mapping[str, int]) -> None:
        """Sees to it that its output reaches `stdout` and `stderr`, until it ends. `base`: how long each was before."""

    async def run_in(
        self, name: str, arguments: Sequence[str], *, environment: Mapping[str, str], timeout: float
    ) -> tuple[int, str]:
        """Exit code and output of a command in the container, `environment` on top of the container's own.

        Raises Unavailable when it has not ended in time; 0: it has all the time.
        """

    async def owned(self) -> Sequence[tuple[str, str, bool]]:
        """(name, container id, whether it has ended) of every container of this agent."""

    async def ended_before(self, name: str, moment: float) -> bool: ...

    async def close(self) -> None: ...
