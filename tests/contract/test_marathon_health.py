"""Marathon's own health checks, against a real HTTP server."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiohttp import web
from tests.support.marathon_live import marathon, sleeper
from tests.support.waiting import until


def test_a_deployment_waits_for_health_and_a_sick_task_is_replaced(tmp_path: Path) -> None:
    async def story() -> None:
        answer = {"status": 503}

        async def health(_request: web.Request) -> web.Response:
            return web.Response(status=answer["status"])

        app = web.Application()
        app.router.add_get("/health", health)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        check = {
            "path": "/health",
            "port": runner.addresses[0][1],
            "intervalSeconds": 0.1,
            "timeoutSeconds": 60,
            "maxConsecutiveFailures": 2,
        }
        async with marathon(tmp_path) as live:
            for agent in live.master.agents.values():
                agent.hostname = "127.0.0.1"
            await live.call("POST", "/v2/apps", sleeper(healthChecks=[check]))

            async def counted(key: str) -> bool:
                return bool((await live.call("GET", "/v2/apps/a")).body["app"][key] == 1)

            await until(lambda: counted("tasksUnhealthy"))
            assert len((await live.call("GET", "/v2/deployments")).body) == 1
            (first,) = live.master.live()
            answer["status"] = 302
            await live.settled()
            assert await counted("tasksHealthy")
            (task,) = await live.tasks("a")
            assert task["healthCheckResults"][0]["alive"] is True
            assert task["healthCheckResults"][0]["lastFailureCause"] == "503 Service Unavailable"
            answer["status"] = 500
            await until(lambda: first.state == "TASK_KILLED")
            answer["status"] = 200
            await until(lambda: counted("tasksHealthy"))
            failure = (await live.call("GET", "/v2/apps/a")).body["app"]["lastTaskFailure"]
            assert failure["state"] == "TASK_KILLED"
            assert "500 Internal Server Error" in failure["message"]
        await runner.cleanup()

    asyncio.run(story())


def test_each_check_has_a_connection_of_its_own_and_no_redirect_is_followed(tmp_path: Path) -> None:
    async def story() -> None:
        heard: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(await reader.readline())
            writer.write(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")
            await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        check = {"path": "ready", "port": server.sockets[0].getsockname()[1], "intervalSeconds": 0.05}
        async with marathon(tmp_path) as live:
            for agent in live.master.agents.values():
                agent.hostname = "127.0.0.1"
            await live.call("POST", "/v2/apps", sleeper(healthChecks=[check | {"timeoutSeconds": 60}]))
            await live.settled()
            await until(lambda: len(heard) >= 3)
            assert set(heard) == {b"GET /ready HTTP/1.1\r\n"}
        server.close()

    asyncio.run(story())


def test_a_tcp_check_is_a_connection_and_a_refused_one_says_so(tmp_path: Path) -> None:
    async def story() -> None:
        server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        check = {"protocol": "TCP", "port": port, "intervalSeconds": 0.1, "maxConsecutiveFailures": 0}
        async with marathon(tmp_path) as live:
            for agent in live.master.agents.values():
                agent.hostname = "127.0.0.1"
            await live.call("POST", "/v2/apps", sleeper(healthChecks=[check | {"timeoutSeconds": 60}]))
            await live.settled()
            server.close()
            await server.wait_closed()

            async def cause() -> str:
                (task,) = await live.tasks("a")
                return str(task["healthCheckResults"][0]["lastFailureCause"])

            async def refused() -> bool:
                return "ConnectionRefusedError" in await cause()

            await until(refused)
            assert (await live.call("GET", "/v2/apps/a")).body["app"]["tasksUnhealthy"] == 1
            assert len(live.master.live()) == 1

    asyncio.run(story())
