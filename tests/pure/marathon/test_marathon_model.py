"""Apps and groups from JSON, and back."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.marathon_live import management_ui, probe, stars

from tortie.marathon.errors import BadJson, NotValid
from tortie.marathon.model import ids
from tortie.marathon.model.app import App, same_config
from tortie.marathon.model.check import check
from tortie.marathon.model.group import apply_group, read_group
from tortie.marathon.model.place import Place
from tortie.marathon.model.read import create, given_fields, update
from tortie.marathon.model.show import show_app
from tortie.marathon.model.tree import Tree, assign_ports, layers, tree_problems


def read(body: dict[str, Any], app_id: str = "/a") -> App:
    place = Place()
    app = create(app_id, given_fields(body, place, app_id))
    assert place.problems == {}
    return app


def problems(body: Any) -> dict[str, list[str]]:
    place = Place()
    given_fields(body, place, "/a")
    return place.problems


@pytest.mark.parametrize(
    ("raw", "base", "absolute"),
    [
        ("a", "/", "/a"),
        ("/a//b/", "/x", "/a/b"),
        ("../b", "/x/y", "/x/b"),
        ("./b", "/x", "/x/b"),
        ("../../../b", "/x", "/b"),
        ("", "/x", "/x"),
    ],
)
def test_ids_are_resolved_against_the_group(raw: str, base: str, absolute: str) -> None:
    assert ids.resolve(raw, base) == absolute


def test_names_made_from_ids() -> None:
    assert ids.dns_name("/calico-stars/frontend") == "frontend.calico-stars"
    assert ids.safe("/calico-stars/frontend") == "calico-stars_frontend"
    assert ids.app_of_task("calico-stars_web.v1.5f-aa") == "/calico-stars/web.v1"
    assert ids.app_of_task("nothing") is None


@pytest.mark.parametrize("bad", ["/A", "/a_b", "/-a", "/a-", "/a b", "/ä", "/a/B"])
def test_ids_that_are_refused(bad: str) -> None:
    assert list(ids.problems(bad))


def test_an_app_without_ports_gets_one_and_an_empty_list_none() -> None:
    assert [d.name for d in read({"cmd": "x"}).port_definitions] == ["default"]
    assert read({"cmd": "x", "ports": []}).port_definitions == ()
    assert read({"cmd": "x", "ipAddress": {}}).port_definitions == ()


def test_the_demo_ui_has_an_address_of_its_own_and_no_service_port() -> None:
    app = read(management_ui(), "/calico-stars/management-ui")
    assert list(check(app)) == []
    shown = show_app(app)
    assert "ports" not in shown
    assert shown["ipAddress"]["discovery"]["ports"] == [
        {"number": 9001, "name": "http", "protocol": "tcp", "labels": {}}
    ]
    assert shown["uris"] == management_ui()["uris"]
    assert app.cpus == 1.0
    assert app.pinned
    assert not read(probe("client")).pinned


def test_the_newer_forms_mean_the_same() -> None:
    new = {
        "cmd": "x",
        "networks": [{"mode": "container", "name": "calico"}],
        "container": {
            "type": "MESOS",
            "docker": {"image": "nginx"},
            "portMappings": [{"containerPort": 80, "name": "http"}],
        },
    }
    old = {
        "cmd": "x",
        "ipAddress": {
            "networkName": "calico",
            "discovery": {"ports": [{"number": 80, "name": "http", "protocol": "tcp"}]},
        },
        "container": {"type": "MESOS", "docker": {"image": "nginx"}},
    }
    assert read(new) == read(old)
    bridged = read(
        {
            "networks": [{"mode": "container/bridge"}],
            "container": {"type": "DOCKER", "docker": {"image": "i"}, "portMappings": [{"containerPort": 80}]},
        }
    )
    assert bridged.docker is not None
    assert bridged.docker.network == "BRIDGE"
    assert bridged.mappings[0].host_port == 0


def test_uris_and_fetch() -> None:
    app = read({"cmd": "x", "uris": ["http://h/a.tgz", "http://h/a.json"]})
    assert [f.extract for f in app.fetch] == [True, False]
    assert problems({"uris": ["a"], "fetch": [{"uri": "b"}]}) == {
        "/": ["You cannot specify both uris and fetch fields"]
    }
    assert problems({"uris": ["b"], "fetch": [{"uri": "b"}]}) == {}


def test_what_cannot_be_honoured_is_refused_not_ignored() -> None:
    found = problems({"residency": {"x": 1}, "secrets": {"s": {}}, "storeUrls": ["u"]})
    assert found.keys() == {"/residency", "/secrets", "/storeUrls"}
    volumes = {"container": {"docker": {"image": "i"}, "volumes": [{"containerPath": "d", "persistent": {"size": 1}}]}}
    assert any("persistent" in path for path in problems(volumes))


def test_unknown_fields_pass_and_null_means_absent() -> None:
    assert problems({"cmd": "x", "whatever": {"deep": [1]}, "args": None, "container": None}) == {}


def test_a_partial_update_replaces_fields_whole() -> None:
    app = read({"cmd": "x", "env": {"A": "1", "B": "2"}, "labels": {"l": "1"}})
    new = update(app, given_fields({"env": {"C": "3"}}, Place(), "/a"))
    assert (new.env, new.labels, new.cmd) == ({"C": "3"}, {"l": "1"}, "x")
    cleared = update(read({"args": ["x"]}), given_fields({"cmd": "y", "args": []}, Place(), "/a"))
    assert (cleared.cmd, cleared.args) == ("y", None)


def test_only_the_count_and_versions_lie_outside_the_config() -> None:
    app = read({"cmd": "x"})
    assert same_config(app, update(app, {"instances": 7}))
    assert not same_config(app, update(app, {"labels": {"a": "b"}}))


def test_a_group_keeps_what_its_body_does_not_name_and_drops_what_a_list_leaves_out() -> None:
    tree = apply_group(Tree(), read_group(stars(), "/calico-stars"))
    assert sorted(tree.apps) == [f"/calico-stars/{n}" for n in ("backend", "client", "frontend", "management-ui")]
    same = apply_group(tree, read_group({}, "/calico-stars"))
    assert same.apps == tree.apps
    fewer = apply_group(tree, read_group({"apps": [probe("client")]}, "/calico-stars"))
    assert sorted(fewer.apps) == ["/calico-stars/client"]
    nested = apply_group(tree, read_group({"groups": [{"id": "g", "apps": [probe("x")]}]}, "/calico-stars"))
    assert len(nested.apps) == 5
    gone = apply_group(nested, read_group({"groups": []}, "/calico-stars"))
    assert gone.apps == tree.apps


def test_an_absolute_id_in_the_body_wins_and_a_relative_one_nests() -> None:
    assert read_group({"id": "/calico-apps"}, "/calico-stars").id == "/calico-apps"
    assert read_group({"id": "calico-stars"}, "/calico-stars").id == "/calico-stars/calico-stars"


def test_problems_of_a_group_are_found_where_they_stand() -> None:
    body = {"apps": [probe("a"), {**probe("b"), "cpus": "1"}], "groups": [{"apps": []}]}
    with pytest.raises(BadJson) as found:
        read_group(body, "/g")
    assert found.value.details == [
        {"path": "/apps(1)/cpus", "errors": ["error.expected.jsnumber"]},
        {"path": "/groups(0)/id", "errors": ["error.path.missing"]},
    ]
    with pytest.raises(NotValid):
        read_group({"version": "2016-05-03T12:01:44.123Z", "apps": []}, "/g")
    update_of_b = read_group({"apps": [probe("b"), {**probe("a"), "instances": -1}]}, "/g")
    tree = apply_group(Tree(), update_of_b)
    assert tree_problems(tree, update_of_b.paths) == {"/apps(1)/instances": ["got -1, expected 0 or more"]}


def test_service_ports_are_the_lowest_free_and_stay() -> None:
    old = assign_ports(Tree(), Tree().put(read({"cmd": "x", "ports": [0, 10000]})))
    assert old is not None
    assert old.apps["/a"].service_ports == (10001, 10000)
    new = assign_ports(old, old.put(read({"cmd": "y", "ports": [0, 0]})).put(read({"cmd": "z"}, "/b")))
    assert new is not None
    assert new.apps["/a"].service_ports == (10001, 10000)
    assert new.apps["/b"].service_ports == (10002,)
    assert assign_ports(Tree(), Tree().put(read({"cmd": "x", "ports": [0, 0]})), 1, 2) is None


def test_layers_of_dependencies() -> None:
    tree = Tree().put(read({"cmd": "x", "dependencies": ["/db"]}, "/web")).put(read({"cmd": "x"}, "/db/main"))
    assert layers(tree.needs()) == [["/db/main"], ["/web"]]
    assert layers({"/a": {"/b"}, "/b": {"/a"}}) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
WORDS = (
    "id cmd args env instances cpus container docker portMappings networks ports portDefinitions ipAddress discovery "
    "constraints healthChecks uris fetch upgradeStrategy labels dependencies apps groups scaleBy version"
)
FIELD_NAMES = st.sampled_from(sorted(WORDS.split(" ")))


@given(st.dictionaries(FIELD_NAMES, JSON | st.dictionaries(FIELD_NAMES, JSON, max_size=4), max_size=6))
def test_no_body_breaks_the_reader(body: dict[str, Any]) -> None:
    place = Place()
    fields = given_fields(body, place, "/a")
    if not place.problems:
        app = create("/a", fields)
        list(check(app))
        assert msgspec.json.decode(msgspec.json.encode(app), type=App) == app
        again = Place()
        assert create("/a", given_fields(show_app(app), again, "/a")) == app
        assert again.problems == {}
    try:
        update_of = read_group(body, "/g")
    except (BadJson, NotValid):
        return
    apply_group(Tree(), update_of)


def test_the_labs_own_file_is_read_without_a_problem() -> None:
    text = (files("tortie.lab") / "files" / "stars.json").read_bytes()
    update_of = read_group(msgspec.json.decode(text), "/calico-stars")
    tree = apply_group(Tree(), update_of)
    assert sorted(tree.apps) == [f"/calico-stars/{n}" for n in ("backend", "client", "frontend", "management-ui")]
    assert tree_problems(tree, update_of.paths) == {}
    assert tree.apps["/calico-stars/management-ui"].pinned
