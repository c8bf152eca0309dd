"""Cosmos' failures in the words of `dcos package`, and the rows of its tables."""

from __future__ import annotations

import io
import warnings
import zipfile
from typing import Any

import pytest

from tortie.cli.dcos import package_commands, package_wait
from tortie.cli.dcos.errors import DcosError
from tortie.cli.dcos.package_client import media_type, said
from tortie.cli.dcos.package_tables import cut, installed, list_table, newest_first, search_table
from tortie.cli.dcos.session import Session

WORDS: list[tuple[str, str, dict[str, Any], str]] = [
    ("PackageNotFound", "Package [x] not found", {}, "Package [x] not found"),
    (
        "AmbiguousAppId",
        "Multiple apps named [x] are installed: [/a, /b]",
        {},
        "Multiple apps named [x] are installed: [/a, /b].\n"
        "Please use --app-id to specify the ID of the app to uninstall, or use --all to uninstall all apps.",
    ),
    ("MultipleFrameworkIds", "m", {}, "m. Manually shut them down using 'dcos service shutdown'"),
    (
        "MarathonBadResponse",
        "Object is not valid",
        {"errors": [{"path": "/cpus", "errors": ["too few", "too bad"]}, "plain"]},
        "Object is not valid\n/cpus: too few\n/cpus: too bad\nplain",
    ),
    ("MarathonBadResponse", "m", {"errors": 7}, "m"),
    ("RepositoryUriConnection", "m", {"cause": "no route"}, "m\nno route"),
    ("unknown", "", {}, "unknown"),
]


@pytest.mark.parametrize(("kind", "message", "data", "text"), WORDS)
def test_failures(kind: str, message: str, data: dict[str, Any], text: str) -> None:
    assert said(kind, message, data) == text


def test_options_that_a_schema_forbids() -> None:
    errors = [
        {"unwanted": ["x", "y"], "instance": {"pointer": ""}},
        {
            "found": "string",
            "expected": ["integer", "number"],
            "instance": {"pointer": "/Framework Settings/cpu-limit"},
        },
        {"missing": ["a", "b"], "instance": {"pointer": "/a~1b"}},
        {"regex": "^a$", "string": "b", "instance": {"pointer": "/p"}},
        {"message": "else", "instance": 7},
        "nonsense",
        {
            "message": "none of 2",
            "instance": {"pointer": "/N"},
            "reports": {
                "/anyOf/0": [{"message": "not Never", "instance": {"pointer": "/N/vxlan"}}],
                "/anyOf/1": [{"message": "not Never", "instance": {"pointer": "/N/ipip"}}],
                "/anyOf/2": 7,
            },
        },
    ]
    assert said("JsonSchemaMismatch", "m", {"errors": errors}).splitlines()[:-2] == [
        "Error: Options JSON failed validation",
        "Unexpected properties: ['x', 'y']",
        "Found: string",
        "Expected: integer,number",
        "Path: Framework Settings.cpu-limit",
        "Required parameter missing: a,b",
        "Path: a/b",
        "Found: b",
        "Expected pattern: ^a$",
        "Path: p",
        "else",
        "none of 2",
        "Either N.vxlan: not Never",
        "Either N.ipip: not Never",
        "Path: N",
    ]


def zipped(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name that is there twice
        for name, data in members:
            archive.writestr(name, data)
    return out.getvalue()


def test_the_programs_of_a_zip(monkeypatch: pytest.MonkeyPatch) -> None:
    good = zipped(("../../etc/dcos-foo", b"1"), ("bin/dcos-bar", b"2"), ("README", b"3"), ("dcos-d/", b""))
    assert package_commands.unpacked(good, "foo") == {"dcos-foo": b"1", "dcos-bar": b"2"}
    monkeypatch.setattr(package_commands, "MOST_BYTES", 100)
    for data, words in (
        (zipped(("a/dcos-x", b""), ("b/dcos-x", b"")), "dcos-x is there twice"),
        (zipped(("dcos-a", bytes(60)), ("dcos-b", bytes(60))), "more than 100 bytes"),
        (zipped(("README", b"")), "there is no program dcos-... in the zip"),
        (good[:-30], "cannot be unpacked"),
        (b"", "cannot be unpacked"),
    ):
        with pytest.raises(DcosError) as caught:
            package_commands.unpacked(data, "foo")
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("package", "words"),
    [
        ({"name": "../../../tmp"}, "is not the name of a package"),
        ({"name": ""}, "is not the name of a package"),
        ({"command": {"pip": ["foo"]}}, "only programs are; --app installs the app alone"),
        ({"resource": {"cli": {"binaries": {}}}}, "has no command for"),
        ({"resource": {"cli": 7}}, "has no command for"),
    ],
)
def test_packages_whose_command_cannot_be_fetched(package: dict[str, Any], words: str) -> None:
    with pytest.raises(DcosError) as caught:
        package_commands.fetch(Session({}), {"name": "foo", **package})
    assert words in str(caught.value)


