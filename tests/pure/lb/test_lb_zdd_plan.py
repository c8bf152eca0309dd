"""What a blue-green deployment decides: the next app, how many, when tasks may go."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from tortie.base.errors import Conflict, Invalid
from tortie.lb import zdd
from tortie.wire.marathon_apps import App

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LABELS = {"HAPROXY_DEPLOYMENT_GROUP": "nginx", "HAPROXY_DEPLOYMENT_ALT_PORT": "10001"}


def definition(**more: Any) -> zdd.Json:
    app = {"id": "nginx", "instances": 4, "labels": LABELS, "ports": [10000], "cmd": None}
    return zdd.read_definition(json.dumps(app | more).encode())


def deployed(app: zdd.Json, **more: Any) -> App:
    return msgspec.convert(app | {"id": app["id"]} | more, App)


def test_the_first_deployment_is_blue_on_the_public_port_with_all_instances() -> None:
    app = zdd.prepared(definition(), None, zdd.Wishes(initial_instances=1), NOW)
    assert app == {
        "id": "/nginx-blue", "instances": 4, "ports": [10000],
        "labels": LABELS | {
            "HAPROXY_APP_ID": "nginx", "HAPROXY_0_PORT": "10000", "HAPROXY_DEPLOYMENT_TARGET_INSTANCES": "4",
            "HAPROXY_DEPLOYMENT_COLOUR": "blue", "HAPROXY_DEPLOYMENT_NEW_INSTANCES": "0",
            "HAPROXY_DEPLOYMENT_STARTED_AT": "2026-11-21T12:00:00.000000",
        },
    }  # fmt: skip


def test_colours_and_ports_alternate() -> None:
    blue = deployed(zdd.prepared(definition(), None, zdd.Wishes(), NOW), instances=3)
    green = zdd.prepared(definition(), blue, zdd.Wishes(initial_instances=2), NOW)
    assert (green["id"], green["ports"], green["instances"]) == ("/nginx-green", [10001], 2)
    assert green["labels"]["HAPROXY_0_PORT"] == "10000"
    assert green["labels"]["HAPROXY_DEPLOYMENT_TARGET_INSTANCES"] == "3", "as many as there were"
    again = zdd.prepared(definition(), deployed(green), zdd.Wishes(), NOW)
    assert (again["id"], again["ports"]) == ("/nginx-blue", [10000])


@pytest.mark.parametrize(
    ("ports", "where"),
    [
        ({"portDefinitions": [{"port": 10000}]}, lambda app: app["portDefinitions"][0]["port"]),
        ({"container": {"docker": {"portMappings": [{"containerPort": 80, "servicePort": 10000}]}}},
         lambda app: app["container"]["docker"]["portMappings"][0]["servicePort"]),
        ({"container": {"portMappings": [{"containerPort": 80, "servicePort": 10000}]}},
         lambda app: app["container"]["portMappings"][0]["servicePort"]),
    ],
)  # fmt: skip
def test_every_form_of_ports(ports: dict[str, Any], where: Any) -> None:
    given = definition(**({"ports": None} | ports))
    blue = zdd.prepared(given, None, zdd.Wishes(), NOW)
    assert where(blue) == 10000
    last = deployed(blue, portDefinitions=[{"port": 10000}])
    green = zdd.prepared(given, last, zdd.Wishes(), NOW)
    assert where(green) == 10001
    assert where(given) == 10000, "the definition stays as it is"


def test_an_app_with_addresses_of_its_own_has_its_port_by_label() -> None:
    app = definition(ports=None, ipAddress={}, labels=LABELS | {"HAPROXY_0_PORT": "10120"})
    assert zdd.prepared(app, None, zdd.Wishes(), NOW)["labels"]["HAPROXY_0_PORT"] == "10120"
    with pytest.raises(Invalid, match="no service port"):
        zdd.prepared(definition(ports=None), None, zdd.Wishes(), NOW)


def test_a_split_is_remembered_and_never_more_than_there_are() -> None:
    blue = deployed(zdd.prepared(definition(), None, zdd.Wishes(), NOW), instances=3)
    app = zdd.prepared(definition(), blue, zdd.Wishes(initial_instances=5, new_instances=9), NOW)
    assert (app["labels"]["HAPROXY_DEPLOYMENT_NEW_INSTANCES"], app["instances"]) == ("3", 3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "JSON"), (b"[]", "no id"), (b'{"id": 3}', "no id"), (b'{"id": "/"}', "no id"), (b"\xff", "JSON"),
        (b'{"id": "a"}', "no labels"), (b'{"id": "a", "labels": {"x": 3}}', "no labels"),
        (b'{"id": "a", "labels": {}}', "HAPROXY_DEPLOYMENT_GROUP is needed"),
        (b'{"id": "a", "labels": {"HAPROXY_DEPLOYMENT_GROUP": "g"}}', "HAPROXY_DEPLOYMENT_ALT_PORT is needed"),
        (b'{"id": "a", "labels": {"HAPROXY_DEPLOYMENT_GROUP": "g", "HAPROXY_DEPLOYMENT_ALT_PORT": "0"}}', "not a port"),
        (json.dumps({"id": "a", "instances": "3", "labels": LABELS}).encode(), "instances"),
        (b"[" * 5000, "JSON"),
    ],
)  # fmt: skip
def test_a_definition_that_cannot_be_deployed_is_refused(text: bytes, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        zdd.read_definition(text)


@pytest.mark.parametrize("ports", [{"ports": ["x"]}, {"ports": None, "portDefinitions": [3]}])
def test_ports_that_are_none_are_refused(ports: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match="ports cannot be read"):
        zdd.prepared(definition(**ports), None, zdd.Wishes(), NOW)


def test_the_last_of_a_group_comes_first() -> None:
    apps = [
        deployed(definition(), id=f"/{name}", labels=LABELS | {"HAPROXY_DEPLOYMENT_STARTED_AT": started})
        for name, started in (("a", "2026-01-01T00:00:00"), ("b", "2026-02-01T00:00:00"), ("c", ""))
    ]
    apps[2].labels = {"HAPROXY_DEPLOYMENT_GROUP": "other"}
    assert [app.id for app in zdd.same_group(apps, definition())] == ["/b", "/a"]
    apps[0].labels = LABELS | {"HAPROXY_DEPLOYMENT_STARTED_AT": "long ago"}
    with pytest.raises(Conflict, match="long ago"):
        zdd.same_group(apps, definition())


@pytest.mark.parametrize(
    ("new", "old", "split", "linear", "wanted"),
    [(1, 4, 0, 0, 2), (2, 4, 0, 0, 3), (3, 4, 0, 0, 4), (3, 9, 0, 0, 5), (5, 9, 0, 0, 8), (8, 9, 0, 0, 9),
     (1, 1, 0, 0, 9), (1, 9, 3, 0, 2), (2, 9, 3, 0, 3), (1, 9, 0, 3, 4), (8, 9, 0, 3, 9)],
)  # fmt: skip
def test_how_many_next(new: int, old: int, split: int, linear: int, wanted: int) -> None:
    target = 4 if old == 4 else 9
    labels = {"HAPROXY_DEPLOYMENT_TARGET_INSTANCES": str(target), "HAPROXY_DEPLOYMENT_NEW_INSTANCES": str(split)}
    apps = (App(id="/n", instances=new, labels=labels), App(id="/o", instances=old, labels=labels))
    assert zdd.more_instances(*apps, zdd.Wishes(linear_increase=linear)) == wanted


CSV = """# pxname,svname,qcur,qmax,scur,smax,status,weight,
nginx_10000,FRONTEND,,,0,1,OPEN,,
nginx_10000,10_0_0_1_31000,0,0,0,1,MAINT,1,
nginx_10000,10_0_0_1_31001,0,0,2,1,MAINT,1,
nginx_10000,10_0_0_1_31002,0,0,2,1,UP,1,
nginx_10000,BACKEND,0,0,0,1,UP,1,
other_10000,10_0_0_1_31000,0,0,0,1,UP,1,
"""


def test_tasks_rest_when_every_balancer_sends_nobody() -> None:
    seen = zdd.listeners([CSV, CSV], "nginx_10000")
    assert [one.busy for one in seen[:3]] == [False, True, True]
    tasks = [{"id": str(port), "host": "10.0.0.1", "ports": [port]} for port in (31000, 31001)]
    old = msgspec.convert({"id": "/o", "instances": 2, "tasks": tasks, "labels": LABELS}, App)
    new = App(id="/n", instances=1, labels=LABELS | {"HAPROXY_DEPLOYMENT_TARGET_INSTANCES": "1"})
    assert zdd.waits_for(new, old, seen, 2) == ""
    assert zdd.set_aside(old, str, seen, 2, idle=True) == ["31000"]
    assert zdd.set_aside(old, str, seen, 2, idle=False) == ["31000", "31001"]
    assert zdd.set_aside(old, str, seen, 3, idle=True) == []
    assert "servers up in each" in zdd.waits_for(new, old, seen[:2] + [zdd.Listener("x", "DOWN", False)], 1)
    assert "3 servers in each of 3" in zdd.waits_for(new, old, seen, 3)
    busy = [zdd.Listener(one.name, one.status, True) for one in seen]
    assert "set aside and idle" in zdd.waits_for(new, old, busy, 2)
