"""When a task counts as healthy, and when it has failed too often. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from tortie.wire import mesos as wire


@dataclass(frozen=True, slots=True)
class Verdict:
    """`healthy`: what to report, None for nothing. `kill`: enough is enough."""

    healthy: bool | None = None
    kill: bool = False


@dataclass(slots=True)
class Health:
    check: wire.HealthCheck
    succeeded: bool = False
    failures: int = 0

    @classmethod
    def of(cls, check: wire.HealthCheck, reported: bool | None) -> Health:
        """Goes on from what an agent before us has reported of the task: whatever it was, the grace period is over."""
        return cls(check, succeeded=reported is not None, failures=int(reported is False))

    def judge(self, *, ok: bool, age: float) -> Verdict:
        """One check, `age` seconds after the start.

        A failure within the grace period does not count until there was a success. Every counted failure is reported;
        of successes the first, and the first after a failure.
        """
        if ok:
            news = not self.succeeded or self.failures > 0
            self.succeeded, self.failures = True, 0
            return Verdict(True) if news else Verdict()
        if not self.succeeded and age < self.check.grace_period_seconds:
            return Verdict()
        self.failures += 1
        limit = self.check.consecutive_failures
        return Verdict(False, kill=0 < limit <= self.failures)


def url(check: wire.HTTPCheck) -> str:
    """Asked of the container's own loopback address."""
    host = "[::1]" if check.protocol == "IPv6" else "127.0.0.1"
    return f"{check.scheme or 'http'}://{host}:{check.port}{check.path or ''}"


def status_is_good(check: wire.HTTPCheck, status: int) -> bool:
    return status in check.statuses if check.statuses else 200 <= status < 400