def test_how_long_to_wait() -> None:
    assert [package_wait.duration(text) for text in ("90", "90s", "10m", "1h", "0")] == [90, 90, 600, 3600, 0]
    for wrong in ("", "m", "-1", "1.5h", "10 m", "1d", "9999999s"):
        with pytest.raises(DcosError, match="a time such as 90s"):
            package_wait.duration(wrong)


@pytest.mark.parametrize(
    ("app", "missing"),
    [
        ({"instances": 2, "tasksRunning": 1}, "1 of 2 tasks run"),
        (
            {"instances": 1, "lastTaskFailure": {"message": "no image"}},
            "0 of 1 tasks run; the last one ended: no image",
        ),
        ({"instances": 1, "tasksRunning": 1, "healthChecks": [{}]}, "0 of 1 tasks are healthy"),
        ({"instances": 1, "tasksRunning": 1, "deployments": [{"id": "x"}]}, "its deployment is under way"),
        ({"instances": 1, "tasksRunning": 1, "tasksHealthy": 1, "healthChecks": [{}]}, ""),
        ({"instances": 0}, ""),
    ],
)
def test_what_an_app_still_lacks(app: dict[str, Any], missing: str) -> None:
    assert package_wait.of_app(app) == missing


@pytest.mark.parametrize(
    ("status", "missing"),
    [
        ({"state": "none", "trouble": "starting"}, "starting"),
        ({"state": "none"}, "its plan is being made"),
        ({"state": "rolling", "counts": {"done": 2, "all": 5}}, "2 of 5 hosts done"),
        (
            {"state": "paused", "counts": {"done": 2, "all": 5}, "trouble": "no offer"},
            "2 of 5 hosts done, paused, no offer",
        ),
        ({"state": "done", "trouble": "no offer"}, "no offer"),
        ({"state": "done", "trouble": "", "looking": True}, "looking at what each host lacks"),
        ({"state": "done", "trouble": "", "counts": {"done": 5, "all": 5}}, ""),
        ([], ""),
    ],
)
def test_what_a_plan_still_lacks(status: Any, missing: str) -> None:
    assert package_wait.of_plan(status) == missing


def test_a_plan_that_has_stopped_is_not_waited_for() -> None:
    with pytest.raises(DcosError, match="Its plan is stopped: agent-2: the node"):
        package_wait.of_plan({"state": "stopped", "stopped": "agent-2: the node is not ready"})


def test_media_types() -> None:
    base = "application/vnd.dcos.{}+json;charset=utf-8;version=v{}"
    assert media_type("package/repository/add", "request") == base.format("package.repository.add-request", 1)
    assert media_type("package/list-versions", "response") == base.format("package.list-versions-response", 1)
    assert media_type("cosmos/service/update", "response", 2) == base.format("service.update-response", 2)


def app(name: str, app_id: str, version: str = "1") -> dict[str, Any]:
    definition = {"name": name, "version": version, "description": f"about {name}", "config": {}}
    return {"appId": app_id, "packageInformation": {"packageDefinition": definition}}


def test_what_is_installed() -> None:
    found = installed(
        [app("b", "/b"), app("a", "/2"), app("a", "/1"), app("a", "/3", "2")], {"b": {"version": "1"}, "c": {}}
    )
    assert [(one["name"], one.get("apps"), one.get("command")) for one in found] == [
        ("a", ["/2", "/1"], None),
        ("a", ["/3"], None),
        ("b", ["/b"], {"name": "b"}),
        ("c", None, {"name": "c"}),
    ]
    assert found[0]["description"] == "about a"
    assert [line.split() for line in list_table(found).splitlines()] == [
        ["NAME", "VERSION", "APP", "COMMAND", "DESCRIPTION"],
        ["a", "1", "/2", "---", "about", "a"],
        ["/1"],
        ["a", "2", "/3", "---", "about", "a"],
        ["b", "1", "/b", "b", "about", "b"],
        ["c", "---", "c"],
    ]


def test_search_and_versions() -> None:
    row = {"name": "a", "currentVersion": "1", "selected": True, "framework": False, "description": "x\ny" * 60}
    lines = search_table([row]).splitlines()
    assert lines[0].split() == ["NAME", "VERSION", "SELECTED", "FRAMEWORK", "DESCRIPTION"]
    assert lines[1].startswith("a     1        True      False      x y")
    assert lines[1].rstrip().endswith("...")
    assert cut("d" * 77) == "d" * 77
    assert newest_first({"1.10": "2", "1.9": "3", "0.1": "10", "odd": "?"}) == ["0.1", "1.9", "1.10", "odd"]
