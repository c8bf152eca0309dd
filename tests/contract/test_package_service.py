"""Cosmos' API with a real Marathon behind it: packages installed, updated, uninstalled; and what is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.support.marathon_live import Live, marathon
from tests.support.mesos_client import Framework
from tests.support.mesos_cluster import Daemon
from tests.support.package_service import Service, Shelf, index, package, service, shelf
from tests.support.ports import free_port
from tests.support.scheduler_master import Agent, SchedulerMaster

from tortie.packages.repositories import DEFAULT
from tortie.packages.sources import Trust
from tortie.packages.universe import Repository

Story = Callable[[Service, Live], Awaitable[None]]
TWO = '{"id": "/{{foo.name}}-2", "cmd": "sleep {{foo.seconds}}", "cpus": {{foo.cpus}}, "mem": 32}'
ENTRIES = (
    package(version="1.0", release=0, postInstallNotes="it starts", postUninstallNotes="it is gone"),
    package("bare", template=None, config=None),
    package(
        "needy", template='{"id": "/needy", "cmd": "x", "labels": {"TORTIE_PACKAGE_NEEDS": "foo, other"}}', config=None
    ),
    package("managed", template=None, config=None, packagingVersion="5.0", manager={"packageName": "boss"}),
    package("broken", template='{"id": "/broken", "instances": -1}', config=None),
)


def run(tmp_path: Path, story: Story, *entries: dict[str, Any]) -> None:
    async def whole() -> None:
        pages = {"/repo": index(*(entries or ENTRIES))}
        async with shelf(pages) as web, marathon(tmp_path) as live:
            here = Repository("Test", f"{web.url}/repo")
            trust = Trust(unsigned=[web.url])
            master = f"127.0.0.1:{live.master.port}"
            async with service(tmp_path, live.url, [master], repositories=[*DEFAULT, here], trust=trust) as found:
                await story(found, live)

    asyncio.run(whole())


async def ids(live: Live) -> list[str]:
    return sorted(app["id"] for app in (await live.call("GET", "/v2/apps")).body["apps"])


def test_a_package_from_its_search_to_its_end(tmp_path: Path) -> None:
    async def story(cosmos: Service, live: Live) -> None:
        answer = await cosmos.ask("/package/search", {"query": "FOO"})
        assert answer.kind == "application/vnd.dcos.package.search-response+json;charset=utf-8;version=v1"
        [found] = answer.body["packages"]
        assert (found["name"], found["currentVersion"], found["versions"]) == ("foo", "1.0", {"1.0": "0"})
        rendered = await cosmos.ask("/package/render", {"packageName": "foo", "options": {"foo": {"seconds": 7}}})
        assert rendered.body["marathonJson"]["cmd"] == "sleep 7"
        assert await ids(live) == []

        installed = await cosmos.ask("/package/install", {"packageName": "foo"})
        assert installed.status == 200
        assert installed.body == {
            "packageName": "foo",
            "packageVersion": "1.0",
            "appId": "/foo",
            "postInstallNotes": "it starts",
        }
        app = (await live.call("GET", "/v2/apps/foo")).body["app"]
        assert app["cmd"] == "sleep 1000"
        assert app["labels"]["DCOS_PACKAGE_NAME"] == "foo"

        assert await cosmos.refused("/package/install", {"packageName": "foo"}) == (
            409,
            "PackageAlreadyInstalled",
            "Package is already installed",
        )
        again = await cosmos.ask("/package/install", {"packageName": "foo", "appId": "other/foo"}, version=1)
        assert again.body == {"packageName": "foo", "packageVersion": "1.0", "appId": "/other/foo"}

        listed = (await cosmos.ask("/package/list")).body["packages"]
        assert [one["appId"] for one in listed] == ["/foo", "/other/foo"]
        assert listed[0]["packageInformation"]["packageDefinition"]["description"] == "about foo"
        assert (await cosmos.ask("/package/list", {"appId": "other/foo"})).body["packages"] == listed[1:]
        assert (await cosmos.ask("/package/list", {"packageName": "fo"})).body["packages"] == []

        status, kind, message = await cosmos.refused("/package/uninstall", {"packageName": "foo"})
        assert (status, kind) == (400, "AmbiguousAppId")
        assert message == "Multiple apps named [foo] are installed: [/foo, /other/foo]"
        gone = await cosmos.ask("/package/uninstall", {"packageName": "foo", "appId": "foo"})
        assert gone.body["results"] == [
            {"packageName": "foo", "appId": "/foo", "packageVersion": "1.0", "postUninstallNotes": "it is gone"}
        ]
        rest = await cosmos.ask("/package/uninstall", {"packageName": "foo", "all": True})
        assert [one["appId"] for one in rest.body["results"]] == ["/other/foo"]
        await live.settled()
        assert await ids(live) == []
        assert await cosmos.refused("/package/uninstall", {"packageName": "foo"}) == (
            400,
            "PackageNotInstalled",
            "Package [foo] is not installed",
        )

    run(tmp_path, story)


def test_what_cannot_be_installed_leaves_no_app(tmp_path: Path) -> None:
    async def story(cosmos: Service, live: Live) -> None:
        foo = {"packageName": "foo"}
        refusals = [
            ({"packageName": "fop"}, "PackageNotFound", "Package [fop] not found"),
            (foo | {"packageVersion": "9"}, "VersionNotFound", "Version [9] of package [foo] not found"),
            (foo | {"options": {"foo": {"seconds": 0}}}, "JsonSchemaMismatch", "Options JSON failed validation"),
            ({"packageName": "needy", "options": {"a": 1}}, "OptionsNotAllowed", "No schema available"),
            ({"packageName": "managed"}, "CustomPackageManagerNotFound", "by the service of package [boss]"),
            (foo | {"appId": "A B"}, "json_error", "is not the id of an app"),
            ({"packageName": "broken"}, "MarathonBadResponse", "Object is not valid"),
        ]
        for body, kind, words in refusals:
            answer = await cosmos.ask("/package/install", body)
            assert (answer.status, answer.body["type"]) == (400, kind), answer
            assert words in answer.body["message"]
        details = (await cosmos.ask("/package/install", {"packageName": "broken"})).body["data"]["errors"]
        assert details[0]["path"] == "/instances"
        both = await cosmos.ask("/package/install", foo | {"options": {"foo": {"seconds": "x", "name": 1}}})
        assert [one["instance"]["pointer"] for one in both.body["data"]["errors"]] == ["/foo/name", "/foo/seconds"]
        bare = await cosmos.ask("/package/install", {"packageName": "bare"})
        assert (bare.status, "appId" in bare.body) == (200, False)
        assert (await cosmos.refused("/package/install", {"packageName": "bare"}, version=1))[1] == (
            "ServiceMarathonTemplateNotFound"
        )
        assert await ids(live) == []

    run(tmp_path, story)


def test_what_another_needs_stays(tmp_path: Path) -> None:
    async def story(cosmos: Service, live: Live) -> None:
        for name in ("foo", "needy"):
            assert (await cosmos.ask("/package/install", {"packageName": name})).status == 200
        status, kind, message = await cosmos.refused("/package/uninstall", {"packageName": "foo"})
        assert (status, kind) == (409, "PackageInUse")
        assert "needed by [/needy]" in message
        assert await ids(live) == ["/foo", "/needy"]
        # One of two is not the last one.
        assert (await cosmos.ask("/package/install", {"packageName": "foo", "appId": "foo-b"})).status == 200
        assert (await cosmos.ask("/package/uninstall", {"packageName": "foo", "appId": "foo-b"})).status == 200
        assert (await cosmos.ask("/package/uninstall", {"packageName": "foo", "force": True})).status == 200
        await live.settled()
        assert await ids(live) == ["/needy"]

    run(tmp_path, story)


def test_an_installed_package_is_updated(tmp_path: Path) -> None:
    async def story(cosmos: Service, live: Live) -> None:
        options = {"foo": {"seconds": 500}}
        installed = {"packageName": "foo", "packageVersion": "1.0", "options": options, "appId": "mine"}
        assert (await cosmos.ask("/package/install", installed)).status == 200
        await live.settled()
        about = (await cosmos.ask("/cosmos/service/describe", {"appId": "mine"})).body
        assert (about["upgradesTo"], about["downgradesTo"]) == (["2.0"], [])
        assert about["userProvidedOptions"] == options
        assert about["resolvedOptions"]["foo"] == {"name": "foo", "seconds": 500, "cpus": 0.1}

        update: dict[str, Any] = {"appId": "/mine", "options": {"foo": {"cpus": 0.2}}}
        changed = (await cosmos.ask("/service/update", update)).body
        assert changed["resolvedOptions"]["foo"] == {"name": "foo", "seconds": 500, "cpus": 0.2}
        assert changed["marathonDeploymentId"]
        await live.settled()
        app = (await live.call("GET", "/v2/apps/mine")).body["app"]
        assert (app["cmd"], app["cpus"]) == ("sleep 500", 0.2)

        up = await cosmos.ask("/service/update", {"appId": "mine", "packageVersion": "2.0", "replace": True})
        assert up.body["package"]["version"] == "2.0"
        await live.settled()
        app = (await live.call("GET", "/v2/apps/mine")).body["app"]
        assert (app["cmd"], app["labels"]["DCOS_PACKAGE_VERSION"]) == ("sleep 1000", "2.0")
        down = await cosmos.ask("/service/update", {"appId": "mine", "packageVersion": "1.0"})
        assert down.status == 200
        await live.settled()

        assert (await cosmos.refused("/service/update", {"appId": "mine", "packageVersion": "3.0"}))[1:] == (
            "BadVersionUpdate",
            "Version [1.0] cannot be updated to [3.0]: from here there is a way to [2.0]",
        )
        renamed = {"appId": "mine", "options": {"foo": {"name": "bar"}}}
        assert (await cosmos.refused("/service/update", renamed))[1] == "AppIdChanged"
        wrong = {"appId": "mine", "options": {"foo": {"seconds": 0}}}
        assert (await cosmos.refused("/service/update", wrong))[1] == "JsonSchemaMismatch"
        assert (await cosmos.refused("/service/update", {"appId": "none"}))[1:] == (
            "MarathonAppNotFound",
            "Unable to locate service with marathon appId: 'none'",
        )
        assert (await cosmos.refused("/service/describe", {"appId": "none"}))[1] == "MarathonAppNotFound"

        # What is installed is known by its labels: no repository need have it any more.
        assert (await cosmos.ask("/package/repository/delete", {"name": "Test"})).status == 200
        assert (
            await cosmos.ask("/service/update", {"appId": "mine", "options": {"foo": {"seconds": 4}}})
        ).status == 200
        await live.settled()
        app = (await live.call("GET", "/v2/apps/mine")).body["app"]
        assert (app["cmd"], app["labels"]["DCOS_PACKAGE_VERSION"]) == ("sleep 4", "1.0")
        assert (await cosmos.refused("/service/update", {"appId": "mine", "packageVersion": "2.0"}))[1] == (
            "BadVersionUpdate"
        )

    newer = package(version="2.0", release=1, upgradesFrom=["1.0"], downgradesTo=["*"])
    run(tmp_path, story, package(), newer, package(version="3.0", release=2))


def test_the_forms_of_a_description(tmp_path: Path) -> None:
    async def story(cosmos: Service, live: Live) -> None:
        asked = {"packageName": "etcd"}
        flat = await cosmos.ask("/package/describe", asked, version=2)
        wrapped = await cosmos.ask("/package/describe", asked, version=3)
        first = await cosmos.ask("/package/describe", asked, version=1)
        assert flat.kind == "application/vnd.dcos.package.describe-response+json;charset=utf-8;version=v2"
        assert wrapped.body == {"package": flat.body}
        assert flat.body["marathon"]["v2AppMustacheTemplate"]
        assert first.body["package"]["name"] == "etcd"
        assert first.body["marathonMustache"].startswith("{")
        versions = {"packageName": "etcd", "includePackageVersions": True}
        assert (await cosmos.ask("/package/list-versions", versions)).body == {"results": {"0.0.3": "1"}}
        assert (await cosmos.refused("/package/list-versions", {"packageName": "etcd"}))[1] == "json_error"

    run(tmp_path, story)


def test_requests_that_are_none(tmp_path: Path) -> None:
    async def story(cosmos: Service, live: Live) -> None:
        path = "/package/describe"
        assert (await cosmos.refused(path, {"packageName": "etcd"}, Accept="application/json"))[1] == "not_valid"
        assert (await cosmos.refused(path, {"packageName": "etcd"}, Accept=None))[0] == 400
        assert (await cosmos.refused(path, {"packageName": "etcd"}, Content_Type="text/plain"))[1] == "not_valid"
        for body in (b"", b"{", b"\xff", b"[" * 5000, b'{"a": 1, "a": 2}'):
            status, kind, message = await cosmos.refused(path, body)
            assert (status, kind) == (400, "json_error")
            assert message.startswith("Json parsing failure '")
        for body in (b"[]", b"{}", b'{"packageName": 7}', b'{"packageName": null}', b'"x"'):
            status, kind, message = await cosmos.refused(path, body)
            assert (status, kind) == (400, "json_error")
            assert message.startswith("Json decoding failure '")
        [missing] = [(await cosmos.refused(path, b"{}"))[2]]
        assert missing.endswith("at: .packageName")
        assert (await cosmos.refused(path, b"x" * 5_000_000))[0] == 413
        async with cosmos.http.get(f"{cosmos.url}{path}") as reply:
            assert reply.status == 405
        async with cosmos.http.get(f"{cosmos.url}/capabilities") as reply:
            assert reply.headers["Content-Type"] == "application/vnd.dcos.capabilities+json;charset=utf-8;version=v1"
            assert json.loads(await reply.text())["capabilities"] == [{"name": "PACKAGE_MANAGEMENT"}]

    run(tmp_path, story)


def test_a_marathon_that_is_away(tmp_path: Path) -> None:
    async def story() -> None:
        nowhere = f"http://127.0.0.1:{free_port()}"
        async with service(tmp_path, nowhere) as cosmos:
            for path, body in (
                ("/package/install", {"packageName": "hello"}),
                ("/package/list", {}),
                ("/package/uninstall", {"packageName": "hello"}),
                ("/service/update", {"appId": "hello"}),
            ):
                assert (await cosmos.refused(path, body))[:2] == (502, "MarathonBadGateway")
            assert (await cosmos.ask("/package/describe", {"packageName": "hello"})).status == 200

    asyncio.run(story())


def test_the_framework_ends_with_its_app(tmp_path: Path) -> None:
    """With a real master: the framework of the label's name is torn down, two of that name are left alone and named."""
    template = '{"id": "/fw", "cmd": "x", "labels": {"DCOS_PACKAGE_FRAMEWORK_NAME": "worker"}}'
    pages = {"/repo": index(package("fw", template=template, config=None))}
    port = free_port()
    options = ("--ip", "127.0.0.1", "--port", str(port), "--store", f"sqlite://{tmp_path}/master-store")

    async def story() -> None:
        async with shelf(pages) as web, marathon(tmp_path) as live:
            here, trust = Repository("Test", f"{web.url}/repo"), Trust(unsigned=[web.url])
            masters = [f"127.0.0.1:{free_port()}", f"127.0.0.1:{port}"]
            async with service(tmp_path, live.url, masters, repositories=[here], trust=trust) as cosmos:
                one = await asyncio.to_thread(Framework(port, name="worker").subscribe)
                other = await asyncio.to_thread(Framework(port, name="bystander").subscribe)
                for app in ({}, {"appId": "/fw-b"}):
                    assert (await cosmos.ask("/package/install", {"packageName": "fw"} | app)).status == 200
                # Another app of that framework stays, and with it the framework.
                one_of_two = {"packageName": "fw", "appId": "/fw-b"}
                assert (await cosmos.ask("/package/uninstall", one_of_two)).status == 200
                assert await _frameworks(cosmos, port) == {"bystander": 1, "worker": 1}
                assert (await cosmos.ask("/package/uninstall", {"packageName": "fw"})).status == 200
                left = await _frameworks(cosmos, port)
                assert left == {"bystander": 1}
                await live.settled()
                again = [await asyncio.to_thread(Framework(port, name="worker").subscribe) for _ in range(2)]
                assert (await cosmos.ask("/package/install", {"packageName": "fw"})).status == 200
                status, kind, message = await cosmos.refused("/package/uninstall", {"packageName": "fw"})
                assert (status, kind) == (400, "MultipleFrameworkIds")
                assert message.startswith("Uninstalled package [fw] version [1.0]\nUnable to shutdown [fw] service")
                assert await _frameworks(cosmos, port) == {"bystander": 1, "worker": 2}
                await live.settled()
                assert await ids(live) == []
                for framework in (one, other, *again):
                    await asyncio.to_thread(framework.close)

    with Daemon(port, tmp_path / "master.log", "master", "run", *options).running():
        asyncio.run(story())


