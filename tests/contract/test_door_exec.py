"""Commands in containers, with input and terminal, through the door: the answer flows while the request's body does."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.agent_api import TASK, AgentApi
from tests.support.door_live import answering, door, on_the_loop
from tests.support.waiting import wait_until

from tortie.wire.agent_client import AgentClient, Refused, exit_code

PARENT = {"value": TASK}


def through_the_door(tmp_path: Path, story: Callable[[AgentApi, AgentClient], None], *, protobuf: bool = False) -> None:
    """The story, with a client that knows the agent as /slave/ID."""
    with AgentApi(tmp_path) as api:
        api.task()
        slave = {"id": "m-S1", "pid": f"slave(1)@127.0.0.1:{api.port}"}
        says = {"/master/state-summary": {"frameworks": [], "slaves": [slave]}}

        async def main() -> None:
            async with answering(says) as master, door(tmp_path / "door", masters=(master.port,)) as port:
                client = AgentClient(f"http://127.0.0.1:{port}/slave/m-S1/api/v1", protobuf=protobuf, timeout=60)
                await asyncio.to_thread(story, api, client)

        on_the_loop(main)


@pytest.mark.parametrize("protobuf", [False, True], ids=["json", "protobuf"])
def test_ten_megabytes_each_way_at_once_whole_and_in_order(tmp_path: Path, protobuf: bool) -> None:
    sent = os.urandom(1 << 20) * 10

    def story(_: AgentApi, client: AgentClient) -> None:
        with client.session(PARENT, ["cat"]) as session:

            def feed() -> None:
                session.write(sent)
                session.close_input()

            feeding = threading.Thread(target=feed, daemon=True)
            feeding.start()
            got = hashlib.sha256()
            for _kind, data in session.output():
                got.update(data)
            feeding.join()
            assert got.digest() == hashlib.sha256(sent).digest()
            assert session.wait() == 0

    through_the_door(tmp_path, story, protobuf=protobuf)


def test_a_terminal_answers_key_by_key(tmp_path: Path) -> None:
    def story(_: AgentApi, client: AgentClient) -> None:
        with client.session(PARENT, ["sh"], terminal=True, rows=24, columns=80) as session:
            output = session.output()

            def read_until(end: bytes) -> bytes:
                seen = b""
                for _kind, data in output:
                    seen += data
                    if end in seen:
                        return seen
                raise AssertionError(f"ended without {end!r}: {seen!r}")

            session.write(b"stty size; echo en''d\n")
            assert b"24 80" in read_until(b"end")
            session.resize(30, 132)
            session.write(b"stty size; echo do''ne\n")
            assert b"30 132" in read_until(b"done")
            session.write(b"exit 3\n")
            for _kind in output:
                pass
            assert exit_code(session.wait()) == 3

    through_the_door(tmp_path, story)


def test_a_client_that_goes_ends_its_command(tmp_path: Path) -> None:
    def story(api: AgentApi, client: AgentClient) -> None:
        with client.session(PARENT, ["sh", "-c", "echo $$; exec sleep 1000"]) as session:
            _kind, said = next(session.output())
        pid = int(said)

        def gone() -> bool:
            try:
                return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
            except (FileNotFoundError, ProcessLookupError):
                return True

        wait_until(gone)
        assert api.local is not None

    through_the_door(tmp_path, story)


def test_a_container_that_is_not_there_is_refused_in_the_agents_words(tmp_path: Path) -> None:
    def story(_: AgentApi, client: AgentClient) -> None:
        with pytest.raises(Refused) as refused:
            client.attach({"value": "nobody"})
        assert refused.value.status == 404
        assert "nobody" in refused.value.text

    through_the_door(tmp_path, story)
