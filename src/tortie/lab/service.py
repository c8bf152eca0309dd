"""What a supervisor knows of one daemon, and when it acts: start, kill, start again. `now` is monotonic seconds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from tortie.lab.plan import Daemon

State = Literal["waiting", "starting", "running", "backoff", "stopping", "stopped", "failed", "done"]
FIRST_DELAY, LONGEST_DELAY = 0.2, 5.0
LOOK_SECONDS = 0.03
STEADY_SECONDS = 10.0
"""Who ran at least this long starts again after the first delay."""


@dataclass(slots=True)
class Service:
    """One daemon's life. `wanted` is what people asked for, `state` what is.

    `own`: the lab's daemon of this name, which a unit file may stand in for; None where there is only the unit's.
    `step`: how many of the programs that come before it have ended. `passing`: it is forgotten when it has ended.
    """

    daemon: Daemon
    own: Daemon | None = None
    passing: bool = False
    step: int = 0
    state: State = "waiting"
    wanted: bool = True
    pid: int = 0
    since: float = 0.0
    next_start: float = 0.0
    kill_at: float | None = None
    failures: int = 0
    restarts: int = 0
    been_ready: bool = False
    last_exit: str = ""

    @property
    def name(self) -> str:
        return self.daemon.name

    @property
    def argv(self) -> tuple[str, ...]:
        """Of the program whose turn it is."""
        return (*self.daemon.manner.before, self.daemon.argv)[self.step]

    @property
    def asks_readiness(self) -> bool:
        """Whether it has to be asked now if it is up."""
        last = self.step == len(self.daemon.manner.before)
        return self.state == "starting" and last and self.daemon.ready.kind in ("listens", "http")

    def may_start(self, now: float, ready: set[str]) -> bool:
        """It is wanted, has no process, its time has come, and all that it waits for have been ready once."""
        return (
            self.wanted
            and self.state in ("waiting", "backoff")
            and now >= self.next_start
            and ready.issuperset(self.daemon.after)
        )

    def started(self, pid: int, now: float) -> None:
        self.pid, self.since, self.kill_at = pid, now, None
        self.state = "starting"
        if self.daemon.ready.kind == "started" and self.step == len(self.daemon.manner.before):
            self.found_ready(now)

    def found_ready(self, now: float) -> None:
        self.state, self.been_ready = "running", True

    def ended(self, status: str, now: float) -> None:
        """Its process is gone; `status` as `exit N` or `signal N`."""
        ran, self.pid, self.kill_at, self.last_exit = now - self.since, 0, None, status
        self.since = now
        before, well = self.daemon.manner.before, status == "exit 0"
        if self.wanted and self.state == "starting" and self.step < len(before):
            if well or before[self.step][0].startswith("-"):
                self.state, self.next_start, self.step = "waiting", now, self.step + 1
                return
            well = False
        first, self.step = self.step == len(before), 0
        if not self.wanted:
            self.state = "stopped"
        elif self.state == "stopping":  # a restart: at once
            self.state, self.next_start, self.failures = "waiting", now, 0
        elif self.daemon.ready.kind == "exit" and well and first:
            self.state, self.been_ready, self.failures = "done", True, 0
            if self.daemon.manner.once:
                self.state, self.wanted = "stopped", False
        else:
            self._again(ran, well=well, now=now)

    def _again(self, ran: float, *, well: bool, now: float) -> None:
        """Started once more, or not, as its manner says."""
        manner = self.daemon.manner
        if manner.restart == "no" or (manner.restart == "on-failure" and well):
            self.state, self.wanted = "stopped" if well else "failed", False
            return
        self.failures = 1 if ran >= STEADY_SECONDS else self.failures + 1
        self.restarts += 1
        wait = delay(self.failures) if manner.delay is None else manner.delay
        self.state, self.next_start = "backoff", now + wait

    def ask_stop(self, now: float) -> bool:
        """True if its process has to be told."""
        self.wanted = False
        return self._leave(now)

    def ask_start(self, now: float) -> None:
        """Starting what runs already is fine."""
        self.wanted = True
        if not self.pid:
            self.state, self.next_start, self.failures, self.step = "waiting", now, 0, 0

    def ask_restart(self, now: float) -> bool:
        """True if its process has to be told; it is started again when that has ended."""
        self.wanted = True
        if not self.pid:
            self.ask_start(now)
        return self._leave(now)

    def forget_failure(self) -> None:
        if self.state == "failed":
            self.state = "stopped"

    def _leave(self, now: float) -> bool:
        if not self.pid:
            if not self.wanted:
                self.state = "stopped"
            return False
        self.state, self.kill_at = "stopping", now + self.daemon.grace
        return True

    def settled(self) -> bool:
        """What was asked for has come about."""
        return self.state in (("running", "done") if self.wanted else ("stopped", "failed"))

    def report(self, now: float) -> dict[str, Any]:
        return {
            "name": self.name,
            "state": self.state,
            "pid": self.pid or None,
            "seconds": round(now - self.since, 1) if self.since else 0.0,
            "restarts": self.restarts,
            "last_exit": self.last_exit,
            "unit": self.own is None,
        }


def delay(failures: int) -> float:
    """Seconds before the next start after this many short lives in a row: doubling, at most LONGEST_DELAY."""
    return min(FIRST_DELAY * 2.0 ** min(failures - 1, 16), LONGEST_DELAY)


def ready_names(services: Iterable[Service]) -> set[str]:
    return {service.name for service in services if service.been_ready}


def next_event(services: Iterable[Service], now: float) -> float:
    """Seconds until something is due, at most one."""
    soonest = now + 1.0
    for service in services:
        if service.wanted and service.state == "backoff":
            soonest = min(soonest, service.next_start)
        if service.kill_at is not None:
            soonest = min(soonest, service.kill_at)
        if service.asks_readiness:
            soonest = min(soonest, now + LOOK_SECONDS)
    return max(soonest - now, 0.0)
