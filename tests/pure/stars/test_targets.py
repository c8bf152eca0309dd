"""The probe's knowledge: the original's /status, and ours beside it."""

from __future__ import annotations

from tortie.stars.targets import MAX_CHANGES, Result, details, record, start, status

URL, OTHER = "http://a:9000/status", "http://b:9000/status"


def test_every_target_starts_unreachable_and_duplicates_are_one() -> None:
    assert status(start([URL, OTHER, URL], 0)) == {
        "status": {"targets": [{"reachable": False, "url": URL}, {"reachable": False, "url": OTHER}]}
    }


def test_since_is_when_the_state_was_first_seen() -> None:
    state = start([URL], 0)
    state = record(state, URL, Result("timeout"), 5)
    state = record(state, URL, Result("timeout"), 10)
    assert state.targets[URL].since == 5
    state = record(state, URL, Result(None, latency=0.002, status=404), 15)
    state = record(state, URL, Result(None, latency=0.002, status=404), 20)
    row = details(state, 21, 5)["targets"][0]
    assert (row["reachable"], row["age"], row["sinceAge"], row["latencyMs"], row["statusCode"]) == (
        True,
        1,
        6,
        2.0,
        404,
    )
    assert details(state, 21, 5)["changes"] == [{"age": 6, "url": URL, "reachable": True}]


def test_a_reason_goes_away_with_its_failure() -> None:
    state = record(start([URL], 0), URL, Result("refused", "Connection refused"), 1)
    assert state.targets[URL].error == "refused"
    assert record(state, URL, Result(None), 2).targets[URL].error is None


def test_a_target_that_was_never_probed_has_no_age() -> None:
    row = details(start([URL], 0), 3, 5)["targets"][0]
    assert (row["probed"], row["age"], row["sinceAge"]) == (False, None, 3)


def test_changes_are_bounded() -> None:
    state = start([URL], 0)
    for i in range(3 * MAX_CHANGES):
        state = record(state, URL, Result("timeout" if i % 2 else None), i)
    assert len(state.changes) == MAX_CHANGES
