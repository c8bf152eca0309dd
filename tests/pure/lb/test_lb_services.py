"""Apps to services: vectors of marathon-lb, modes, labels, and what is left out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.fake_marathon import host_app, stars_app

from tortie.base.errors import Invalid
from tortie.lb.ports import choose, parse_range, port_range
from tortie.lb.service import Service, server_id, server_name
from tortie.lb.services import Choice, services
from tortie.wire.marathon_apps import decode

STARS = range(20001, 30000)


def made(*apps: dict[str, Any], **choice: Any) -> tuple[list[Service], list[str]]:
    plain: dict[str, Any] = {"groups": ("external",), "ports": STARS}
    decoded, problems = decode(json.dumps({"apps": apps}).encode())
    found, said = services(decoded, Choice(**plain | choice), lambda host: host if host[0].isdigit() else None)
    return found, problems + said


def one(app: dict[str, Any], **choice: Any) -> Service:
    (found,), said = made(app, **choice)
    assert not said
    return found


@pytest.mark.parametrize(
    ("app_id", "task_port", "ports", "expected"),
    [
        ("/calico-stars/management-ui", 9001, "20001-29999", 23078),
        ("/calico-stars/management-ui", 9001, "10050-10100", 10097),
        ("/calico-stars/management-ui", 9001, "10101-10150", 10116),
        ("/frontend", 80, "20001-29999", 29244),
        ("/frontend", 80, "10050-10100", 10095),
        ("/frontend", 80, "10101-10150", 10120),
        ("/database", 6379, "20001-29999", 22135),
        ("/database", 6379, "10050-10100", 10087),
        ("/database", 6379, "10101-10150", 10105),
    ],
)
def test_chosen_service_ports(app_id: str, task_port: int, ports: str, expected: int) -> None:
    assert choose(app_id, task_port, parse_range(ports), ()) == expected


def test_a_taken_port_is_hashed_on_then_the_first_free_one_then_none() -> None:
    ports = range(10, 13)
    assert choose("/a", 1, ports, ()) in ports
    assert choose("/a", 1, ports, {10, 12}) == 11
    assert choose("/a", 1, ports, {10, 11, 12}) is None
    assert choose("/a", 1, range(0), ()) is None


@pytest.mark.parametrize(
    ("low", "high", "words"), [(0, 5, "either specify both"), (9, 5, "cannot set"), (1, 70000, "65535")]
)
def test_a_wrong_range_is_refused(low: int, high: int, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        port_range(low, high)


@pytest.mark.parametrize("text", ["", "20001", "a-b", "20001-", "-5"])
def test_a_range_that_does_not_parse_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_range(text)


@pytest.mark.parametrize(
    ("server", "name", "number"),
    [
        (("172.24.197.102", "192.168.255.254", 9001), "172_24_197_102_192_168_255_254_9001", 29840),
        (("172.24.197.102", "172.24.197.102", 31005), "172_24_197_102_31005", 894),
    ],
)
def test_server_names_and_ids(server: tuple[str, str, int], name: str, number: int) -> None:
    assert server_name(*server) == name
    assert server_id(name) == number
    assert server_id(name, {number}) != number


def test_management_ui_of_stars_is_reached_on_its_own_address_whatever_network_says() -> None:
    service = one(stars_app())
    assert service.name == "calico-stars_management-ui_23078"
    assert service.vhosts == ("my.marathon.app",)
    assert service.mode == "http"
    assert [(s.name, s.address, s.port) for s in service.servers] == [
        ("172_24_197_102_192_168_255_254_9001", "192.168.255.254", 9001)
    ]


def test_a_net_parameter_alone_means_a_container_address() -> None:
    app = stars_app()
    app["ipAddress"] = None
    app["container"]["docker"]["portMappings"] = [{"containerPort": 9001}]
    assert one(app).servers[0].address == "192.168.255.254"
    app["container"]["docker"]["parameters"] = [{"key": "net", "value": "bridge"}]
    app["container"]["docker"]["portMappings"] = [{"containerPort": 9001, "servicePort": 10005}]
    app["tasks"][0]["ports"] = [31005]
    found = one(app)
    assert (found.port, found.servers[0].address, found.servers[0].port) == (10005, "172.24.197.102", 31005)


def test_the_newer_forms_of_networks() -> None:
    container = {
        "id": "/n", "labels": {"HAPROXY_GROUP": "external"}, "networks": [{"mode": "container", "name": "calico"}],
        "container": {"portMappings": [{"containerPort": 80, "servicePort": 10001}]},
        "tasks": [{"host": "10.0.0.1", "state": "TASK_RUNNING", "ipAddresses": [{"ipAddress": "192.168.1.1"}]}],
    }  # fmt: skip
    assert (one(container).port, one(container).servers[0].address) == (10001, "192.168.1.1")
    bridge = container | {"networks": [{"mode": "container/bridge"}]}
    bridge["tasks"] = [{"id": "t", "host": "10.0.0.1", "state": "TASK_RUNNING", "ports": [31000]}]
    assert (one(bridge).servers[0].address, one(bridge).servers[0].port) == ("10.0.0.1", 31000)


@pytest.mark.parametrize(
    "state",
    ["TASK_STAGING", "TASK_STARTING", "TASK_KILLING", "TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_ERROR",
     "TASK_DROPPED", "TASK_GONE", "TASK_GONE_BY_OPERATOR", "TASK_UNKNOWN"],
)  # fmt: skip
def test_tasks_that_do_not_serve_are_left_out_and_the_service_stays(state: str) -> None:
    app = stars_app()
    app["tasks"][0]["state"] = state
    assert one(app).servers == ()


def test_lost_and_unreachable_tasks_stay_and_old_marathons_tell_by_the_start() -> None:
    app = stars_app()
    for state in ("TASK_LOST", "TASK_UNREACHABLE"):
        app["tasks"][0]["state"] = state
        assert len(one(app).servers) == 1
    del app["tasks"][0]["state"]
    assert one(app).servers == ()
    app["tasks"][0]["startedAt"] = "2016-05-03T12:01:44.123Z"
    assert len(one(app).servers) == 1


def test_a_task_without_an_address_is_said() -> None:
    (service,), said = made(stars_app(address=None))
    assert service.servers == ()
    assert said == ["/calico-stars/management-ui: task calico-stars_management-ui.1 left out: it has no address yet"]


def test_groups() -> None:
    app = stars_app()
    app["labels"] = {"HAPROXY_0_GROUP": "internal, external"}
    assert one(app)
    assert made(app, groups=("other",)) == ([], [])
    app["labels"] = {}
    assert made(app) == ([], [])
    assert one(app, groups=("*",))


def test_an_app_without_container_ports_is_said_only_when_it_asks_to_be_served() -> None:
    app = stars_app()
    app["ipAddress"] = {"discovery": {"ports": []}}
    assert "names no ports" in made(app)[1][0]
    app["labels"] = {}
    assert made(app) == ([], [])


def test_without_a_range_an_app_without_service_port_is_not_served() -> None:
    assert made(stars_app(), ports=range(0))[0] == []


def test_two_apps_on_one_port_and_the_balancers_own_ports() -> None:
    found, said = made(
        host_app("/a", 10001, []), host_app("/b", 10001, []), host_app("/c", 80, []), reserved=frozenset({80})
    )
    assert [s.app_id for s in found] == ["/a"]
    assert said == ["/b: port 0 left out: 10001 is /a's", "/c: port 0 left out: 80 is the balancer itself's"]


def test_chosen_ports_keep_clear_of_given_ones() -> None:
    found, _ = made(host_app("/zzz", 23078, []), stars_app())
    assert {s.app_id: s.port for s in found}["/calico-stars/management-ui"] != 23078


@pytest.mark.parametrize(
    ("label", "value"),
    [
        ("HAPROXY_0_VHOST", "a b"), ("HAPROXY_0_VHOST", "a\n  acl x always_true"), ("HAPROXY_0_MODE", "udp"),
        ("HAPROXY_0_PORT", "http"), ("HAPROXY_0_PORT", "70000"), ("HAPROXY_0_BALANCE", "roundrobin\n"),
        ("HAPROXY_0_BALANCE", "roundrobin\nserver x 1.1.1.1:1"), ("HAPROXY_0_PATH", "/a # b"),
        ("HAPROXY_0_BIND_ADDR", "unix@/tmp/x"),
        ("HAPROXY_0_BIND_OPTIONS", 'x "'), ("HAPROXY_0_AUTH", "realm:user"), ("HAPROXY_0_BACKEND_WEIGHT", "x"),
    ],
)  # fmt: skip
def test_a_label_that_cannot_stand_in_a_configuration_leaves_only_its_app_out(label: str, value: str) -> None:
    bad = host_app("/bad", 10002, [], **{"HAPROXY_0_VHOST": "bad.test", label: value})
    found, said = made(host_app("/good", 10001, []), bad)
    assert [s.app_id for s in found] == ["/good"]
    assert len(said) == 1
    assert said[0].startswith("/bad: port 0 left out: ")


def test_labels_are_read() -> None:
    labels = {
        "HAPROXY_0_VHOST": "A.test, b.test", "HAPROXY_0_PATH": "/api", "HAPROXY_0_PORT": "8099",
        "HAPROXY_0_STICKY": "true", "HAPROXY_0_REDIRECT_TO_HTTPS": "1", "HAPROXY_0_AUTH": "realm:user:$5$x",
        "HAPROXY_0_BALANCE": "leastconn", "HAPROXY_0_BACKEND_NETWORK_ALLOWED_ACL": "10.0.0.0/8 127.0.0.0/8",
    }  # fmt: skip
    found = one(host_app("/a", 10001, [31000], **labels))
    assert (found.vhosts, found.path, found.port, found.weight) == (("a.test", "b.test"), "/api", 8099, 1)
    assert (found.sticky, found.redirect_to_https, found.dynamic) == (True, False, True)
    assert found.auth == ("realm", "user", "$5$x")
    assert found.allowed == ("10.0.0.0/8", "127.0.0.0/8")


def test_strict_mode_and_the_enabled_label() -> None:
    app = host_app("/a", 10001, [])
    assert made(app, strict=True)[0] == []
    assert one(host_app("/a", 10001, [], HAPROXY_0_ENABLED="yes"), strict=True)
    assert made(host_app("/a", 10001, [], HAPROXY_0_ENABLED="false"))[0] == []


def test_health_of_tasks_counts_only_when_asked_for_and_is_remembered() -> None:
    app = host_app("/a", 10001, [31000]) | {"healthChecks": [{"protocol": "HTTP", "path": "/"}]}
    assert len(one(app).servers) == 1
    assert one(app, health_check=True).servers == ()
    decoded, _ = decode(json.dumps({"apps": [app]}).encode())
    (service,), _ = services(decoded, Choice(groups=("external",), health_check=True), lambda h: h, {"/a.31000": True})
    assert len(service.servers) == 1
    app["tasks"][0]["healthCheckResults"] = [{"alive": True}]
    assert len(one(app, health_check=True).servers) == 1


def test_an_app_that_cannot_be_read_is_said_and_the_others_are_served() -> None:
    found, said = made(host_app("/good", 10001, []), {"id": "/bad", "labels": 3}, {"labels": {}})
    assert [s.app_id for s in found] == ["/good"]
    assert [line.split(":")[0] for line in said] == ["/bad", "an app without id"]


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"apps": 3}', b"\xff"])
def test_what_no_marathon_writes_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid, match="apps"):
        decode(data)
