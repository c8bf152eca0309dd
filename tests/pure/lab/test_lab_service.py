"""A daemon's life as its supervisor sees it: `now` is only a number here."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.lab.plan import Daemon, Ready
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
