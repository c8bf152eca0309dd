"""The door between a client and a server: whole bodies, streams in both directions, ends, refusals."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.support.door_live import (
    Conversation,
    answering,
    ask,
    behind,
    connect,
    door,
    joined,
    on_the_loop,
    parsed,
    raw,
)
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE, until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def get(path: str, lines: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: door.test\r\n{lines}\r\n".encode()


def test_a_request_arrives_as_it_was_and_the_answer_as_it_is(tmp_path: Path) -> None:
    async def main() -> None:
        body = (201, "X-Own: 1\r\nSet-Cookie: a=b\r\nKeep-Alive: timeout=1\r\n", b"made")
        async with answering({"/a%2Fb": body}) as server, door(tmp_path, masters=(server.port,)) as port:
            reply = await ask(port, "/mesos/a%2Fb?c=%20d", lines="X-Asked: 2\r\nTE: trailers\r\n")
            assert (reply.status, reply.body, reply.fields["x-own"]) == (201, b"made", "1")
            assert "keep-alive" not in reply.fields
            first, fields = server.asked[0]
            assert first == "GET /a%2Fb?c=%20d HTTP/1.1"
            assert (fields["host"], fields["x-asked"], fields["x-real-ip"]) == ("door.test", "2", "127.0.0.1")
            assert "te" not in fields

    on_the_loop(main)


def test_connections_are_kept_on_both_sides(tmp_path: Path) -> None:
    async def main() -> None:
        async with answering({"/x": {}}) as server, door(tmp_path, masters=(server.port,)) as port:
            client = await connect(port)
            for _ in range(5):
                await client.say(get("/mesos/x"))
                await client.head()
                assert await client.reader.readexactly(2) == b"{}"
            assert server.connections == 1
            client.writer.close()

    on_the_loop(main)


def test_requests_sent_in_one_go_are_answered_in_their_order(tmp_path: Path) -> None:
    async def main() -> None:
        documents = {f"/{n}": n for n in range(50)}
        async with answering(documents) as server, door(tmp_path, masters=(server.port,)) as port:
            many = b"".join(get(f"/mesos/{n}") for n in range(49)) + get("/mesos/49", "Connection: close\r\n")
            data = await raw(port, many)
            bodies = [part.partition(b"\r\n\r\n")[2] for part in data.split(b"HTTP/1.1 200 X")[1:]]
            assert bodies == [str(n).encode() for n in range(50)]

    on_the_loop(main)


def test_a_kept_connection_that_the_server_has_closed_is_no_failure(tmp_path: Path) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.head()
        await conversation.say(OK)  # and the connection ends

    async def main() -> None:
        async with behind(talk) as server, door(tmp_path, masters=(server.port,)) as port:
            for _ in range(20):
                assert (await ask(port, "/mesos/")).body == b"ok"

    on_the_loop(main)


def test_both_directions_flow_at_once_and_unbuffered(tmp_path: Path) -> None:
    """As an exec session with an input: the answer begins, and goes on, while the request's body is being sent."""

    async def talk(conversation: Conversation) -> None:
        await conversation.head()
        await conversation.say(STREAM)
        while data := await conversation.chunk():
            await conversation.say(b"%x\r\n%b\r\n" % (len(data) + 5, b"echo " + data))
        await conversation.say(b"0\r\n\r\n")

    async def main() -> None:
        async with behind(talk) as server, door(tmp_path, masters=(server.port,)) as port:
            client = await connect(port)
            await client.say(b"POST /mesos/api/v1 HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n")
            first, fields = await client.head()
            assert first.endswith("200 OK")
            assert fields["content-type"] == "text/event-stream"
            for word in (b"one", b"two", b"three" * 10_000):
                await client.say(b"%x\r\n%b\r\n" % (len(word), word))
                got = await client.chunk()
                while len(got.replace(b"echo ", b"")) < len(word):  # a large one may come in several pieces
                    got += await client.chunk()
                assert got.startswith(b"echo ")
                assert got.replace(b"echo ", b"") == word
            await client.say(b"0\r\n\r\n")
            assert await client.chunk() == b""
            client.writer.close()

    on_the_loop(main)


