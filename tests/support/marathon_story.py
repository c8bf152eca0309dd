"""Marathon's decisions over time, without a store or a master: agents with room for everything, time set by hand."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

from tortie.marathon.brain import Brain, Options
from tortie.marathon.launcher import Launcher
from tortie.marathon.model.app import App
from tortie.marathon.world import PREFIX, World
from tortie.store.port import Put
from tortie.wire import mesos


class Story:
    """Brain and launcher with agents that have room for everything; time is set by hand."""

    def __init__(self, world: World | None = None, ports: Sequence[tuple[int, int]] = ()) -> None:
        self.ports = ports
        numbers: Iterator[int] = count(1)
        self.brain = Brain(world or World(), Options(), lambda: f"plan-{next(numbers)}")
        self.launcher = Launcher(self.brain, random.Random(1), lambda: f"u{next(numbers)}")
        self.now = 1000.0
        self.calls: list[mesos.Call] = []
        self.events: list[dict[str, Any]] = []
        self.stored: dict[str, bytes] = {}
        self.launcher.subscribed("F", self.now)
        self.follow()

    def follow(self) -> None:
        """What follows from the last decision, as the engine does it."""
        self.brain.settle(self.now)
        self.launcher.tick(self.now)
        effects = self.brain.world.take()
        self.calls += effects.calls
        self.events += effects.events
        for key, write in effects.writes.items():
            if isinstance(write, Put):
                self.stored[PREFIX + key] = write.value
            else:
                self.stored.pop(PREFIX + key, None)

    def put(self, app: App, **options: Any) -> None:
        self.brain.change(lambda tree: tree.put(app), self.now, **options)
        self.follow()

    def offer(self) -> list[str]:
        """Two agents offer all they have; the ids of the tasks launched on them."""
        before = set(self.brain.world.instances)
        resources = [
            mesos.Resource(name=name, type="SCALAR", scalar=mesos.Scalar(value=100.0)) for name in ("cpus", "mem")
        ]
        if self.ports:
            ranges = mesos.Ranges(range=[mesos.Range(begin=begin, end=end) for begin, end in self.ports])
            resources.append(mesos.Resource(name="ports", type="RANGES", ranges=ranges))
        named = [mesos.ID(value=f"O{n}") for n in (1, 2)]
        offers = [
            mesos.Offer(
                id=o, framework_id=o, agent_id=mesos.ID(value=f"A-{o.value}"), hostname=o.value, resources=resources
            )
            for o in named
        ]
        self.launcher.offers(offers, self.now)
        self.follow()
        return sorted(set(self.brain.world.instances) - before)

    def say(self, task: str, state: Any, **fields: Any) -> None:
        self.brain.status(mesos.TaskStatus(task_id=mesos.ID(value=task), state=state, **fields), self.now)
        self.follow()

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.brain.tick(self.now)
        self.follow()

    def killed(self) -> list[str]:
        return [call.kill.task_id.value for call in self.calls if call.kill is not None]

    def run(self) -> list[str]:
        """Launches what is wanted, and it runs; the ids."""
        tasks = self.offer()
        for task in tasks:
            self.say(task, "TASK_RUNNING")
        return tasks

    def end(self, *tasks: str) -> None:
        """The agents have killed these."""
        for task in tasks:
            self.say(task, "TASK_KILLED")

    def leaving(self) -> list[str]:
        """Tasks whose end was asked for and is not there yet."""
        return sorted(i.id for i in self.brain.world.instances.values() if i.leaving)

    def heard(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["eventType"] == kind]
