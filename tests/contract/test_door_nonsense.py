"""Requests that are almost right: the door answers or refuses, serves on, and passes on none that is not whole."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from pathlib import Path

import pytest
from tests.support.door_live import answering, ask, connect, door, on_the_loop
from tests.support.waiting import PATIENCE

from tortie.door import run

RIGHT = [
    b"GET /mesos/x HTTP/1.1\r\nHost: d\r\n\r\n",
    b"POST /mesos/x HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"POST /acs/api/v1/auth/login HTTP/1.1\r\nHost: d\r\nContent-Length: 32\r\n\r\n"
    + b'{"uid":"ana","password":"wrong"}',
    b"GET /service/a/b/c?x=y HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n",
    b"GET /mesos/ws HTTP/1.1\r\nHost: d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nabc",
    b"GET /agent/S0/x HTTP/1.1\r\nHost: d\r\nCookie: dcos-acs-auth-cookie=x\r\nAuthorization: token=z\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: d\r\nAccept: text/html\r\n\r\n",
    b"PUT /mesos/x HTTP/1.1\r\nHost: d\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody",
]
PIECES = [
    *(
        b"\r\n",
        b"\n",
        b"\x00",
        b"%2e%2e",
        b"%00",
        b"\xff\xfe",
        b"/../",
        b"//",
        b"?",
        b"#",
        b" ",
        b":",
        b"[::1]",
        b"://",
    ),
    *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"Connection: upgrade\r\nUpgrade: h2c\r\n"),
    *(b"HTTP/1.0", b"Host: e\r\n", b"HEAD ", b"a" * 70_000, b"0\r\n\r\n"),
]
SECONDS = ("HEAD_SECONDS", "IDLE_SECONDS", "STALL_SECONDS")
WHOLE = re.compile(r"[A-Z-]+ /[!-~]* HTTP/1\.1")


def almost(dice: random.Random) -> bytes:
    text = bytearray(dice.choice(RIGHT))
    for _ in range(dice.randint(0, 4)):
        at, kind = dice.randint(0, len(text)), dice.random()
        if kind < 0.4:
            text[at:at] = dice.choice(PIECES)
        elif kind < 0.6:
            del text[at : at + dice.randint(1, 20)]
        elif kind < 0.8 and at < len(text):
            text[at] = dice.randint(0, 255)
        else:
            text[at:at] = dice.choice(RIGHT)
    return bytes(text)


def test_nonsense_is_survived(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "SWEEP", 0.05)
    for name in SECONDS:
        monkeypatch.setattr(run, name, 0.3)  # what is not whole comes to its end soon
    dice = random.Random(7)
    slave = {"id": "S0", "pid": "slave(1)@127.0.0.1:1"}
    says = {"/x": 1, "/master/state-summary": {"frameworks": [], "slaves": [slave]}}

    async def main() -> None:
        async with answering(says) as server, door(tmp_path, masters=(server.port,)) as port:

            async def one() -> None:
                data = b"".join(almost(dice) for _ in range(dice.randint(1, 3)))
                step = dice.choice([1 << 20, 100, 7])
                client = await connect(port)
                # The door may end the connection at any moment.
                with contextlib.suppress(OSError, RuntimeError):
                    for at in range(0, min(len(data), step * 200), step):
                        await client.say(data[at : at + step])
                    await asyncio.wait_for(client.reader.read(), PATIENCE)
                client.writer.close()

            for _ in range(8):
                await asyncio.gather(*(one() for _ in range(50)))
            for name in SECONDS:
                monkeypatch.setattr(run, name, PATIENCE)
            assert (await ask(port, "/mesos/x")).status == 200
            assert [first for first, _ in server.asked if not WHOLE.fullmatch(first)] == []

    on_the_loop(main)
    assert [record.getMessage() for record in caplog.records if record.name == "door"] == []
