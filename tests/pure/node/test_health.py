"""What the agent says of itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from tortie.node.agent import STUCK_SECONDS, Agent
from tortie.node.health import BOUNDS, Counts, Times


def test_a_pass_that_does_not_end_is_noticed() -> None:
    counts = Counts()
    agent = cast(Agent, SimpleNamespace(counts=counts))
    assert not Agent.stuck(agent, 1e9)
    counts.pass_began = 1000.0
    assert not Agent.stuck(agent, 1000.0 + STUCK_SECONDS)
    assert Agent.stuck(agent, 1001.0 + STUCK_SECONDS) == 1 + STUCK_SECONDS


def test_times_fall_below_their_bounds() -> None:
    times = Times()
    for seconds in (0.0, 0.001, 0.0011, 5.0, 1000.0):
        times.add(seconds)
    counted = dict(times.counted())
    assert sum(counted.values()) == 5
    assert (counted["0.001"], counted["0.0025"], counted["10.0"], counted["+Inf"]) == (2, 1, 1, 1)
    assert len(counted) == len(BOUNDS) + 1
    assert times.total == 1005.0021
