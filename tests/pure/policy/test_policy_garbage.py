"""Whatever stands in a file, the answer is resources or a list of faults; and what was read can be asked about."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.policy_texts import MORE, PODS, POLICY, V1_ENDPOINT, V1_PROFILE

from tortie.base.errors import Invalid
from tortie.policy.assertions import check
from tortie.policy.matrices import table
from tortie.policy.reading import Loaded, Reader, world_of
from tortie.policy.spans import mentioned_ports, spans
from tortie.policy.world import Service

T = TypeVar("T")
SEEDS = [d for text in (POLICY, V1_PROFILE, V1_ENDPOINT, PODS, MORE) for d in yaml.safe_load_all(text)]
ODD: list[Any] = [
    *(None, True, -1, 0, 256, 70000, 1.5, [], [None], [[]], {}, {"": ""}, {"a": {"b": []}}),
    *("", "x" * 300, "all()", "a ==", "10.0.0.0/33", "::/0", "fe80::1%eth0", "1:0", "\0", "٣", "Allow", "TCP", "host:"),
    *("0.0.0.0/0", "255.255.255.255"),
]


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for key, part in inside for path in paths(part, (*at, key)))]


def mutated(pick: random.Random) -> Any:
    document = copy.deepcopy(pick.choice(SEEDS))
    for _ in range(pick.choice((1, 1, 2, 3))):
        path = pick.choice(paths(document))
        if not path:
            continue
        holder = document
        try:
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = copy.deepcopy(pick.choice([*ODD, *SEEDS]))
        except (KeyError, IndexError, TypeError):
            continue
    return document


def unless_invalid(call: Callable[[], T]) -> T | None:
    """What it answers; None when it refuses with faults in words. Any other failure is one."""
    try:
        return call()
    except Invalid as error:
        faults = error.problems
    assert faults
    assert all(fault.strip() for fault in faults)
    return None


def read(*documents: Any) -> Loaded | None:
    texts = [(f"f{number}", json.dumps(document)) for number, document in enumerate(documents)]
    return unless_invalid(lambda: Reader().read(texts))


@pytest.mark.parametrize("seed", range(20))
def test_what_is_read_can_be_asked_about(seed: int) -> None:
    pick = random.Random(seed)
    asked = 0
    for _ in range(60):
        odd = mutated(pick)
        loaded = read(odd)
        if loaded is None:
            continue
        rest = [d for d in SEEDS if not isinstance(odd, dict) or d.get("kind") != odd.get("kind")]
        resources = (read(odd, *rest) or loaded).resources.values()
        world = unless_invalid(lambda found=resources: world_of(found))  # type: ignore[misc]
        if world is not None:
            table(world, (mentioned_ports(world) or [Service.parse("tcp/80")])[:2])
            spans([world])
            check(world, loaded.assertions)
            asked += 1
    assert asked > 0


@settings(max_examples=150)
@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    unless_invalid(lambda: Reader().read([("f", text)]))


@settings(max_examples=150)
@given(st.text(max_size=12), st.sampled_from(("", "tcp/", "icmp/", "icmp/8/", "47/")))
def test_any_service(text: str, before: str) -> None:
    found = unless_invalid(lambda: Service.parse(before + text))
    assert found is None or Service.parse(str(found)) == found