async def _frameworks(cosmos: Service, port: int) -> dict[str, int]:
    async with cosmos.http.get(f"http://127.0.0.1:{port}/master/frameworks") as reply:
        names = [one["name"] for one in (await reply.json())["frameworks"]]
    return {name: names.count(name) for name in sorted(set(names))}


def test_an_uninstallation_without_its_master_says_what_may_be_left(tmp_path: Path) -> None:
    async def story() -> None:
        async with marathon(tmp_path) as live, service(tmp_path, live.url, [f"127.0.0.1:{free_port()}"]) as cosmos:
            options = {"etcd": {"framework-name": "e"}}
            assert (await cosmos.ask("/package/install", {"packageName": "etcd", "options": options})).status == 200
            status, kind, message = await cosmos.refused("/package/uninstall", {"packageName": "etcd"})
            assert (status, kind) == (409, "UninstallRefused")
            assert "its app cannot be asked" in message
            status, kind, message = await cosmos.refused("/package/uninstall", {"packageName": "etcd", "force": True})
            assert (status, kind) == (503, "IncompleteUninstall")
            assert "its framework may not be" in message
            await live.settled()
            assert await ids(live) == []

    asyncio.run(story())


def test_resources_that_packages_name_and_no_others(tmp_path: Path) -> None:
    async def story() -> None:
        async with shelf({"/icon.png": b"picture", "/secret": b"no"}) as web:
            web.pages["/repo"] = index(package(resource={"images": {"icon-small": f"{web.url}/icon.png"}}))
            here, trust = Repository("Test", f"{web.url}/repo"), Trust(unsigned=[web.url])
            async with service(tmp_path, "http://127.0.0.1:1", repositories=[here], trust=trust) as cosmos:
                for url, status, text in (
                    (f"{web.url}/icon.png", 200, b"picture"),
                    (f"{web.url}/secret", 403, b"Forbidden"),
                    ("", 403, b"Forbidden"),
                ):
                    async with cosmos.http.get(f"{cosmos.url}/package/resource", params={"url": url}) as reply:
                        assert reply.status == status
                        assert text in await reply.read()
                gone = {"url": f"{web.url}/icon.png"}
                web.cut = {"/icon.png"}
                async with cosmos.http.get(f"{cosmos.url}/package/resource", params=gone) as reply:
                    with pytest.raises(aiohttp.ClientPayloadError):
                        await reply.read()
                del web.pages["/icon.png"]
                async with cosmos.http.get(f"{cosmos.url}/package/resource", params=gone) as reply:
                    assert reply.status == 503

    asyncio.run(story())


