"""What runtimes forgot, and what must never be taken for that."""

from __future__ import annotations

from typing import Any

import pytest

from tortie.plugins.docker.collect import NOBODY, suspects
from tortie.plugins.docker.holdings import Holding, Stored

NOW = 10_000.0
E1, E2 = "1" * 64, "2" * 64


def record(endpoint: str, age: float = 1000, key: str = "k", revision: int = 1) -> Stored:
    return Stored(key, Holding(handle="h", since=NOW - age, address="10.0.0.1", endpoint=endpoint), revision)


def look(**fields: Any) -> Any:
    asked: dict[str, Any] = {
        "records": [], "endpoints": [], "alive": [], "interfaces": {}, "busy": [], "now": NOW, "grace": 60.0,
    }  # fmt: skip
    return suspects(**{**asked, **fields})


def test_a_record_whose_endpoint_has_no_container_is_suspect() -> None:
    found = look(records=[record(E1)], endpoints=[E1])
    assert [s.holding.endpoint for s in found.records] == [E1]
    assert not found.endpoints


def test_an_address_for_which_no_endpoint_ever_came_is_suspect() -> None:
    assert len(look(records=[record("")], alive=[E1]).records) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"records": [record(E1)], "alive": [E1]},
        {"records": [record(E1, age=59)]},
        {"records": [record("", age=59)]},
        {"records": [record(E1)], "busy": [E1]},
        {"records": [record("")], "busy": ["k"]},
        {"endpoints": [E1], "alive": [E1]},
        {"endpoints": [E1], "busy": [E1]},
        {"interfaces": {"temp11111111111": 2, "cali11111111111": 3}, "alive": [E1]},
        {"interfaces": {"temp11111111111": 2, "cali11111111111": 3}, "busy": [E1]},
        {"interfaces": {"temp11111111111": 2, "cali11111111111": 3}, "records": [record(E1, age=1)]},
        {"interfaces": {"cali11111111111": 3}},
        {"interfaces": {"temp11111111111": 3, "eth0": 2, "cali-foo": 7, "temperature": 9}},
    ],
)
def test_what_lives_or_is_young_or_worked_on_is_left_alone(fields: dict[str, Any]) -> None:
    assert look(**fields) == NOBODY or not any(vars_of(look(**fields)))


def vars_of(found: Any) -> list[Any]:
    return [found.records, found.endpoints, found.interfaces]


def test_a_record_from_the_future_does_not_live_for_ever() -> None:
    assert len(look(records=[record(E1, age=-500)]).records) == 1


def test_an_endpoint_without_a_record_is_suspect() -> None:
    assert look(endpoints=[E1, E2], records=[record(E2)], alive=[E2]).endpoints == {E1}


def test_a_pair_that_the_engine_moved_back_is_suspect() -> None:
    found = look(interfaces={"temp11111111111": 2, "cali11111111111": 3, "cali22222222222": 4, "eth0": 5})
    assert found.interfaces == {"cali11111111111"}


def test_what_was_added_to_a_container_goes_with_it() -> None:
    """Not while the container is only stopped, and not while it is being worked on."""
    there = {"key-1": "c1", "key-2": "c2"}
    assert look(added=there, containers=["c1", "c2"]) == NOBODY
    assert look(added=there, containers=["c1"]).added == {"key-2"}
    assert not look(added=there, containers=["c1"], busy=["key-2"]).added
    assert not look(added=there, containers=["c1"]).both(look(added=there, containers=["c2"])).added


def test_only_what_two_looks_agree_on_is_certain() -> None:
    first = look(records=[record(E1)], endpoints=[E2])
    assert look(records=[record(E1, revision=2)]).both(first).records == []
    again = look(records=[record(E1)], endpoints=[E1]).both(first)
    assert [s.holding.endpoint for s in again.records] == [E1]
    assert not again.endpoints
