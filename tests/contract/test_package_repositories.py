"""Repositories over HTTP: signed ones believed, all others refused with the reason, the list left as it was."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from tests.support.mesos_client import request
from tests.support.mesos_cluster import Daemon
from tests.support.package_service import Service, Shelf, index, package, service, shelf
from tests.support.ports import free_port
from tests.support.waiting import wait_until

from tortie.base.errors import Conflict, Invalid, Unavailable
from tortie.cli.main import main
from tortie.packages import signing
from tortie.packages.definition import read_entry
from tortie.packages.repositories import Repositories, utc_now
from tortie.packages.run import check_defaults
from tortie.packages.seal import sealed
from tortie.packages.sources import BUILT_IN, Trust
from tortie.packages.universe import Repository
from tortie.store.open import open_store

Story = Callable[[Service, Shelf], Awaitable[None]]
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the pairs `ours` and `other`."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "other"):
        signing.generate(folder / name, folder / f"{name}.pub")
    return folder


def signed(
    keys: Path, *, serial: int = 1, name: str = "ours", now: datetime | None = None, version: str = "1.0"
) -> tuple[bytes, bytes]:
    data = sealed([read_entry(package(version=version))], serial=serial, now=now or utc_now())
    return data, signing.sign(data, keys / name)


def put(web: Shelf, both: tuple[bytes, bytes]) -> None:
    web.pages["/repo"], web.pages["/repo.sig"] = both


def run(tmp_path: Path, keys: Path, story: Story, *, unsigned: bool = False, fresh: float = 0.0) -> None:
    async def whole() -> None:
        async with shelf({}) as web:
            trust = Trust([keys / "ours.pub"], [web.url] if unsigned else [])
            async with service(tmp_path, NOWHERE, trust=trust, fresh=fresh) as cosmos:
                await story(cosmos, web)

    asyncio.run(whole())


async def listed(cosmos: Service) -> list[str]:
    return [one["name"] for one in (await cosmos.ask("/package/repository/list")).body["repositories"]]


async def add(cosmos: Service, web: Shelf, name: str = "Signed") -> tuple[int, str, str]:
    """Status, type and message; type and message empty when it was taken."""
    answer = await cosmos.ask("/package/repository/add", {"name": name, "uri": f"{web.url}/repo"})
    return answer.status, answer.body.get("type", ""), answer.body.get("message", "")


def test_a_signed_repository_is_believed(tmp_path: Path, keys: Path) -> None:
    async def story(cosmos: Service, web: Shelf) -> None:
        put(web, signed(keys))
        assert (await add(cosmos, web))[0] == 200
        assert await listed(cosmos) == ["Tortie", "Signed"]
        found = await cosmos.ask("/package/describe", {"packageName": "foo"})
        assert found.body["package"]["version"] == "1.0"
        asked = web.asked[0][1]
        assert "application/vnd.dcos.universe.repo+json;charset=utf-8;version=v4" in asked["Accept"]
        assert asked["User-Agent"].startswith("cosmos/")

    run(tmp_path, keys, story)


def test_defaults_are_of_packages_that_some_repository_has(
    tmp_path: Path, keys: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with shelf({}) as web, aiohttp.ClientSession() as http:
            put(web, signed(keys))
            with closing(open_store(f"sqlite://{tmp_path}/store")) as store:
                there = [Repository("Signed", f"{web.url}/repo")]
                repositories = Repositories(store, http, trust=Trust([keys / "ours.pub"]), default=there)
                await check_defaults(repositories, {"foo": {}, "etcd": {}})
                await repositories.add(Repository("Ours", BUILT_IN))
                await repositories.delete("Signed", None)
                await check_defaults(repositories, {"foo": {}, "etcd": {}})
                with pytest.raises(Invalid, match=r"^--defaults: there is no package fop; did you mean foo\?$"):
                    await check_defaults(repositories, {"fop": {}})
                web.pages.clear()
                await check_defaults(repositories, {"fop": {}, "etcd": {}})

    asyncio.run(story())
    told = [record.getMessage() for record in caplog.records if "--defaults" in record.getMessage()]
    assert len(told) == 1, "who cannot know says so"
    assert "there is no package fop (as far as can be told: " in told[0]


def test_what_is_not_to_be_believed_is_refused_and_the_list_stays(tmp_path: Path, keys: Path) -> None:
    async def story(cosmos: Service, web: Shelf) -> None:
        good = signed(keys)
        stale = signed(keys, now=utc_now() - timedelta(days=40))
        lies: list[tuple[tuple[bytes, bytes], str]] = [
            (signed(keys, name="other"), "its signature is not of any key that is trusted here (ours.pub)"),
            ((good[0].replace(b"about foo", b"about f00"), good[1]), "its signature is not of any key"),
            ((good[0].replace(b'"1.0"', b'"6.6"'), good[1]), "its signature is not of any key"),
            ((good[0][:-5], good[1]), "its signature is not of any key"),
            ((good[0], b"%%%"), "its signature is not base64"),
            ((good[0], b"AAAA"), "its signature has 3 bytes instead of 64"),
            ((good[0], b""), "its signature has 0 bytes instead of 64"),
            (stale, "it expired at"),
            (_resigned(keys, {"packages": []}), "it is signed but has no serial"),
            (
                _resigned(keys, {"packages": [{"name": "A"}], "serial": 1, "expires": "2999-01-01T00:00:00Z"}),
                "package A",
            ),
            (_resigned(keys, [1]), "it is signed but has no serial"),
        ]
        for both, words in lies:
            put(web, both)
            status, kind, message = await add(cosmos, web)
            assert (status, kind) == (400, "RepositoryRefused"), words
            assert words in message
            assert message.startswith(f"Repository [Signed] at {web.url}/repo is refused: ")
        put(web, good)
        del web.pages["/repo.sig"]
        assert "it is not signed: " in (await add(cosmos, web))[2]
        assert await listed(cosmos) == ["Tortie"]

    run(tmp_path, keys, story)


def _resigned(keys: Path, value: object) -> tuple[bytes, bytes]:
    data = json.dumps(value).encode()
    return data, signing.sign(data, keys / "ours")


def test_a_repository_that_goes_back_is_refused(tmp_path: Path, keys: Path) -> None:
    async def story(cosmos: Service, web: Shelf) -> None:
        put(web, signed(keys, serial=5))
        assert (await add(cosmos, web))[0] == 200
        put(web, signed(keys, serial=6, version="1.1"))
        found = await cosmos.ask("/package/describe", {"packageName": "foo"})
        assert found.body["package"]["version"] == "1.1"
        put(web, signed(keys, serial=5))
        status, kind, message = await cosmos.refused("/package/describe", {"packageName": "foo"})
        assert (status, kind) == (400, "RepositoryRefused")
        assert "its serial 5 is older than 6" in message
        # Also by one that was taken out and comes again.
        gone = await cosmos.ask("/package/repository/delete", {"name": "Signed"})
        assert [one["name"] for one in gone.body["repositories"]] == ["Tortie"]
        assert "its serial 5 is older than 6" in (await add(cosmos, web))[2]

    run(tmp_path, keys, story)


def test_a_repository_that_is_cut_off_or_away(tmp_path: Path, keys: Path) -> None:
    async def story(cosmos: Service, web: Shelf) -> None:
        put(web, signed(keys))
        for path in ("/repo", "/repo.sig"):
            web.cut = {path}
            status, kind, message = await add(cosmos, web)
            assert status == 400
            assert kind == ("RepositoryUriConnection" if path == "/repo" else "RepositoryRefused")
            assert f"{web.url}/repo" in message
        web.cut = set()
        web.status = 500
        assert await add(cosmos, web) == (
            400,
            "UniverseClientHttpError",
            f"Unexpected upstream http error while fetching repository 'Signed' at {web.url}/repo: GET 500",
        )
        web.status = 200
        assert (await add(cosmos, web))[0] == 200
        web.status = 503
        assert (await cosmos.refused("/package/search"))[:2] == (500, "UniverseClientHttpError")
        asked = len(web.asked)
        waiting = await asyncio.gather(*(cosmos.repositories.universe() for _ in range(5)), return_exceptions=True)
        assert {str(one).rpartition(" ")[2] for one in waiting} == {"503"}
        assert len(web.asked) == asked + 1, "those who wait for the same reading are told how it ended"
        web.status = 200
        assert (await cosmos.ask("/package/search")).status == 200
        web.sent_on["/loop"] = "/loop"
        loop = await cosmos.ask("/package/repository/add", {"name": "Loop", "uri": f"{web.url}/loop"})
        assert (loop.status, loop.body["type"]) == (400, "RepositoryUriConnection")
        assert loop.body["data"]["cause"] == f"more than 5 redirects, the last of them from {web.url}/loop"
        away = await cosmos.ask("/package/repository/add", {"name": "Away", "uri": "http://127.0.0.1:1/repo"})
        assert (away.status, away.body["type"]) == (400, "RepositoryUriConnection")
        assert away.body["message"] == "Could not access data at URI for repository [Away]: http://127.0.0.1:1/repo"
        assert await listed(cosmos) == ["Tortie", "Signed"]

    run(tmp_path, keys, story)


def test_the_list_of_repositories(tmp_path: Path, keys: Path) -> None:
    async def story(cosmos: Service, web: Shelf) -> None:
        web.pages["/a"] = web.pages["/b"] = index(package())
        path = "/package/repository/add"
        first = {"name": "a", "uri": f"{web.url}/a"}
        added = await cosmos.ask(path, first | {"index": "0"})
        assert added.body["repositories"][0] == first
        assert await listed(cosmos) == ["a", "Tortie"]
        uri = f"{web.url}/a"
        refusals = [
            (first, f"Repository name [a] and URI [{uri}] are both already present in the list"),
            ({"name": "a", "uri": f"{web.url}/b"}, "Repository name [a] is already present in the list"),
            ({"name": "b", "uri": uri}, f"Repository URI [{uri}] is already present in the list"),
            (
                {"name": "b", "uri": f"{web.url}/b", "index": 3},
                "Index (3) is out of range. Index value must be between 0 and 2 inclusive.",
            ),
            (
                {"name": "b", "uri": "ftp://x.test/"},
                "Repository URI [ftp://x.test/] uses an unsupported scheme. Only http and https are supported",
            ),
            ({"name": "b", "uri": "file:///etc"}, "Repository URI [file:///etc] uses an unsupported scheme."),
            ({"name": "b", "uri": "nonsense"}, "URI for repository [b] has invalid syntax: nonsense"),
            (
                {"name": "b", "uri": f"{web.url}/b", "index": "-1"},
                "Index (-1) is out of range. Index value must be between 0 and 2 inclusive.",
            ),
            ({"name": "b", "uri": f"{web.url}/b", "index": "one"}, "Json decoding failure"),
            ({"name": "", "uri": f"{web.url}/b"}, "Json decoding failure"),
            ({"name": "b\n", "uri": f"{web.url}/b"}, "Json decoding failure"),
            ({"name": "b", "uri": "http://"}, "URI for repository [b] has invalid syntax: http://"),
            ({"name": "b", "uri": "http://x:y/"}, "URI for repository [b] has invalid syntax"),
            ({"name": "b", "uri": "http://a b/"}, "URI for repository [b] has invalid syntax"),
        ]
        for body, words in refusals:
            status, _, message = await cosmos.refused(path, body)
            assert status == 400
            assert message.startswith(words), message
        delete = "/package/repository/delete"
        for body, words in (
            ({}, "Must specify either the name or URI of the repository"),
            ({"name": "x"}, "Repository name [x] is not present in the list"),
            ({"uri": "u"}, "Repository URI [u] is not present in the list"),
            ({"name": "a", "uri": "u"}, "Neither repository name [a] nor URI [u] are present in the list"),
        ):
            assert (await cosmos.refused(delete, body))[2] == words
        assert await listed(cosmos) == ["a", "Tortie"]
        assert (await cosmos.ask(delete, {"uri": BUILT_IN})).status == 200
        assert (await cosmos.ask(delete, {"name": "a"})).body == {"repositories": []}
        assert await listed(cosmos) == []
        assert (await cosmos.ask("/package/search")).body == {"packages": []}
        back = await cosmos.ask(path, {"name": "Tortie", "uri": BUILT_IN})
        assert back.body == {"repositories": [{"name": "Tortie", "uri": BUILT_IN}]}

    run(tmp_path, keys, story, unsigned=True)


def test_two_who_change_the_list_at_once(tmp_path: Path, keys: Path) -> None:
    async def story(cosmos: Service, web: Shelf) -> None:
        names = [f"r{n}" for n in range(6)]
        for name in names:
            web.pages[f"/{name}"] = index(package())
        asked = [cosmos.ask("/package/repository/add", {"name": name, "uri": f"{web.url}/{name}"}) for name in names]
        answers = await asyncio.gather(*asked)
        taken = [name for name, answer in zip(names, answers, strict=True) if answer.status == 200]
        assert taken
        assert {answer.body["type"] for answer in answers if answer.status != 200} <= {"ConcurrentAccess"}
        assert sorted(await listed(cosmos)) == sorted(["Tortie", *taken])

    run(tmp_path, keys, story, unsigned=True)


def test_a_store_that_goes_away(tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise Unavailable("etcd://10.0.0.1:2379: connection refused")

    async def story(cosmos: Service, web: Shelf) -> None:
        put(web, signed(keys))
        with monkeypatch.context() as patch:
            for broken in ("commit", "get"):  # in the middle, then from the beginning
                patch.setattr(cosmos.repositories._store, broken, away)
                assert await add(cosmos, web) == (
                    503,
                    "ServiceUnavailable",
                    "Unable to complete request due to downstream service [store] unavailability: "
                    "etcd://10.0.0.1:2379: connection refused",
                )
            assert (await cosmos.refused("/package/search"))[:2] == (503, "ServiceUnavailable")
            assert (await cosmos.refused("/package/install", {"packageName": "hello"}))[0] == 503
        assert await listed(cosmos) == ["Tortie"]
        assert (await add(cosmos, web))[0] == 200

    run(tmp_path, keys, story)


def test_old_forms_a_zip_and_a_compressed_index(tmp_path: Path, keys: Path) -> None:
    about = {key: value for key, value in package().items() if key not in ("releaseVersion", "marathon", "config")}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("universe-2/repo/meta/index.json", '{"version": "2.0.0", "packages": []}')
        archive.writestr(
            "universe-2/repo/packages/F/foo/4/package.json", json.dumps(about | {"packagingVersion": "2.0"})
        )
        archive.writestr("universe-2/repo/packages/F/foo/4/marathon.json.mustache", "{}")

    async def story(cosmos: Service, web: Shelf) -> None:
        web.pages["/repo"] = out.getvalue()
        assert (await add(cosmos, web))[0] == 200
        found = (await cosmos.ask("/package/describe", {"packageName": "foo"})).body["package"]
        assert (found["releaseVersion"], found["packagingVersion"]) == (4, "2.0")
        web.pages["/repo"] = out.getvalue()[:-30]
        assert (await cosmos.refused("/package/search"))[1] == "RepositoryRefused"
        web.pages["/repo"] = gzip.compress(index(package()))
        assert (await cosmos.refused("/package/search"))[1] == "RepositoryRefused"

    run(tmp_path, keys, story, unsigned=True)


def test_our_own_repository_is_served_to_other_clusters(tmp_path: Path, keys: Path) -> None:
    async def story() -> None:
        now = [datetime(2026, 1, 1, tzinfo=UTC)]
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        async with service(tmp_path / "a", NOWHERE, key=keys / "ours", clock=lambda: now[0]) as giving:
            there = Repository("Theirs", f"{giving.url}/repository")
            trust = Trust([keys / "other.pub", keys / "ours.pub"])
            taking = service(
                tmp_path / "b", NOWHERE, repositories=[there], trust=trust, fresh=0.0, clock=lambda: now[0]
            )
            async with taking as cosmos:
                found = await cosmos.ask("/package/search", {"query": "etcd"})
                assert [one["name"] for one in found.body["packages"]] == ["etcd"]
                now[0] += timedelta(days=90)
                assert (await cosmos.ask("/package/search")).status == 200
            async with giving.http.get(there.uri) as reply:
                assert reply.headers["Content-Type"].startswith("application/vnd.dcos.universe.repo+json")
                assert reply.headers["Content-Encoding"] == "gzip"
                tag = reply.headers["ETag"]
            async with giving.http.get(there.uri, headers={"If-None-Match": tag}) as reply:
                assert reply.status == 304

    asyncio.run(story())


def test_what_needs_no_signature() -> None:
    trust = Trust(unsigned=["http://a.test/one", "http://b.test/"])
    assert trust.needs_none("http://a.test/one")
    assert trust.needs_none("http://a.test/one/two")
    assert trust.needs_none("http://b.test/x")
    for other in ("http://a.test/one/../two", "http://a.test/one/%2e%2E/two", "http://b.test/./x"):
        assert not trust.needs_none(other)
    for other in ("http://a.test/oneself", "http://a.test", "http://b.test.evil.test/", "https://a.test/one"):
        assert not trust.needs_none(other)


def test_keys(tmp_path: Path, keys: Path) -> None:
    data = b"x"
    signature = signing.sign(data, keys / "ours")
    assert signing.verify(data, signature, [keys / "other.pub", keys / "ours.pub"]) == keys / "ours.pub"
    with pytest.raises(Invalid):
        signing.verify(b"y", signature, [keys / "ours.pub"])
    with pytest.raises(Invalid):
        signing.verify(data, signature, [])
    with pytest.raises(Invalid):
        signing.verify(data, signature, [tmp_path / "none"])
    with pytest.raises(Conflict):
        signing.generate(keys / "ours", keys / "new.pub")
    assert (keys / "ours").stat().st_mode & 0o777 == 0o600
    signing.check_public(keys / "ours.pub")
    (tmp_path / "no-key").write_text("hello")
    for wrong in (tmp_path / "none", tmp_path / "no-key", keys / "ours"):
        with pytest.raises(Invalid):
            signing.check_public(wrong)
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "RSA", "-out", str(tmp_path / "rsa")], check=True, capture_output=True
    )
    with pytest.raises(Invalid):
        signing.sign(data, tmp_path / "rsa")


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)

    def tortie(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["tortie", "packages", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        said = capsys.readouterr()
        return int(caught.value.code or 0), said.out + said.err

    folder = tmp_path / "tree/packages/F/foo/0"
    folder.mkdir(parents=True)
    about = {key: value for key, value in package().items() if key not in ("releaseVersion", "marathon", "config")}
    (folder / "package.json").write_text(json.dumps(about))
    assert tortie("keygen", "key")[0] == 0
    assert tortie("keygen", "key")[0] == 4
    code, said = tortie("build", "tree", "index.json", "--key", "key")
    assert (code, said) == (0, said)
    assert said.startswith("1 packages")
    code, said = tortie("check", "index.json", "--trust", "key.pub")
    assert code == 0
    assert "signed with key.pub" in said
    with (tmp_path / "index.json").open("ab") as file:
        file.write(b" ")
    assert tortie("check", "index.json", "--trust", "key.pub")[0] == 2
    (folder / "package.json").write_text("{")
    before = (tmp_path / "index.json").read_bytes()
    code, said = tortie("build", "tree", "index.json", "--key", "key")
    assert code == 2
    assert "foo/0/package.json" in said
    assert (tmp_path / "index.json").read_bytes() == before
    assert tortie("run", "--listen", "7070")[0] == 2
    assert tortie("run", "--repository", "x")[0] == 2
    assert tortie("run", "--repository", "x=ftp://y")[0] == 2
    assert tortie("run", "--master", "here")[0] == 2
    for defaults in ("[]", '{"calico": 7}', "{", "nowhere.json"):
        assert tortie("run", "--defaults", defaults)[0] == 2
    code, said = tortie("run", "--trust", "index.json", "--store", f"sqlite://{tmp_path}/s")
    assert code == 2
    assert "index.json" in said


def test_the_program(tmp_path: Path) -> None:
    """Behind the door the API, for other clusters the repository and nothing else; it ends cleanly when told."""
    port, shared = free_port(), free_port()
    arguments = ("packages", "run", "--listen", f"127.0.0.1:{port}", "--share", f"127.0.0.1:{shared}")
    daemon = Daemon(
        port, tmp_path / "log", *arguments, "--store", f"sqlite://{tmp_path}/s", "--keys", str(tmp_path / "k")
    )
    with daemon.running():
        status, text, _ = request(port, "GET", "/capabilities")
        assert (status, json.loads(text)) == (200, {"capabilities": [{"name": "PACKAGE_MANAGEMENT"}]})
        wait_until(lambda: request(shared, "GET", "/repository")[0] == 200, message="the shared repository")
        _, data, _ = request(shared, "GET", "/repository")
        _, signature, _ = request(shared, "GET", "/repository.sig")
        signing.verify(data.encode(), signature.encode(), [tmp_path / "k" / "signing-key.pub.pem"])
        assert request(port, "GET", "/repository")[0] == 404
        assert request(shared, "POST", "/package/search", {})[0] == 404
        assert daemon.stop() == 0
        first = (tmp_path / "k" / "signing-key.pem").read_bytes()
        daemon.start()
        assert (tmp_path / "k" / "signing-key.pem").read_bytes() == first