LEAVING = {"TORTIE_PACKAGE_UNINSTALL": "/v1/uninstall", "DCOS_PACKAGE_FRAMEWORK_NAME": "leaver"}


def _leaving(tmp_path: Path, story: Callable[[Service, Live, Shelf], Awaitable[None]]) -> None:
    """The package `leaver`, whose apps have the shelf for their process."""
    template = json.dumps({"id": "/leaver", "cmd": "x", "ports": [0], "labels": LEAVING})

    async def whole() -> None:
        async with shelf({"/repo": index(package("leaver", template=template, config=None))}) as web:
            web.pages["/master/frameworks"] = b'{"frameworks": []}'
            here = web.url.removeprefix("http://")
            port = int(here.rpartition(":")[2])
            master = SchedulerMaster([Agent(name, "127.0.0.1", ports=(port, port)) for name in ("A1", "A2")])
            await master.start()
            listed, trust = [Repository("Test", f"{web.url}/repo")], Trust(unsigned=[web.url])
            try:
                async with (
                    marathon(tmp_path, master) as live,
                    service(tmp_path, live.url, [here], repositories=listed, trust=trust) as cosmos,
                ):
                    await story(cosmos, live, web)
            finally:
                await master.stop()

    asyncio.run(whole())


def test_an_app_takes_out_what_it_has_brought_before_it_goes(tmp_path: Path) -> None:
    _leaving(tmp_path, _leave)


