"""Repositories read: entries with everything wrong named, trees and zips, search, several repositories."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.base.errors import Invalid
from tortie.packages import sources
from tortie.packages.definition import read_entry
from tortie.packages.seal import check_seal, sealed
from tortie.packages.sources import unzipped
from tortie.packages.universe import Repository, Universe, read_index, read_tree

NOW = datetime(2026, 1, 2, tzinfo=UTC)
FIRST, SECOND = Repository("first", "http://one.test/repo"), Repository("second", "http://two.test/repo")


def entry(name: str = "foo", version: str = "1", release: int = 0, **fields: Any) -> dict[str, Any]:
    template = base64.b64encode(b'{"id": "foo"}').decode()
    return {
        "packagingVersion": "4.0",
        "name": name,
        "version": version,
        "releaseVersion": release,
        "maintainer": "m",
        "description": f"about {name}",
        "tags": [],
        "marathon": {"v2AppMustacheTemplate": template},
        **fields,
    }


def universe(*entries: dict[str, Any], more: list[dict[str, Any]] | None = None) -> Universe:
    repositories = [(FIRST, [read_entry(one) for one in entries])]
    if more is not None:
        repositories.append((SECOND, [read_entry(one) for one in more]))
    return Universe(repositories)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": "Foo"}, "name: Foo does not match"),
    ({"name": "f"}, "name: f does not match"),
    ({"version": ""}, "version: must be a string that is not empty"),
    ({"version": "1_0"}, "version: 1_0 has other characters"),
    ({"tags": ["a b"]}, "tags: must be a list of words"),
    ({"tags": "a"}, "tags: must be a list of words"),
    ({"framework": "yes"}, "framework: must be true or false"),
    ({"licenses": [{"name": "x"}]}, "licenses: must be a list of objects"),
    ({"colour": "red"}, "colour: is not a field of package.json"),
    ({"minDcosReleaseVersion": "1.01"}, "minDcosReleaseVersion: 1.01 does not match"),
    ({"packagingVersion": "9.0"}, "packagingVersion: 9.0 is not one of"),
    ({"packagingVersion": "3.0", "upgradesFrom": ["*"]}, "upgradesFrom: is known from packaging version 4.0 on"),
    ({"packagingVersion": "2.0", "marathon": None}, "marathon.json.mustache: is required"),
    ({"packagingVersion": "2.0", "resource": {"cli": {}}}, "resource.cli: is known from"),
    ({"manager": {"packageName": "x"}}, "manager: is known from packaging version 5.0 on"),
    ({"packagingVersion": "5.0", "manager": {}}, "manager: must be an object with packageName"),
    ({"command": {"pip": []}}, "command.json: is not known any more"),
    ({"releaseVersion": -1}, "releaseVersion: -1 is no whole number"),
    ({"releaseVersion": "0"}, "releaseVersion: 0 is no whole number"),
    ({"marathon": {"v2AppMustacheTemplate": "%%"}}, "marathon.v2AppMustacheTemplate:"),
    ({"marathon": {"v2AppMustacheTemplate": "/w=="}}, "marathon.v2AppMustacheTemplate:"),
    ({"marathon": "x"}, "marathon.v2AppMustacheTemplate: must be a string in base64"),
    ({"config": []}, "config: must be an object"),
]


@pytest.mark.parametrize(("fields", "words"), WRONG)
def test_what_is_wrong_with_an_entry(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_entry(entry() | fields)
    assert any(words in problem for problem in caught.value.problems)


def test_every_problem_of_an_entry_is_named() -> None:
    broken = {key: value for key, value in entry().items() if key not in ("maintainer", "tags")}
    with pytest.raises(Invalid) as caught:
        read_entry(broken | {"framework": 1})
    assert len(caught.value.problems) == 3
    assert all(problem.startswith("package foo 1: ") for problem in caught.value.problems)


def test_an_entry_comes_back_as_it_was() -> None:
    whole = entry(config={"type": "object"}, resource={"images": {}}, postInstallNotes="done", selected=True)
    assert read_entry(whole).entry() == whole


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"{}", b'{"packages": 1}', b'{"packages": [1]}', b"\xff", b"[" * 9999]
)
def test_what_is_no_index(data: bytes) -> None:
    with pytest.raises(Invalid):
        read_index(data)


def test_what_is_said_twice_counts_by_its_last_word() -> None:
    data = json.dumps({"packages": [entry()]}).replace('"version": "1"', '"version": "0", "version": "7"').encode()
    assert [package.version for package in read_index(data)] == ["7"]


def test_one_broken_entry_refuses_the_whole_index() -> None:
    data = json.dumps({"packages": [entry(), entry(name="B")]}).encode()
    with pytest.raises(Invalid, match="package B 1"):
        read_index(data)
    twice = json.dumps({"packages": [entry(), entry()]}).encode()
    with pytest.raises(Invalid, match="release 0 is there twice"):
        read_index(twice)


def tree(**files: str) -> dict[str, bytes]:
    about = {key: value for key, value in entry().items() if key not in ("releaseVersion", "marathon")}
    found = {
        "package.json": json.dumps(about),
        "marathon.json.mustache": '{"id": "{{a}}"}',
        "config.json": "{}",
    } | files
    return {f"universe-x/repo/packages/F/foo/3/{name}": text.encode() for name, text in found.items()}


def test_a_tree_of_files() -> None:
    files = tree() | {"universe-x/README.md": b"x", "universe-x/repo/meta/index.json": b"{}"}
    [package] = read_tree(files)
    assert (package.name, package.release, package.template) == ("foo", 3, '{"id": "{{a}}"}')
    with pytest.raises(Invalid, match=r"foo/3/config.json"):
        read_tree(tree(**{"config.json": "{"}))
    with pytest.raises(Invalid, match="belongs into the folder F"):
        read_tree({name.replace("/F/", "/G/"): data for name, data in tree().items()})
    with pytest.raises(Invalid, match=r"has no package\.json"):
        read_tree({name: data for name, data in tree().items() if not name.endswith("package.json")})
    with pytest.raises(Invalid, match="is not about bar"):
        read_tree({name.replace("/F/foo", "/B/bar"): data for name, data in tree().items()})
    with pytest.raises(Invalid, match=r"foo/3/package\.json is there twice"):
        read_tree(tree() | {name.replace("universe-x", "another"): data for name, data in tree().items()})
    with pytest.raises(Invalid, match=r"belongs into the folder"):
        read_tree({name.replace("/F/foo", "/F/.."): data for name, data in tree().items()})


def packed(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def test_a_zip_and_what_is_left_of_it() -> None:
    data = packed(tree())
    assert [package.name for package in read_tree(unzipped(data))] == ["foo"]
    for length in range(0, len(data) - 1, 37):
        with pytest.raises(Invalid):
            unzipped(data[:length])
    broken = bytearray(data)
    broken[60] ^= 0xFF
    with pytest.raises(Invalid):
        unzipped(bytes(broken))


def test_a_zip_that_grows_without_measure_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_MOST_UNPACKED", 250_000)
    assert len(unzipped(packed({f"{n}": bytes(60_000) for n in range(4)}))) == 4
    with pytest.raises(Invalid, match="holds more than"):
        unzipped(packed({f"{n}": bytes(60_000) for n in range(5)}))


def test_the_newest_is_the_highest_release_of_the_first_repository() -> None:
    found = universe(
        entry(version="2", release=1),
        entry(version="10", release=0),
        more=[entry(version="9", release=7), entry("bar")],
    )
    newest = found.find("foo")
    assert newest is not None
    assert (newest.package.version, newest.source) == ("2", FIRST)
    other = found.find("foo", "9")
    assert other is not None
    assert other.source == SECOND
    assert list(found.versions("foo").items()) == [("2", "1"), ("10", "0"), ("9", "7")]
    assert found.find("foo", "11") is None
    assert found.find("baz") is None
    assert found.has("bar")


def test_the_same_version_twice_is_its_highest_release_and_its_first_repository() -> None:
    found = universe(
        entry(release=31, description="old"), entry(release=34, description="new"), more=[entry(release=99)]
    )
    newest = found.find("foo", "1")
    assert newest is not None
    assert (newest.package.release, newest.source) == (34, FIRST)


def test_packages_for_a_later_cluster_are_not_there() -> None:
    found = universe(entry(minDcosReleaseVersion="1.8"), entry("bar", minDcosReleaseVersion="9.1"))
    assert found.names() == ["foo"]


def test_search() -> None:
    found = universe(
        entry("marathon-lb", tags=["loadbalancer"]), entry("zeta", selected=True), entry("etcd", tags=["Store"])
    )

    def names(query: str | None) -> list[str]:
        return [package.name for package in found.search(query)]

    assert names(None) == names("") == ["zeta", "etcd", "marathon-lb"]
    assert names("*lb") == ["marathon-lb"]
    assert names("LB") == ["marathon-lb"]
    assert names("*LB") == []
    assert names("store") == ["etcd"]
    assert names("about *a") == ["zeta"]
    assert names("**") == names("*") == ["zeta", "etcd", "marathon-lb"]
    assert names("e*c*d") == ["etcd"]
    assert names("etcd*d") == []
    assert names("[") == []


@given(st.text(alphabet="ab*", max_size=12), st.text(alphabet="ab", min_size=1, max_size=12))
def test_stars_as_a_shell_has_them(query: str, text: str) -> None:
    from fnmatch import fnmatchcase

    found = universe(entry(description=text)).search(query)
    expected = fnmatchcase(text, query) or fnmatchcase("foo", query) if "*" in query else query.lower() in text
    assert bool(found) == (expected or not query)


def test_a_seal() -> None:
    data = sealed([read_entry(entry())], serial=7, now=NOW)
    index = json.loads(data)
    assert check_seal(index, now=NOW, newest=7) == 7
    assert [package.name for package in read_index(data)] == ["foo"]
    with pytest.raises(Invalid, match="serial 7 is older than 8"):
        check_seal(index, now=NOW, newest=8)
    with pytest.raises(Invalid, match="expired at"):
        check_seal(index, now=NOW + timedelta(days=31), newest=0)
    for broken in (
        {"serial": "7"},
        {"serial": True},
        {"serial": None},
        {"expires": "soon"},
        {"expires": "2026-02-03T00:00:00"},
    ):
        with pytest.raises(Invalid):
            check_seal(index | broken, now=NOW, newest=0)
