"""Who hears what, and how much waits for a listener that does not read."""

from __future__ import annotations

from typing import Any

from tests.support.marathon_story import Story

from tortie.marathon.api.plans import KEPT, WholePlans
from tortie.marathon.model.app import App
from tortie.marathon.stream import OUTSTANDING, OUTSTANDING_LARGE, Broadcast


def test_few_large_events_wait_and_many_small_ones() -> None:
    broadcast = Broadcast()
    broadcast.expand = lambda event: {**event, "large": True} if event["eventType"] == "plan" else event
    with broadcast.listen(light=False) as whole, broadcast.listen() as light, broadcast.listen({"other"}) as one:
        for _ in range(OUTSTANDING_LARGE + 5):
            broadcast.publish({"eventType": "plan"})
        for _ in range(OUTSTANDING * 2):
            broadcast.publish({"eventType": "other"})
        kinds = [whole.get_nowait() for _ in range(whole.qsize())]
        assert [k for k in kinds if k["eventType"] == "plan"] == [
            {"eventType": "plan", "large": True}
        ] * OUTSTANDING_LARGE
        assert (len(kinds), light.qsize(), one.qsize()) == (OUTSTANDING, OUTSTANDING, OUTSTANDING)
        assert light.get_nowait() == {"eventType": "plan"}
    broadcast.publish({"eventType": "other"})
    assert one.qsize() == OUTSTANDING


def test_the_trees_of_a_plan_are_made_once_and_kept_for_a_while() -> None:
    story = Story()
    whole = WholePlans(story.brain)
    seen: list[Any] = []
    for n in range(KEPT * 3):
        story.events.clear()
        story.now += 1
        story.put(App(id=f"/a{n}", cmd="x", mem=1, instances=0))
        told = [whole(event)["plan"] for event in story.events if event["eventType"].startswith("deployment_")]
        assert len({id(plan["original"]) for plan in told}) == 1
        seen.append(told[0])
        assert len(whole._trees) <= KEPT
    assert bytes(seen[1]["target"]) == bytes(seen[2]["original"])
    assert whole({"eventType": "x"}) == {"eventType": "x"}
