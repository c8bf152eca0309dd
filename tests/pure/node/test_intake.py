"""At most one change of each key waits, however fast they come, and none is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tortie.node.intake import Intake
from tortie.store.port import Event

KEYS = st.sampled_from("abcd")
VALUES = st.one_of(st.none(), st.binary(max_size=1))
CHANGES = st.lists(st.tuples(KEYS, VALUES), max_size=8)
STEPS = st.lists(st.one_of(st.tuples(st.just("add"), CHANGES), st.tuples(st.just("replace"), CHANGES),
                           st.tuples(st.just("take"), st.just([]))), max_size=12)  # fmt: skip


@given(STEPS)
def test_who_takes_now_and_then_knows_what_who_heard_everything_knows(
    steps: list[tuple[str, list[tuple[str, bytes | None]]]],
) -> None:
    intake, heard, taken = Intake(), dict[str, bytes](), dict[str, bytes]()

    def take() -> None:
        whole, events = intake.take()
        assert len({event.key for event in events}) == len(events)
        if whole:
            taken.clear()
        for event in events:
            _enter(taken, event)

    for revision, (what, changes) in enumerate(steps):
        if what == "take":
            take()
        elif what == "add":
            events = [Event(key, value, revision) for key, value in changes]
            intake.add(events)
            for event in events:
                _enter(heard, event)
        else:
            listed = {key: value for key, value in changes if value is not None}
            intake.replace([Event(key, value, revision) for key, value in listed.items()])
            heard = dict(listed)
    take()
    assert taken == heard
    assert not intake


def _enter(known: dict[str, bytes], event: Event) -> None:
    if event.value is None:
        known.pop(event.key, None)
    else:
        known[event.key] = event.value


def test_a_flood_of_one_key_takes_the_room_of_one() -> None:
    intake = Intake()
    for revision in range(10_000):
        intake.add([Event("k", b"%d" % revision, revision)])
    assert len(intake) == 1
    assert intake.merged == 9_999
    assert intake.take() == (False, [Event("k", b"9999", 9999)])
