"""What is made while much is made: the collector rests meanwhile, and is as it was afterwards."""

from __future__ import annotations

import gc

import pytest

from tortie.base.heap import growing


@pytest.fixture(autouse=True)
def _as_before() -> object:
    yield
    gc.unfreeze()
    gc.enable()


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_rests_and_is_as_it_was(enabled: bool) -> None:
    (gc.enable if enabled else gc.disable)()
    with growing():
        assert not gc.isenabled()
        kept = [[number] for number in range(1000)]
    assert gc.isenabled() == enabled
    assert gc.get_freeze_count() >= len(kept)


def test_a_failure_leaves_it_as_it_was() -> None:
    with pytest.raises(RuntimeError), growing():
        raise RuntimeError
    assert gc.isenabled()
