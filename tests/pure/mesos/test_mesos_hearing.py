"""When a container's first process is sure to miss its stop signal."""

from __future__ import annotations

from typing import Any

import pytest

from tortie.mesos.agent.hearing import can_hear

TERM = "00004000"
NONE = "00000000"


def inspect(pid_mode: str = "") -> dict[str, Any]:
    return {"State": {"Pid": 4711}, "HostConfig": {"PidMode": pid_mode}}


def top(*masks: str, pid: str = "4711") -> dict[str, Any]:
    return {"Titles": ["PID", "BLOCKED", "IGNORED", "CAUGHT"], "Processes": [["4712", *[TERM] * 3], [pid, *masks]]}


def test_a_first_process_without_a_handler_is_deaf() -> None:
    assert not can_hear(inspect(), top(NONE, NONE, NONE), "SIGTERM")
    assert not can_hear(inspect("private"), top(NONE, NONE, "00010002"), "15")
    assert not can_hear(inspect(), top("<00000000", NONE, NONE), "TERM")


@pytest.mark.parametrize("place", range(3))
def test_one_that_catches_fetches_or_ignores_the_signal_has_its_time(place: int) -> None:
    masks = [NONE, NONE, NONE]
    masks[place] = "<" + TERM
    assert can_hear(inspect(), top(*masks), "SIGTERM")
    assert not can_hear(inspect(), top(*masks), "SIGINT")


@pytest.mark.parametrize(
    ("found", "listed", "signal"),
    [
        (inspect("host"), top(NONE, NONE, NONE), "SIGTERM"),
        (inspect("container:x"), top(NONE, NONE, NONE), "SIGTERM"),
        (inspect(), top(NONE, NONE, NONE), "SIGRTMIN+3"),
        (inspect(), top(NONE, NONE, NONE), "0"),
        (inspect(), top(NONE, NONE, NONE), "37"),
        (inspect(), top(NONE, NONE, NONE, pid="1"), "SIGTERM"),
        (inspect(), top(NONE, "-", NONE), "SIGTERM"),
        (inspect(), top(NONE, NONE), "SIGTERM"),
        (inspect(), {"Processes": None}, "SIGTERM"),
        ({}, {}, "SIGTERM"),
    ],
)
def test_what_cannot_be_known_counts_as_heard(found: dict[str, Any], listed: dict[str, Any], signal: str) -> None:
    assert can_hear(found, listed, signal)
