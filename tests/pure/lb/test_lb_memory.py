"""What is known from the last time spares work and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.support.fake_marathon import host_app, stars_app

from tortie.lb.render import Rendered, Settings, render
from tortie.lb.services import Choice, Known, services
from tortie.wire.marathon_apps import decode

CHOICE = Choice(groups=("external",), ports=range(10050, 10053), health_check=True)
ADDRESSES = st.fixed_dictionaries({"127.0.0.1": st.sampled_from(["127.0.0.1", "10.0.0.9", None])})


@st.composite
def apps(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Some apps whose ports, hosts, groups and tasks change; some of them clash."""
    found = []
    for name in draw(st.lists(st.sampled_from("abcde"), unique=True)):
        labels = draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "HAPROXY_0_VHOST": st.sampled_from(["x.test", "y.test,x.test", "*.x.test", "bad host"]),
                    "HAPROXY_0_PATH": st.sampled_from(["/p", "/q"]),
                    "HAPROXY_0_STICKY": st.just("true"),
                    "HAPROXY_0_BACKEND_WEIGHT": st.sampled_from(["3", "-1"]),
                    "HAPROXY_0_BACKEND_HTTP_OPTIONS": st.sampled_from(["  option forwardfor", "  {unknown}"]),
                    "HAPROXY_DEPLOYMENT_GROUP": st.just("both"),
                    "HAPROXY_0_ENABLED": st.sampled_from(["true", "false"]),
                },
            )
        )
        ports = draw(st.lists(st.integers(31000, 31002), unique=True))
        made = host_app(f"/{name}", draw(st.sampled_from([10001, 10002, 10050])), ports, **labels)
        if draw(st.booleans()):
            made["healthChecks"] = [{"protocol": "HTTP", "path": "/", "intervalSeconds": draw(st.integers(1, 3))}]
        found.append(made)
    if draw(st.booleans()):
        found.append(stars_app(draw(st.sampled_from(["192.168.1.1", "192.168.1.2", None]))))
    return found


Turn = tuple[list[dict[str, Any]], Mapping[str, str | None], Mapping[str, bool]]
TURNS = st.lists(st.tuples(apps(), ADDRESSES, st.dictionaries(st.just("/a.31000"), st.booleans())), max_size=5)


@given(TURNS, st.booleans())
def test_what_is_known_changes_nothing(turns: list[Turn], host_maps: bool) -> None:
    settings = Settings(ssl_certs=("/c.pem",), host_maps=host_maps)
    known = Known()
    before: Rendered | None = None
    for shown, addresses, alive in turns:
        decoded, _ = decode(json.dumps({"apps": shown}).encode())
        found, said = services(decoded, CHOICE, addresses.get, alive, known)
        assert (found, said) == services(decoded, CHOICE, addresses.get, alive)
        before = render(found, settings, before)
        assert before == render(found, settings)


def test_services_of_an_app_that_did_not_change_are_the_very_same() -> None:
    known = Known()
    one, other = host_app("/a", 10001, [1], HAPROXY_0_VHOST="a.test"), host_app("/b", 10002, [2])

    def again(*shown: dict[str, Any]) -> dict[str, Any]:
        decoded, _ = decode(json.dumps({"apps": shown}).encode())
        found, _ = services(decoded, Choice(groups=("external",)), str, None, known)
        return {service.app_id: service for service in found}

    first = again(one, other)
    second = again(one, host_app("/b", 10002, [2, 3]))
    assert second["/a"] is first["/a"]
    assert len(second["/b"].servers) == 2
    again(one)
    assert set(known) == {"/a"}
