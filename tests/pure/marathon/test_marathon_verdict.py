"""When a task counts as sick, and when it is killed for it."""

from __future__ import annotations

from tortie.marathon.model.app import HealthCheck
from tortie.marathon.verdict import Health, after_result

CHECK = HealthCheck(path="/", port=80, grace_period_seconds=10, max_consecutive_failures=2)


def results(check: HealthCheck, *found: tuple[float, str | None]) -> tuple[Health, list[float]]:
    health, kills = Health(), []
    for now, failure in found:
        health, kill = after_result(health, check, failure, now, 100.0)
        if kill:
            kills.append(now)
    return health, kills


def test_failures_in_the_grace_period_do_not_count_but_the_task_is_not_alive() -> None:
    health, kills = results(CHECK, (101, "x"), (105, "x"), (109, "x"))
    assert (health.failures, health.alive, kills) == (0, False, [])


def test_the_kill_comes_with_the_failure_after_the_allowed_ones() -> None:
    assert results(CHECK, (111, "x"), (112, "x"), (113, "x"))[1] == [113]


def test_a_success_ends_the_grace_period_and_starts_the_count_anew() -> None:
    health, kills = results(CHECK, (101, None), (102, "x"), (103, "x"), (104, None), (105, "x"))
    assert (health.failures, health.alive, kills) == (1, False, [])
    assert results(CHECK, (101, None), (102, "x"), (103, "x"), (104, "x"))[1] == [104]


def test_zero_never_kills() -> None:
    check = HealthCheck(path="/", port=80, grace_period_seconds=0, max_consecutive_failures=0)
    assert results(check, *((100.0 + n, "x") for n in range(1, 20)))[1] == []
