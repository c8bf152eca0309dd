"""What the results of one health check of one task add up to."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tortie.marathon.model.app import HealthCheck


class Health(msgspec.Struct, frozen=True):
    """Results so far; a task that never succeeded is not alive."""

    first_success: float | None = None
    last_success: float | None = None
    last_failure: float | None = None
    last_cause: str | None = None
    failures: int = 0

    @property
    def alive(self) -> bool:
        return self.last_success is not None and self.last_success > (self.last_failure or 0)


class LastResponse(msgspec.Struct, frozen=True, rename="camel"):
    """What a task answered when it was asked whether it is ready."""

    status: int
    content_type: str = ""
    body: str = ""


class Asked(msgspec.Struct, frozen=True):
    """How far a task is with its readiness check."""

    ready: bool
    response: LastResponse


def after_result(
    health: Health, check: HealthCheck, failure: str | None, now: float, running_since: float
) -> tuple[Health, bool]:
    """The health after one more result, and whether the task is to be killed.

    Failures do not count while the task has never succeeded and its grace period lasts. The kill comes with the
    failure after `maxConsecutiveFailures` of them; 0 never kills.
    """
    if failure is None:
        first = health.first_success if health.first_success is not None else now
        return msgspec.structs.replace(health, first_success=first, last_success=now, failures=0), False
    failed = msgspec.structs.replace(health, last_failure=now, last_cause=failure)
    if health.first_success is None and now < running_since + check.grace_period_seconds:
        return failed, False
    kill = check.max_consecutive_failures > 0 and health.failures >= check.max_consecutive_failures
    return msgspec.structs.replace(failed, failures=health.failures + 1), kill


def overall(checks: int, results: Mapping[int, Health]) -> bool | None:
    """Is a task of that many checks healthy? None as long as some have no result and no other one failed."""
    if not all(health.alive for health in results.values()):
        return False
    return True if len(results) == checks else None
