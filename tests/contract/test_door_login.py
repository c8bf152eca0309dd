"""The log-in of the door."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.door_live import Reply, answering, ask, connect, door, on_the_loop
from tests.support.waiting import PATIENCE

from tortie.base.errors import Invalid
from tortie.door import tokens

LOGIN = "/acs/api/v1/auth/login"
STATIC = "a-static-token-of-the-lab"
DOOR = [sys.executable, "-c", "from tortie.cli.main import main; main()", "door"]


@pytest.fixture
def users(tmp_path: Path) -> Path:
    path = tmp_path / "users"
    path.write_text(tokens.password_line("ana", "secret", b"0123456789abcdef") + "\n")
    return path


async def log_in(port: int, **given: str) -> Reply:
    return await ask(port, LOGIN, method="POST", body=json.dumps(given).encode())


def test_only_those_who_are_known_pass_and_no_server_sees_their_token(tmp_path: Path, users: Path) -> None:
    async def main() -> None:
        async with answering({"/x": 1}) as server, door(tmp_path, masters=(server.port,), users=users) as port:
            refused = await ask(port, "/mesos/x")
            assert (refused.status, refused.fields["www-authenticate"]) == (401, "acsjwt")
            assert refused.body.startswith(b"401 Unauthorized: ")
            for lines in (
                "Authorization: token=x.y.z\r\n",
                "Authorization: Basic YTpi\r\n",
                "Cookie: dcos-acs-auth-cookie=x\r\n",
            ):
                assert (await ask(port, "/mesos/x", lines=lines)).status == 401
            assert not server.asked

            reply = await log_in(port, uid="ana", password="secret")
            token = reply.json["token"]
            cookie = reply.fields["set-cookie"]
            assert cookie.startswith(f"dcos-acs-auth-cookie={token};")
            assert "HttpOnly" in cookie
            assert "samesite=lax" in cookie.lower()
            for lines in (
                f"Authorization: token={token}\r\n",
                f"Authorization: Bearer {token}\r\n",
                f"Cookie: a=b; dcos-acs-auth-cookie={token}\r\n",
            ):
                assert (await ask(port, "/mesos/x", lines=lines)).status == 200
            assert all(token not in str(asked) for asked in server.asked)
            assert server.asked[2][1]["cookie"] == "a=b"
            # A header wins over a cookie, and two are one too many.
            both = f"Cookie: dcos-acs-auth-cookie={token}\r\nAuthorization: token=x\r\n"
            assert (await ask(port, "/mesos/x", lines=both)).status == 401
            assert (await ask(port, "/mesos/x", lines=f"Authorization: token={token}\r\n" * 2)).status == 401

    on_the_loop(main)


def test_what_is_told_before_the_log_in_and_what_is_not(tmp_path: Path, users: Path) -> None:
    async def main() -> None:
        async with door(tmp_path, users=users) as port:
            for path in (
                "/login",
                "/dcos-metadata/dcos-version.json",
                "/acs/api/v1/auth/providers",
                "/door/static/cat.svg",
            ):
                assert (await ask(port, path)).status == 200, path
            for path in (
                "/",
                "/metadata",
                "/door/board",
                "/door/events",
                "/system/health/v1",
                "/service/x",
                "/capabilities",
                "/none",
                "/login/x",
            ):
                assert (await ask(port, path)).status == 401, path
            head = await ask(port, "/pkgpanda/active.buildinfo.full.json", method="HEAD")
            assert (head.status, head.fields["www-authenticate"]) == (401, "acsjwt")
            for path in ("/door/static/..%2f..%2fmetadata", "/login/../metadata", "/%2e%2e/metadata"):
                assert (await ask(port, path)).status == 400, path
            assert (await ask(port, "/%6Detadata")).status == 401
            providers = (await ask(port, "/acs/api/v1/auth/providers")).json
            assert providers["dcos-users"]["authentication-type"] == "dcos-uid-password"
            page = await ask(port, "/mesos/x", lines="Accept: text/html,*/*\r\n")
            assert (page.status, page.fields["www-authenticate"]) == (401, "acsjwt")
            assert b'name="password"' in page.body

    on_the_loop(main)


def test_wrong_passwords_are_refused_and_soon_have_to_wait(tmp_path: Path, users: Path) -> None:
    async def main() -> None:
        async with door(tmp_path, users=users) as port:
            said = []
            for n in range(30):  # the waits double: a slow machine meets one of them, too
                said.append(await log_in(port, uid="ana" if n % 2 else f"nobody{n}", password="wrong"))
                if said[-1].status == 429:
                    break
            assert {reply.body for reply in said[:-1]} == {b"401 Unauthorized: Invalid username or password given\n"}
            assert said[-1].status == 429
            assert int(said[-1].fields["retry-after"]) >= 1

    on_the_loop(main)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"uid": 1}', b'{"uid": "ana"}', b"\xff", b'{"uid": "ana", "password": ""}', b"{" * 70_000],
)
def test_a_log_in_that_is_none(tmp_path: Path, users: Path, body: bytes) -> None:
    async def main() -> None:
        async with door(tmp_path, users=users) as port:
            reply = await ask(port, LOGIN, method="POST", body=body)
            assert reply.status == (413 if len(body) > 65536 else 400)

    on_the_loop(main)


def test_a_token_outlives_the_door_but_not_its_user(tmp_path: Path, users: Path) -> None:
    token = ""

    async def first() -> None:
        nonlocal token
        async with door(tmp_path, users=users) as port:
            token = (await log_in(port, uid="ana", password="secret")).json["token"]

    async def known(port: int, given: str) -> bool:
        return (await ask(port, "/metadata", lines=f"Authorization: token={given}\r\n")).status == 200

    async def second() -> None:
        async with door(tmp_path, users=users) as port:
            assert await known(port, token)
            assert await known(port, (await log_in(port, token=token)).json["token"])
            assert (await log_in(port, token="x.y.z")).status == 401
            out = await ask(port, "/acs/api/v1/auth/logout")
            assert 'dcos-acs-auth-cookie=""' in out.fields["set-cookie"]

    async def third() -> None:
        async with door(tmp_path, users=users) as port:
            assert not await known(port, token)

    on_the_loop(first)
    on_the_loop(second)
    users.write_text(tokens.password_line("bob", "secret", b"0123456789abcdef"))
    on_the_loop(third)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_a_static_token_needs_no_user(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(STATIC + "\n")

    async def main() -> None:
        async with door(tmp_path, token=path) as port:
            assert (await ask(port, "/metadata", lines=f"Authorization: token={STATIC}\r\n")).status == 200
            assert (await log_in(port, token=STATIC)).json == {"token": STATIC}
            assert (await ask(port, "/metadata", lines=f"Authorization: token={STATIC}x\r\n")).status == 401
            assert (await log_in(port, uid="token", password=STATIC)).status == 401

    on_the_loop(main)


def test_another_site_cannot_use_a_browsers_cookie(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(STATIC)

    async def main() -> None:
        async with answering({"/x": 1}) as server, door(tmp_path, masters=(server.port,), token=path) as port:
            cookie = f"Cookie: dcos-acs-auth-cookie={STATIC}\r\n"

            async def posted(lines: str) -> int:
                return (await ask(port, "/mesos/x", method="POST", body=b"{}", lines=lines)).status

            assert await posted(cookie + "Origin: http://door.test\r\n") == 200
            assert await posted(cookie + "Origin: http://evil.test\r\n") == 403
            assert await posted(cookie + "Origin: null\r\n") == 403
            assert await posted(f"Authorization: token={STATIC}\r\nOrigin: http://evil.test\r\n") == 200
            upgrade = cookie + "Origin: http://evil.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            client = await connect(port)
            await client.say(f"GET /mesos/ws HTTP/1.1\r\nHost: door.test\r\n{upgrade}\r\n".encode())
            assert " 403 " in (await asyncio.wait_for(client.head(), PATIENCE))[0]
            client.writer.close()

    on_the_loop(main)


def test_without_a_log_in_nothing_is_asked_for(tmp_path: Path) -> None:
    async def main() -> None:
        async with door(tmp_path) as port:
            assert (await ask(port, "/metadata")).status == 200
            assert (await log_in(port, uid="a", password="b")).status == 404
            assert b"No log-in here" in (await ask(port, "/login")).body

    on_the_loop(main)


@pytest.mark.parametrize(
    ("name", "text"), [("users", "ana:plain\n"), ("users", None), ("token", "short"), ("token", None)]
)
def test_a_file_that_cannot_be_used_is_named_and_nothing_is_served(tmp_path: Path, name: str, text: str | None) -> None:
    path = tmp_path / "given"
    if text is not None:
        path.write_text(text)

    async def main() -> None:
        given = {name: path}
        with pytest.raises(Invalid) as found:
            async with door(tmp_path, users=given.get("users"), token=given.get("token")):
                raise AssertionError("it serves")
        assert name == "token" or str(path) in str(found.value)

    on_the_loop(main)


def run(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([*DOOR, *words], input=stdin, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_a_line_of_the_users_file_is_made_by_a_command() -> None:
    done = run("password", "ana", stdin="tr1cky\n")
    assert done.returncode == 0
    assert tokens.matches("tr1cky", tokens.users_of(done.stdout)["ana"])
    assert run("password", "a:b", stdin="x\n").returncode == 2
    assert run("password", "ana", stdin="\n").returncode == 2


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "--master"),
        (["--master", "ftp://x"], 2, "--master ftp://x: not an http or https address"),
        (["--master", "a:1", "--marathon", "http://a:99999"], 2, "--marathon http://a:99999"),
        (["--master", "a:1", "--listen", "a"], 2, "--listen a: ADDRESS:PORT is expected"),
        (["--master", "a:1", "--auth-credentials", "x"], 2, "--auth-credentials is not USER:PASSWORD"),
        (["--master", "a:1", "--link", "x"], 2, "--link x: NAME=URL is expected"),
        (["--master", "a:1", "--link", "Shop=:1/", "--ask", "Shp=http://a/"], 2, "did you mean Shop?"),
        (["--master", "a:1", "--link", "Shop=:1/", "--ask", "Shop=a"], 2, "--ask a: not an http or https address"),
        (["--master", "a:1", "--users", "/nonexistent/users"], 2, "/nonexistent/users: No such file"),
        (["--master", "a:1", "--tls", "/nonexistent/pem"], 2, "/nonexistent/pem: No such file"),
    ],
)
def test_options_that_cannot_be_are_named(tmp_path: Path, words: list[str], code: int, said: str) -> None:
    done = run("run", *words, "--state", os.fspath(tmp_path / "state"))
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
