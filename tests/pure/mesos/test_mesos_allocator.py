from __future__ import annotations

from collections.abc import Sequence

from tortie.mesos.master.allocator import Candidate, allocate
from tortie.mesos.master.cluster import Filter
from tortie.mesos.resources import Resources, parse

TOTALS = {"cpus": 8.0, "mem": 8192.0}
SMALL = parse("cpus:4;mem:4096;ports:[31000-31009]")


def candidate(
    name: str, *roles: str, cpus: float = 0, filters: Sequence[Filter] = (), allocations: int = 0
) -> Candidate:
    return Candidate(name, roles or ("*",), {"cpus": cpus}, filters, allocations)


def who(free: dict[str, Resources], *candidates: Candidate, now: float = 0.0) -> list[tuple[str, str, str]]:
    return [(a.agent_id, a.framework_id, a.role) for a in allocate(free, candidates, TOTALS, now)]


def test_all_that_is_free_goes_to_the_poorest() -> None:
    assert who({"a": SMALL}, candidate("rich", cpus=2), candidate("poor", cpus=1)) == [("a", "poor", "*")]


def test_what_is_given_in_this_round_counts() -> None:
    given = who({"a": SMALL, "b": SMALL}, candidate("one"), candidate("two"))
    assert sorted(name for _, name, _ in given) == ["one", "two"]


def test_among_equals_the_one_served_least_is_first() -> None:
    assert who({"a": SMALL}, candidate("one", allocations=3), candidate("two", allocations=2)) == [("a", "two", "*")]


def test_reservations_are_seen_by_their_role_only() -> None:
    free = {"a": parse("cpus(slave_public):4;mem(slave_public):1024")}
    assert who(free, candidate("plain")) == []
    assert who(free, candidate("plain"), candidate("public", "slave_public")) == [("a", "public", "slave_public")]
    mixed = {"a": parse("cpus:1;mem:64;cpus(slave_public):4")}
    (allotment,) = allocate(mixed, [candidate("public", "slave_public")], TOTALS, 0)
    assert allotment.resources == mixed["a"]


def test_a_refusal_holds_until_its_time_or_until_there_is_more() -> None:
    refused = [Filter("a", "*", SMALL, until=10.0)]
    assert who({"a": SMALL}, candidate("x", filters=refused), now=9.9) == []
    assert who({"a": SMALL}, candidate("x", filters=refused), now=10.0) == [("a", "x", "*")]
    grown = SMALL + parse("cpus:1")
    assert who({"a": grown}, candidate("x", filters=refused), now=1.0) == [("a", "x", "*")]
    less = SMALL - parse("cpus:1")
    assert who({"a": less}, candidate("x", filters=refused), now=1.0) == []
    assert who({"b": SMALL}, candidate("x", filters=refused), now=1.0) == [("b", "x", "*")]
    assert who({"a": SMALL}, candidate("x", filters=refused), candidate("y", cpus=4), now=1.0) == [("a", "y", "*")]


def test_scraps_are_not_offered() -> None:
    assert who({"a": parse("cpus:0.009;mem:31;ports:[1-9]")}, candidate("x")) == []
    assert who({"a": parse("cpus:0.001;mem:32")}, candidate("x")) == [("a", "x", "*")]


def test_agents_with_gpus_are_for_those_who_can() -> None:
    free = {"a": parse("cpus:1;mem:64;gpus:1")}
    assert who(free, candidate("x")) == []
    able = Candidate("y", ("*",), {}, gpus=True)
    assert who(free, candidate("x"), able) == [("a", "y", "*")]
