"""Labels come from whoever may deploy: none leaves its place in the configuration, and each app's fault is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.fake_marathon import host_app

from tortie.base.errors import Invalid
from tortie.lb.labels import PORT_LABELS
from tortie.lb.render import Settings, render
from tortie.lb.service import Service
from tortie.lb.services import Choice, services
from tortie.lb.sources import default_options, template_dirs, templates
from tortie.lb.templates import TEMPLATES, Templates
from tortie.wire.marathon_apps import decode

BY_LABEL = sorted(name for name, template in TEMPLATES.items() if template.by_label)


def made(*apps: dict[str, Any], **choice: Any) -> tuple[list[Service], list[str]]:
    decoded, problems = decode(json.dumps({"apps": apps}).encode())
    found, said = services(decoded, Choice(groups=("external",), **choice), lambda host: host)
    return found, problems + said


def labelled(name: str, value: str, **more: str) -> dict[str, Any]:
    return host_app("/bad", 10002, [31000], **({"HAPROXY_0_VHOST": "bad.test"} | more | {f"HAPROXY_0_{name}": value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VHOST", "-f"), ("VHOST", "a.test {"), ("VHOST", "a..*"), ("VHOST", "x" * 300), ("VHOST", "a.test:80"),
        ("PATH", "api"), ("PATH", "-f /etc/shadow"), ("PATH", "/a\n"), ("PATH", '/a "'), ("PATH", "/a -m reg .*"),
        ("BACKEND_NETWORK_ALLOWED_ACL", "-f /etc/passwd"), ("BACKEND_NETWORK_ALLOWED_ACL", "10.0.0.0/33"),
        ("HTTP_BACKEND_REDIR", "/%[env(HOME)]"), ("HTTP_BACKEND_REVPROXY_PATH", "/{x}"),
        ("HTTP_BACKEND_PROXYPASS_PATH", "/a b"), ("SSL_CERT", "a b"), ("BIND_OPTIONS", "a\nb"), ("AUTH", "a:b:c d"),
        ("PORT", "\u0661\u0662"), ("BIND_OPTIONS", "a\u2028b"), ("PATH", "/a\x85"), ("SSL_CERT", "/\xe9"),
        ("BALANCE", "roundrobin;"),
    ],
)  # fmt: skip
def test_a_value_that_does_not_belong_in_its_place_leaves_only_its_app_out(name: str, value: str) -> None:
    found, said = made(host_app("/good", 10001, [1]), labelled(name, value))
    assert [s.app_id for s in found] == ["/good"]
    assert len(said) == 1
    assert said[0].startswith(f"/bad: port 0 left out: label HAPROXY_0_{name}")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"portDefinitions": [{"port": 70000}]}, "70000 is not a port"),
        ({"portDefinitions": [{"port": -1}]}, "-1 is not a port"),
        ({"healthChecks": [{"protocol": "HTTP", "path": "/ x"}]}, "health check path '/ x' is not allowed"),
        ({"healthChecks": [{"protocol": "TCP", "port": 99999}]}, "health check port 99999 is none"),
    ],
)
def test_numbers_that_marathon_would_not_give_leave_only_their_app_out(more: dict[str, Any], words: str) -> None:
    found, said = made(host_app("/good", 10001, [1]), host_app("/bad", 10002, [2]) | more)
    assert [s.app_id for s in found] == ["/good"]
    assert said == [f"/bad: port 0 left out: {words}"]


@pytest.mark.parametrize("app_id", ["-f", "/a b", "/a\nglobal", "/", "/é"])
def test_an_app_whose_id_cannot_stand_in_a_configuration_is_left_out(app_id: str) -> None:
    found, said = made(host_app("/good", 10001, [1]), host_app(app_id, 10002, [2]))
    assert [s.app_id for s in found] == ["/good"]
    assert len(said) == 1


def test_extreme_checks_stay_within_what_haproxy_takes() -> None:
    check = {"protocol": "HTTP", "intervalSeconds": 1e9, "timeoutSeconds": 0, "maxConsecutiveFailures": -7}
    (service,), _ = made(host_app("/a", 10001, [1]) | {"healthChecks": [check]})
    text = render([service], Settings()).text
    assert " check inter 86400s fall 1 port 1\n" in text
    assert "  timeout check 1s\n" in text


def test_two_apps_whose_names_look_alike_in_the_configuration() -> None:
    found, said = made(
        host_app("/a/b", 10001, [1], HAPROXY_0_BIND_ADDR="127.0.0.1"),
        host_app("/a_b", 10001, [2], HAPROXY_0_BIND_ADDR="127.0.0.2"),
        host_app("/c", 10001, [3], HAPROXY_0_BIND_ADDR="127.0.0.2"),
        host_app("/d", 10001, [4], HAPROXY_0_BIND_ADDR="127.0.0.2"),
    )
    assert [s.app_id for s in found] == ["/a/b", "/c"]
    assert said == [
        "/a_b: port 0 left out: there is another a_b_10001",
        "/d: port 0 left out: 10001 is /c's",
    ]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("BACKEND_HEAD", "\nbackend {backend}\n  nothing {unknown}", "unknown field {unknown}"),
        ("BACKEND_HEAD", "\nbackend {backend", "expected '}'"),
        ("BACKEND_HEAD", "\nbackend {backend.__class__}", "unknown field"),
        ("BACKEND_HEAD", "\nbackend {backend!r}", "no conversion"),
        ("BACKEND_HEAD", "\nbackend {backend:>999999999}", "no conversion and no format"),
        ("BACKEND_HEAD", "\nbackend other\n  mode http", "has to begin with"),
        ("BACKEND_HEAD", "  mode http", "has to begin with"),
        ("BACKEND_HEAD", "\nbackend {backend}\n\nfrontend all\n  bind *:22", "begins a section"),
        ("BACKEND_HTTP_OPTIONS", "  option forwardfor\nglobal\n  user root", "begins a section"),
        ("BACKEND_HTTP_OPTIONS", "  .if 0", "cannot steer"),
        ("HTTP_FRONTEND_ACL", "  bind *:22", "can listen on {servicePort} only"),
        ("FRONTEND_HEAD", "\nfrontend {backend}\n  bind *:22", "can listen on {servicePort} only"),
        ("FRONTEND_HEAD", "\nfrontend {backend}\n  bind *:22,*:{servicePort}", "can listen on {servicePort} only"),
        ("FRONTEND_HEAD", "\nfrontend {backend}\n  bind *:{servicePort},*:22", "can listen on {servicePort} only"),
        ("FRONTEND_HEAD", "\nfrontend {backend}\n  bind unix@/run/x", "can listen on {servicePort} only"),
        ("BACKEND_HTTP_OPTIONS", "  option\x00", "control character"),
        ("HTTP_BACKEND_PROXYPASS_GLUE", '  reqirep "^a" "b"', "use http-request replace-path"),
        ("HTTP_BACKEND_REVPROXY_GLUE", "  rspirep a b", "use http-response replace-header"),
    ],
)
def test_a_template_that_cannot_be_used_leaves_only_its_app_out(name: str, text: str, words: str) -> None:
    found, said = made(host_app("/good", 10001, [1]), labelled(name, text))
    assert [s.app_id for s in found] == ["/good"]
    assert len(said) == 1
    assert said[0].startswith(f"/bad: port 0 left out: label HAPROXY_0_{name}: ")
    assert words in said[0]


@pytest.mark.parametrize(
    "where", ["{bindAddr}:{servicePort}{sslCert}{bindOptions}", ":::{servicePort} v6only", "*:{servicePort}"]
)
def test_a_front_end_by_label_may_listen_on_its_port(where: str) -> None:
    (service,), _ = made(labelled("FRONTEND_HEAD", f"\nfrontend {{backend}}\n  bind {where}\n  mode {{mode}}"))
    filled = where.format(bindAddr="*", servicePort="10002", sslCert="", bindOptions="")
    assert f"\nfrontend bad_10002\n  bind {filled}\n  mode http\n" in render([service], Settings()).text


def test_templates_by_label_may_be_forbidden() -> None:
    found, said = made(labelled("BACKEND_HTTP_OPTIONS", "  option forwardfor"), own_templates=False)
    assert not found
    assert "this balancer takes no templates by label" in said[0]


def test_labels_without_effect_are_told_and_hurt_nothing() -> None:
    app = labelled("VHOSTS", "x") | {}
    app["labels"] |= {"HAPROXY_7_PORT": "80", "HAPROXY_0_HEAD": "x", "HAPROXY_0_MAP_HTTP_FRONTEND_ACL": "x"}
    found, said = made(app)
    assert len(found) == 1
    assert said == [
        "/bad: label HAPROXY_0_HEAD has no effect: not by label",
        "/bad: label HAPROXY_0_MAP_HTTP_FRONTEND_ACL has no effect: not by label",
        "/bad: label HAPROXY_0_VHOSTS has no effect: there is none of that name",
        "/bad: label HAPROXY_7_PORT has no effect: the app has 1 service ports",
    ]


SECTIONS = {"global", "defaults", "listen", "frontend", "backend", "userlist"}


def sections(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.split()[:1] and line.split()[0] in SECTIONS]


@given(st.sampled_from(sorted(PORT_LABELS)), st.text(max_size=40))
def test_no_text_of_a_label_begins_a_line_or_a_section(name: str, value: str) -> None:
    found, _ = made(labelled(name, value, HAPROXY_0_AUTH="r:u:p", HAPROXY_0_STICKY="true"))
    plain, _ = made(labelled("GROUP", "external", HAPROXY_0_AUTH="r:u:p", HAPROXY_0_STICKY="true"))
    text = render(found, Settings()).text
    if found:
        assert len(sections(text)) <= len(sections(render(plain, Settings()).text))
        assert not {"\r", "\0", "\x0b", "\x85", "\u2028"} & set(text)


@given(st.sampled_from(BY_LABEL), st.lists(st.sampled_from(["global", "{backend}", "{{", "}", "\n", " ", "backend", "x",
                                                            "{serverName}", "server", ".if", "\\", '"'])))  # fmt: skip
def test_no_template_by_label_begins_another_section(name: str, parts: list[str]) -> None:
    found, said = made(labelled(name, "".join(parts), HAPROXY_0_AUTH="r:u:p"))
    assert len(found) + len([line for line in said if "left out" in line]) == 1
    if found:
        plain, _ = made(labelled("GROUP", "external", HAPROXY_0_AUTH="r:u:p"))
        assert set(sections(render(found, Settings()).text)) <= set(sections(render(plain, Settings()).text))


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"HAPROXY_HEAD": "global\n  daemon"}, "HAPROXY_HEAD: remove `daemon`"),
        ({"HAPROXY_BACKEND_HEAD": "backend {other}"}, "HAPROXY_BACKEND_HEAD: unknown field {other}"),
        ({"HAPROXY_HTTPS_FRONTEND_HEAD": "frontend x\n  bind *:443 ssl {certs}"}, "unknown field {certs}"),
    ],
)
def test_a_bad_template_of_the_operator_is_refused_at_the_start(variables: dict[str, str], words: str) -> None:
    with pytest.raises(Invalid, match=words.replace("{", r"\{")):
        templates([], variables)


def test_where_templates_come_from(tmp_path: Path) -> None:
    (tmp_path / "HAPROXY_BACKEND_STICKY_OPTIONS").write_text("  cookie mine insert\r\n")
    (tmp_path / "HAPROXY_BACKEND_HTTP_OPTIONS").write_text("  option forwardfor\n")
    (tmp_path / "HAPROXY_OTHER").write_text("not a template")
    dirs = template_dirs(tmp_path, {})
    found = templates(dirs, {"HAPROXY_BACKEND_HTTP_OPTIONS": "  option forwardfor\\n  option httpclose"})
    assert found.given == {
        "BACKEND_STICKY_OPTIONS": "  cookie mine insert",
        "BACKEND_HTTP_OPTIONS": "  option forwardfor\n  option httpclose",
    }
    (tmp_path / "HAPROXY_HEAD").write_bytes(b"\xff")
    with pytest.raises(Invalid, match="HAPROXY_HEAD"):
        templates(dirs, {})
    with pytest.raises(Invalid, match="not a directory"):
        template_dirs(tmp_path / "none", {})
    with pytest.raises(ValueError, match="no template of that name"):
        Templates({"NONE": ""})


def test_a_cookie_that_is_not_dynamic_makes_its_servers_part_of_what_needs_a_reload() -> None:
    own = "  cookie mine insert indirect nocache"
    (service,), _ = made(labelled("BACKEND_STICKY_OPTIONS", own, HAPROXY_0_STICKY="true"))
    result = render([service], Settings())
    assert "  server 127_0_0_1_31000 127.0.0.1:31000 id 18694 check cookie 02ff1d3766\n" in result.text
    assert not result.servers
    assert not result.sticky


@pytest.mark.parametrize(
    ("name", "text", "changes"),
    [
        ("BACKEND_HEAD", "\nbackend {backend}\n  balance source\n  mode http", False),
        ("BACKEND_HEAD", "\nbackend {backend}\n  balance source\n  hash-type consistent\n  mode http", True),
        ("BACKEND_SERVER_OPTIONS", "  server {serverName} {host_ipv4}:{port} id {serverId} weight 10", True),
        ("BACKEND_SERVER_OPTIONS", "  server {serverName} {host_ipv4}:{port}\n  timeout check 1s", False),
    ],
)
def test_templates_decide_whether_servers_change_at_run_time(name: str, text: str, changes: bool) -> None:
    (service,), _ = made(labelled(name, text))
    assert bool(render([service], Settings()).servers) == changes


def test_options_of_the_defaults_come_from_the_environment() -> None:
    assert default_options({}) is None
    assert default_options({"HAPROXY_GLOBAL_DEFAULT_OPTIONS": "redispatch, dontlognull,"}) == (
        "dontlognull",
        "redispatch",
    )
    with pytest.raises(Invalid):
        default_options({"HAPROXY_GLOBAL_DEFAULT_OPTIONS": "redispatch\nglobal"})
