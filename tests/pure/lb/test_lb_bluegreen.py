"""Apps of one deployment group are one service; hosts that two claim are one's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.fake_marathon import host_app

from tortie.lb.render import Settings, render
from tortie.lb.service import Service
from tortie.lb.services import Choice, services
from tortie.wire.marathon_apps import decode

BLUE, GREEN = "2026-11-21T10:00:00.000001", "2026-11-21T11:00:00.000001"


def member(colour: str, started: str, ports: list[int], target: int, **more: Any) -> dict[str, Any]:
    labels = {
        "HAPROXY_DEPLOYMENT_GROUP": "shop", "HAPROXY_DEPLOYMENT_ALT_PORT": "10002", "HAPROXY_0_PORT": "10001",
        "HAPROXY_DEPLOYMENT_COLOUR": colour, "HAPROXY_DEPLOYMENT_STARTED_AT": started,
        "HAPROXY_DEPLOYMENT_TARGET_INSTANCES": str(target), "HAPROXY_APP_ID": "shop",
    }  # fmt: skip
    app = host_app(f"/shop-{colour}", 10001 if colour == "blue" else 10002, ports, **labels)
    return app | {"instances": len(ports)} | more


def made(*apps: dict[str, Any]) -> tuple[list[Service], list[str]]:
    decoded, problems = decode(json.dumps({"apps": apps}).encode())
    found, said = services(decoded, Choice(groups=("external",)), lambda host: host)
    return found, problems + said


def disabled(service: Service) -> list[int]:
    return [server.port for server in service.servers if server.disabled]


def test_two_colours_are_one_backend_and_as_many_old_servers_rest_as_new_ones_serve() -> None:
    old, new = member("blue", BLUE, [1, 2, 3], 3), member("green", GREEN, [4, 5], 3)
    for order in ((old, new), (new, old)):
        (service,), said = made(*order)
        assert not said
        assert (service.name, service.port, len(service.servers)) == ("shop_10001", 10001, 5)
        assert disabled(service) == [1, 2]
    text = render([service], Settings()).text
    assert "  server 127_0_0_1_1 127.0.0.1:1 id 4543 disabled\n" in text or " disabled\n" in text
    assert text.count(" disabled\n") == 2


def test_no_server_rests_that_the_target_needs() -> None:
    (service,), _ = made(member("blue", BLUE, [1, 2], 4), member("green", GREEN, [4], 4))
    assert disabled(service) == []


def test_only_new_tasks_that_marathon_found_healthy_count() -> None:
    checks = {"healthChecks": [{"protocol": "TCP"}]}
    old, new = member("blue", BLUE, [1, 2], 2, **checks), member("green", GREEN, [4, 5], 2, **checks)
    assert disabled(made(old, new)[0][0]) == []
    new["tasks"][0]["healthCheckResults"] = [{"alive": True}]
    assert disabled(made(old, new)[0][0]) == [1]
    new["tasks"][1]["healthCheckResults"] = [None, {"alive": False}]
    assert disabled(made(old, new)[0][0]) == [1]


def test_new_tasks_that_do_not_run_yet_count_for_nothing() -> None:
    old, new = member("blue", BLUE, [1, 2], 2), member("green", GREEN, [4, 5], 2)
    for task in new["tasks"]:
        task["state"] = "TASK_STAGING"
    assert disabled(made(old, new)[0][0]) == []


def test_a_deployment_that_keeps_both_follows_the_last_scaling() -> None:
    split = {"HAPROXY_DEPLOYMENT_NEW_INSTANCES": "1"}
    old = member("blue", BLUE, [1, 2], 2, versionInfo={"lastScalingAt": "2026-11-21T12:00:00Z"})
    new = member("green", GREEN, [4], 2, versionInfo={"lastScalingAt": "2026-11-21T11:00:00Z"})
    new["labels"] |= split
    old["labels"] |= split
    assert disabled(made(old, new)[0][0]) == [4]
    old["versionInfo"]["lastScalingAt"] = "2026-11-21T10:00:00Z"
    assert disabled(made(old, new)[0][0]) == [1]


@pytest.mark.parametrize(
    ("label", "value"),
    [("HAPROXY_DEPLOYMENT_STARTED_AT", "yesterday"), ("HAPROXY_DEPLOYMENT_TARGET_INSTANCES", "many"),
     ("HAPROXY_DEPLOYMENT_TARGET_INSTANCES", "-1"), ("HAPROXY_DEPLOYMENT_NEW_INSTANCES", "1" * 50)],
)  # fmt: skip
def test_a_member_with_unreadable_labels_is_left_out_and_the_other_serves(label: str, value: str) -> None:
    new = member("green", GREEN, [4], 2)
    new["labels"][label] = value
    (service,), said = made(member("blue", BLUE, [1, 2], 2), new)
    assert [server.port for server in service.servers] == [1, 2]
    assert [line for line in said if line.startswith("/shop-green: left out of deployment group shop: ")]


def test_an_app_with_the_name_of_a_group_is_left_out() -> None:
    found, said = made(member("blue", BLUE, [1], 1), host_app("/shop", 10009, [7]))
    assert [(s.app_id, s.port) for s in found] == [("/shop", 10001)]
    assert said == ["/shop: left out: a deployment group has its name"]


def test_the_heavier_app_keeps_a_host_that_two_claim_and_the_other_keeps_the_rest() -> None:
    light = host_app("/a", 10001, [1], HAPROXY_0_VHOST="x.test,a.test")
    heavy = host_app("/b", 10002, [2], HAPROXY_0_VHOST="x.test", HAPROXY_0_BACKEND_WEIGHT="5")
    (a, b), said = made(light, heavy)
    assert (a.vhosts, b.vhosts) == (("a.test",), ("x.test",))
    assert said == ["/a: port 0: host x.test left out: it is b_10002's"]
    del heavy["labels"]["HAPROXY_0_BACKEND_WEIGHT"]
    (a, b), said = made(light, heavy)
    assert (a.vhosts, b.vhosts) == (("x.test", "a.test"), ())
    assert (b.mode, b.port) == ("http", 10002), "still served on its port"
    assert said == ["/b: port 0: host x.test left out: it is a_10001's"]


def test_one_host_with_two_paths_is_no_clash() -> None:
    found, said = made(
        host_app("/a", 10001, [1], HAPROXY_0_VHOST="x.test", HAPROXY_0_PATH="/a"),
        host_app("/b", 10002, [2], HAPROXY_0_VHOST="x.test"),
    )
    assert [s.vhosts for s in found] == [("x.test",), ("x.test",)]
    assert not said
