"""Health over time: checks of Marathon's own and of the agents', kills, back-off, deployments that wait."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.marathon_story import Story

from tortie.marathon.api.views import show_task
from tortie.marathon.deploy.instance import Instance
from tortie.marathon.model.app import App, HealthCheck
from tortie.marathon.world import World

HTTP = HealthCheck(path="/", port=80, grace_period_seconds=10, max_consecutive_failures=1)
COMMAND = HealthCheck(protocol="COMMAND", command="true", max_consecutive_failures=1)


def app(*checks: HealthCheck, **fields: Any) -> App:
    return App(id="/a", cmd="x", cpus=1, mem=1, health_checks=checks, **fields)


def check(story: Story, task: str, failure: str | None, index: int = 0) -> None:
    story.brain.checked_here(task, index, failure, story.now)
    story.follow()


def running(story: Story, task: str, healthy: bool | None = None, **fields: Any) -> None:
    story.say(task, "TASK_RUNNING", healthy=healthy, **fields)


def test_a_deployment_goes_on_when_every_check_of_every_task_passed() -> None:
    story = Story()
    story.put(app(HTTP, COMMAND))
    (task,) = story.run()
    check(story, task, None)
    assert story.brain.world.plans, "the agent has not said anything yet"
    running(story, task, healthy=True)
    assert story.brain.world.plans == {}
    assert [e["alive"] for e in story.heard("health_status_changed_event")] == [True]
    assert [e["healthy"] for e in story.heard("instance_health_changed_event")] == [True]


def test_a_task_that_fails_too_often_is_killed_and_the_next_one_waits() -> None:
    story = Story()
    story.put(app(HTTP, backoff_seconds=7))
    (task,) = story.run()
    check(story, task, None)
    for _ in range(2):
        story.now += 60
        check(story, task, "503 Service Unavailable")
    assert story.leaving() == [task]
    check(story, task, "503 Service Unavailable")
    assert len(story.killed()) == 1, "a task on its way out has no results"
    story.end(task)
    assert story.offer() == []
    story.wait(8)
    (other,) = story.run()
    assert story.brain.world.plans == {}
    failure = story.brain.world.failures["/a"]
    assert (failure.state, failure.task_id) == ("TASK_KILLED", task)
    assert failure.message == "Task was killed since health check failed. Reason: 503 Service Unavailable"
    assert story.heard("unhealthy_instance_kill_event")[0]["reason"] == "503 Service Unavailable"
    assert len(story.heard("failed_health_check_event")) == 2
    assert other != task


def test_a_task_that_its_agent_killed_for_its_health_has_failed() -> None:
    story = Story()
    story.put(app(COMMAND, backoff_seconds=7))
    (task,) = story.run()
    running(story, task, healthy=True)
    running(story, task, healthy=False, message="command exited with status 1")
    story.say(task, "TASK_KILLING", healthy=False)
    story.say(task, "TASK_KILLED", healthy=False, message="Container exited with status 137")
    assert story.brain.world.failures["/a"].message.endswith("Reason: command exited with status 1")
    assert story.heard("unhealthy_task_kill_event")
    assert story.offer() == []
    story.wait(8)
    assert len(story.offer()) == 1


def test_a_task_that_we_killed_has_not_failed_whatever_its_health() -> None:
    story = Story()
    story.put(app(COMMAND))
    (task,) = story.run()
    running(story, task, healthy=False, message="no")
    story.brain.kill([story.brain.world.instances[task]], story.now)
    story.follow()
    story.say(task, "TASK_KILLED", healthy=False)
    assert "/a" not in story.brain.world.failures
    assert len(story.offer()) == 1


def test_results_of_the_agents_checks_are_shown_like_our_own() -> None:
    story = Story()
    story.put(app(COMMAND))
    (task,) = story.run()
    running(story, task, healthy=True)
    story.now += 5
    running(story, task, healthy=False, message="exit 1")
    running(story, task, healthy=False, message="exit 2")
    running(story, task, healthy=False, reason="REASON_RECONCILIATION")
    instance, target = story.brain.world.instances[task], story.brain.world.tree.apps["/a"]
    (shown,) = show_task(instance, target, story.brain.results)["healthCheckResults"]
    assert (shown["alive"], shown["consecutiveFailures"], shown["lastFailureCause"]) == (False, 2, "exit 2")
    assert shown["firstSuccess"] == "1970-01-01T00:16:40.000Z"


def test_a_marathon_that_starts_again_knows_who_was_healthy() -> None:
    story = Story()
    story.put(app(HTTP, COMMAND))
    (task,) = story.run()
    check(story, task, None)
    running(story, task, healthy=True)
    again = Story(World.load(sorted(story.stored.items())))
    again.now = story.now + 1
    assert again.brain.world.instances[task].healthy is True
    again.say(task, "TASK_RUNNING", healthy=True, reason="REASON_RECONCILIATION")
    check(again, task, "refused")
    assert again.brain.world.instances[task].healthy is False
    check(again, task, "refused")
    assert again.leaving() == [task], "its grace period ended with the success of before"
    fresh = Story(World.load(sorted(story.stored.items())))
    fresh.say(task, "TASK_RUNNING", healthy=False, message="since", reason="REASON_RECONCILIATION")
    assert fresh.brain.world.instances[task].healthy is False


def test_failures_of_the_old_config_do_not_hold_up_the_new_one() -> None:
    story = Story()
    story.put(app(backoff_seconds=100, instances=2))
    first, second = story.run()
    story.now += 1
    story.put(app(backoff_seconds=100, instances=2, labels={"fixed": "yes"}))
    story.say(first, "TASK_FAILED")
    assert len(story.offer()) == 2
    story.say(second, "TASK_FAILED")
    assert story.brain.delays == {}


def test_checks_that_come_and_go_are_told_of() -> None:
    story = Story()
    story.put(app(HTTP))
    story.put(app(COMMAND), force=True)
    story.put(app(), force=True)
    told = [
        (e["eventType"].split("_")[0], e.get("healthCheck", {}).get("protocol"))
        for e in story.events
        if "_health_check_event" in e["eventType"]
    ]
    assert told == [("add", "HTTP"), ("remove", None), ("add", "COMMAND"), ("remove", None)]


@pytest.mark.parametrize("task", ["nobody.1", ""])
def test_results_about_nobody_change_nothing(task: str) -> None:
    story = Story()
    story.put(app(HTTP))
    story.run()
    before = dict(story.stored)
    check(story, task, "refused")
    assert story.stored == before
    (known,) = story.brain.world.instances.values()
    check(story, known.id, "refused", index=7)
    assert story.stored == before
    assert isinstance(known, Instance)


def test_what_depends_on_a_sick_app_waits_until_it_is_mended() -> None:
    def database(line: str) -> App:
        return App(id="/db", cmd=line, mem=1, health_checks=(HTTP,))

    story = Story()
    web = App(id="/web", cmd="x", mem=1, dependencies=("/db",))
    story.brain.change(lambda tree: tree.put(database("x")).put(web), story.now)
    story.follow()
    (sick,) = story.run()
    check(story, sick, "refused")
    story.wait(60)
    assert story.offer() == []
    (plan,) = story.brain.world.plans.values()
    assert [action.app for action in plan.actions] == ["/db"]
    story.brain.change(lambda tree: tree.put(database("y")), story.now, force=True)
    story.follow()
    assert len(story.heard("deployment_failed")) == 1
    assert sorted(task.partition(".")[0] for task in story.run()) == ["db", "web"]
