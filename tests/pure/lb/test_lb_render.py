"""The configuration against a file that a person can read, and what counts as a change that needs a reload."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_marathon import host_app, stars_app

from tortie.lb import change
from tortie.lb.render import Rendered, Settings, connections, render
from tortie.lb.services import Choice, services
from tortie.wire.marathon_apps import decode

GOLDEN = Path(__file__).parent / "golden"


def rendered(*apps: dict[str, Any], **settings: Any) -> Rendered:
    decoded, _ = decode(json.dumps({"apps": apps}).encode())
    found, said = services(decoded, Choice(groups=("external",), ports=range(20001, 30000)), lambda host: host)
    assert not said
    return render(found, Settings(**settings))


def many() -> list[dict[str, Any]]:
    full = host_app(
        "/shop/web", 10001, [31001, 31000], HAPROXY_0_VHOST="shop.test,www.shop.test", HAPROXY_0_PATH="/shop",
        HAPROXY_0_STICKY="true", HAPROXY_0_AUTH="realm:user:$5$x", HAPROXY_0_REDIRECT_TO_HTTPS="true",
        HAPROXY_0_USE_HSTS="true", HAPROXY_0_HTTP_BACKEND_PROXYPASS_PATH="/shop",
        HAPROXY_0_BACKEND_NETWORK_ALLOWED_ACL="10.0.0.0/8",
    )  # fmt: skip
    checked = host_app("/api", 10002, [31002], HAPROXY_0_VHOST="api.test") | {
        "healthChecks": [{"protocol": "HTTP", "path": "/health", "intervalSeconds": 5, "timeoutSeconds": 2}]
    }
    still = host_app("/lottery", 10004, [31004], HAPROXY_0_BALANCE="static-rr")
    return [stars_app(), full, checked, host_app("/db", 10003, [31003]), still]


@pytest.mark.parametrize(("name", "apps"), [("stars", [stars_app()]), ("many", many())])
def test_the_file(name: str, apps: list[dict[str, Any]]) -> None:
    assert rendered(*apps).text == (GOLDEN / f"{name}.cfg").read_text()


def test_the_order_of_apps_does_not_matter() -> None:
    assert rendered(*many()).text == rendered(*reversed(many())).text


def test_only_what_needs_a_reload_changes_the_mark() -> None:
    plain = rendered(host_app("/a", 10001, [1]))
    assert rendered(host_app("/a", 10001, [1, 2])).mark == plain.mark
    assert rendered(host_app("/a", 10001, [])).mark == plain.mark
    assert rendered(host_app("/a", 10002, [1])).mark != plain.mark
    assert rendered(host_app("/a", 10001, [1], HAPROXY_0_VHOST="a.test")).mark != plain.mark
    assert rendered(host_app("/a", 10001, [1]), http_port=8080).mark != plain.mark
    for labels in ({"STICKY": "true"}, {"BALANCE": "source"}, {"BALANCE": "leastconn"}, {"BALANCE": "hdr(X-User)"}):
        marked = {f"HAPROXY_0_{key}": value for key, value in labels.items()}
        one, two = (rendered(host_app("/a", 10001, ports, **marked)) for ports in ([1], [1, 2]))
        assert one.mark == two.mark != plain.mark
    fixed = rendered(host_app("/a", 10001, [1], HAPROXY_0_BALANCE="static-rr"))
    assert rendered(host_app("/a", 10001, [1, 2], HAPROXY_0_BALANCE="static-rr")).mark != fixed.mark


def test_another_check_of_the_same_servers_needs_a_reload() -> None:
    checks = [{"protocol": "TCP", "intervalSeconds": seconds} for seconds in (5, 6)]
    one, two = (rendered(host_app("/a", 10001, [1]) | {"healthChecks": [check]}) for check in checks)
    assert one.mark != two.mark


@pytest.mark.parametrize(
    ("open_files", "services", "most"),
    [(0, 1000, 50000), (1_000_000, 1000, 50000), (20000, 0, 7400), (20000, 1000, 6400), (1024, 1000, 100)],
)
def test_listeners_and_checks_have_their_share_of_the_open_files(open_files: int, services: int, most: int) -> None:
    assert connections(Settings(open_files=open_files), services) == most


def test_what_a_configuration_binds_is_read_back() -> None:
    text = rendered(*many()).text
    assert change.binds(text) == {
        ("0.0.0.0", 9090): "stats",
        ("*", 80): "marathon_http_in",
        ("*", 9091): "marathon_http_appid_in",
        ("*", 10001): "shop_web_10001",
        ("*", 10002): "api_10002",
        ("*", 10003): "db_10003",
        ("*", 10004): "lottery_10004",
        ("*", 23078): "calico-stars_management-ui_23078",
    }


def test_backends_whose_servers_only_a_reload_may_change() -> None:
    made = rendered(*many())
    assert change.fixed_backends(made.text, made.servers) == {"stats", "tortie_lb_control", "lottery_10004"}
    assert ("calico-stars_management-ui_23078", "172_24_197_102_192_168_255_254_9001") in made.servers


STATE = """1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_port
4 a_1 7 s1 10.0.0.1 2 0 1 80
4 a_1 8 s2 10.0.0.2 0 1 1 80
2 tortie_lb_control 1 control - 2 0 1 0

