"""The encodings that headers ask for, and what calls about nested containers may say."""

from __future__ import annotations

from typing import Any

import pytest

from tortie.base.errors import Invalid
from tortie.mesos.agent.nested_call import path_of, root_of, session_of
from tortie.mesos.media import MediaProblem, media
from tortie.wire import mesos as wire
from tortie.wire.mesos import agent_api as v1

JSON, BINARY, RECORDS = "application/json", "application/x-protobuf", "application/recordio"


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (f"{BINARY}, {JSON}", JSON),
        (BINARY, BINARY),
        (RECORDS, RECORDS),
        (f"text/html, {RECORDS};q=0.1", RECORDS),
        (f"{JSON};q=0, */*", BINARY),
        (f"{JSON};q=x", JSON),
        ("APPLICATION/JSON", JSON),
    ],
)
def test_the_first_that_the_reader_allows(accept: str | None, wanted: str) -> None:
    headers = {"content-type": JSON} | ({} if accept is None else {"accept": accept})
    assert media(headers).reply == wanted


def test_records_are_json_unless_asked_for_otherwise() -> None:
    headers = {"content-type": JSON, "accept": RECORDS}
    assert media(headers).reply_message == JSON
    assert media(headers | {"message-accept": BINARY}).reply_message == BINARY
    assert media(headers | {"message-accept": "*/*"}).reply_message == JSON
    with pytest.raises(MediaProblem) as problem:
        media(headers | {"message-accept": "text/plain"})
    assert problem.value.status == 406


def test_the_body_of_a_stream() -> None:
    found = media({"content-type": RECORDS, "message-content-type": f"{BINARY}; charset=x", "accept": JSON})
    assert (found.body, found.message, found.reply) == (RECORDS, BINARY, JSON)


def launch(name: str = "u", parent: str | None = "p", **command: Any) -> v1.LaunchNested:
    above = wire.ContainerID(value=parent) if parent is not None else None
    told = wire.convert({"value": "echo x", **command}, wire.CommandInfo)
    return v1.LaunchNested(container_id=wire.ContainerID(value=name, parent=above), command=told)


def test_a_session_as_it_is_run() -> None:
    variables = {"variables": [{"name": "TERM", "value": "xterm"}, {"name": "EMPTY"}]}
    asked = launch(shell=False, value="sh", arguments=["sh", "-c", "ls"], environment=variables, user="nobody")
    asked.container = wire.ContainerInfo(type="MESOS", tty_info={"window_size": {"rows": 24, "columns": 80}})
    session = session_of(asked)
    assert (session.id, session.parent, session.user) == ("u", "p", "nobody")
    assert session.arguments == ["sh", "-c", "ls"]
    assert session.environment == {"TERM": "xterm", "EMPTY": ""}
    assert (session.terminal, session.rows, session.columns) == (True, 24, 80)
    assert session_of(launch()).arguments == ["/bin/sh", "-c", "echo x"]


def test_a_terminal_without_a_size() -> None:
    asked = launch()
    asked.container = wire.ContainerInfo(type="MESOS", tty_info={})
    assert (session_of(asked).terminal, session_of(asked).rows) == (True, 0)


def test_the_task_is_the_parent_however_deep() -> None:
    inner = wire.ContainerID(value="c", parent=wire.ContainerID(value="b", parent=wire.ContainerID(value="a")))
    assert (path_of(inner), root_of(inner)) == ("a.b.c", "a")
    asked = launch()
    asked.container_id = inner
    assert session_of(asked).parent == "a"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a.b", "a b", "a\0b", "-a", "ä", "x" * 129, "a\n"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(Invalid):
        session_of(launch(name))
    with pytest.raises(Invalid):
        session_of(launch(parent=name))


@pytest.mark.parametrize(
    "command",
    [
        {"shell": True, "value": None},
        {"shell": False, "value": None},
        {"value": "a\0b"},
        {"environment": {"variables": [{"name": ""}]}},
        {"environment": {"variables": [{"name": "A=B", "value": "c"}]}},
        {"environment": {"variables": [{"name": "A", "value": "\0"}]}},
        {"uris": [{"value": "http://somewhere/x"}]},
    ],
)
def test_commands_that_cannot_be_run(command: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        session_of(launch(**command))
