"""Where a request's target leads, and what is refused before it leads anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.door.paths import Redirect, Route, names, normal, parse, route
from tortie.door.refusal import Refusal


def led(target: str) -> tuple[str, str, str, str]:
    found = route(parse(target.encode()))
    assert isinstance(found, Route)
    return found.kind, found.prefix, found.path, found.name


@pytest.mark.parametrize(
    ("target", "kind", "prefix", "path", "name"),
    [
        ("/", "own", "", "/", ""),
        ("/mesos/", "mesos", "/mesos", "/", ""),
        ("/mesos/master/state.json?x=/mesos", "mesos", "/mesos", "/master/state.json", ""),
        ("/mesos/files/a%2Fb", "mesos", "/mesos", "/files/a%2Fb", ""),
        ("/%6Desos/x", "mesos", "/%6Desos", "/x", ""),
        ("//mesos//x", "mesos", "/mesos", "//x", ""),
        ("/mesos_dns/v1/hosts/leader.mesos.", "mesos_dns", "/mesos_dns", "/v1/hosts/leader.mesos.", ""),
        ("/marathon/v2/apps", "service", "/marathon", "/v2/apps", "marathon"),
        ("/agent/a-S0/files/browse", "agent", "/agent/a-S0", "/files/browse", "a-S0"),
        ("/slave/a-S0", "agent", "/slave/a-S0", "/", "a-S0"),
        ("/slave/a-S0/slave(1)/api/v1", "agent", "/slave/a-S0", "/slave(1)/api/v1", "a-S0"),
        ("/package/search", "packages", "", "/package/search", ""),
        ("/capabilities", "packages", "", "/capabilities", ""),
        ("/cosmos/service/describe", "packages", "/cosmos", "/service/describe", ""),
        ("/net/v1/nodes", "net", "/net", "/v1/nodes", ""),
        ("/balancer/haproxy?stats", "balancer", "/balancer", "/haproxy", ""),
        ("/system/health/v1/units", "own", "", "/system/health/v1/units", ""),
        ("/acs/api/v1/auth/login", "own", "", "/acs/api/v1/auth/login", ""),
        ("http://door.test/mesos/x?y", "mesos", "/mesos", "/x", ""),
        ("http://door.test", "own", "", "/", ""),
    ],
)
def test_paths_lead_to_their_parts(target: str, kind: str, prefix: str, path: str, name: str) -> None:
    assert led(target) == (kind, prefix, path, name)


@pytest.mark.parametrize(
    ("target", "status", "location"),
    [
        ("/mesos", 301, "/mesos/"),
        ("/mesos?a=b", 301, "/mesos/?a=b"),
        ("/mesos_dns", 301, "/mesos_dns/"),
        ("/marathon", 307, "/marathon/"),
        ("/service/stars", 301, "/service/stars/"),
        ("//service/stars", 301, "/service/stars/"),
    ],
)
def test_a_part_without_a_slash_is_redirected_to_one_with_it(target: str, status: int, location: str) -> None:
    assert route(parse(target.encode())) == Redirect(status, location)


@pytest.mark.parametrize(
    "target",
    [
        "/mesos/../metadata", "/mesos/%2e%2e/x", "/mesos/.%2E/x", "/mesos/a%2f..%2fb", "/mesos/a%5c..%5cb", "/./mesos",
        "/mesos/%00", "/mesos/a%0d%0aHost:x", "/mesos/%zz", "/mesos/\\..\\x", "/a#b", "*", "ftp://x/y", "mesos",
        "\xe9/", "/\xe9",
    ],
)  # fmt: skip
def test_a_path_that_leads_elsewhere_is_refused(target: str) -> None:
    with pytest.raises(Refusal) as refused:
        parse(target.encode("latin-1"))
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "target", ["/nothing", "/service/", "/agent", "/agent/", "/agent/a%2Fb/x", "/system/v1/logs/x"]
)
def test_what_is_not_known_is_not_found(target: str) -> None:
    with pytest.raises(Refusal) as refused:
        route(parse(target.encode()))
    assert refused.value.status == 404


def test_a_service_is_named_by_a_growing_prefix_of_at_most_ten_segments() -> None:
    target = parse(b"/service/group/app/v2/x")
    assert names(target) == [("group", 2), ("app.group", 3), ("v2.app.group", 4), ("x.v2.app.group", 5)]
    assert (target.before(3), target.after(3)) == ("/service/group/app", "/v2/x")
    deep = parse(b"/service/" + b"/".join(b"s%d" % n for n in range(30)))
    assert len(names(deep)) == 10
    # Doubled slashes count in the path, not in the name.
    assert names(parse(b"/service//a//b")) == [("a", 3), ("b.a", 5)]


def test_names_of_groups_have_one_spelling() -> None:
    assert normal("/group/app") == normal("group/app") == normal("app.group") == "app.group"


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40))
def test_what_passes_can_be_sent_and_never_climbs(text: str) -> None:
    try:
        target = parse(f"/mesos/{text}".encode())
        found = route(target)
    except Refusal as refusal:
        assert refusal.status in (400, 404)  # noqa: PT017
        return
    assert isinstance(found, Route)
    assert found.path.startswith("/")
    assert " " not in found.path
    assert ".." not in target.segments
    assert found.prefix + found.path == target.path or found.path == "/"
