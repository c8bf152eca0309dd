"""A daemon's life as its supervisor sees it: `now` is only a number here."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.lab.plan import Daemon, Manner, Ready
from tortie.lab.service import LONGEST_DELAY, Service, delay, next_event, ready_names


def service(kind: str = "listens", after: tuple[str, ...] = ()) -> Service:
    return Service(Daemon("d", ("/bin/d",), after, Ready(kind, "x")))  # type: ignore[arg-type]


def test_it_starts_only_when_all_it_waits_for_have_been_ready() -> None:
    waits = service(after=("a", "b"))
    assert not waits.may_start(0, {"a"})
    assert waits.may_start(0, {"a", "b", "c"})


def test_who_waited_once_does_not_wait_again_for_a_restart_of_the_other() -> None:
    first, second = service(), service(after=("d",))
    first.started(10, 0)
    first.found_ready(1)
    first.ended("signal 9", 2)
    assert second.may_start(2, ready_names([first]))


def test_a_short_life_is_followed_by_ever_longer_waits() -> None:
    daemon, now, waits = service(), 0.0, []
    for _ in range(8):
        daemon.started(10, now)
        daemon.ended("exit 1", now + 0.1)
        waits.append(daemon.next_start - now - 0.1)
        now = daemon.next_start
    assert waits == pytest.approx(sorted(waits))
    assert waits[0] == pytest.approx(0.2)
    assert waits[-1] == pytest.approx(LONGEST_DELAY)
    assert daemon.restarts == 8


def test_a_long_life_begins_the_waits_anew() -> None:
    daemon = service()
    daemon.failures = 9
    daemon.started(10, 0)
    daemon.ended("exit 1", 60)
    assert daemon.next_start == pytest.approx(60.2)


def test_what_was_stopped_stays_stopped() -> None:
    daemon = service()
    daemon.started(10, 0)
    assert daemon.ask_stop(1)
    assert daemon.kill_at == 1 + daemon.daemon.grace
    daemon.ended("exit 0", 2)
    assert daemon.state == "stopped"
    assert not daemon.may_start(100, set())
    assert daemon.settled()


def test_a_restart_does_not_count_as_a_failure_and_does_not_wait() -> None:
    daemon = service()
    daemon.started(10, 0)
    daemon.found_ready(1)
    assert daemon.ask_restart(2)
    assert not daemon.settled()
    daemon.ended("signal 15", 3)
    assert daemon.may_start(3, set())
    assert daemon.restarts == 0


def test_a_restart_of_what_stands_still_starts_it() -> None:
    daemon = service()
    daemon.ask_stop(0)
    assert not daemon.ask_restart(1)
    assert daemon.may_start(1, set())


def test_a_start_while_it_is_being_stopped_brings_it_back() -> None:
    daemon = service()
    daemon.started(10, 0)
    daemon.ask_stop(1)
    daemon.ask_start(1.5)
    daemon.ended("signal 15", 2)
    assert daemon.may_start(2, set())


def test_one_that_runs_to_its_end_is_done_and_frees_those_behind_it() -> None:
    boot = service("exit")
    boot.started(10, 0)
    assert ready_names([boot]) == set()
    boot.ended("exit 0", 1)
    assert boot.settled()
    assert ready_names([boot]) == {"d"}


def test_one_that_runs_to_a_bad_end_is_tried_again_and_frees_nobody() -> None:
    boot = service("exit")
    boot.started(10, 0)
    boot.ended("exit 1", 1)
    assert boot.state == "backoff"
    assert ready_names([boot]) == set()


def test_without_a_readiness_to_ask_for_it_is_ready_as_it_runs() -> None:
    daemon = service("started")
    daemon.started(10, 0)
    assert daemon.state == "running"


@given(st.integers(min_value=1, max_value=10**9))
def test_no_wait_is_longer_than_the_longest(failures: int) -> None:
    assert 0 < delay(failures) <= LONGEST_DELAY


@given(st.lists(st.sampled_from(["start", "end", "bad end", "stop", "restart", "ask start"]), max_size=30))
def test_whatever_happens_a_wanted_daemon_always_comes_back(events: list[str]) -> None:
    daemon, now = service("started"), 0.0
    for event in events:
        now += 1
        if event == "start" and daemon.may_start(now, set()):
            daemon.started(10, now)
        elif event in ("end", "bad end") and daemon.pid:
            daemon.ended("exit 0" if event == "end" else "exit 1", now)
        elif event == "stop":
            daemon.ask_stop(now)
        elif event == "restart":
            daemon.ask_restart(now)
        elif event == "ask start":
            daemon.ask_start(now)
        assert next_event([daemon], now) <= 1.0
    if not daemon.wanted:
        daemon.ask_start(now)
    if daemon.state == "stopping":
        daemon.ended("signal 15", now)
    if not daemon.pid:
        assert daemon.may_start(now + LONGEST_DELAY, set())


def unit(**manner: Any) -> Service:
    made = Manner(**{"restart": "no", "delay": 0.5, **manner})
    return Service(Daemon("u", ("/bin/u",), manner=made), state="stopped", wanted=False)


def test_a_unit_s_first_programs_run_one_after_the_other_before_its_own() -> None:
    service = unit(before=(("/bin/a",), ("-/bin/b",)))
    service.ask_start(0)
    for argv, status in ((("/bin/a",), "exit 0"), (("-/bin/b",), "exit 1")):
        assert service.argv == argv
        service.started(10, 1)
        assert (service.state, service.settled()) == ("starting", False)
        service.ended(status, 2)
        assert service.may_start(2, set())
    assert service.argv == ("/bin/u",)
    service.started(11, 3)
    assert service.state == "running"
    service.ended("exit 0", 4)
    assert (service.state, service.step) == ("stopped", 0)


def test_a_first_program_that_fails_is_the_unit_s_failure() -> None:
    service = unit(before=(("/bin/a",),))
    service.ask_start(0)
    service.started(10, 1)
    service.ended("exit 3", 2)
    assert (service.state, service.wanted, service.step) == ("failed", False, 0)
    service.ask_start(3)
    assert service.argv == ("/bin/a",)


def test_a_unit_that_is_told_to_stop_in_its_first_program_begins_there_again() -> None:
    service = unit(before=(("/bin/a",),), restart="always")
    service.ask_start(0)
    service.started(10, 1)
    assert service.ask_stop(2)
    service.ended("signal 15", 3)
    assert (service.state, service.step) == ("stopped", 0)


@pytest.mark.parametrize(
    ("restart", "status", "state"),
    [
        ("no", "exit 0", "stopped"),
        ("no", "exit 1", "failed"),
        ("no", "signal 9", "failed"),
        ("on-failure", "exit 0", "stopped"),
        ("on-failure", "exit 1", "backoff"),
        ("always", "exit 0", "backoff"),
        ("always", "signal 9", "backoff"),
    ],
)
def test_a_unit_starts_again_as_it_says(restart: str, status: str, state: str) -> None:
    service = unit(restart=restart)
    service.ask_start(0)
    service.started(10, 1)
    service.ended(status, 2)
    assert service.state == state
    if state == "backoff":
        assert (service.next_start, service.wanted) == (2.5, True)
    else:
        assert not service.may_start(1000, set())


def test_a_failure_is_forgotten_when_it_is_asked_to() -> None:
    service = unit()
    service.ask_start(0)
    service.started(10, 1)
    service.ended("exit 1", 2)
    service.forget_failure()
    assert service.state == "stopped"


def test_a_oneshot_that_does_not_remain_is_over_when_it_has_ended_well() -> None:
    service = Service(Daemon("o", ("/bin/o",), ready=Ready("exit"), manner=Manner(restart="no", once=True)))
    service.started(10, 0)
    assert not service.settled()
    service.ended("exit 0", 1)
    assert (service.state, service.settled()) == ("stopped", True)
