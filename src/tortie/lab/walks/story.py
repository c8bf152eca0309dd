"""A document as what is typed and what must come of it: the one shape that every walk-through has.

A document's file in this folder is one `Story`: its steps with the commands as the document prints them, the networks
it makes, who must reach whom after which step. `open_story` finds it by the document's name.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tortie.base.errors import Invalid
from tortie.lab.walks.containers import DockerContainers
from tortie.lab.walks.matrix import Probing, Stage
from tortie.lab.walks.parties import Containers
from tortie.lab.walks.ports import Lab
from tortie.lab.walks.tasks import on_networks
from tortie.lab.walks.walk import Progress, Report, StepFailed, Walk


@dataclass(frozen=True, slots=True)
class Step:
    """`do` types the step's commands and waits for what they bring about; `look` checks it, on a walk only."""

    key: str
    title: str
    do: Callable[[Walk], None]
    look: Callable[[Walk], None] | None = None


def nothing_typed(_walk: Walk) -> None:
    """A step that only looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    name: str
    steps: tuple[Step, ...]
    probing: Probing
    stages: Mapping[str, Stage]
    """Who reaches whom after a step, by that step's key."""
    peers_from: str
    """The step that adds the second containers, by its key; empty where the document has all that is needed."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Other names of steps, and of matrices that stand behind another step: as somebody would look for them."""
    stage_now: Callable[[Walk, str], Stage] | None = None
    """The stage that a running lab should be at, where more than its last step decides."""
    containers: Callable[[Walk], Containers] | None = None
    """How its containers are found, where they are not on networks that the document makes."""
    stays_at: str = ""
    """Where `up` stops, for a document whose last step clears everything away."""

    @property
    def end(self) -> str:
        """The key of the last step: the document as meant."""
        return self.steps[-1].key

    def index(self, key: str) -> int:
        """Position of a step; Invalid lists the steps."""
        keys = [step.key for step in self.steps]
        wanted = key if key in keys else self.aliases.get(key, key)
        if wanted not in keys:
            raise Invalid(f"{self.name} has no step {key}; it has {', '.join(keys)}")
        return keys.index(wanted)

    def replay(self, lab: Lab, progress: Progress, until: str | None = None, after: str | None = None) -> None:
        """Type the document's commands up to a step; StepFailed names the first that does not do as it says."""
        walk = self._walk(lab, progress)
        for step in self._between(after, until):
            walk.begin(step.key, step.title)
            step.do(walk)
            failed = [check for check in walk.report.checks if not check.holds]
            if failed:
                raise StepFailed(f"step {step.key}: {failed[0].name}: {failed[0].detail}")

    def walk_all(self, lab: Lab, progress: Progress, after: str | None = None) -> Report:
        """Type every command after step `after` and look at everything each step brings about."""
        walk = self._walk(lab, progress)
        try:
            if (
                self.peers_from and after and self.index(after) >= self.index(self.peers_from)
            ):  # the step that adds them lies behind
                walk.begin(after, "done before")
                walk.add_peers()
            for step in self._between(after, None):
                walk.begin(step.key, step.title)
                step.do(walk)
                if step.look:
                    step.look(walk)
        finally:
            walk.remove_peers()
        return walk.report

    def check_step(self, lab: Lab, progress: Progress, key: str) -> Report:
        """Compare one step's matrix with what the running lab lets through; nothing of the document is typed."""
        stage = key if key in self.stages else self.aliases.get(key, key)
        if stage not in self.stages:
            listed = ", ".join(self.stages)
            raise Invalid(f"step {key} of {self.name} has no matrix; those with one: {listed}")
        walk = self._walk(lab, progress)
        walk.begin(stage, f"the matrix after step {stage}")
        try:
            walk.add_peers()
            walk.matrix(self.stage_now(walk, stage) if self.stage_now else self.stages[stage])
        finally:
            walk.remove_peers()
        return walk.report

    def _walk(self, lab: Lab, progress: Progress) -> Walk:
        walk = Walk(lab, progress, self.probing)
        if self.containers:
            walk.containers = self.containers(walk)
        elif walk.runtime == "ucr":
            walk.containers = on_networks(walk)
        else:
            walk.containers = DockerContainers(walk)
        return walk

    def _between(self, after: str | None, until: str | None) -> tuple[Step, ...]:
        first = self.index(after) + 1 if after else 0
        return self.steps[first : self.index(until or self.end) + 1]


def open_story(document: str) -> Story:
    """The story of a document that has one; its module has the document's name."""
    # Late: a walk brings the prober and the wanted pictures, which a lab alone does not need.
    story: Story = importlib.import_module(f"tortie.lab.walks.{document.replace('-', '_')}").STORY
    return story
