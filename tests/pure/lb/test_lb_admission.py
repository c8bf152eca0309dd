"""Which servers get requests before all have answered, and how reloads keep their distance."""

from __future__ import annotations

import pytest

from tortie.lb.admission import Who, admit, pause_before_reload, strangers
from tortie.lb.service import Server, Service

ONE, TWO = (Server("h", f"10.0.0.{n}", 80, name=f"s{n}", task=f"t{n}") for n in (1, 2))
ANSWERED = Who("10.0.0.1", 80, "t1")


def service(*servers: Server, leaving: tuple[Server, ...] = ()) -> Service:
    return Service(app_id="/a", index=0, port=1, servers=servers, leaving=leaving)


def admitted(*servers: Server, **answered: Who) -> tuple[Server, ...]:
    (found,) = admit([service(*servers)], {("a_1", name): who for name, who in answered.items()})
    return found.servers


def test_those_that_answered_or_all_where_none_did() -> None:
    assert admitted(ONE, TWO, s1=ANSWERED) == (ONE,)
    assert admitted(ONE, TWO, s1=ANSWERED, s2=Who("10.0.0.2", 80, "")) == (ONE, TWO)
    assert admitted(ONE, TWO) == (ONE, TWO)
    assert admitted() == ()


@pytest.mark.parametrize("who", [Who("10.0.0.9", 80, "t1"), Who("10.0.0.1", 81, "t1"), Who("10.0.0.1", 80, "t9")])
def test_who_answered_there_was_somebody_else(who: Who) -> None:
    found = strangers([service(ONE)], {("a_1", "s1"): who})
    assert [key for key, _, _ in found] == [("a_1", "s1")]


def test_servers_whose_tasks_are_being_killed_go_on_until_another_answers() -> None:
    answered = {("a_1", "s1"): ANSWERED}
    assert admit([service(TWO, leaving=(ONE,))], answered)[0].servers == (ONE,)
    assert admit([service(leaving=(ONE,))], answered)[0].servers == (ONE,)
    both = answered | {("a_1", "s2"): Who("10.0.0.2", 80, "t2")}
    assert admit([service(TWO, leaving=(ONE,))], both)[0].servers == (TWO,)
    assert admit([service(TWO, leaving=(ONE,))], {})[0].servers == (TWO,), "nobody ever heard of it"


def test_servers_set_aside_by_a_deployment_are_no_reason_to_wait() -> None:
    aside = Server("h", "10.0.0.1", 80, name="s1", task="t1", disabled=True)
    assert admitted(aside, TWO, s1=ANSWERED) == (aside, TWO)


@pytest.mark.parametrize(
    ("last", "old", "pause"),
    [(float("-inf"), 0, 0), (99.5, 0, 0.5), (90, 0, 0), (100, 1, 2), (100, 3, 8), (100, 9, 60), (100, 5000, 60)],
)
def test_each_worker_that_is_left_doubles_the_pause_up_to_a_minute(last: float, old: int, pause: float) -> None:
    assert pause_before_reload(100, last, 1, old) == pause


def test_an_interval_above_a_minute_is_kept() -> None:
    assert pause_before_reload(100, 100, 3600, 5) == 3600
