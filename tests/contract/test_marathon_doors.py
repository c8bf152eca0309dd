"""Who gets in: credentials, TLS, pages of other sites, and requests that a Marathon passes on to the one that leads."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from tests.contract.test_marathon_process import start
from tests.support.ports import free_port
from tests.support.tls import authority
from tests.support.waiting import until

from tortie.base.errors import Invalid
from tortie.framework.leader import Leadership
from tortie.marathon.guard import authorized
from tortie.marathon.standby import Door
from tortie.marathon.world import KEYS, LEADER
from tortie.store.open import open_store
from tortie.store.port import Put
from tortie.web.serve import Tls, serve, tcp_listener


def test_https_with_credentials_and_foreign_pages(tmp_path: Path) -> None:
    made = authority(tmp_path)
    pem = tmp_path / "both.pem"
    pem.write_bytes(made.cert.read_bytes() + made.key.read_bytes())

    async def story() -> None:
        port, master = free_port(), free_port()
        process = await start(
            *("--master", f"127.0.0.1:{master}", "--store", f"sqlite://{tmp_path}/store", "--disable-http"),
            *("--https-port", str(port), "--https-address", "127.0.0.1", "--hostname", "127.0.0.1"),
            *("--ssl-keystore-path", str(pem), "--access-control-allow-origin", "https://pages.test"),
            MESOSPHERE_HTTP_CREDENTIALS="me:s3:cret",
        )
        url = f"https://127.0.0.1:{port}"
        trust = ssl.create_default_context(cafile=made.ca)
        me = {"Authorization": "Basic " + base64.b64encode(b"me:s3:cret").decode()}
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session:

            async def ready() -> bool:
                try:
                    async with session.get(f"{url}/v2/leader", headers=me) as reply:
                        return reply.status == 200
                except aiohttp.ClientError:
                    return False

            await until(ready)
            for path in ("/ping", "/v2/apps", "/ui/", "/nowhere"):
                for wrong in ({}, {"Authorization": "Basic bWU6c2VjcmV0"}):
                    async with session.get(url + path, headers=wrong) as reply:
                        challenge = reply.headers["WWW-Authenticate"]
                        assert (reply.status, challenge) == (401, 'basic realm="Mesosphere"')
            origin = {"Origin": "https://pages.test", "Access-Control-Request-Headers": "X-One"}
            async with session.get(f"{url}/v2/apps", headers=me | origin) as reply:
                assert reply.headers["Access-Control-Allow-Origin"] == "https://pages.test"
                assert reply.headers["Access-Control-Allow-Headers"] == "X-One"
                assert reply.headers["X-Marathon-Leader"] == url
            async with session.get(f"{url}/v2/info", headers=me | {"Origin": "https://evil.test"}) as reply:
                assert "Access-Control-Allow-Origin" not in reply.headers
                assert (await reply.json())["http_config"]["https_port"] == port
        process.terminate()
        assert await process.wait() == 0

    asyncio.run(story())


@pytest.mark.parametrize(
    ("header", "ok"),
    [
        ("Basic bWU6cw==", True),
        ("basic  bWU6cw== ", True),
        ("Basic bWU6dA==", False),
        ("Basic bWU6cw", False),
        ("Basic \x00", False),
        ("Basic", False),
        ("Bearer bWU6cw==", False),
        ("", False),
    ],
)
def test_headers_that_let_in(header: str, ok: bool) -> None:
    assert authorized(header, "me:s") == ok


def test_certificates_that_cannot_be_used_are_refused_by_name(tmp_path: Path) -> None:
    made = authority(tmp_path)
    java = tmp_path / "java.jks"
    java.write_bytes(b"\xfe\xed\xfe\xed\0\0\0\2")
    cases = {
        java: "is a Java keystore",
        tmp_path / "none.pem": "No such file",
        made.key: "no certificate with its key",
        made.cert: "no certificate with its key",
    }
    for path, text in cases.items():
        with pytest.raises(Invalid, match=text):
            Tls(path).check()


async def standing_by(directory: Path, leader: str, story: Callable[[str, str], Awaitable[None]]) -> None:
    """A door of which `leader` is said to lead."""
    store = open_store(f"sqlite://{directory}/store")
    store.commit([Put(LEADER, leader.encode())])
    listener = tcp_listener("127.0.0.1", 0)
    name = f"127.0.0.1:{listener.getsockname()[1]}"
    door = Door(Leadership(store, name, KEYS))
    serving = asyncio.ensure_future(serve(door, [listener]))
    try:
        await story(f"http://{name}", name)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await door.close()
        store.close()


def test_a_leader_that_cannot_be_asked(tmp_path: Path) -> None:
    async def said(url: str, _name: str) -> None:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/ping") as reply:
            heard.append((reply.status, await reply.text()))

    async def story() -> None:
        await standing_by(tmp_path, f"127.0.0.1:{free_port()}", said)
        rude = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
        await standing_by(tmp_path, f"127.0.0.1:{rude.sockets[0].getsockname()[1]}", said)
        rude.close()

    heard: list[tuple[int, str]] = []
    asyncio.run(story())
    assert heard == [
        (503, "Connection to leader refused.\n"),
        (502, "Failed to successfully establish a connection to the leader.\n"),
    ]


def test_a_request_that_comes_back_is_not_passed_on_again(tmp_path: Path) -> None:
    async def asked(url: str, name: str) -> None:
        headers = {"X-Marathon-Via": f"1.1 {name}"}
        async with aiohttp.ClientSession() as session, session.get(f"{url}/ping", headers=headers) as reply:
            assert (reply.status, await reply.text()) == (502, "Detected proxying loop.\n")

    asyncio.run(standing_by(tmp_path, f"127.0.0.1:{free_port()}", asked))


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--disable-http"], 2, "nothing would be served"),
        (["--http-credentials", "nobody"], 2, "USER:PASSWORD"),
        (["--http-realm", 'a"b'], 2, "without quotes"),
        (["--ssl-keystore-path", "{dir}/none.pem", "--http-port", "{port}"], 2, "No such file"),
    ],
)
def test_doors_that_cannot_be_made(tmp_path: Path, arguments: list[str], code: int, text: str) -> None:
    async def story() -> None:
        filled = [part.format(dir=tmp_path, port=free_port()) for part in arguments]
        process = await start("--master", "h:1", "--store", f"sqlite://{tmp_path}/store", *filled)
        assert process.stderr is not None
        said = (await process.stderr.read()).decode()
        assert (await process.wait(), text in said) == (code, True), said
        assert "Traceback" not in said

    asyncio.run(story())