def test_apps_of_one_framework_are_asked_together(tmp_path: Path) -> None:
    """One of them leads, the other only says so: what is to be done does not depend on who is asked first."""
    path, leaver, second = "/package/uninstall", {"packageName": "leaver"}, {"appId": "/leaver-b"}

    async def story(cosmos: Service, live: Live, web: Shelf) -> None:
        for more in ({}, second):
            assert (await cosmos.ask("/package/install", leaver | more)).status == 200
        await live.settled()
        assert (await cosmos.ask(path, leaver | second)).status == 200
        assert web.posted == [], "the framework goes on with the app that stays"
        assert await ids(live) == ["/leaver"]
        assert (await cosmos.ask("/package/install", leaver | second)).status == 200
        await live.settled()
        everything = leaver | {"all": True}
        web.replies = [(409, "another leads"), (202, "1 of 3 agents"), (409, "another leads"), (409, "an endpoint")]
        assert (await cosmos.refused(path, everything))[1:] == (
            "UninstallUnderWay",
            "Package [leaver] is being taken out: 1 of 3 agents",
        )
        assert (await cosmos.refused(path, everything))[2] == "Package [leaver] stays: another leads; an endpoint"
        assert await ids(live) == ["/leaver", "/leaver-b"]
        web.replies = [(409, "another leads"), (200, "")]
        gone = await cosmos.ask(path, everything)
        assert [one["appId"] for one in gone.body["results"]] == ["/leaver", "/leaver-b"]
        assert await ids(live) == []

    _leaving(tmp_path, story)


