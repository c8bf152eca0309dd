from __future__ import annotations

from tortie.mesos.agent.health import Health, Verdict, status_is_good, url
from tortie.wire import mesos as wire


def test_failures_within_the_grace_do_not_count_until_there_was_a_success() -> None:
    health = Health(wire.HealthCheck(type="TCP", grace_period_seconds=10, consecutive_failures=2))
    assert health.judge(ok=False, age=9.9) == Verdict()
    assert health.judge(ok=True, age=9.9) == Verdict(True)
    assert health.judge(ok=True, age=9.9) == Verdict()
    assert health.judge(ok=False, age=9.9) == Verdict(False)
    assert health.judge(ok=True, age=9.9) == Verdict(True)
    assert health.judge(ok=False, age=20) == Verdict(False)
    assert health.judge(ok=False, age=20) == Verdict(False, kill=True)


def test_a_new_agent_goes_on_where_the_one_before_it_stopped() -> None:
    check = wire.HealthCheck(type="TCP", grace_period_seconds=10, consecutive_failures=2)
    assert Health.of(check, None).judge(ok=False, age=1) == Verdict()
    assert Health.of(check, True).judge(ok=True, age=1) == Verdict()
    assert Health.of(check, True).judge(ok=False, age=1) == Verdict(False)
    assert Health.of(check, False).judge(ok=True, age=1) == Verdict(True)
    assert Health.of(check, False).judge(ok=False, age=1) == Verdict(False, kill=True)


def test_a_limit_of_zero_never_kills() -> None:
    health = Health(wire.HealthCheck(type="TCP", consecutive_failures=0))
    assert [health.judge(ok=False, age=99).kill for _ in range(5)] == [False] * 5


def test_http_checks_ask_the_containers_own_loopback() -> None:
    assert url(wire.HTTPCheck(port=80)) == "http://127.0.0.1:80"
    assert url(wire.HTTPCheck(port=1, path="/x", scheme="https", protocol="IPv6")) == "https://[::1]:1/x"
    assert [status_is_good(wire.HTTPCheck(port=1), code) for code in (0, 199, 200, 399, 400)] == [
        False,
        False,
        True,
        True,
        False,
    ]
    assert not status_is_good(wire.HTTPCheck(port=1, statuses=[204]), 200)