def test_a_client_that_goes_ends_the_servers_stream(tmp_path: Path) -> None:
    ended = asyncio.Event()

    async def talk(conversation: Conversation) -> None:
        await conversation.head()
        await conversation.say(STREAM + b"3\r\none\r\n")
        await conversation.gone()
        ended.set()

    async def main() -> None:
        async with behind(talk) as server, door(tmp_path, masters=(server.port,)) as port:
            client = await connect(port)
            await client.say(get("/mesos/events"))
            await client.head()
            assert await client.chunk() == b"one"
            client.writer.close()
            await asyncio.wait_for(ended.wait(), PATIENCE)
            await until(lambda: server.open == 0)

    on_the_loop(main)


def test_a_client_that_goes_while_it_waits_ends_the_request(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def talk(conversation: Conversation) -> None:
        await conversation.head()
        asked.set()
        await conversation.gone()

    async def main() -> None:
        async with behind(talk) as server, door(tmp_path, masters=(server.port,)) as port:
            client = await connect(port)
            await client.say(get("/mesos/wait"))
            await asyncio.wait_for(asked.wait(), PATIENCE)
            client.writer.close()
            await until(lambda: server.open == 0)

    on_the_loop(main)


@pytest.mark.parametrize("chunked", [True, False])
def test_large_bodies_pass_whole_and_a_slow_reader_holds_the_sender_back(tmp_path: Path, chunked: bool) -> None:
    size = 64 << 20
    sent = 0
    block = bytes(range(256)) * 256

    async def talk(conversation: Conversation) -> None:
        nonlocal sent
        await conversation.head()
        head = STREAM if chunked else b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
        await conversation.say(head)
        while sent < size:
            await conversation.say(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
            sent += len(block)
        if chunked:
            await conversation.say(b"0\r\n\r\n")
        await conversation.gone()

    async def main() -> None:
        async with behind(talk) as server, door(tmp_path, masters=(server.port,)) as port:
            client = await connect(port)
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await client.say(get("/mesos/large", "Connection: close\r\n"))
            before = -1
            while sent != before or not sent:  # it stands still: buffers are full
                before = sent
                await asyncio.sleep(0.3)
            assert sent < size
            client.writer.transport.resume_reading()  # type: ignore[attr-defined]
            data = await asyncio.wait_for(client.reader.read(), PATIENCE)
            body = data.partition(b"\r\n\r\n")[2]
            assert (joined(body) if chunked else body) == block * (size // len(block))
            client.writer.close()

    on_the_loop(main)


def test_a_large_upload_passes_whole(tmp_path: Path) -> None:
    size, got = 32 << 20, 0

    async def talk(conversation: Conversation) -> None:
        nonlocal got
        _, fields = await conversation.head()
        while got < int(fields["content-length"]):
            got += len(await conversation.reader.read(65536))
            if got < 1 << 20:
                await asyncio.sleep(0)
        await conversation.say(OK)

    async def main() -> None:
        async with behind(talk) as server, door(tmp_path, masters=(server.port,)) as port:
            reply = await ask(port, "/mesos/large", method="POST", body=b"x" * size)
            assert (reply.status, got) == (200, size)

    on_the_loop(main)


def test_an_answer_before_the_end_of_the_body_arrives(tmp_path: Path) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.head()
        await conversation.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge")

    async def main() -> None:
        async with behind(talk) as server, door(tmp_path, masters=(server.port,)) as port:
            client = await connect(port)
            await client.say(b"POST /mesos/x HTTP/1.1\r\nHost: d\r\nContent-Length: 1000000\r\n\r\nbeginning")
            reply = parsed(await asyncio.wait_for(client.reader.read(), PATIENCE))
            assert (reply.status, reply.body, reply.fields["connection"]) == (413, b"large", "close")
            client.writer.close()

    on_the_loop(main)


def test_continue_is_the_servers_to_say(tmp_path: Path) -> None:
    async def talk(conversation: Conversation) -> None:
        _, fields = await conversation.head()
        assert fields["expect"] == "100-continue"
        await conversation.say(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await conversation.reader.readexactly(4) == b"body"
        await conversation.say(OK)

    async def main() -> None:
        async with behind(talk) as server, door(tmp_path, masters=(server.port,)) as port:
            client = await connect(port)
            await client.say(b"POST /mesos/x HTTP/1.1\r\nHost: d\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
            assert (await client.head())[0] == "HTTP/1.1 100 Continue"
            await client.say(b"body")
            assert (await client.head())[0] == "HTTP/1.1 200 OK"
            client.writer.close()

    on_the_loop(main)


def test_a_websocket_passes_both_ways(tmp_path: Path) -> None:
    async def talk(conversation: Conversation) -> None:
        _, fields = await conversation.head()
        assert (fields["upgrade"], fields["connection"]) == ("websocket", "Upgrade")
        await conversation.say(
            b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-A: b\r\n\r\nhello"
        )
        assert await conversation.reader.readexactly(5) == b"early"
        await conversation.say(b"\x00\xff" * 3)
        await conversation.gone()

    async def main() -> None:
        async with behind(talk) as server, door(tmp_path, masters=(server.port,)) as port:
            client = await connect(port)
            await client.say(get("/mesos/ws", "Upgrade: websocket\r\nConnection: Upgrade\r\n") + b"early")
            first, fields = await client.head()
            assert "101" in first
            assert (fields["upgrade"], fields["x-a"]) == ("websocket", "b")
            got = await asyncio.wait_for(client.reader.readexactly(11), PATIENCE)
            assert got == b"hello" + b"\x00\xff" * 3
            client.writer.close()
            await until(lambda: server.open == 0)

    on_the_loop(main)


def test_another_upgrade_is_a_plain_request(tmp_path: Path) -> None:
    async def main() -> None:
        async with answering({"/x": 1}) as server, door(tmp_path, masters=(server.port,)) as port:
            upgrade = "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings\r\n"
            reply = parsed(await raw(port, get("/mesos/x", upgrade) + get("/mesos/hidden")))
            assert reply.status == 200
            assert not {"upgrade", "http2-settings"} & server.asked[0][1].keys()
            assert len(server.asked) == 1

    on_the_loop(main)


def test_answers_without_a_body_and_of_old_clients(tmp_path: Path) -> None:
    documents = {"/none": (204, "", b""), "/same": (304, "ETag: x\r\n", b""), "/x": (200, "", b"12345")}

    async def main() -> None:
        async with answering(documents) as server, door(tmp_path, masters=(server.port,)) as port:
            assert (await ask(port, "/mesos/same")).status == 304
            head = await ask(port, "/mesos/x", method="HEAD")
            assert (head.status, head.fields["content-length"], head.body) == (200, "5", b"")
            old = parsed(await raw(port, b"GET /mesos/x HTTP/1.0\r\n\r\n"))
            assert (old.body, old.fields["connection"]) == (b"12345", "close")
            assert server.asked[-1][1]["host"] == f"127.0.0.1:{server.port}"

    on_the_loop(main)


def test_an_answer_that_ends_with_its_connection_is_whole(tmp_path: Path) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.head()
        await conversation.say(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")

    async def main() -> None:
        async with behind(talk) as server, door(tmp_path, masters=(server.port,)) as port:
            reply = await ask(port, "/mesos/x")
            assert (reply.body, reply.fields["transfer-encoding"]) == (b"until the end", "chunked")
            old = parsed(await raw(port, b"GET /mesos/x HTTP/1.0\r\n\r\n"))
            assert old.body == b"until the end"
            assert "transfer-encoding" not in old.fields

    on_the_loop(main)


@pytest.mark.parametrize(
    "begun",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nnonsense\r\n",
    ],
)
def test_an_answer_that_is_cut_off_is_seen_to_be(tmp_path: Path, begun: bytes) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.head()
        await conversation.say(begun)

    async def main() -> None:
        async with behind(talk) as server, door(tmp_path, masters=(server.port,)) as port:
            client = await connect(port)
            await client.say(get("/mesos/x"))
            data = b""
            try:
                data = await asyncio.wait_for(client.reader.read(), PATIENCE)
            except ConnectionResetError:
                return  # the end was no orderly one: seen
            assert not data.endswith(b"0\r\n\r\n")
            assert len(data.partition(b"\r\n\r\n")[2]) < 10 or b"chunked" in data

    on_the_loop(main)


@pytest.mark.parametrize(
    "nonsense",
    [
        b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", b"HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 600 + b"\r\n", b"HTTP/1.1 200 OK\r\nA: " + b"b" * 300_000 + b"\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    ],
)  # fmt: skip
def test_a_server_that_does_not_speak_http_is_a_bad_gateway(tmp_path: Path, nonsense: bytes) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.head()
        await conversation.say(nonsense)

    async def main() -> None:
        async with behind(talk) as server, door(tmp_path, masters=(server.port,)) as port:
            reply = await ask(port, "/mesos/x")
            assert reply.status == 502
            assert reply.body.startswith(b"502 Bad Gateway: 127.0.0.1:")

    on_the_loop(main)


def test_a_server_that_is_away_is_a_bad_gateway_and_a_silent_one_a_timeout(tmp_path: Path) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.gone()

    async def main() -> None:
        nobody = free_port()
        async with (
            behind(talk) as server,
            door(tmp_path, masters=(nobody,), net=server.port, answer_seconds=0.2) as port,
        ):
            away = await ask(port, "/mesos/x")
            assert (away.status, away.body) == (
                502,
                f"502 Bad Gateway: 127.0.0.1:{nobody}: Connection refused\n".encode(),
            )
            silent = await ask(port, "/net/x")
            assert silent.status == 504
            assert b"did not answer in 0.2 s" in silent.body

    on_the_loop(main)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST /mesos/x HTTP/1.1\r\nHost: d\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /mesos/x HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /mesos/x HTTP/1.1\r\nHost: d\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /mesos/x HTTP/1.0\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /mesos/x HTTP/1.1\r\nHost: d\r\nContent-Length: 3, 3\r\n\r\nabc", 400),
        (b"GET /mesos/x HTTP/1.1\r\nHost: d\r\nHost: e\r\n\r\n", 400),
        (b"GET /mesos/x HTTP/1.1\r\n\r\n", 400),
        (b"GET /mesos/x HTTP/1.1\r\nHost: d\r\n folded: x\r\n\r\n", 400),
        (b"GET /mesos/x HTTP/1.1\nHost: d\n\n", 400),
        (b"GET /mesos/x HTTP/2.0\r\nHost: d\r\n\r\n", 505),
        (b"GET /mesos/../x HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n", 400),
        (b"CONNECT other:443 HTTP/1.1\r\nHost: d\r\n\r\n", 405),
        (b"TRACE /mesos/x HTTP/1.1\r\nHost: d\r\n\r\n", 405),
        (b"HELLO\r\n\r\n", 400),
        (b"GET /mesos/" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: d\r\n\r\n", 414),
        (b"GET /mesos/x HTTP/1.1\r\nHost: d\r\n" + b"A: b\r\n" * 300 + b"\r\n", 431),
        (b"GET /mesos/x HTTP/1.1\r\nHost: d\r\nA: " + b"b" * 70_000, 431),
    ],
)
def test_a_request_that_two_readers_could_understand_differently_does_not_pass(
    tmp_path: Path, request_bytes: bytes, status: int
) -> None:
    async def main() -> None:
        async with answering({"/x": 1}) as server, door(tmp_path, masters=(server.port,)) as port:
            reply = parsed(await raw(port, request_bytes + b"GET /mesos/smuggled HTTP/1.1\r\nHost: d\r\n\r\n"))
            assert reply.status == status
            assert reply.fields["connection"] == "close"
            assert not server.asked

    on_the_loop(main)


def test_a_body_that_breaks_on_its_way_is_refused_and_the_server_let_go(tmp_path: Path) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.head()
        await conversation.gone()

    async def main() -> None:
        async with behind(talk) as server, door(tmp_path, masters=(server.port,)) as port:
            client = await connect(port)
            await client.say(b"POST /mesos/x HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
            await until(lambda: server.open == 1)
            await client.say(b"nonsense\r\n")
            reply = parsed(await asyncio.wait_for(client.reader.read(), PATIENCE))
            assert reply.status == 400
            await until(lambda: server.open == 0)
            client.writer.close()

    on_the_loop(main)


def test_a_way_that_leads_back_to_the_door_ends(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            answering({}) as master,
            door(tmp_path / "a", masters=(master.port,)) as inner,
            door(tmp_path / "b", masters=(master.port,), net=inner) as port,
        ):
            reply = await ask(port, "/net/mesos/x")
            assert reply.status == 508
            assert not master.asked

    on_the_loop(main)


def test_redirects_lead_where_they_mean_from_outside(tmp_path: Path) -> None:
    async def main() -> None:
        locations = {"/a": "/ui/", "/b": "", "/c": "https://elsewhere.test/"}
        answers = {path: (307, f"Location: {where}\r\n", b"") for path, where in locations.items()}
        async with answering(answers) as server, door(tmp_path, masters=(server.port,)) as port:
            answers["/b"] = (307, f"Location: //127.0.0.1:{server.port}/x\r\n", b"")
            found = [(await ask(port, f"/mesos{path}")).fields["location"] for path in locations]
            assert found == ["/mesos/ui/", "/mesos/x", "https://elsewhere.test/"]

    on_the_loop(main)
