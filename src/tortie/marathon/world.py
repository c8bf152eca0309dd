"""Everything Marathon knows that must survive it, and the store's keys it lies under."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Invalid
from tortie.framework.leader import Keys
from tortie.marathon.deploy.instance import Instance
from tortie.marathon.deploy.plan import Plan
from tortie.marathon.model.app import App, Value, same_config
from tortie.marathon.model.tree import Tree
from tortie.store.port import Drop, Put, Write
from tortie.wire import mesos

PREFIX = "/tortie/v1/marathon/"
LEADER = "/tortie/v1/marathon-leader"
TERM = "/tortie/v1/marathon-term"
KEYS = Keys(PREFIX, LEADER, TERM)
KEPT_VERSIONS = 50
T = TypeVar("T")


class RootRecord(Value, frozen=True, kw_only=True):
    """One version of the whole tree: the version of each app in it, and its groups."""

    version: str
    apps: dict[str, str]
    groups: dict[str, tuple[str, ...]]


class TaskFailure(Value, frozen=True, kw_only=True):
    """The last failure of an app, as clients see it."""

    app_id: str
    host: str
    message: str
    state: str
    task_id: str
    timestamp: str
    version: str
    slave_id: str | None = None


@dataclass(slots=True)
class Effects:
    """What a decision asks for: first the writes, all in one transaction, then the events, then the calls."""

    writes: dict[str, Write] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    calls: list[mesos.Call] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.writes or self.events or self.calls)


class World:
    """The state in memory; every change of it also notes its write in `out`."""

    def __init__(self) -> None:
        self.framework_id: str | None = None
        self.tree = Tree()
        self.roots: dict[str, RootRecord] = {}
        self.definitions: dict[tuple[str, str], App] = {}
        self.plans: dict[str, Plan] = {}
        self.instances: dict[str, Instance] = {}
        self.failures: dict[str, TaskFailure] = {}
        self.subscribers: tuple[str, ...] = ()
        self.by_app: dict[str, dict[str, Instance]] = {}
        self.out = Effects()

    @classmethod
    def load(cls, items: Iterable[tuple[str, bytes]]) -> World:
        """From the store's keys under PREFIX. Raises Invalid naming a key whose value cannot be read."""
        world = cls()
        for key, value in items:
            kind, _, rest = key.removeprefix(PREFIX).partition("/")
            world._load(kind, rest, key, value)
        if world.roots:
            world.tree = world.tree_at(max(world.roots))
        return world

    def _load(self, kind: str, rest: str, key: str, value: bytes) -> None:
        if kind == "framework":
            self.framework_id = _decode(key, value, dict[str, str])["id"]
        elif kind == "roots":
            self.roots[rest] = _decode(key, value, RootRecord)
        elif kind == "apps":
            app = _decode(key, value, App)
            self.definitions[app.id, app.version] = app
        elif kind == "plans":
            self.plans[rest] = _decode(key, value, Plan)
        elif kind == "instances":
            self._index(_decode(key, value, Instance))
        elif kind == "failures":
            failure = _decode(key, value, TaskFailure)
            self.failures[failure.app_id] = failure
        elif kind == "subscribers":
            self.subscribers = tuple(_decode(key, value, list[str]))

    def tree_at(self, version: str) -> Tree:
        record = self.roots[version]
        apps = {key: self.definitions[key, of] for key, of in record.apps.items()}
        return Tree(apps, record.groups, version)

    def take(self) -> Effects:
        """What has been asked for since the last call."""
        out, self.out = self.out, Effects()
        return out

    def instances_of(self, app_id: str) -> list[Instance]:
        return list(self.by_app.get(app_id, {}).values())

    def definition_of(self, instance: Instance) -> App | None:
        """The app as it was when the instance was launched, if it is still known."""
        return self.definitions.get((instance.app, instance.version))

    def up_to_date(self, app: App, instance: Instance) -> bool:
        """Does the instance run what the app says now?"""
        if instance.version >= app.config_version:
            return True
        made_from = self.definition_of(instance)
        return made_from is not None and same_config(made_from, app)

    def put_tree(self, tree: Tree) -> None:
        """Makes it the current tree and keeps it as a version."""
        for key, app in tree.apps.items():
            if (key, app.version) not in self.definitions:
                self.definitions[key, app.version] = app
                self._put(f"apps/{app.version}{key}", app)
        record = RootRecord(
            version=tree.version, apps={key: app.version for key, app in tree.apps.items()}, groups=dict(tree.groups)
        )
        self.tree = tree
        self.roots[tree.version] = record
        self._put(f"roots/{tree.version}", record)
        self._forget_old()

    def _forget_old(self) -> None:
        if len(self.roots) <= KEPT_VERSIONS:
            return
        for version in sorted(self.roots)[:-KEPT_VERSIONS]:
            del self.roots[version]
            self._drop(f"roots/{version}")
        used = {item for record in self.roots.values() for item in record.apps.items()}
        used |= {(instance.app, instance.version) for instance in self.instances.values()}
        for key, version in [found for found in self.definitions if found not in used]:
            del self.definitions[key, version]
            self._drop(f"apps/{version}{key}")

    def put_plan(self, plan: Plan) -> None:
        self.plans[plan.id] = plan
        self._put(f"plans/{plan.id}", plan)

    def drop_plan(self, plan: Plan) -> None:
        self.plans.pop(plan.id, None)
        self._drop(f"plans/{plan.id}")

    def put_instance(self, instance: Instance) -> None:
        self._index(instance)
        self._put(f"instances/{instance.id}", instance)

    def drop_instance(self, instance: Instance) -> None:
        self.instances.pop(instance.id, None)
        siblings = self.by_app.get(instance.app, {})
        siblings.pop(instance.id, None)
        if not siblings:
            self.by_app.pop(instance.app, None)
        self._drop(f"instances/{instance.id}")

    def put_failure(self, failure: TaskFailure) -> None:
        self.failures[failure.app_id] = failure
        self._put(f"failures{failure.app_id}", failure)

    def drop_failure(self, app_id: str) -> None:
        if self.failures.pop(app_id, None):
            self._drop(f"failures{app_id}")

    def put_subscribers(self, urls: Iterable[str]) -> None:
        """Who gets events by HTTP."""
        self.subscribers = tuple(urls)
        self._put("subscribers", self.subscribers)

    def put_framework(self, framework_id: str) -> None:
        if framework_id != self.framework_id:
            self.framework_id = framework_id
            self._put("framework", {"id": framework_id})

    def forget_framework(self) -> None:
        """The master refuses the id for ever: the next start registers anew."""
        self.framework_id = None
        self._drop("framework")

    def _index(self, instance: Instance) -> None:
        self.instances[instance.id] = instance
        self.by_app.setdefault(instance.app, {})[instance.id] = instance

    def _put(self, key: str, value: Any) -> None:
        self.out.writes[key] = Put(PREFIX + key, msgspec.json.encode(value))

    def _drop(self, key: str) -> None:
        self.out.writes[key] = Drop(PREFIX + key)


def _decode(key: str, value: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(value, type=ready(kind))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"store key {key} cannot be read: {error}") from error
