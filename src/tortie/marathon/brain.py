"""What Marathon decides: changes of the tree, words about tasks, the passing of time. No I/O; `now` is given.

Every public method leaves what it wants done in `world.out` (`world.take()`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import msgspec

from tortie.base.errors import NotFound, Unavailable
from tortie.framework import calls
from tortie.marathon import events
from tortie.marathon.clock import after
from tortie.marathon.deploy import rolling
from tortie.marathon.deploy.backoff import left
from tortie.marathon.deploy.instance import (
    KILLING,
    STAGING,
    UNREACHABLE,
    Instance,
)
from tortie.marathon.deploy.plan import RESTART, START, STOP, Plan, make_plan, revert, stamp
from tortie.marathon.errors import Locked, NotValid
from tortie.marathon.model import ids
from tortie.marathon.model.app import App
from tortie.marathon.model.tree import Tree, assign_ports, tree_problems
from tortie.marathon.offers.task import kill_policy
from tortie.marathon.reports import Reports
from tortie.marathon.world import World


@dataclass(frozen=True, slots=True)
class Options:
    """Settings that decisions depend on; times in seconds, as the flags' defaults of Marathon 1.4 unless said."""

    roles: frozenset[str] = frozenset({"*"})
    port_min: int = 10000
    port_max: int = 20000
    decline_seconds: float = 120.0
    min_revive_seconds: float = 1.0
    max_tasks_per_offer: int = 100
    kill_retry_seconds: float = 10.0
    confirm_seconds: float = 10.0
    launch_seconds: float = 300.0
    reconcile_first_seconds: float = 15.0
    reconcile_seconds: float = 600.0
    env_prefix: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to a change: it will be done."""

    version: str
    deployment: str


class Brain(Reports):
    """Decides; owns nothing but the world and what can be computed again after a restart."""

    def __init__(self, world: World, options: Options, new_id: Callable[[], str]) -> None:
        super().__init__(world)
        self.options = options
        self.new_id = new_id
        self.demand: dict[str, int] = {}
        self.woken = False
        self._done: dict[str, bool] = {}
        self._sleeping: set[str] = set()
        self._asked = 0.0
        self._dirty: set[str] = {
            *world.tree.apps,
            *world.by_app,
            *(a for p in world.plans.values() for a in p.affected),
        }

    # -- changes by people ---------------------------------------------------------------------------------------------

    def change(
        self,
        build: Callable[[Tree], Tree],
        now: float,
        *,
        base: str = ids.ROOT,
        paths: Mapping[str, str] | None = None,
        force: bool = False,
        restart: Iterable[str] = (),
        sentenced: Iterable[str] = (),
    ) -> Accepted:
        """Makes the tree that `build` gives the current one and starts its deployment.

        `base` is the app or group that is changed; `paths` the given apps with their places in the document.
        Raises NotValid, or Locked unless forced; then nothing has changed.
        """
        new, plan = self.propose(build, now, paths=paths, restart=restart, sentenced=sentenced)
        held = [other for other in self.world.plans.values() if not other.affected.isdisjoint(plan.affected)]
        if held and not force:
            raise Locked([other.id for other in held])
        for other in held:
            self._end(other, "deployment_failed", now)
        self._accept(new, plan, base, now)
        return Accepted(plan.version, plan.id)

    def propose(
        self,
        build: Callable[[Tree], Tree],
        now: float,
        *,
        paths: Mapping[str, str] | None = None,
        restart: Iterable[str] = (),
        sentenced: Iterable[str] = (),
    ) -> tuple[Tree, Plan]:
        """The tree and the plan a change would lead to. Raises NotValid."""
        old = self.world.tree
        new = assign_ports(old, build(old), self.options.port_min, self.options.port_max)
        if new is None:
            low, high = self.options.port_min, self.options.port_max
            raise Unavailable(f"All ports in the range [{low}-{high}) are already in use")
        new = stamp(old, new, after(old.version, now), restart)
        if problems := tree_problems(new, paths or {}):
            raise NotValid(problems)
        return new, make_plan(old, new, self.new_id(), restart=restart, sentenced=sentenced)

    def _accept(self, new: Tree, plan: Plan, group: str, now: float) -> None:
        world = self.world
        for gone in world.tree.apps.keys() - new.apps.keys():
            world.drop_failure(gone)
            self.delays.pop(gone, None)
        world.put_tree(new)
        world.out.events.append(events.event("group_change_success", now, groupId=group, version=new.version))
        if not plan.steps:
            world.out.events.append(events.deployment("deployment_success", plan, now))
            self._dirty.update(plan.affected)
            return
        for action in (action for step in plan.steps for action in step if action.action == RESTART):
            self.delays.pop(action.app, None)
        world.put_plan(plan)
        world.out.events.append(events.deployment("deployment_info", plan, now))
        for app_id, before in plan.before.items():
            world.out.events += events.checks_changed(app_id, before, plan.after[app_id], now)
        self._dirty.update(plan.affected)

    def cancel(self, plan_id: str, now: float, *, force: bool) -> Accepted | None:
        """Stops a deployment: rolled back by a new one, or (forced) left where it is. Raises NotFound."""
        plan = self.world.plans.get(plan_id)
        if plan is None:
            raise NotFound(f"DeploymentPlan {plan_id} does not exist")
        if not force:
            return self.change(lambda tree: revert(tree, plan), now, force=True)
        self._end(plan, "deployment_failed", now)
        return None

    def kill(self, instances: Iterable[Instance], now: float) -> list[Instance]:
        """Asks for the end of these tasks; their apps get others."""
        killed = []
        for instance in instances:
            self._kill(instance, now)
            self._dirty.add(instance.app)
            killed.append(instance)
        return killed

    def reset_delay(self, app_id: str) -> None:
        self.delays.pop(app_id, None)
        self._dirty.add(app_id)

    # -- towards what is wanted ----------------------------------------------------------------------------------------

    def settle(self, now: float) -> None:
        """Kills, demands and steps of deployments that follow from everything learned so far."""
        while self._dirty:
            touched, self._dirty = self._dirty, set()
            for app_id in sorted(touched):
                self._move(app_id, now)
            for plan in list(self.world.plans.values()):
                if not touched.isdisjoint(plan.affected):
                    self._advance(plan, now)

    def _move(self, app_id: str, now: float) -> None:
        moves = self._moves(app_id)
        for instance in moves.kill:
            self._kill(instance, now)
        self._done[app_id] = moves.done
        if moves.launch > 0:
            self.demand[app_id] = moves.launch
            if self.delay_left(app_id, now) > 0:
                self._sleeping.add(app_id)
            else:
                self.woken = True
        else:
            self.demand.pop(app_id, None)

    def _moves(self, app_id: str) -> rolling.Moves:
        app = self.world.tree.apps.get(app_id)
        instances = self.world.instances_of(app_id)
        if app is None:
            return rolling.stop(instances)
        plan = self._plan_of(app_id)
        if plan is None:
            return rolling.scale(app, instances)
        steps = [n for n, step in enumerate(plan.steps) if any(a.app == app_id and a.action != START for a in step)]
        if steps and steps[0] > plan.current:
            return rolling.Moves(done=True)
        if any(a.app == app_id and a.action == RESTART for a in plan.actions):
            old = self.outdated(app, instances)
            return rolling.roll(app, instances, lambda i: i.version in old)
        return rolling.scale(app, instances, plan.sentenced)

    def _plan_of(self, app_id: str) -> Plan | None:
        return next((plan for plan in self.world.plans.values() if app_id in plan.affected), None)

    def outdated(self, app: App, instances: Iterable[Instance]) -> set[str]:
        """The versions of those that are to be replaced: made from another config, or from before a restart."""
        plan = self._plan_of(app.id)
        one_of_each = {instance.version: instance for instance in instances}
        if plan is not None and app.id in plan.restarts:
            return {version for version in one_of_each if version < plan.version}
        return {version for version, one in one_of_each.items() if not self.world.up_to_date(app, one)}

    # -- health --------------------------------------------------------------------------------------------------------

    def checked_here(self, instance_id: str, index: int, failure: str | None, now: float) -> None:
        """One result of a check of Marathon's own; a task that failed it too often is killed."""
        if self.checked(instance_id, index, failure, now):
            self.kill([self.world.instances[instance_id]], now)

    def _advance(self, plan: Plan, now: float) -> None:
        if not all(self._done.get(action.app, False) or action.action == START for action in plan.actions):
            return
        out = self.world.out.events
        out.append(events.deployment("deployment_step_success", plan, now))
        out += [events.event("app_terminated_event", now, appId=a.app) for a in plan.actions if a.action == STOP]
        further = msgspec.structs.replace(plan, current=plan.current + 1)
        if further.actions:
            self.world.put_plan(further)
            out.append(events.deployment("deployment_info", further, now))
        else:
            self._end(further, "deployment_success", now)
        self._dirty.update(plan.affected)

    def launched(self, instance: Instance, now: float) -> None:
        """A task that was in demand and is about to be launched: known before Mesos hears of it."""
        self.world.put_instance(instance)
        self.tell(instance, STAGING, "", now)
        self.demand[instance.app] -= 1
        if self.demand[instance.app] == 0:
            del self.demand[instance.app]
        self._dirty.add(instance.app)

    def _end(self, plan: Plan, kind: str, now: float) -> None:
        self.world.drop_plan(plan)
        self.world.out.events.append(events.deployment(kind, plan, now))
        self._dirty.update(plan.affected)

    def _kill(self, instance: Instance, now: float) -> None:
        """An unreachable task cannot be asked: it is forgotten, and killed as a stranger if it comes back.

        Everybody hears of it before the task does: balancers send it nothing more.
        """
        app = self.world.definition_of(instance)
        self._send_kill(instance, app, now)
        if instance.state == UNREACHABLE:
            self.world.drop_instance(instance)
            self._dirty.add(instance.app)
        elif instance.killed_at is None:
            self.world.put_instance(msgspec.structs.replace(instance, killed_at=now))
            if instance.state != KILLING:
                self.tell(instance, KILLING, "", now)

    def _send_kill(self, instance: Instance, app: App | None, now: float) -> None:
        policy = kill_policy(app) if app else None
        self.world.out.calls.append(calls.kill(instance.id, instance.agent, policy))
        self._kill_sent[instance.id] = now

    # -- time ----------------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Kills that nobody answered, launches that nobody confirmed, tasks away for too long, back-offs that end."""
        self.forget_the_gone()
        unconfirmed = []
        for instance in list(self.world.instances.values()):
            if instance.leaving:
                if now - self._kill_sent.get(instance.id, 0) >= self.options.kill_retry_seconds:
                    self._send_kill(instance, self.world.definition_of(instance), now)
            elif instance.state == UNREACHABLE:
                self._away(instance, now)
            elif instance.state == STAGING and now - instance.staged_at > self.options.launch_seconds:
                self._kill(instance, now)
                self._dirty.add(instance.app)
            elif not instance.confirmed and now - instance.staged_at > self.options.confirm_seconds:
                unconfirmed.append(instance)
        if unconfirmed and now - self._asked >= self.options.confirm_seconds:
            self._asked = now
            self.ask_about(unconfirmed)
        for app_id in [key for key in self._sleeping if self.delay_left(key, now) == 0]:
            self._sleeping.discard(app_id)
            self.woken = self.woken or app_id in self.demand

    def _away(self, instance: Instance, now: float) -> None:
        app = self.world.definition_of(instance)
        away = now - (instance.unreachable_at if instance.unreachable_at is not None else now)
        if app is None or app.unreachable_strategy.inactive_after_seconds is None:
            return
        if away >= (app.unreachable_strategy.expunge_after_seconds or 0):
            self.world.drop_instance(instance)
            self._dirty.add(instance.app)
        elif away >= app.unreachable_strategy.inactive_after_seconds and not instance.inactive:
            self.world.put_instance(msgspec.structs.replace(instance, inactive=True))
            self._dirty.add(instance.app)

    def delay_left(self, app_id: str, now: float) -> float:
        """Seconds of back-off that the app still has to wait."""
        app = self.world.tree.apps.get(app_id)
        return left(app, self.delays.get(app_id), now) if app else 0.0

    def ask_about(self, instances: Iterable[Instance]) -> None:
        """Explicit reconciliation of these; of everything the master knows when there are none."""
        self.world.out.calls.append(calls.reconcile((one.id, one.agent) for one in instances))
