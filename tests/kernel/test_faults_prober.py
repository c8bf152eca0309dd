"""Whatever goes wrong: no packet passes that policy forbids, no allowed one is lost, no conversation is cut."""

from __future__ import annotations

import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.faults.scenes import EVERYWHERE, compacted, disk_full, flushed, jumping_clock, put_back
from tests.faults.world import World
from tests.kernel.netlab import Lab
from tests.support.etcd_server import ETCD, EtcdServer, etcd

pytestmark = pytest.mark.root


@contextmanager
def world_of(
    directory: Path, *options: str, module: str = "tests.kernel.run_node", store: EtcdServer | None = None
) -> Iterator[World]:
    """At its end an agent that starts anew comes to the same table."""
    lab = Lab(directory)
    try:
        if store is not None:
            lab.move(store.url)
        world = World(lab, *options, module=module, store=store)
        try:
            yield world
        finally:
            world.prober.stop()
        world.same_as_new()
        world.cut_off()
    finally:
        lab.close()


def test_where_the_table_is_shared_only_the_moment_after_a_flush_counts_apart(tmp_path: Path) -> None:
    with world_of(tmp_path, "--share-table") as world:
        for scene in ("kills", "a vanishing interface"):
            EVERYWHERE[scene](world, random.Random(scene))
            world.holds()
        flushed(world, random.Random(3))
        world.holds()


def test_clocks_that_jump_change_nothing(tmp_path: Path) -> None:
    with world_of(tmp_path, module="tests.kernel.run_jumping") as world:
        jumping_clock(world, random.Random(2))
        world.restart(signal.SIGTERM)
        world.caught_up()
        world.holds()


@pytest.mark.skipif(ETCD is None, reason="etcd is not installed")
def test_a_store_that_forgets_or_goes_back_is_read_again_whole(tmp_path: Path) -> None:
    with etcd(tmp_path / "etcd") as server, world_of(tmp_path, store=server) as world:
        for scene in (compacted, put_back):
            scene(world, random.Random(4))
            world.holds()


def test_a_disk_without_room_changes_nothing(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(small)], check=True)
    try:
        with world_of(small) as world:
            disk_full(world, random.Random(6))
            world.holds()
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


# the last of the file: its hosts stay until then


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One for all scenes: each begins where the one before it has ended."""
    with world_of(tmp_path_factory.mktemp("faults")) as world:
        yield world


@pytest.mark.parametrize("scene", EVERYWHERE)
def test_nothing_leaks_and_nothing_is_cut(world: World, scene: str) -> None:
    EVERYWHERE[scene](world, random.Random(scene))
    world.holds()
