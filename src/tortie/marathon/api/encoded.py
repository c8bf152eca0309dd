"""Long lists of apps: put together from parts that were encoded before and have not changed since. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

import msgspec

from tortie.marathon.api.views import beside, show_task
from tortie.marathon.brain import Brain
from tortie.marathon.deploy.instance import Instance
from tortie.marathon.model.app import App
from tortie.marathon.model.show import show_app
from tortie.marathon.verdict import Health

ROOM = 1000
"""So many more parts than there are things are kept before the old ones are thrown away."""


class _Task(NamedTuple):
    """A task as JSON, and the values it was made from."""

    instance: Instance
    app: App
    results: tuple[Health, ...]
    json: msgspec.Raw


class Encoded:
    """Remembers the JSON of definitions and tasks. Both are immutable values: another one is another object."""

    def __init__(self, brain: Brain) -> None:
        self.brain = brain
        self._definitions: dict[str, tuple[App, bytes]] = {}
        self._tasks: dict[str, _Task] = {}

    def apps(self, apps: Iterable[App], embed: Collection[str], now: float) -> list[msgspec.Raw]:
        """Each as `app_view` shows it."""
        self._make_room()
        return [self._app(app, embed, now) for app in apps]

    def _app(self, app: App, embed: Collection[str], now: float) -> msgspec.Raw:
        shown = beside(self.brain, app, embed, now, lambda instance: self._task(instance, app))
        return msgspec.Raw(self._definition(app) + msgspec.json.encode(shown)[1:])

    def _definition(self, app: App) -> bytes:
        """Up to the brace that closes it, with a comma instead."""
        known = self._definitions.get(app.id)
        if known is None or known[0] is not app:
            known = self._definitions[app.id] = (app, msgspec.json.encode(show_app(app))[:-1] + b",")
        return known[1]

    def _task(self, instance: Instance, app: App) -> msgspec.Raw:
        results = tuple(self.brain.results.get(instance.id, {}).values())
        known = self._tasks.get(instance.id)
        if known is None or known.instance is not instance or known.app is not app or known.results != results:
            json = msgspec.Raw(msgspec.json.encode(show_task(instance, app, self.brain.results)))
            known = self._tasks[instance.id] = _Task(instance, app, results, json)
        return known.json

    def _make_room(self) -> None:
        world = self.brain.world
        if len(self._tasks) > len(world.instances) + ROOM:
            self._tasks = {key: task for key, task in self._tasks.items() if key in world.instances}
        if len(self._definitions) > len(world.tree.apps) + ROOM:
            self._definitions = {key: kept for key, kept in self._definitions.items() if key in world.tree.apps}