async def _leave(cosmos: Service, live: Live, web: Shelf) -> None:
    leaver = {"packageName": "leaver"}
    path = "/package/uninstall"
    assert (await cosmos.ask("/package/install", leaver)).status == 200
    await live.settled()
    web.replies = [(202, "1 of 3 agents"), (409, "an endpoint is left"), (500, "oops"), (200, "")]
    refusals = [await cosmos.refused(path, leaver) for _ in range(3)]
    assert [refusal[:2] for refusal in refusals] == [
        (409, "UninstallUnderWay"),
        (409, "UninstallRefused"),
        (409, "UninstallRefused"),
    ]
    assert refusals[0][2] == "Package [leaver] is being taken out: 1 of 3 agents"
    assert refusals[1][2] == "Package [leaver] stays: an endpoint is left"
    assert "its app cannot be asked" in refusals[2][2]
    assert await ids(live) == ["/leaver"]
    assert (await cosmos.ask(path, leaver | {"force": True})).status == 200
    assert {where for where, headers in web.asked if "Content-Length" in headers} == {"/v1/uninstall"}
    assert [json.loads(body) for body in web.posted] == [{"force": False}] * 3 + [{"force": True}]
    assert await ids(live) == [], "gone when it is told so: the same can be installed again at once"

    # An app that cannot be asked stays, unless forced.
    assert (await cosmos.ask("/package/install", leaver)).status == 200
    await live.settled()
    web.replies = []
    assert (await cosmos.refused(path, leaver))[1] == "UninstallRefused"
    assert (await cosmos.ask(path, leaver | {"force": True})).status == 200
    await live.settled()
    assert await ids(live) == []
