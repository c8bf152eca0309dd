"""Whatever body is accepted can also be stored, placed, launched, checked, upgraded and shown."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.marathon_story import Story

from tortie.marathon.api.views import app_view, embeds, group_view, queue_view
from tortie.marathon.errors import NotValid
from tortie.marathon.health import target
from tortie.marathon.model.app import App
from tortie.marathon.model.place import Place
from tortie.marathon.model.read import create, given_fields
from tortie.marathon.offers.task import health_port, readiness_port
from tortie.marathon.world import World
from tortie.wire import mesos

NAMES = st.sampled_from(["http", "api", "default"]) | st.none()
NAMED = st.sampled_from(["http", "api"])
PORT = st.sampled_from([0, 80, 31000, 31001, 65535])
PROTOCOL = st.sampled_from(["tcp", "udp", "udp,tcp"])
LABELS = st.dictionaries(st.sampled_from(["a", "VIP_0", "x y", "é", "network-scope"]), st.sampled_from(["", "1"]))
MAPPING = st.fixed_dictionaries(
    {"containerPort": PORT},
    optional={"hostPort": PORT, "servicePort": PORT, "protocol": PROTOCOL, "name": NAMES, "labels": LABELS},
)
DOCKER = st.fixed_dictionaries(
    {"image": st.sampled_from(["i", "i:1"])},
    optional={
        "network": st.sampled_from(["BRIDGE", "HOST", "USER", "NONE", None]),
        "portMappings": st.lists(MAPPING, max_size=3),
        "parameters": st.lists(
            st.fixed_dictionaries(
                {
                    "key": st.sampled_from(["net", "network", "ip"]),
                    "value": st.sampled_from(["n", "host", "10.0.0.1"]),
                }
            ),
            max_size=3,
        ),
    },
)
CONTAINER = st.fixed_dictionaries({"type": st.just("DOCKER"), "docker": DOCKER}) | st.just(
    {"type": "MESOS", "docker": {"image": "i"}}
)
HEALTH = st.fixed_dictionaries(
    {"protocol": st.sampled_from(["HTTP", "HTTPS", "TCP", "COMMAND", "MESOS_HTTP", "MESOS_HTTPS", "MESOS_TCP"])},
    optional={
        "port": st.sampled_from([80, 65535]),
        "portIndex": st.integers(0, 3),
        "path": st.sampled_from(["/", "x", ""]),
        "command": st.just({"value": "true"}),
        "maxConsecutiveFailures": st.integers(0, 1),
        "gracePeriodSeconds": st.just(0),
    },
)
DISCOVERED = st.fixed_dictionaries({"number": PORT, "name": NAMED, "protocol": st.just("tcp")})
BODIES = st.fixed_dictionaries(
    {"mem": st.just(1), "cpus": st.sampled_from([0, 0.1])},
    optional={
        "cmd": st.just("x"),
        "args": st.just(["x", "y"]),
        "instances": st.integers(0, 3),
        "container": CONTAINER,
        "ipAddress": st.fixed_dictionaries(
            {},
            optional={
                "networkName": st.just("calico"),
                "labels": LABELS,
                "groups": st.just(["g"]),
                "discovery": st.fixed_dictionaries({"ports": st.lists(DISCOVERED, max_size=2)}),
            },
        ),
        "ports": st.lists(PORT, max_size=2),
        "portDefinitions": st.lists(
            st.fixed_dictionaries({}, optional={"port": PORT, "name": NAMES, "protocol": PROTOCOL}), max_size=2
        ),
        "requirePorts": st.booleans(),
        "healthChecks": st.lists(HEALTH, max_size=2),
        "readinessChecks": st.lists(st.fixed_dictionaries({"portName": NAMED}), max_size=1),
        "constraints": st.lists(
            st.sampled_from(
                [["hostname", "UNIQUE"], ["hostname", "GROUP_BY"], ["hostname", "MAX_PER", "1"], ["x", "IS", "1"]]
            ),
            max_size=2,
        ),
        "labels": LABELS,
        "taskKillGracePeriodSeconds": st.sampled_from([0, 5.5]),
        "upgradeStrategy": st.fixed_dictionaries(
            {"minimumHealthCapacity": st.floats(0, 1), "maximumOverCapacity": st.floats(0, 1)}
        ),
        "acceptedResourceRoles": st.sampled_from([["*"], ["public"], ["*", "public"]]),
    },
)


def accepted(body: dict[str, Any]) -> App | None:
    place = Place()
    fields = given_fields(body, place, "/a")
    return None if place.problems else create("/a", fields)


@settings(max_examples=150)
@given(BODIES, BODIES, st.lists(st.booleans(), max_size=6))
def test_what_is_accepted_can_be_done(first: dict[str, Any], second: dict[str, Any], luck: list[bool]) -> None:
    story = Story(ports=[(31000, 31003), (65535, 65535)])
    outcomes = iter([*luck, *[True] * 100])
    for body in (first, second):
        app = accepted(body)
        if app is None:
            continue
        story.now += 1
        try:
            story.brain.change(lambda tree, app=app: tree.put(app), story.now, paths={"/a": ""}, force=True)  # type: ignore[misc]
        except NotValid:
            continue
        story.follow()
        for _ in range(3):
            live(story, outcomes)
        see(story)
    again = World.load(sorted(story.stored.items()))
    assert (again.tree, again.instances, again.plans) == (
        story.brain.world.tree, story.brain.world.instances, story.brain.world.plans,
    )  # fmt: skip


def live(story: Story, outcomes: Any) -> None:
    """Tasks are launched and run or fail; those that are asked to end do; checks pass or do not."""
    for task in story.offer():
        story.say(task, "TASK_RUNNING" if next(outcomes) else "TASK_FAILED")
    for instance in list(story.brain.world.instances.values()):
        app = story.brain.world.definition_of(instance)
        assert app is not None
        for index, check in enumerate(app.health_checks):
            port = health_port(app, check, instance.ports)
            assert port is not None or check.protocol == "COMMAND"
            target(app, instance, port)
            story.brain.checked_here(instance.id, index, None if next(outcomes) else "no", story.now)
        for readiness in app.readiness_checks:
            assert readiness_port(app, readiness, instance.ports) is not None
    story.follow()
    story.end(*story.leaving())
    story.wait(3600)


def see(story: Story) -> None:
    """Every view of it, and every task as Mesos gets it."""
    everything = embeds(["apps.tasks", "apps.readiness", "apps.taskStats", "apps.lastTaskFailure"])
    for app in story.brain.world.tree.apps.values():
        app_view(story.brain, app, everything, story.now)
    group_view(story.brain, story.brain.world.tree, "/", None, story.now)
    queue_view(story.brain, story.launcher, story.now, last_offers=True)
    for call in story.calls:
        mesos.decode(mesos.encode(call), mesos.Call)
