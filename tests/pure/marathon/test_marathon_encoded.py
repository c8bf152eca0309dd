"""The remembered JSON of apps says the same as one made anew, whatever has happened in between."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.marathon_story import Story

from tortie.marathon.api.encoded import Encoded
from tortie.marathon.api.views import app_view, embeds
from tortie.marathon.model.app import App, HealthCheck

CHECKS = (HealthCheck(path="/", port=80, max_consecutive_failures=0),)
EMBEDS: tuple[list[str], ...] = (
    ["apps.tasks"],
    [],
    ["apps.tasks", "apps.lastTaskFailure", "apps.taskStats", "apps.readiness"],
)


@settings(max_examples=80)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2)), max_size=30))
def test_parts_are_never_out_of_date(steps: list[tuple[int, int]]) -> None:
    story = Story()
    encoded = Encoded(story.brain)
    for step, which in steps:
        act(story, step, which)
        story.now += 1
        apps = list(story.brain.world.tree.apps.values())
        for asked in EMBEDS:
            embed = embeds(asked)
            found = msgspec.json.decode(msgspec.json.encode(encoded.apps(apps, embed, story.now)))
            anew = [app_view(story.brain, app, embed, story.now) for app in apps]
            assert found == msgspec.json.decode(msgspec.json.encode(anew))


def act(story: Story, step: int, which: int) -> None:
    world, name = story.brain.world, f"/a{which}"
    tasks = sorted(world.instances)
    task = tasks[which % len(tasks)] if tasks else None
    if step == 0:
        story.put(App(id=name, cmd="x", mem=1, health_checks=CHECKS, instances=which + 1), force=True)
    elif step == 1 and name in world.tree.apps:
        story.put(App(id=name, cmd="y", mem=1, labels={"at": str(story.now)}), force=True)
    elif step == 2:
        story.run()
    elif step == 3 and task:
        story.brain.checked_here(task, 0, None if which else "no answer", story.now)
        story.follow()
    elif step == 4 and task:
        story.say(task, "TASK_FAILED", message="boom")
    elif step == 5 and task:
        story.brain.kill([world.instances[task]], story.now)
        story.follow()
    elif step == 6:
        story.brain.change(lambda tree: tree.drop(name), story.now, force=True)
        story.follow()


def test_what_is_gone_is_not_kept_for_ever() -> None:
    story = Story()
    encoded = Encoded(story.brain)
    for n in range(2600):
        app = App(id=f"/a{n % 1300}", cmd="x", version=str(n))
        encoded.apps([app], frozenset(), story.now)
    assert len(encoded._definitions) <= 1001
