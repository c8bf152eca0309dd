"""What one client may take of the door: time, places, and memory; and the door by HTTPS."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path
from typing import Any

import pytest
from tests.support.door_live import Conversation, answering, ask, behind, connect, door, on_the_loop, parsed
from tests.support.tls import authority
from tests.support.waiting import PATIENCE, until

from tortie.base.errors import Invalid
from tortie.door import run
from tortie.door.incoming import Incoming


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "END_SECONDS", PATIENCE)
    monkeypatch.setattr(run, "SWEEP", 0.05)


async def end(client: Conversation) -> bytes:
    """All that is said until the connection ends, however it does."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while part := await asyncio.wait_for(client.reader.read(65536), PATIENCE):
            data += part
    client.writer.close()
    return data


def test_a_connection_without_a_request_is_ended_without_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "HEAD_SECONDS", 0.3)

    async def main() -> None:
        async with door(tmp_path) as port:
            assert await end(await connect(port)) == b""

    on_the_loop(main)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Something has come over a connection: a door that has heard nothing yet ends it without an answer."""
    event, plain = asyncio.Event(), Incoming.data_received

    def data_received(self: Incoming, data: bytes) -> None:
        plain(self, data)
        event.set()

    monkeypatch.setattr(Incoming, "data_received", data_received)
    return event


@pytest.mark.parametrize("begun", [b"GET /mes", b"GET /mesos/x HTTP/1.1\r\nHost: d\r\nX-Slow: 1\r\n"])
def test_a_head_that_does_not_come_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heard: asyncio.Event, begun: bytes
) -> None:
    monkeypatch.setattr(run, "HEAD_SECONDS", PATIENCE)

    async def main() -> None:
        async with door(tmp_path) as port:
            client = await connect(port)
            await client.say(begun)
            await asyncio.wait_for(heard.wait(), PATIENCE)
            monkeypatch.setattr(run, "HEAD_SECONDS", 0.3)
            assert parsed(await end(client)).status == 408

    on_the_loop(main)


def test_dripping_a_head_gains_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heard: asyncio.Event) -> None:
    monkeypatch.setattr(run, "HEAD_SECONDS", PATIENCE)

    async def main() -> None:
        async with door(tmp_path) as port:
            client = await connect(port)

            async def drip() -> None:
                with contextlib.suppress(ConnectionError):
                    await client.say(b"GET /mesos/x HTTP/1.1\r\n")
                    while True:
                        await client.say(b"a")
                        await asyncio.sleep(0.05)

            dripping = asyncio.ensure_future(drip())
            await asyncio.wait_for(heard.wait(), PATIENCE)
            monkeypatch.setattr(run, "HEAD_SECONDS", 0.5)
            assert parsed(await end(client)).status == 408
            dripping.cancel()

    on_the_loop(main)


def test_an_idle_connection_is_ended_and_a_stream_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "IDLE_SECONDS", 0.3)
    monkeypatch.setattr(run, "STALL_SECONDS", 0.3)

    async def talk(conversation: Conversation) -> None:
        await conversation.head()
        await conversation.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await idle.wait()  # the other client has been ended for doing nothing meanwhile
        await conversation.say(b"5\r\nlater\r\n0\r\n\r\n")

    idle = asyncio.Event()

    async def main() -> None:
        async with behind(talk) as server, door(tmp_path, masters=(server.port,)) as port:
            stream = await connect(port)
            await stream.say(b"GET /mesos/x HTTP/1.1\r\nHost: d\r\n\r\n")
            await stream.head()
            client = await connect(port)
            await client.say(b"GET /metadata HTTP/1.1\r\nHost: d\r\n\r\n")
            assert b"200 OK" in await end(client)
            idle.set()
            assert await stream.chunk() == b"later"
            stream.writer.close()

    on_the_loop(main)


def test_a_body_that_stops_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "STALL_SECONDS", 0.3)

    async def talk(conversation: Conversation) -> None:
        await conversation.head()
        await conversation.gone()

    async def main() -> None:
        async with behind(talk) as server, door(tmp_path, masters=(server.port,)) as port:
            client = await connect(port)
            await client.say(b"POST /mesos/x HTTP/1.1\r\nHost: d\r\nContent-Length: 100\r\n\r\nsome")
            assert await end(client) == b""
            await until(lambda: server.open == 0)

    on_the_loop(main)


def test_who_does_not_read_is_ended_and_the_server_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "STALL_SECONDS", 0.5)

    async def talk(conversation: Conversation) -> None:
        await conversation.head()
        await conversation.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await conversation.say(b"10000\r\n" + b"x" * 65536 + b"\r\n")

    async def main() -> None:
        async with behind(talk) as server, door(tmp_path, masters=(server.port,)) as port:
            client = await connect(port)
            await client.say(b"GET /mesos/x HTTP/1.1\r\nHost: d\r\n\r\n")
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await until(lambda: server.connections == 1)
            await until(lambda: server.open == 0)
            client.writer.close()

    on_the_loop(main)


def test_places_are_limited_and_come_free_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "MOST_CONNECTIONS", 3)

    async def main() -> None:
        async with door(tmp_path) as port:

            async def status() -> int:
                return (await ask(port, "/metadata")).status

            async def free() -> bool:
                return await status() == 200

            await until(free)
            clients: list[Conversation] = []

            async def one_more() -> bool:
                """Who has a place is answered; those of before may still be on their way out."""
                client = await connect(port)
                await client.say(b"GET /metadata HTTP/1.1\r\nHost: d\r\n\r\n")
                if "200" in (await client.head())[0]:
                    clients.append(client)
                else:
                    client.writer.close()
                return len(clients) == 3

            await until(one_more)
            refused = await ask(port, "/metadata")
            assert (refused.status, refused.body) == (503, b"503 Service Unavailable: too many connections\n")
            for client in clients:
                client.writer.close()
            await until(free)

    on_the_loop(main)


def test_https(tmp_path: Path) -> None:
    made = authority(tmp_path / "ca")
    pem = tmp_path / "door.pem"
    pem.write_bytes(made.cert.read_bytes() + made.key.read_bytes())
    context = ssl.create_default_context(cafile=str(made.ca))

    async def main() -> None:
        async with answering({"/x": 1}) as server, door(tmp_path, masters=(server.port,), tls=pem) as port:
            streams = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            client = Conversation(*streams)
            await client.say(b"GET /mesos/x HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
            assert parsed(await end(client)).json == 1
            assert server.asked[0][1]["x-forwarded-proto"] == "https"

    on_the_loop(main)


def test_a_server_behind_by_https_with_a_certificate_of_its_own_making(tmp_path: Path) -> None:
    made = authority(tmp_path / "ca")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.cert, made.key)

    async def talk(conversation: Conversation) -> None:
        await conversation.head()
        await conversation.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async def main() -> None:
        says: dict[str, Any] = {"/v2/apps": {"apps": []}}
        async with (
            behind(talk, tls=context) as server,
            answering(says) as cluster,
            door(tmp_path, masters=(cluster.port,), marathons=(cluster.port,)) as port,
        ):
            page = {"id": "f", "name": "safe", "webui_url": f"https://127.0.0.1:{server.port}/"}
            says["/master/state-summary"] = {"frameworks": [page], "slaves": []}
            assert (await ask(port, "/service/safe/")).body == b"ok"

    on_the_loop(main)


def test_a_certificate_that_is_none_is_named(tmp_path: Path) -> None:
    pem = tmp_path / "door.pem"
    pem.write_text("nothing")

    async def main() -> None:
        with pytest.raises(Invalid, match="no PEM file"):
            async with door(tmp_path, tls=pem):
                raise AssertionError("it serves")

    on_the_loop(main)


def test_at_its_end_the_door_finishes_what_is_under_way(tmp_path: Path) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def talk(conversation: Conversation) -> None:
        await conversation.head()
        asked.set()
        await go_on.wait()
        await conversation.say(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")

    async def main() -> None:
        async with behind(talk) as server:
            async with door(tmp_path, masters=(server.port,)) as port:
                client = await connect(port)
                await client.say(b"GET /mesos/x HTTP/1.1\r\nHost: d\r\n\r\n")
                await asyncio.wait_for(asked.wait(), PATIENCE)
                asyncio.get_running_loop().call_soon(go_on.set)
            reply = parsed(await end(client))
            assert (reply.body, reply.fields["connection"]) == (b"done", "close")

    on_the_loop(main)
