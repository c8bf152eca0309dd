"""Decisions over time, without a store or a master: tasks that go away, come back, or were never heard of."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.support.marathon_story import Story

from tortie.marathon.errors import Locked
from tortie.marathon.model.app import App, UnreachableStrategy
from tortie.marathon.world import PREFIX, World
from tortie.wire import mesos


def app(**fields: Any) -> App:
    return App(id="/a", cmd="x", cpus=1, mem=1, **fields)


def test_an_unreachable_task_keeps_its_place_then_is_replaced_and_is_surplus_when_it_returns() -> None:
    story = Story()
    story.put(app(unreachable_strategy=UnreachableStrategy(inactive_after_seconds=10, expunge_after_seconds=60)))
    (task,) = story.offer()
    story.say(task, "TASK_RUNNING")
    assert story.brain.world.plans == {}
    story.say(task, "TASK_UNREACHABLE")
    story.wait(9)
    assert story.brain.demand == {}
    story.wait(2)
    assert story.brain.demand == {"/a": 1}
    (other,) = story.offer()
    story.say(other, "TASK_RUNNING")
    story.now += 1
    story.say(task, "TASK_RUNNING")
    assert story.killed() == [other]
    story.say(other, "TASK_KILLED")
    assert [i.id for i in story.brain.world.instances_of("/a")] == [task]


def test_a_task_away_for_too_long_is_forgotten_and_killed_as_a_stranger() -> None:
    story = Story()
    story.put(app(unreachable_strategy=UnreachableStrategy(inactive_after_seconds=0, expunge_after_seconds=60)))
    (task,) = story.offer()
    story.say(task, "TASK_RUNNING")
    story.say(task, "TASK_UNREACHABLE")
    story.wait(61)
    assert story.brain.world.instances == {}
    story.say(task, "TASK_RUNNING", uuid=b"0123456789abcdef", agent_id=mesos.ID(value="A"))
    assert story.killed() == [task]
    assert story.calls[-1].type == "ACKNOWLEDGE"


def test_kills_and_launches_that_nobody_answers_are_asked_for_again() -> None:
    story = Story()
    story.put(app())
    (task,) = story.offer()
    story.wait(11)
    asked = [c.reconcile.tasks for c in story.calls if c.reconcile is not None]
    assert [t.task_id.value for tasks in asked for t in tasks] == [task]
    story.say(task, "TASK_RUNNING")
    story.brain.change(lambda tree: tree.drop("/a"), story.now)
    story.follow()
    story.wait(11)
    story.wait(11)
    assert story.killed() == [task] * 3
    assert story.brain.world.plans != {}
    story.say(task, "TASK_KILLED")
    assert story.brain.world.plans == {}
    assert story.events[-1]["eventType"] == "deployment_success"


def test_a_launch_the_master_never_heard_of_is_made_again_after_the_back_off() -> None:
    story = Story()
    story.put(app(backoff_seconds=5))
    (task,) = story.offer()
    story.say(task, "TASK_LOST", reason="REASON_RECONCILIATION", message="Reconciliation: Task is unknown")
    assert story.offer() == []
    story.wait(6)
    assert story.calls[-1].type == "REVIVE"
    assert len(story.offer()) == 1


def test_tasks_of_one_offer_round_are_spread_over_the_agents() -> None:
    story = Story()
    story.put(app(instances=4))
    story.offer()
    assert sorted(i.host for i in story.brain.world.instances.values()) == ["O1", "O1", "O2", "O2"]


def test_constraints_do_not_look_at_tasks_of_the_old_config() -> None:
    story = Story()
    unique = app(instances=2, constraints=(("hostname", "UNIQUE"),))
    story.put(unique)
    for task in story.offer():
        story.say(task, "TASK_RUNNING")
    assert story.brain.world.plans == {}
    story.put(msgspec.structs.replace(unique, cmd="y"))
    assert len(story.offer()) == 2


def test_constraints_do_not_look_at_tasks_that_a_restart_replaces() -> None:
    story = Story()
    story.put(app(instances=2, constraints=(("hostname", "UNIQUE"),)))
    old = story.run()
    story.now += 1
    story.brain.change(lambda tree: tree, story.now, restart=["/a"])
    story.follow()
    assert len(story.run()) == 2
    assert sorted(story.killed()) == old
    story.end(*old)
    assert story.brain.world.plans == {}
    story.put(app(instances=3, constraints=(("hostname", "UNIQUE"),)))
    assert story.offer() == [], "those that stay do count"


def test_a_rolled_back_upgrade_keeps_the_tasks_that_never_changed() -> None:
    story = Story()
    story.put(app(instances=2))
    old = story.offer()
    for task in old:
        story.say(task, "TASK_RUNNING")
    story.now += 1
    story.put(app(instances=2, labels={"x": "y"}))
    (plan,) = story.brain.world.plans
    new = story.offer()
    with pytest.raises(Locked):
        story.put(app(instances=5))
    story.brain.cancel(plan, story.now, force=False)
    story.follow()
    assert sorted(story.killed()) == new
    for task in new:
        story.say(task, "TASK_KILLED")
    assert story.brain.world.plans == {}
    assert sorted(story.brain.world.instances) == old


def test_everything_that_matters_is_read_back_from_the_store() -> None:
    story = Story()
    story.put(app(instances=2))
    first, second = story.offer()
    story.say(first, "TASK_RUNNING")
    story.say(second, "TASK_FAILED", message="boom")
    again = World.load(sorted(story.stored.items()))
    assert again.tree == story.brain.world.tree
    assert again.plans == story.brain.world.plans
    assert again.instances == story.brain.world.instances
    assert again.failures["/a"].message == "boom"
    assert again.framework_id == "F"
    revived = Story(again)
    assert revived.brain.demand == {"/a": 1}
    assert len(revived.offer()) == 1


def test_old_versions_are_forgotten_but_not_those_that_still_run() -> None:
    story = Story()
    story.put(app())
    (task,) = story.offer()
    story.say(task, "TASK_RUNNING")
    version = story.brain.world.instances[task].version
    for n in range(60):
        story.put(App(id="/b", cmd="x", instances=0, labels={"n": str(n)}), force=True)
    world = story.brain.world
    assert len(world.roots) == 50
    assert ("/a", version) in world.definitions
    assert len(world.definitions) <= 52
    assert sum(key.startswith(PREFIX + "roots/") for key in story.stored) == 50


def test_the_tasks_own_words_replace_those_of_a_reconciliation_that_came_first() -> None:
    story = Story()
    story.put(app())
    (task,) = story.offer()
    story.say(task, "TASK_FAILED", message="Reconciliation: Latest task state", reason="REASON_RECONCILIATION")
    story.say(task, "TASK_FAILED", message="Container exited with status 3")
    assert story.brain.world.failures["/a"].message == "Container exited with status 3"
    story.say(task, "TASK_FAILED", message="Reconciliation: Latest task state", reason="REASON_RECONCILIATION")
    assert story.brain.world.failures["/a"].message == "Container exited with status 3"


def test_that_a_task_is_about_to_go_is_told_once_and_before_the_task_hears_of_it() -> None:
    story = Story()
    story.put(app())
    (task,) = story.run()
    story.events.clear()
    story.put(app(instances=0))
    assert [e["taskStatus"] for e in story.heard("status_update_event")] == ["TASK_KILLING"]
    story.say(task, "TASK_KILLING")
    story.wait(11)
    assert story.killed() == [task, task]
    story.end(task)
    assert [e["taskStatus"] for e in story.heard("status_update_event")] == ["TASK_KILLING", "TASK_KILLED"]
    assert [e["condition"] for e in story.heard("instance_changed_event")] == ["Killing", "Killed"]


@pytest.mark.parametrize("restart", [True, False])
def test_an_upgrade_goes_on_in_the_middle_when_marathon_starts_again(restart: bool) -> None:
    story = Story()
    story.put(app(instances=3))
    old = story.run()
    story.now += 1
    if restart:
        story.brain.change(lambda tree: tree, story.now, restart=["/a"])
        story.follow()
    else:
        story.put(app(instances=3, labels={"new": "yes"}))
    first, *others = story.offer()
    story.say(first, "TASK_RUNNING")
    (gone,) = story.killed()
    again = Story(World.load(sorted(story.stored.items())))
    again.now = story.now + 5
    again.follow()
    assert (again.brain.demand, again.leaving()) == ({}, [gone])
    for task in others:
        again.say(task, "TASK_RUNNING")
    assert sorted(again.leaving()) == sorted(old)
    again.end(*old)
    assert again.brain.world.plans == {}
    assert sorted(again.brain.world.instances) == sorted([first, *others])


def test_a_deployment_over_groups_goes_by_their_dependencies() -> None:
    """/front needs /back: nothing of it starts or is replaced before everything there is."""
    story = Story()

    def shop(version: str) -> Any:
        def build(tree: Any) -> Any:
            for name in ("/front/web", "/front/ui", "/back/db", "/back/queue"):
                tree = tree.put(App(id=name, cmd="x", mem=1, labels={"version": version}))
            return tree.put_group("/front", ("/back",))

        return build

    story.brain.change(shop("1"), story.now)
    story.follow()
    back = story.run()
    assert sorted(task.partition(".")[0] for task in back) == ["back_db", "back_queue"]
    front = story.run()
    assert sorted(task.partition(".")[0] for task in front) == ["front_ui", "front_web"]
    assert story.brain.world.plans == {}
    story.now += 1
    story.brain.change(shop("2"), story.now)
    story.follow()
    newer = story.offer()
    assert sorted(task.partition(".")[0] for task in newer) == ["back_db", "back_queue"]
    story.say(newer[0], "TASK_RUNNING")
    assert story.offer() == [], "one of them is not there yet"
    story.say(newer[1], "TASK_RUNNING")
    story.end(*back)
    assert sorted(task.partition(".")[0] for task in story.run()) == ["front_ui", "front_web"]
    assert sorted(story.leaving()) == sorted(front)
    story.end(*front)
    assert story.brain.world.plans == {}
    story.brain.change(lambda tree: tree.drop_group("/front").drop_group("/back"), story.now, force=True)
    story.follow()
    assert len(story.leaving()) == 4
