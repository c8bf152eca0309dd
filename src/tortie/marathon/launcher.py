"""Between the wish for tasks and Mesos's offers: what is launched where, what is declined, why an app waits."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tortie.framework import calls
from tortie.marathon.brain import Brain
from tortie.marathon.deploy.instance import Instance
from tortie.marathon.model import ids
from tortie.marathon.model.app import App
from tortie.marathon.offers.match import REASONS, Left, Match, match
from tortie.marathon.offers.task import task_info
from tortie.wire import mesos


@dataclass(frozen=True, slots=True)
class Refusal:
    """The last offer of an agent that an app could not use."""

    offer: mesos.Offer
    reasons: tuple[str, ...]
    at: float


@dataclass(slots=True)
class Waiting:
    """An app in the queue: since when, and what became of the offers it has seen."""

    since: float
    processed: int = 0
    unused: int = 0
    used_at: float | None = None
    unused_at: float | None = None
    refusals: dict[str, Refusal] = field(default_factory=dict)

    def summary(self) -> list[dict[str, int | str]]:
        """The funnel: how many of the last offers reached each reason, and how many it turned away."""
        left = [refusal.reasons for refusal in self.refusals.values()]
        found: list[dict[str, int | str]] = []
        for reason in REASONS:
            declined = [reasons for reasons in left if reason in reasons]
            found.append({"reason": reason, "declined": len(declined), "processed": len(left)})
            left = [reasons for reasons in left if reason not in reasons]
        return found


class Launcher:
    """Answers offers; asks for more when something new is wanted, for none when nothing is."""

    def __init__(self, brain: Brain, rng: random.Random, task_uuid: Callable[[], str]) -> None:
        self.brain = brain
        self.rng = rng
        self.task_uuid = task_uuid
        self.waiting: dict[str, Waiting] = {}
        self.connected = False
        self._suppressed = False
        self._revived_at = 0.0
        self._reconcile_at: float | None = None

    def subscribed(self, framework_id: str, now: float) -> None:
        """A new stream: offers start afresh, and everything known is asked about after a while."""
        self.brain.world.put_framework(framework_id)
        self.connected = True
        self._suppressed = False
        self.brain.woken = bool(self.brain.demand)
        self._reconcile_at = now + self.brain.options.reconcile_first_seconds

    def disconnected(self) -> None:
        self.connected = False

    def offers(self, offers: Sequence[mesos.Offer], now: float) -> None:
        """Puts wanted tasks on the offers, one after the other over the emptiest; declines what is left unused."""
        lefts = [Left.of(offer) for offer in offers]
        planned: list[list[mesos.TaskInfo]] = [[] for _ in offers]
        apps = [app_id for app_id in self.brain.demand if self.brain.delay_left(app_id, now) == 0]
        self.rng.shuffle(apps)
        for app_id in apps:
            self._place(app_id, lefts, planned, now)
        for left, tasks in zip(lefts, planned, strict=True):
            self._answer(left.offer, tasks)

    def _place(self, app_id: str, lefts: list[Left], planned: list[list[mesos.TaskInfo]], now: float) -> None:
        app = self.brain.world.tree.apps[app_id]
        waiting = self.waiting.setdefault(app_id, Waiting(now))
        untried = sorted(range(len(lefts)), key=lambda index: (len(planned[index]), self.rng.random()))
        while app_id in self.brain.demand and untried:
            for index in list(untried):
                if app_id not in self.brain.demand:
                    break
                full = len(planned[index]) >= self.brain.options.max_tasks_per_offer
                if full or not self._try(app, lefts[index], planned[index], waiting, now):
                    untried.remove(index)

    def _try(self, app: App, left: Left, tasks: list[mesos.TaskInfo], waiting: Waiting, now: float) -> bool:
        roles = app.accepted_resource_roles or self.brain.options.roles
        found = match(app, left, self._seen_by_constraints(app), roles, self.rng)
        waiting.processed += 1
        agent = left.offer.agent_id.value
        if not isinstance(found, Match):
            waiting.unused += 1
            waiting.unused_at = now
            waiting.refusals[agent] = Refusal(left.offer, found, now)
            return False
        waiting.used_at = now
        waiting.refusals.pop(agent, None)
        left.take(found)
        tasks.append(self._launch(app, left, found, now))
        return True

    def _seen_by_constraints(self, app: App) -> list[Instance]:
        if not app.constraints:
            return []
        instances = [i for i in self.brain.world.instances_of(app.id) if not i.inactive]
        old = self.brain.outdated(app, instances)
        return [i for i in instances if i.version not in old]

    def _launch(self, app: App, left: Left, found: Match, now: float) -> mesos.TaskInfo:
        task_id = f"{ids.safe(app.id)}.{self.task_uuid()}"
        instance = Instance(
            id=task_id,
            app=app.id,
            version=app.version,
            agent=left.offer.agent_id.value,
            host=left.offer.hostname,
            ports=found.ports,
            attributes=left.attributes,
            staged_at=now,
        )
        self.brain.launched(instance, now)
        return task_info(app, task_id, left.offer, found, self.brain.options.env_prefix)

    def _answer(self, offer: mesos.Offer, tasks: list[mesos.TaskInfo]) -> None:
        declined = self.brain.options.decline_seconds
        answer = calls.launch(offer, tasks, 0.0) if tasks else calls.decline([offer], declined)
        self.brain.world.out.calls.append(answer)

    def tick(self, now: float) -> None:
        """Interest in offers as the demand wants it, and the regular reconciliation."""
        brain = self.brain
        for app_id in self.waiting.keys() - brain.demand.keys():
            del self.waiting[app_id]
        for app_id in brain.demand.keys() - self.waiting.keys():
            self.waiting[app_id] = Waiting(now)
        if not self.connected:
            return
        if self._reconcile_at is not None and now >= self._reconcile_at:
            self._reconcile_at = now + brain.options.reconcile_seconds
            if known := list(brain.world.instances.values()):
                brain.ask_about(known)
            brain.ask_about([])
        out = brain.world.out.calls
        if not brain.demand:
            brain.woken = False
            if not self._suppressed:
                self._suppressed = True
                out.append(calls.interest(False))
        elif brain.woken and (self._suppressed or now - self._revived_at >= brain.options.min_revive_seconds):
            brain.woken = self._suppressed = False
            self._revived_at = now
            out.append(calls.interest(True))
