"""Blue-green deployments with a real HAProxy and the balancer before it; Marathon is made up, its tasks are servers."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.support.balancing import Backend, Bench, Load, bench, needs_haproxy
from tests.support.fake_marathon import FakeMarathon
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE, until

pytestmark = needs_haproxy


class DeployingMarathon(FakeMarathon):
    """Scales at once: a task is a web server that answers with its port."""

    def __init__(self) -> None:
        super().__init__()
        self.servers: dict[str, Backend] = {}
        self.killed: list[str] = []
        self._count = 0

    def more_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/v2/apps", self._create)
        router.add_get("/v2/apps/{id:.+}", self._show)
        router.add_put("/v2/apps/{id:.+}", self._scale)
        router.add_delete("/v2/apps/{id:.+}", self._delete)
        router.add_post("/v2/tasks/delete", self._kill)

    def app(self, app_id: str) -> dict[str, Any] | None:
        return next((app for app in self.apps if app["id"] == "/" + app_id.strip("/")), None)

    async def grow(self, app: dict[str, Any], count: int) -> None:
        app["instances"] = count
        while len(app["tasks"]) < count:
            server = Backend()
            await server.start()
            self._count += 1
            name = f"{app['id'].strip('/')}.{self._count}"
            self.servers[name] = server
            task = {"id": name, "host": "127.0.0.1", "state": "TASK_RUNNING", "ports": [server.port]}
            app["tasks"] = [*app["tasks"], task]
        await self.tell()

    async def _create(self, request: web.Request) -> web.Response:
        app = await request.json()
        if self.app(app["id"]):
            return web.json_response({"message": f"An app with id [{app['id']}] already exists."}, status=409)
        app |= {"tasks": [], "deployments": [], "ports": [d["port"] for d in app["portDefinitions"]]}
        self.apps = [*self.apps, app]
        await self.grow(app, app["instances"])
        return web.json_response(app, status=201)

    async def _show(self, request: web.Request) -> web.Response:
        app = self.app(request.match_info["id"])
        return web.json_response({"app": app} if app else {"message": "no such app"}, status=200 if app else 404)

    async def _scale(self, request: web.Request) -> web.Response:
        app = self.app(request.match_info["id"])
        assert app is not None
        await self.grow(app, (await request.json())["instances"])
        return web.json_response({"version": "v", "deploymentId": "d"})

    async def _delete(self, request: web.Request) -> web.Response:
        app = self.app(request.match_info["id"])
        assert app is not None
        self.apps = [one for one in self.apps if one is not app]
        await self.tell()
        await self._stop([task["id"] for task in app["tasks"]])
        return web.json_response({"version": "v", "deploymentId": "d"})

    async def _kill(self, request: web.Request) -> web.Response:
        ids = (await request.json())["ids"]
        assert request.query["scale"] == "true"
        for app in self.apps:
            kept = [task for task in app["tasks"] if task["id"] not in ids]
            app["instances"] -= len(app["tasks"]) - len(kept)
            app["tasks"] = kept
        await self.tell()
        await self._stop(ids)
        return web.json_response({"version": "v", "deploymentId": "d"})

    async def _stop(self, ids: list[str]) -> None:
        self.killed += ids
        for name in ids:
            await self.servers.pop(name).stop()


def definition(port: int, instances: int = 3) -> dict[str, Any]:
    labels = {
        "HAPROXY_GROUP": "external", "HAPROXY_0_VHOST": "a.test", "HAPROXY_DEPLOYMENT_GROUP": "a",
        "HAPROXY_DEPLOYMENT_ALT_PORT": str(port + 1),
    }  # fmt: skip
    return {"id": "shop", "cmd": None, "instances": instances, "labels": labels, "portDefinitions": [{"port": port}]}


async def zdd(made: Bench, tmp_path: Path, *more: str, said: bytes = b"") -> tuple[int, str, str]:
    file = tmp_path / "app.json"
    file.write_text(json.dumps(definition(made.service_port)))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from tortie.cli.main import main; main()", "lb", "zdd", "-m", made.marathon.url,
        "-l", f"http://127.0.0.1:{made.stats_port}", "-j", str(file), "-s", "0.05", *more,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(said), PATIENCE)
    return process.returncode or 0, out.decode(), err.decode()


async def begun(made: Bench, http: aiohttp.ClientSession, tmp_path: Path) -> DeployingMarathon:
    """The first deployment of a group has nothing to replace."""
    marathon = made.marathon
    assert isinstance(marathon, DeployingMarathon)
    made.start()
    code, out, err = await zdd(made, tmp_path, "--force")
    assert (code, err) == (0, "")
    assert json.loads(out)["id"] == "/shop-blue"
    await made.answers(http, ports(marathon))
    return marathon


def ports(marathon: DeployingMarathon) -> set[int]:
    return {server.port for server in marathon.servers.values()}


def test_green_replaces_blue_under_load_without_a_failed_request_or_a_reload(tmp_path: Path) -> None:
    async def main() -> None:
        async with bench(tmp_path, DeployingMarathon()) as (made, http):
            marathon = await begun(made, http, tmp_path)
            blue, workers = ports(marathon), await made.workers()
            hook = tmp_path / "hook"
            hook.write_text(f'#!/bin/sh\necho "$2" >> {tmp_path}/hooked\n')
            hook.chmod(0o755)
            async with Load(made, limit=100_000) as load:
                code, out, err = await zdd(made, tmp_path, "--force", "--pre-kill-hook", str(hook))
                assert code == 0, err
                await made.answers(http, ports(marathon))
            assert not blue & ports(marathon)
            assert [(app["id"], app["instances"]) for app in marathon.apps] == [("/shop-green", 3)]
            assert set(load.statuses) == {200}
            assert await made.workers() == workers
            deployed = json.loads(out)
            assert deployed["instances"] == 1
            assert deployed["labels"]["HAPROXY_0_PORT"] == str(made.service_port)
            assert deployed["portDefinitions"] == [{"port": made.service_port + 1}]
            hooked = [task for line in (tmp_path / "hooked").read_text().splitlines() for task in json.loads(line)]
            assert set(hooked) <= set(marathon.killed)

    asyncio.run(main())


def test_both_versions_may_stay_and_either_may_win_later(tmp_path: Path) -> None:
    async def main() -> None:
        async with bench(tmp_path, DeployingMarathon()) as (made, http):
            marathon = await begun(made, http, tmp_path)
            code, _, err = await zdd(made, tmp_path, "--force", "--new-instances", "1")
            assert code == 0, err
            assert {app["id"]: app["instances"] for app in marathon.apps} == {"/shop-blue": 2, "/shop-green": 1}
            await made.answers(http, ports(marathon))
            code, _, err = await zdd(made, tmp_path, "--force")
            assert code == 1
            assert "a deployment is under way: /shop-green beside /shop-blue" in err
            code, _, err = await zdd(made, tmp_path, "--force", "--complete-cur")
            assert code == 0, err
            assert {app["id"]: app["instances"] for app in marathon.apps} == {"/shop-green": 3}
            await made.answers(http, ports(marathon))

    asyncio.run(main())


def test_a_task_with_a_connection_is_not_killed_before_the_longest_wait(tmp_path: Path) -> None:
    async def main() -> None:
        async with bench(tmp_path, DeployingMarathon()) as (made, http):
            marathon = await begun(made, http, tmp_path)
            held = asyncio.Event()
            for server in marathon.servers.values():
                server.wait = held
            slow = [asyncio.ensure_future(made.get(http, "/slow")) for _ in range(9)]
            blue = list(marathon.servers.values())
            await until(lambda: _true(all(server.arrived.is_set() for server in blue)))
            deploying = asyncio.ensure_future(zdd(made, tmp_path, "--force"))
            await until(lambda: _true(marathon.app("shop-green") is not None))

            async def rests() -> bool:
                text = await made.haproxy.command(f"show servers conn a_{made.service_port}")
                async with http.get(f"http://127.0.0.1:{made.stats_port}/haproxy?stats;csv") as reply:
                    return "MAINT" in await reply.text() and bool(text)

            await until(rests)
            assert not marathon.killed
            held.set()
            assert {status for status, _ in await asyncio.gather(*slow)} == {200}
            code, _, err = await deploying
            assert code == 0, err
            assert [app["id"] for app in marathon.apps] == ["/shop-green"]

    async def _true(value: bool) -> bool:
        return value

    asyncio.run(main())


def test_who_says_no_or_only_looks_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        marathon = DeployingMarathon()
        await marathon.start()
        made = Bench(marathon, tmp_path, 0, free_port(), free_port(), [], None)  # type: ignore[arg-type]
        try:
            code, out, _ = await zdd(made, tmp_path, "--dry-run")
            assert (code, json.loads(out)["labels"]["HAPROXY_DEPLOYMENT_COLOUR"]) == (0, "blue")
            assert (await zdd(made, tmp_path, said=b"n\n"))[0] == 1
            code, _, err = await zdd(made, tmp_path)
            assert (code, "--force goes on without asking" in err) == (1, True)
            for more, words in (
                (("--resume",), "no deployment is under way"), (("--complete-prev",), "group of two apps"),
            ):  # fmt: skip
                code, _, err = await zdd(made, tmp_path, "--force", *more)
                assert (code, words in err) == (1, True)
            assert (await zdd(made, tmp_path, "-c", "-p"))[0] == 2
            assert not marathon.apps
        finally:
            await marathon.stop()

    asyncio.run(main())


@pytest.mark.parametrize("where", ["marathon", "balancer"])
def test_a_peer_that_is_away_is_told_with_exit_code_1(tmp_path: Path, where: str) -> None:
    async def main() -> None:
        marathon = DeployingMarathon()
        await marathon.start()
        made = Bench(marathon, tmp_path, 0, free_port(), free_port(), [], None)  # type: ignore[arg-type]
        assert (await zdd(made, tmp_path, "--force"))[0] == 0
        if where == "marathon":
            await marathon.stop()
        code, _, err = await zdd(made, tmp_path, "--force", "--max-wait", "0.2")
        assert code == 1
        assert f"127.0.0.1:{made.stats_port if where == 'balancer' else ''}" in err
        await marathon.stop()

    asyncio.run(main())
