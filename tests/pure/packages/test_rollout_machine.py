"""What a rollout does next, whatever fails, whoever dies and whatever people order meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.base.errors import Conflict
from tortie.packages.rollout.machine import (
    GATE,
    STEPS,
    Act,
    Order,
    Rollout,
    begun,
    decide,
    due,
    ended,
    ordered,
    out,
    over,
    start,
    state,
)

HOSTS = ("a1", "a2", "a3")


def fresh(hosts: Sequence[str] = HOSTS) -> Rollout:
    return start("p", [(name, STEPS) for name in hosts], 0.0)


def step(rollout: Rollout, error: str | None = None) -> Rollout:
    act = decide(rollout)
    assert act is not None
    return ended(begun(rollout, act, 1.0), act, error, 2.0)


def to_end(rollout: Rollout) -> tuple[Rollout, list[Act]]:
    acts = []
    while act := decide(rollout):
        acts.append(act)
        rollout = ended(begun(rollout, act, 1.0), act, None, 2.0)
    return rollout, acts


def test_hosts_one_after_the_other_and_the_steps_in_order() -> None:
    rollout, acts = to_end(fresh())
    assert acts == [Act(host, name) for host in HOSTS for name in (*STEPS, GATE)]
    assert state(rollout) == "done"
    assert over(rollout)


def test_a_host_without_steps_is_done_and_a_rollout_of_such_is_done() -> None:
    rollout = start("p", [("a1", ()), ("a2", ("node",))], 0.0)
    assert to_end(rollout)[1] == [Act("a2", "node"), Act("a2", GATE)]
    assert state(start("p", [("a1", ())], 0.0)) == "done"


def test_a_failing_step_is_undone_with_those_before_it_and_the_rest_stays_untouched() -> None:
    rollout, acts = to_end(step(step(step(fresh())), "no such directory"))
    assert acts == [Act("a1", name, undo=True) for name in ("cni", "configuration", "artefact", GATE)]
    assert state(rollout) == "stopped"
    assert rollout.stopped == "a1: cni: no such directory"
    assert [host.mark for host in rollout.hosts] == ["failed", "waiting", "waiting"]
    assert not out(rollout)
    assert not over(rollout)


def test_a_stopped_rollout_goes_on_only_by_retry_and_then_from_the_first_step() -> None:
    rollout, _ = to_end(step(fresh(), "broken"))
    with pytest.raises(Conflict, match="retry, or undo, or abort"):
        ordered(rollout, "resume")
    with pytest.raises(Conflict, match="stopped"):
        ordered(rollout, "pause")
    rollout = ordered(rollout, "retry")
    assert decide(rollout) == Act("a1", "artefact")
    assert state(to_end(rollout)[0]) == "done"


def test_pause_lets_the_host_that_is_out_come_back_first() -> None:
    rollout, acts = to_end(ordered(step(fresh()), "pause"))
    assert {act.host for act in acts} == {"a1"}
    assert state(rollout) == "paused"
    assert [host.mark for host in rollout.hosts] == ["done", "waiting", "waiting"]
    assert state(to_end(ordered(rollout, "resume"))[0]) == "done"


def test_undo_takes_all_back_in_reverse() -> None:
    done, _ = to_end(fresh())
    rollout, acts = to_end(ordered(done, "undo"))
    assert acts == [Act(host, name, undo=True) for host in reversed(HOSTS) for name in (*reversed(STEPS), GATE)]
    assert state(rollout) == "undone"
    with pytest.raises(Conflict, match="undone"):
        ordered(rollout, "undo")


def test_abort_takes_back_what_is_half_done_and_no_more() -> None:
    rollout = fresh()
    while decide(rollout) != Act("a2", "cni"):
        rollout = step(rollout)
    act = decide(rollout)
    assert act is not None
    rollout = ordered(begun(rollout, act, 1.0), "abort")
    assert state(rollout) == "aborting"
    rollout, acts = to_end(ended(rollout, act, None, 2.0))
    assert acts == [Act("a2", name, undo=True) for name in ("cni", "configuration", "artefact", GATE)]
    assert state(rollout) == "aborted"
    assert [host.mark for host in rollout.hosts] == ["done", "undone", "waiting"]


def test_undoing_that_fails_leaves_the_host_out_and_a_person_decides() -> None:
    rollout = step(step(fresh(), "full disk"), "still full")
    assert state(rollout) == "stopped"
    assert rollout.stopped == "a1: artefact: full disk; artefact cannot be undone: still full"
    assert out(rollout) == {"a1"}
    assert decide(ordered(rollout, "retry")) == Act("a1", "artefact")
    assert decide(ordered(rollout, "undo")) == Act("a1", "artefact", undo=True)
    left = ordered(rollout, "abort")
    assert (state(left), decide(left), over(left)) == ("aborted", None, True)


def test_a_rollout_reads_as_it_was_written() -> None:
    rollout = step(step(fresh()), "x")
    assert msgspec.json.decode(msgspec.json.encode(rollout), type=Rollout) == rollout


class World:
    """What the hosts really have; a step that was cut short is `half`."""

    def __init__(self) -> None:
        self.has: dict[str, dict[str, str]] = {name: {} for name in HOSTS}

    def act(self, act: Act, how: str) -> None:
        if act.step == GATE:
            return
        whole = how == "well"
        if act.undo and whole:
            self.has[act.host].pop(act.step, None)
        else:
            self.has[act.host][act.step] = "whole" if whole else "half"

    def works(self, host: str) -> bool:
        return self.has[host] in ({}, dict.fromkeys(STEPS, "whole"))


TURNS = st.lists(
    st.one_of(
        st.tuples(st.just("act"), st.sampled_from(["well", "well", "well", "fails", "dies before", "dies after"])),
        st.tuples(st.just("order"), st.sampled_from(get_args(Order))),
        st.tuples(st.just("order within"), st.sampled_from(get_args(Order))),
    ),
    max_size=60,
)


def _try_order(rollout: Rollout, order: Any) -> Rollout:
    try:
        return ordered(rollout, order)
    except Conflict:
        return rollout


def _turn(rollout: Rollout, world: World, turn: tuple[str, Any]) -> Rollout:
    kind, what = turn
    act = decide(rollout)
    if kind == "order" or act is None:
        return _try_order(rollout, what) if kind != "act" else rollout
    others = [name for name in HOSTS if name != act.host]
    assert all(world.works(name) for name in others if name not in left_behind(rollout)), (act, world.has)
    rollout = begun(rollout, act, 1.0)
    assert out(rollout) == {act.host} | left_behind(rollout)
    if kind == "order within":
        rollout, what = _try_order(rollout, what), "well"
    world.act(act, "half" if what == "dies before" else "well" if what == "dies after" else what)
    if what.startswith("dies"):
        return rollout
    return ended(rollout, act, "it failed" if what == "fails" else None, 2.0)


def left_behind(rollout: Rollout) -> frozenset[str]:
    """Where undoing failed and a person gave up."""
    return frozenset(host.name for host in rollout.hosts if host.mark == "stuck")


@given(TURNS, st.booleans())
def test_never_two_hosts_out_and_every_end_is_reached(turns: list[tuple[str, Any]], back: bool) -> None:
    rollout, world = fresh(), World()
    for turn in turns:
        rollout = _turn(rollout, world, turn)
        assert len(out(rollout)) <= 1
        # Whoever drives next knows no more than what was written down.
        rollout = msgspec.json.decode(msgspec.json.encode(rollout), type=Rollout)
    rollout = _try_order(rollout, "undo" if back else "resume")
    for _ in range(4):
        while decide(rollout):
            rollout = _turn(rollout, world, ("act", "well"))
        rollout = _try_order(rollout, "retry")
    if rollout.goal == "roll":
        assert state(rollout) == "done"
        assert all(has == dict.fromkeys(STEPS, "whole") for has in world.has.values())
    elif rollout.goal == "undo" and state(rollout) == "undone":
        assert not any(world.has.values())
    assert all(world.works(name) for name in HOSTS if name not in left_behind(rollout))


def of_two(hosts: Sequence[str] = HOSTS) -> Rollout:
    return start("p", [(name, ("cni", "node")) for name in hosts], 0.0, 2)


def proved(rollout: Rollout) -> Rollout:
    """Its first host is done."""
    for _ in range(3):
        rollout = step(rollout)
    assert rollout.hosts[0].mark == "done"
    return rollout


def test_several_at_once_go_only_once_the_first_has_passed_its_gate() -> None:
    rollout = of_two((*HOSTS, "a4"))
    assert due(rollout) == [Act("a1", "cni")]
    rollout = begun(rollout, Act("a1", "cni"), 1.0)
    assert due(rollout, frozenset({"a1"})) == []
    rollout = proved(of_two((*HOSTS, "a4")))
    assert due(rollout) == [Act("a2", "cni"), Act("a3", "cni")]
    rollout = begun(begun(rollout, Act("a2", "cni"), 1.0), Act("a3", "cni"), 1.0)
    assert due(rollout, frozenset({"a2", "a3"})) == []
    assert due(ended(rollout, Act("a3", "cni"), None, 2.0), frozenset({"a2"})) == [Act("a3", "node")]
    assert due(ordered(proved(of_two()), "pause")) == []


def test_a_failure_lets_the_other_that_is_out_come_to_its_end_and_no_third_begin() -> None:
    rollout = proved(of_two((*HOSTS, "a4")))
    rollout = begun(begun(rollout, Act("a2", "cni"), 1.0), Act("a3", "cni"), 1.0)
    rollout = ended(rollout, Act("a2", "cni"), "full disk", 2.0)
    assert due(rollout, frozenset({"a3"})) == [Act("a2", "cni", undo=True)]
    rollout = to_end(ended(rollout, Act("a3", "cni"), None, 2.0))[0]
    assert (state(rollout), rollout.stopped) == ("stopped", "a2: cni: full disk")
    assert [host.mark for host in rollout.hosts] == ["done", "failed", "done", "waiting"]
    assert state(to_end(ordered(rollout, "retry"))[0]) == "done"


def test_two_that_fail_are_both_named() -> None:
    rollout = proved(of_two())
    rollout = begun(begun(rollout, Act("a2", "cni"), 1.0), Act("a3", "cni"), 1.0)
    rollout = ended(ended(rollout, Act("a2", "cni"), "one", 2.0), Act("a3", "cni"), "two", 2.0)
    rollout, _ = to_end(rollout)
    assert rollout.stopped == "a2: cni: one; a3: cni: two"
    assert not out(rollout)


def test_undoing_several_at_once_needs_no_first_one() -> None:
    rollout, _ = to_end(of_two())
    assert due(ordered(rollout, "undo")) == [Act("a3", "node", undo=True), Act("a2", "node", undo=True)]


def _works(world: World, rollout: Rollout) -> bool:
    return all(world.works(name) for name in HOSTS if name not in out(rollout))


def _ended_by(rollout: Rollout, world: World, act: Act, how: str) -> Rollout:
    world.act(act, "well" if how == "well" else "half")
    return ended(rollout, act, None if how == "well" else "it failed", 2.0)


MIXED = st.lists(
    st.one_of(
        st.just(("begin", "")),
        st.just(("begin", "")),
        st.tuples(st.sampled_from(["first", "last"]), st.sampled_from(["well", "well", "well", "fails"])),
        st.tuples(st.just("order"), st.sampled_from(get_args(Order))),
        st.just(("driver dies", "")),
    ),
    max_size=80,
)


@given(MIXED, st.integers(1, 3), st.booleans())
def test_never_more_hosts_out_than_told_whoever_ends_first(turns: list[tuple[str, str]], most: int, back: bool) -> None:
    world, doing = World(), list[Act]()
    rollout = start("p", [(name, STEPS) for name in HOSTS], 0.0, most)
    for kind, what in turns:
        acts = due(rollout, frozenset(act.host for act in doing))
        if kind == "begin" and acts:
            rollout = begun(rollout, acts[0], 1.0)
            assert acts[0] in due(rollout, frozenset(act.host for act in doing)), "how a driver sees that it has begun"
            doing.append(acts[0])
        elif kind in ("first", "last") and doing:
            rollout = _ended_by(rollout, world, doing.pop(0 if kind == "first" else -1), what)
        elif kind == "order":
            rollout = _try_order(rollout, what)
        elif kind == "driver dies":
            for act in doing:
                world.act(act, "half")
            doing.clear()
        assert len(out(rollout)) <= most
        assert len({act.host for act in doing}) == len(doing)
        assert _works(world, rollout)
        rollout = msgspec.json.decode(msgspec.json.encode(rollout), type=Rollout)
    rollout = _to_its_end(_try_order(rollout, "undo" if back else "resume"), world, doing)
    left = left_behind(rollout)
    if rollout.goal == "roll":
        assert state(rollout) == "done"
    assert out(rollout) == left
    assert all(world.works(name) for name in HOSTS if name not in left)


def _to_its_end(rollout: Rollout, world: World, doing: list[Act]) -> Rollout:
    for _ in range(6):
        while doing or due(rollout):
            for act in due(rollout, frozenset(act.host for act in doing)):
                rollout = begun(rollout, act, 1.0)
                doing.append(act)
            rollout = _ended_by(rollout, world, doing.pop(), "well")
        rollout = _try_order(rollout, "retry")
    return rollout
