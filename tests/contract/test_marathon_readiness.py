"""Readiness checks: an upgrade goes on only when the new task has said that it is ready."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.support.marathon_live import Live, marathon, sleeper
from tests.support.waiting import until

CHECK = {"portName": "api", "path": "/ready", "intervalSeconds": 1, "timeoutSeconds": 0.9}


def test_an_upgrade_waits_for_the_new_task_to_be_ready(tmp_path: Path) -> None:
    async def story() -> None:
        answer = {"status": 503}

        async def ready(_request: web.Request) -> web.Response:
            return web.Response(status=answer["status"], text="warming up")

        app = web.Application()
        app.router.add_get("/ready", ready)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        check = CHECK | {"preserveLastResponse": True, "httpStatusCodesForReady": [200, 204]}
        async with marathon(tmp_path) as live:
            for agent in live.master.agents.values():
                agent.hostname, agent.ports = "127.0.0.1", (port, port)
            definitions = [{"port": port, "name": "api"}]
            await live.call("POST", "/v2/apps", sleeper(portDefinitions=definitions, requirePorts=True))
            await live.settled()
            (old,) = await live.tasks("a")
            changed = await live.call("PUT", "/v2/apps/a", {"readinessChecks": [check]})
            assert changed.status == 200, changed.body
            (asked,) = await answers(live)
            assert (asked["name"], asked["ready"]) == ("readinessCheck", False)
            assert asked["lastResponse"]["status"] in (503, 504)
            shown = (await live.call("GET", "/v2/apps/a?embed=app.readiness")).body["app"]
            assert shown["readinessCheckResults"][0]["taskId"] == asked["taskId"] != old["id"]
            assert len(live.master.live()) == 2
            answer["status"] = 204
            await live.settled()
            (task,) = await live.tasks("a")
            assert task["id"] == asked["taskId"]
            assert live.master.tasks[old["id"]].state == "TASK_KILLED"
        await runner.cleanup()

    asyncio.run(story())


async def answers(live: Live) -> list[dict[str, Any]]:
    """What the running deployment waits for, once it has been asked."""
    found: list[dict[str, Any]] = []

    async def asked() -> bool:
        plans = (await live.call("GET", "/v2/deployments")).body
        found[:] = [r for plan in plans for action in plan["currentActions"] for r in action["readinessCheckResults"]]
        return bool(found)

    await until(asked)
    return found


@pytest.mark.parametrize(
    ("checks", "path", "text"),
    [
        ([CHECK, CHECK], "/readinessChecks", "at most one"),
        ([CHECK | {"portName": "other"}], "/readinessChecks(0)/portName", "No port definition reference"),
        ([CHECK | {"timeoutSeconds": 1}], "/readinessChecks(0)/timeoutSeconds", "less than intervalSeconds"),
        ([CHECK | {"intervalSeconds": 0}], "/readinessChecks(0)/intervalSeconds", "greater than 0"),
        ([CHECK | {"httpStatusCodesForReady": []}], "/readinessChecks(0)/httpStatusCodesForReady", "one or more"),
        ([CHECK | {"httpStatusCodesForReady": [0]}], "/readinessChecks(0)/httpStatusCodesForReady", "one or more"),
        ([CHECK | {"protocol": "TCP"}], "/readinessChecks(0)/protocol", "TCP is not a valid protocol"),
        ([CHECK | {"path": 3}], "/readinessChecks(0)/path", "error.expected.jsstring"),
        ({}, "/readinessChecks", "error.expected.jsarray"),
    ],
)
def test_readiness_checks_that_cannot_be(tmp_path: Path, checks: Any, path: str, text: str) -> None:
    async def story() -> None:
        async with marathon(tmp_path) as live:
            body = sleeper(portDefinitions=[{"port": 0, "name": "api"}], readinessChecks=checks)
            reply = await live.call("POST", "/v2/apps", body)
            details = {item["path"]: item["errors"] for item in reply.body["details"]}
            assert reply.status in (400, 422)
            assert text in details[path][0]
            assert (await live.call("GET", "/v2/apps")).body == {"apps": []}

    asyncio.run(story())
