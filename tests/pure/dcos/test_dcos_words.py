"""What `dcos` decides: which task is meant, where things lie, what is typed to ssh, what refusals say."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.dcos_cluster import AGENT, agent, state, task

from tortie.cli.dcos import node_ssh, resources, urls
from tortie.cli.dcos import state as of
from tortie.cli.dcos.errors import DcosError
from tortie.cli.dcos.following import last_lines
from tortie.cli.dcos.marathon_errors import MISCONFIGURED, said
from tortie.cli.dcos.marathon_tables import (
    app_table,
    deployment_table,
    details_table,
    group_table,
    queue_table,
    summary_table,
)
from tortie.cli.dcos.reply import Reply
from tortie.cli.dcos.tables import node_table, service_table, task_table
from tortie.cli.dcos.task_log import none_found
from tortie.cli.dcos.terminal import Escape

FIELDS = st.sampled_from(
    ["id", "frameworks", "tasks", "slaves", "statuses", "container", "container_status", "container_id", "state", "pid"]
    + ["apps", "groups", "currentActions", "deployments", "delay", "healthChecks", "lastUnusedOffers", "reason", "app"]
    + ["affectedApps", "instances", "executors", "active", "rejectSummaryLastOffers", "acceptedResourceRoles"]
)
ONE, TWO, THREE = task("web.1"), task("web.12"), task("db.1")
ENDED = task("web.9", state="TASK_FINISHED")


def ids(found: list[of.Document]) -> list[Any]:
    return [one["id"] for one in found]


@pytest.mark.parametrize(
    ("wanted", "options", "found"),
    [
        (None, {}, ["web.1", "web.12", "db.1"]),
        ("web", {}, ["web.1", "web.12"]),
        ("*.1", {}, ["web.1", "db.1"]),
        ("w[a-e]b.?", {}, ["web.1"]),
        ("web", {"completed": True}, ["web.9"]),
        ("web", {"all_": True}, ["web.1", "web.12", "web.9"]),
        ("WEB", {}, []),
    ],
)
def test_tasks_by_a_part_or_a_pattern(wanted: str | None, options: dict[str, bool], found: list[str]) -> None:
    assert ids(of.tasks(state(ONE, TWO, THREE, completed=(ENDED,)), wanted, **options)) == found


def test_one_task_is_meant() -> None:
    shown = state(ONE, TWO, THREE)
    assert of.task(shown, "db")["id"] == "db.1"
    assert of.task(shown, "web.1")["id"] == "web.1", "the whole id wins"
    with pytest.raises(DcosError) as caught:
        of.task(shown, "web")
    assert str(caught.value) == (
        "There are multiple tasks with ID matching [web]. Please choose one:\n\tweb.1\n\tweb.12"
    )
    with pytest.raises(DcosError, match=r'^Cannot find a task with ID containing "nothing"$'):
        of.task(shown, "nothing")


def test_one_agent_is_meant() -> None:
    shown = state(slaves=[agent("S1"), agent("S12"), agent("T")])
    assert of.agent(shown, "S1")["id"] == "S1"
    assert of.address(of.agent(shown, "T")) == "10.0.1.190"
    with pytest.raises(DcosError, match=r"There are multiple agents with that ID\. Please choose one:\n\tS1\n\tS12"):
        of.agent(shown, "S")
    with pytest.raises(DcosError, match='No agent found with ID "x"'):
        of.agent(shown, "x")
    with pytest.raises(DcosError, match="Invalid pid of an agent: ''"):
        of.address({})


def test_the_container_of_a_task() -> None:
    nested = {"value": "child", "parent": {"value": "top"}}
    first = {"state": "TASK_STARTING"}
    second = {"state": "TASK_RUNNING", "container_status": {"container_id": nested}}
    found = of.container(task("a", statuses=[first, second], container={"type": "MESOS"}))
    assert found == nested
    assert of.container_path(found) == "top.child"


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"container": {"type": "DOCKER"}}, of.UCR_ONLY),
        ({"statuses": []}, "Unable to obtain container status for task 'a'"),
        ({"statuses": [{"state": "TASK_STAGING"}]}, "Unable to obtain container status for task 'a'"),
        (
            {"statuses": [{"container_status": {"network_infos": []}}]},
            "No container found for the specified task. It might still be spinning up. Please try again.",
        ),
    ],
)
def test_a_task_without_a_container_for_us(more: dict[str, Any], text: str) -> None:
    with pytest.raises(DcosError) as caught:
        of.container(task("a", **more))
    assert str(caught.value) == text


def test_the_sandbox_of_a_task() -> None:
    plain = {"directory": "/s/1/", "tasks": [{"id": "a"}]}
    pod = {"directory": "/s/2", "type": "DEFAULT", "completed_tasks": [{"id": "b"}]}
    shown = {"frameworks": [{"executors": [plain]}], "completed_frameworks": [{"completed_executors": [pod]}]}
    assert of.sandbox(of.executor(shown, "a") or {}, "a") == "/s/1"
    assert of.sandbox(of.executor(shown, "b") or {}, "b") == "/s/2/tasks/b"
    assert of.executor(shown, "c") is None


@pytest.mark.parametrize("broken", [[], "x", {"frameworks": 1}, {"frameworks": [1]}])
def test_documents_of_another_shape_are_refused(broken: Any) -> None:
    with pytest.raises(DcosError, match="cannot be read: it has no list of 'frameworks'"):
        of.members(broken, "frameworks")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_answers_of_any_shape_are_read_or_refused(answer: Any) -> None:
    """By DcosError, never by another failure."""
    document = answer if isinstance(answer, dict) else {}
    for read in (
        lambda: of.tasks(document, "a"),
        lambda: of.container(document),
        lambda: of.agent(document, "a"),
        lambda: of.executor(document, "a"),
        lambda: task_table(of.tasks(document), document),
        lambda: node_table(of.nodes([document], document, document)),
        lambda: service_table(list(of.frameworks(document, inactive=True))),
        lambda: app_table([document], [document], [document]),
        lambda: queue_table([document]),
        lambda: deployment_table([document]),
        lambda: group_table([document]),
        lambda: details_table(document),
        lambda: summary_table({"processedOffersSummary": document, "app": document}),
    ):
        with contextlib.suppress(DcosError):
            read()


def test_where_things_lie() -> None:
    door = "http://master/"
    assert urls.master(door, None, "state.json") == "http://master/mesos/master/state.json"
    assert urls.agent(door, None, "S/1", "", "api/v1") == "http://master/slave/S%2F1/api/v1"
    assert urls.master_files(door, None, "read.json") == "http://master/mesos/files/read.json"
    direct = "http://master:5050"
    assert urls.master("", direct, "state.json") == "http://master:5050/master/state.json"
    assert urls.agent("", direct, "S1", "slave(1)@10.0.0.9:5051", "state.json") == "http://10.0.0.9:5051/state.json"
    assert urls.marathon(door, None) == "http://master/service/marathon"
    assert urls.marathon(None, "http://m:8080") == "http://m:8080"
    assert urls.query("http://x", {"path": "/a b", "offset": 1}) == "http://x?path=%2Fa+b&offset=1"
    with pytest.raises(DcosError) as caught:
        urls.marathon(None, None)
    assert str(caught.value) == (
        'Missing required config parameter: "core.dcos_url".  Please run `dcos config set core.dcos_url <value>`.'
    )


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://a", "http://A:80/x?y", True),
        ("https://a:443", "https://a", True),
        ("http://u:p@a/x", "http://a", True),
        ("http://a", "https://a", False),
        ("http://a", "http://a.evil", False),
        ("http://a", "http://a@evil", False),
        ("http://a:80", "http://a:8080", False),
    ],
)
def test_who_may_see_a_token(one: str, other: str, same: bool) -> None:
    assert urls.same_server(one, other) is same


@pytest.mark.parametrize(
    ("hops", "shown", "executed"),
    [
        (
            node_ssh.ssh_words("10.0.1.2", "core", [], None, "54.1.2.3", []),
            "ssh -A -t core@54.1.2.3 ssh -A -t core@10.0.1.2 ",
            ["ssh", "-A", "-t", "core@54.1.2.3", "ssh -A -t core@10.0.1.2"],
        ),
        (
            node_ssh.ssh_words("10.0.1.2", "me", ["A=b", "C=d"], "/x", None, ["ls", "-l"]),
            "ssh -t -o A=b -o C=d -F /x me@10.0.1.2 ls -l",
            ["ssh", "-t", "-o", "A=b", "-o", "C=d", "-F", "/x", "me@10.0.1.2", "ls -l"],
        ),
        (
            node_ssh.ssh_words("h", "core", ["A=b c"], None, "p", ["ls | wc"]),
            "ssh -A -t -o A=b c core@p ssh -A -t -o A=b c core@h ls | wc",
            ["ssh", "-A", "-t", "-o", "A=b c", "core@p", "ssh -A -t -o 'A=b c' core@h 'ls | wc'"],
        ),
    ],
)
def test_the_words_of_ssh(hops: list[list[str]], shown: str, executed: list[str]) -> None:
    assert node_ssh.shown(hops) == shown
    assert node_ssh.command(hops) == executed


@given(st.lists(st.sampled_from([b"a", b"\x10", b"\x11", b"\x10\x11", b"bc"]), max_size=8))
def test_the_keys_that_leave_are_found_however_they_come(pieces: list[bytes]) -> None:
    escape, passed, left = Escape(), b"", False
    for piece in pieces:
        data, left = escape.feed(piece)
        passed += data
        if left:
            break
    typed = b"".join(pieces)
    before, found, _ = typed.partition(b"\x10\x11")
    assert left == bool(found)
    assert passed == (before if found else typed.removesuffix(b"\x10"))


@pytest.mark.parametrize(
    ("text", "count", "whole", "found"),
    [
        ("a\nb\nc\n", 2, True, ["b", "c"]),
        ("a\nb\nc", 2, False, ["b", "c"]),
        ("b\nc\n", 2, False, None),
        ("b\nc\n", 2, True, ["b", "c"]),
        ("", 10, True, [""]),
        ("\n\n", 1, True, [""]),
        ("a\nb\n", 0, True, []),
    ],
)
def test_the_last_lines_of_a_text(text: str, count: int, whole: bool, found: list[str] | None) -> None:
    assert last_lines(text, count, whole=whole) == found


def test_what_is_said_when_no_task_is_found() -> None:
    ended = [task(f"old.{n}", state="TASK_KILLED") for n in range(2)]
    shown = state(ONE, completed=tuple(ended))
    assert none_found(shown, None, completed=False) == "No tasks found. Exiting."
    assert none_found(shown, "x", completed=False) == "No matching tasks. Exiting."
    assert none_found(shown, "old.1", completed=True) == "No matching tasks. Exiting."
    assert none_found(shown, "old.1", completed=False) == (
        "No running tasks match ID [old.1]; however, there is 1 matching completed task. Run with --completed to see "
        "these logs."
    )
    assert "there are 2 matching completed tasks. Run" in none_found(shown, "old", completed=False)


@pytest.mark.parametrize(
    ("status", "reason", "body", "text"),
    [
        (400, "Bad Request", {"b": 1, "a": 2}, 'HTTP 400: Bad Request:\n{\n  "a": 2,\n  "b": 1\n}'),
        (400, "Bad Request", b"<html>", "Error on request [PUT http://m/v2/apps/x]: HTTP 400: Bad Request"),
        (409, "Conflict", {"message": "locked"}, "Changes blocked: deployment already in progress for app."),
        (502, "Bad Gateway", b"no", "Error decoding response from [http://m/v2/apps/x]: HTTP 502: Bad Gateway"),
        (404, "Not Found", {"message": "App '/x' does not exist"}, "Error: App '/x' does not exist"),
        (500, "x", {"errors": [{"error": "one"}, {"error": "two"}]}, f"{MISCONFIGURED} one\ntwo"),
        (500, "x", {"something": "else"}, f"{MISCONFIGURED} "),
        (500, "x", ["a", "list"], f"{MISCONFIGURED} "),
        (
            422,
            "Unprocessable Entity",
            {"message": "Object is not valid", "details": [{"path": "/cpus", "errors": ["negative", "no number"]}]},
            "Error: Object is not valid\n/cpus: negative\n/cpus: no number",
        ),
    ],
)
def test_refusals_of_marathon(status: int, reason: str, body: Any, text: str) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert said("PUT", Reply("http://m/v2/apps/x", status, reason, {}, content)).endswith(text)


@pytest.mark.parametrize("thing", ["group", "pod"])
def test_a_conflict_names_what_is_held(thing: str) -> None:
    reply = Reply(f"http://m/v2/{thing}s/x", 409, "Conflict", {}, b"{}")
    assert said("PUT", reply) == f"Changes blocked: deployment already in progress for {thing}."
    assert said("PUT", reply._replace(url="http://m/v2/x")).endswith("for resource.")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2),
        ("2.5", 2.5),
        ("true", True),
        ("null", None),
        ('{"a": [1]}', {"a": [1]}),
        ("sleep 1", "sleep 1"),
        ('"2"', 2),
        ("'sleep'", "sleep"),
        ("NaN", "NaN"),
        ("", ""),
        ("[1", "[1"),
    ],
)
def test_values_of_properties(text: str, value: Any) -> None:
    found = resources.value(text)
    assert (found, type(found)) == (value, type(value))


def test_properties_that_cannot_be() -> None:
    assert resources.changes(["cpus=1", 'env={"A": "b"}', "cmd=a=b"], "") == {
        "cpus": 1,
        "env": {"A": "b"},
        "cmd": "a=b",
    }
    with pytest.raises(DcosError, match="'cpus' is not a valid json-item"):
        resources.changes(["cpus"], "")
    with pytest.raises(DcosError, match="Key 'a' was specified more than once"):
        resources.changes(["a=1", '"a"=2'], "")


def test_agents_know_their_place() -> None:
    assert of.hostnames(state()) == {AGENT: "10.0.1.190"}
