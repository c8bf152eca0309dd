"""Engine and verdict over long random histories, against the slow twin (reference 4.4, 4.5, 8.1, 8.2, 8.4, 8.5, 8.6).

`python -m tests.long_history` goes on for as long as one likes.
"""

from __future__ import annotations

import pytest
from tests.pure.policy.agreement import walk
from tests.pure.policy.history import History

from tortie.policy.engine import PolicyEngine
from tortie.policy.values import Resolved, ResolvedHost, RuleLists


@pytest.mark.parametrize("seed", range(4))
def test_long_histories_end_where_the_slow_twin_is(seed: int) -> None:
    assert walk(seed, 800) > 300


def test_an_endpoint_is_closed_exactly_while_its_rules_need_what_the_renderer_lacks() -> None:
    history = History(99, frozenset())
    closed = 0
    for _ in range(800):
        history.step()
        engine = history.engine
        held: list[Resolved | ResolvedHost] = [*engine.local().values(), *engine.local_hosts().values()]
        for value in held:
            lists = [engine.rules_of_policy(name) for name in value.policies(staged=False)]
            lists += [engine.rules_of_profile(name) for name in value.profiles]
            lacking = [rules for rules in lists if rules and needs_more(engine, rules)]
            assert len({text.split(":")[0] for text in value.problems}) == len(lacking)
            closed += bool(lacking)
    assert closed > 50


def needs_more(engine: PolicyEngine, rules: RuleLists) -> bool:
    return bool(rules.named_ports()) or any(map(engine.sets.is_wide, rules.selectors()))
