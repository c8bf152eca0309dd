"""Many changes looked at together end where they end one by one."""

from __future__ import annotations

import random

import pytest
from tests.differential.oracle import INTERFACES
from tests.differential.resources import Source

from tortie.model.resource import encode
from tortie.node.brain import Brain
from tortie.store.port import Event


def state(brain: Brain) -> object:
    table = brain.table
    keys = sorted(brain.revisions)
    return (
        {name: definition.shape for name, definition in table.ledger.defs.items()},
        {name: chain.mark for name, chain in table.ledger.rules.items()},
        {name: dict(table.ledger.elements(name)) for name in table.ledger.defs},
        dict(brain.revisions),
        dict(brain.news),
        dict(brain.unreadable),
        {key: table.problems(key) for key in keys},
        {key: table.host_problems(key) for key in sorted(table.host_endpoints())},
        brain.engine.local(),
        brain.engine.local_hosts(),
    )


@pytest.mark.parametrize("seed", range(6))
def test_many_changes_at_once_end_where_they_end_one_by_one(seed: int) -> None:
    source, dice = Source(seed), random.Random(seed)
    single, batched = Brain("h1", "10.9.0.1/24"), Brain("h1", "10.9.0.1/24")
    for brain in (single, batched):
        brain.table.set_interfaces(INTERFACES["h1"])
    changes = [(resource, True) for resource in source.first()]
    changes += [source.change() for _ in range(150)]
    events = []
    for number, (resource, put) in enumerate(changes, 1):
        value = encode(resource) if put else None
        if value is not None and dice.random() < 0.05:
            value = b"{broken"
        events.append(Event(resource.key, value, number))
    while events:
        size = dice.choice((1, 2, 7, 40))
        some, events = events[:size], events[size:]
        for event in some:
            single.learn(event)
        for _ in batched.learn_all(some):
            pass
        assert state(batched) == state(single)
