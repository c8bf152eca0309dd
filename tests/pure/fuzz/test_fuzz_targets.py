"""Every target of the fuzzer, for a little while, from its seeds and from anything; and what was found before."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fuzz.found import FOUND
from tests.fuzz.targets import TARGETS

SLOW = {"store": 60, "dns-events": 30, "dns-state": 60}


def spliced(seeds: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    """A seed with something else in its middle."""

    def put(seed: bytes, other: bytes, at: int, over: int) -> bytes:
        at %= len(seed) + 1
        return seed[:at] + other + seed[at + over :]

    base = st.sampled_from(seeds)
    return st.builds(put, base, st.binary(max_size=8) | base, st.integers(0, 4000), st.integers(0, 8))


@pytest.mark.parametrize("name", TARGETS)
def test_only_declared_errors_and_what_was_accepted_holds(name: str) -> None:
    target = TARGETS[name]
    data = st.binary(max_size=400)
    if target.seeds:
        data |= st.sampled_from(target.seeds) | spliced(target.seeds)

    @settings(max_examples=SLOW.get(name, 150), deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(data)
    def run(found: bytes) -> None:
        target.run(found)

    run()


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds(name: str) -> None:
    for seed in (*TARGETS[name].seeds, b"", b"\xff" * 64, bytes(range(256))):
        TARGETS[name].run(seed)


@pytest.mark.parametrize(("name", "data"), FOUND)
def test_what_was_found_stays_mended(name: str, data: bytes) -> None:
    TARGETS[name].run(data)
