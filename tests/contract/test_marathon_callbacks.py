"""Events by HTTP: subscribed, delivered in order, kept over a restart; subscribers that fail are left alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.support.marathon_live import marathon, sleeper
from tests.support.ports import free_port
from tests.support.waiting import until

from tortie.base.errors import Invalid
from tortie.marathon.callbacks import LONGEST_SKIP, OUTSTANDING, OUTSTANDING_BYTES, Subscriber, check_url


class Listener:
    """Keeps what it is told, and answers with `status`."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.status = 200
        self.url = ""

    async def hear(self, request: web.Request) -> web.Response:
        assert request.content_type == "application/json"
        self.told.append(await request.json())
        return web.Response(status=self.status)

    def kinds(self) -> list[str]:
        return [event["eventType"] for event in self.told]


@asynccontextmanager
async def listener() -> AsyncIterator[Listener]:
    made = Listener()
    app = web.Application()
    app.router.add_post("/hear", made.hear)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hear"
    try:
        yield made
    finally:
        await runner.cleanup()


def test_events_are_posted_to_whoever_subscribed(tmp_path: Path) -> None:
    async def story() -> None:
        path = "/v2/eventSubscriptions"
        async with listener() as fixed, listener() as asked:
            silent = f"http://127.0.0.1:{free_port()}/"
            async with marathon(tmp_path, endpoints=[fixed.url]) as live:
                for url in (asked.url, asked.url, silent):
                    reply = await live.call("POST", path, params={"callbackUrl": url})
                    assert (reply.status, reply.body["eventType"], reply.body["callbackUrl"]) == (
                        200,
                        "subscribe_event",
                        url,
                    )
                listed = (await live.call("GET", path)).body
                assert listed == {"callbackUrls": [fixed.url, asked.url, silent]}
                about = (await live.call("GET", "/v2/info")).body["event_subscriber"]
                assert about == {"type": "http_callback", "http_endpoints": [fixed.url]}
                await live.call("POST", "/v2/apps", sleeper())
                await live.settled()
                for heard in (fixed, asked):
                    await until(lambda heard=heard: "deployment_success" in heard.kinds())  # type: ignore[misc]
                    kinds = [kind for kind in heard.kinds() if kind.startswith("deployment_")]
                    assert kinds[0] == "deployment_info"
                    assert kinds[-1] == "deployment_success"
                gone = await live.call("DELETE", path, params={"callbackUrl": silent})
                assert gone.body["eventType"] == "unsubscribe_event"
            asked.told.clear()
            async with marathon(tmp_path, endpoints=[]) as again:
                assert (await again.call("GET", path)).body == {"callbackUrls": [asked.url]}
                await again.call("PUT", "/v2/apps/a", {"instances": 0})
                await until(lambda: "deployment_success" in asked.kinds())

    asyncio.run(story())


def test_without_callbacks_the_answer_says_how_to_have_them(tmp_path: Path) -> None:
    async def story() -> None:
        async with marathon(tmp_path) as live:
            for method in ("GET", "POST", "DELETE"):
                reply = await live.call(method, "/v2/eventSubscriptions", params={"callbackUrl": "http://h/"})
                assert reply.status == 400
                assert "--event_subscriber http_callback" in reply.body["message"]
        async with marathon(tmp_path, endpoints=[]) as live:
            for url, text in (("ftp://h/", "unknown protocol: ftp"), ("", "no protocol: "), ("//h/x", "no protocol")):
                reply = await live.call("POST", "/v2/eventSubscriptions", params={"callbackUrl": url})
                assert (reply.status, text in reply.body["message"]) == (422, True)
            assert (await live.call("GET", "/v2/eventSubscriptions")).body == {"callbackUrls": []}

    asyncio.run(story())


def test_who_fails_is_skipped_for_longer_and_longer() -> None:
    one = Subscriber()
    for n in range(1, 5):
        one.answered(ok=False, now=100.0)
        assert one.skip_until == 100.0 + 2**n
    for _ in range(2000):
        one.answered(ok=False, now=100.0)
    assert one.skip_until == 100.0 + LONGEST_SKIP
    one.answered(ok=True, now=100.0)
    assert (one.failures, one.skip_until) == (0, 0.0)


def test_what_waits_for_a_slow_one_is_bounded_and_the_newest_stays() -> None:
    async def story() -> None:
        one = Subscriber()
        for n in range(OUTSTANDING + 10):
            one.put(b"%d" % n)
        assert (one.queue.qsize(), await one.next()) == (OUTSTANDING, b"10")
        large = b"x" * (OUTSTANDING_BYTES // 3)
        for _ in range(5):
            one.put(large)
        assert one.waiting <= OUTSTANDING_BYTES
        found = [await one.next() for _ in range(one.queue.qsize())]
        assert found[-1] == large
        assert one.waiting == 0
        one.put(b"x" * (OUTSTANDING_BYTES + 1))
        assert one.queue.qsize() == 1

    asyncio.run(story())


@pytest.mark.parametrize("url", ["http://", "http:///x", "http://h:99999/", "http://h:x/", "http://a b/", "mailto:x@y"])
def test_urls_that_nobody_can_be_told_at(url: str) -> None:
    with pytest.raises(Invalid):
        check_url(url)
