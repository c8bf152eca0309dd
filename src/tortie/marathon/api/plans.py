"""Plans in events as the original has them: with the whole tree before and after. No I/O."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from tortie.marathon.api.views import group_view
from tortie.marathon.brain import Brain
from tortie.marathon.deploy.plan import Plan, revert
from tortie.marathon.events import PlanEvent
from tortie.marathon.model import ids

KEPT = 4


class WholePlans:
    """The trees of the last few plans are kept as JSON: a plan has several events, and they can be large."""

    def __init__(self, brain: Brain) -> None:
        self.brain = brain
        self._trees: dict[str, dict[str, msgspec.Raw]] = {}

    def __call__(self, event: dict[str, Any]) -> dict[str, Any]:
        """The event with `original` and `target` in its plan; one that has no plan as it is."""
        if not isinstance(event, PlanEvent):
            return event
        trees = self._trees.get(event.plan.id)
        if trees is None:
            for old in list(self._trees)[: 1 - KEPT]:
                del self._trees[old]
            trees = self._trees[event.plan.id] = self._of(event.plan)
        return {**event, "plan": event["plan"] | trees}

    def _of(self, plan: Plan) -> dict[str, msgspec.Raw]:
        world = self.brain.world
        after = world.tree_at(plan.version) if plan.version in world.roots else world.tree
        earlier = max((version for version in world.roots if version < plan.version), default=plan.version)
        before = replace(revert(after, plan), version=earlier)
        shown = {"original": before, "target": after}
        return {
            name: msgspec.Raw(msgspec.json.encode(group_view(self.brain, tree, ids.ROOT, None, 0.0)))
            for name, tree in shown.items()
        }
