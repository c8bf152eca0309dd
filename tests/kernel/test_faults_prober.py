"""Whatever goes wrong: no packet passes that policy forbids, no allowed one is lost, no conversation is cut."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.scenes import EVERYWHERE, flushed, jumping_clock
from tests.faults.world import World
from tests.kernel.netlab import Lab
from tests.support.machine import needs_ownership

pytestmark = pytest.mark.root


def world_of(directory: Path, *options: str, module: str = "tests.kernel.run_node") -> Iterator[World]:
    lab = Lab(directory)
    try:
        world = World(lab, *options, module=module)
        try:
            yield world
        finally:
            world.prober.stop()
        world.same_as_new()
    finally:
        lab.close()


def test_where_the_table_is_shared_only_the_moment_after_a_flush_counts_apart(tmp_path: Path) -> None:
    for world in world_of(tmp_path, "--share-table"):
        for scene in ("kills", "a vanishing interface"):
            EVERYWHERE[scene](world, random.Random(scene))
            world.holds()
        flushed(world, random.Random(3))
        world.holds()


def test_clocks_that_jump_change_nothing(tmp_path: Path) -> None:
    for world in world_of(tmp_path, module="tests.kernel.run_jumping"):
        jumping_clock(world, random.Random(2))
        world.restart(signal.SIGTERM)
        world.caught_up()
        world.holds()


# the last of the file: its hosts stay until then


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One for all scenes: each begins where the one before it has ended."""
    yield from world_of(tmp_path_factory.mktemp("faults"))


@needs_ownership
@pytest.mark.parametrize("scene", EVERYWHERE)
def test_nothing_leaks_and_nothing_is_cut(world: World, scene: str) -> None:
    EVERYWHERE[scene](world, random.Random(scene))
    world.holds()
