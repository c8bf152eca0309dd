"""A rollout over real agents while framework, agent and master are killed in each step of it, and tasks on their hosts'
own network are asked without a pause."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from tests.kernel.rollout_world import AGENT, MASTER, NODE, PORT, STEPS, Book, World
from tests.support import host_tasks
from tests.support.host_tasks import Askers
from tests.support.machine import needs_oci_runtime
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.root, needs_oci_runtime, pytest.mark.timeout(900)]
THERE = (("a1", "done"), ("a2", "done"))
ONCE = [f"start {AGENT}", f"restart {AGENT}", f"restart {NODE}"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World.up(tmp_path_factory.mktemp("kills"), "a1", "a2") as world:
        yield world


@pytest.fixture
def book(world: World) -> Iterator[Book]:
    book = Book(world.lab.url)
    yield book
    book.close()


def killed(world: World, what: str, name: str, step: str) -> None:
    """`what` is killed and started again while the hand of this step is on this host."""
    world.held(name, step)
    if what == "framework":
        world.framework.stop(signal.SIGKILL)
        world.framework.start()
        world.release(name, step)
    elif what == "framework, its hand goes on":
        world.framework.stop(signal.SIGKILL)
        world.release(name, step)
        world.framework.start()
    elif what == "master":
        world.master.stop(signal.SIGKILL)
        world.master.start()
        world.release(name, step)
    else:
        station = world.stations[name]
        told, pid = len(station.orders()), station.kill(AGENT)
        world.release(name, step)
        if step in ("apply-agent", "undo-gate"):  # once more, when its hand has had it restarted
            wait_until(lambda: len(station.orders()) > told, message=lambda: f"restarted: {station.orders()}")
            station.kill(AGENT, but=pid)


def rolled(world: World, first: str, second: str) -> None:
    """One is killed in each step of a1, the other in each step of a2."""
    for name in world.stations:
        world.hold(name, *(f"apply-{step}" for step in STEPS))
    world.hold("a1", "probe-all")
    if world.framework.process is None:
        world.framework.start()
    else:
        world.order("begin")
    killed(world, first, "a1", "probe-all")
    for name, what in (("a1", first), ("a2", second)):
        for step in STEPS:
            killed(world, what, name, f"apply-{step}")


def undone(world: World, first: str, second: str) -> None:
    back = [f"undo-{step}" for step in (*reversed(STEPS[:-1]), STEPS[-1])]
    for name in world.stations:
        world.hold(name, *back)
    world.order("undo")
    for name, what in (("a2", first), ("a1", second)):
        for step in back:
            killed(world, what, name, step)


def test_killed_in_each_step_there_and_back_and_nothing_is_lost(world: World, book: Book) -> None:
    stations = world.stations
    before = {name: station.files() for name, station in stations.items()}
    host_tasks.launch(PORT, MASTER, {name: station.address for name, station in stations.items()})
    a1, a2 = stations["a1"], stations["a2"]
    with Askers([(a1.netns, a2.address), (a2.netns, a1.address)]) as askers:
        rolled(world, "framework", "agent")
        shown = world.shows(lambda shown: shown["state"] == "done", "done")
        assert {host["name"]: host["mark"] for host in shown["hosts"]} == {"a1": "done", "a2": "done"}
        world.quiet()
        book.tells(*THERE)
        assert {name: station.orders() for name, station in stations.items()} == {"a1": ONCE, "a2": ONCE}
        undone(world, "master", "agent")
        world.shows(lambda shown: shown["state"] == "undone", "undone")
        world.quiet()
        book.tells(*THERE, ("a2", "undone"), ("a1", "undone"))
        back = [*ONCE, f"stop {NODE}", f"restart {AGENT}"]
        assert {name: station.orders() for name, station in stations.items()} == {"a1": back, "a2": back}
        assert {name: station.files() for name, station in stations.items()} == before
        assert askers.lost() == []


def test_killed_where_the_hand_goes_on_without_it(world: World, book: Book) -> None:
    rolled(world, "master", "framework, its hand goes on")
    world.shows(lambda shown: shown["state"] == "done", "done")
    world.quiet()
    book.tells(*THERE)