"""


def commands(want: dict[change.Key, str]) -> list[str]:
    return [c.text for c in change.plan(want, change.parse_state(STATE), {"tortie_lb_control"})]


def test_nothing_to_do_when_all_is_as_wanted() -> None:
    state = change.parse_state(STATE.replace("10.0.0.2 0 1 1", "10.0.0.2 2 0 1"))
    want = {("a_1", "s1"): "10.0.0.1:80 id 7", ("a_1", "s2"): "10.0.0.2:80 id 8"}
    assert list(change.plan(want, state, {"tortie_lb_control"})) == []
    assert change.settled(want, state, {"tortie_lb_control"})


def test_new_servers_come_before_old_ones_go() -> None:
    assert commands({("a_1", "s3"): "10.0.0.3:80 id 9 check inter 5s fall 3 port 80"}) == [
        "add server a_1/s3 10.0.0.3:80 id 9 check inter 5s fall 3 port 80",
        "enable health a_1/s3",
        "set server a_1/s3 state ready",
        "set server a_1/s1 state maint",
        "del server a_1/s1",
        "del server a_1/s2",
    ]


def test_a_server_in_maintenance_that_is_wanted_again_is_made_ready() -> None:
    want = {("a_1", "s1"): "10.0.0.9:81 id 7", ("a_1", "s2"): "10.0.0.2:80 id 8"}
    assert commands(want) == ["set server a_1/s1 addr 10.0.0.9 port 81", "set server a_1/s2 state ready"]


def test_a_new_server_of_a_sticky_backend_gets_its_cookie_before_it_serves() -> None:
    found = change.plan({("a_1", "s3"): "10.0.0.3:80 id 9"}, {}, set(), {"a_1"})
    assert [command.text for command in found] == [
        "add server a_1/s3 10.0.0.3:80 id 9",
        "enable dynamic-cookie backend a_1",
        "set server a_1/s3 state ready",
    ]


@pytest.mark.parametrize(
    ("options", "now", "commands"),
    [
        ("weight 5", "2 0 1", ["set server a_1/s1 weight 5"]),
        ("weight 5", "2 0 5", []),
        ("", "2 0 5", []),
        ("disabled", "2 0 1", ["set server a_1/s1 state maint"]),
        ("disabled", "0 1 1", []),
        ("", "2 8 1", ["set server a_1/s1 state ready"]),
        ("", "0 0 1", ["set server a_1/s1 health up"]),
        ("check inter 5s", "0 0 1", []),
    ],
)
def test_weight_state_and_health_of_a_server_that_is_there(options: str, now: str, commands: list[str]) -> None:
    have = change.parse_state(STATE.splitlines()[1] + f"\n4 a_1 7 s1 10.0.0.1 {now} 80")
    found = change.plan({("a_1", "s1"): f"10.0.0.1:80 id 7 {options}"}, have, set())
    assert [command.text for command in found] == commands


def test_a_new_server_that_is_to_drain_stays_in_maintenance() -> None:
    found = change.plan({("a_1", "s3"): "10.0.0.3:80 id 9 disabled"}, {}, set())
    assert [command.text for command in found] == ["add server a_1/s3 10.0.0.3:80 id 9 disabled"]


def test_answers_of_commands() -> None:
    add = change.Command("add server", good="New server registered.")
    assert change.succeeded(add, "New server registered.\n\n")
    assert not change.succeeded(add, "")
    assert change.succeeded(change.Command("set server a/b state ready"), "\n")
    assert not change.succeeded(change.Command("set server a/b state ready"), "No such server.\n")
