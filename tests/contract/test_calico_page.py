"""The calico framework's page in a real browser: live in the middle of a rollout, paused, stopped, mended."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path

from playwright.async_api import Locator, Page, Route, async_playwright, expect
from tests.support.agent_hosts import HostsMaster, Live, roller
from tests.support.browser import CHROMIUM, FLAGS, needs_browser
from tests.support.rollout_host import box
from tests.support.waiting import PATIENCE, until

expect.set_options(timeout=1000 * PATIENCE)


@needs_browser
def test_one_watches_a_rollout_pauses_it_and_mends_what_stopped_it(tmp_path: Path) -> None:
    async def story() -> None:
        with ExitStack() as stack:
            master = HostsMaster(tmp_path / "tasks", {name: stack.enter_context(box()) for name in ("a1", "a2")})
            master.hold = lambda task: task.info["name"] == "calico-apply-agent" and task.agent.hostname == "a1"
            await master.start()
            try:
                async with roller(tmp_path, master) as live, async_playwright() as playwright:
                    limit = 1000 * PATIENCE
                    browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=limit)
                    page = await browser.new_page(color_scheme="dark")
                    page.set_default_timeout(limit)
                    wrong: list[str] = []
                    page.on("pageerror", lambda error: wrong.append(str(error)))
                    await page.goto(f"{live.url}/")
                    await pause(page)
                    await stop_and_mend(page, master, live)
                    await browser.close()
                    assert wrong == []
            finally:
                await master.stop()

    asyncio.run(story())


async def pause(page: Page) -> None:
    """While a1 is at work."""
    await expect(page.locator("#state")).to_have_text("rolling")
    await expect(step(page, "a1", "Mesos agent")).to_contain_text("running")
    await expect(step(page, "a1", "Store")).to_contain_text("done")
    await expect(step(page, "a2", "Store")).to_contain_text("waiting")
    await expect(page.locator("#counts")).to_have_text("0 of 2 agents done")
    await expect(page.locator("#now")).to_contain_text("a1: Mesos agent for ")
    await page.route("**/v1/pause", stream_first)
    await page.get_by_role("button", name="Pause").click()
    await expect(page.locator("#state")).to_have_text("paused")
    await expect(page.locator("#now")).to_contain_text("; then it pauses")
    await expect(page.locator(".facts")).to_contain_text("Pause, by 127.0.0.1")
    await expect(page.get_by_role("button", name="Resume")).to_be_focused()


async def stream_first(route: Route) -> None:
    """An order's answer that comes after the stream has told what became of it."""
    reply = await route.fetch()
    await expect(route.request.frame.page.locator("#state")).to_have_text("paused")
    await route.fulfill(response=reply)


async def stop_and_mend(page: Page, master: HostsMaster, live: Live) -> None:
    """The task of a1 dies, the next one is refused: the agent is undone, and then the page says why it stopped."""
    master.boxes["a1"].refuse_restarts(True)
    await until(lambda: master.live("calico-apply-agent"), message="the page says so before its task begins")
    held = next(iter(master.live("calico-apply-agent")))
    master.hold = lambda _task: False
    master.update(held, "TASK_FAILED", message="killed")
    await expect(page.locator("#state")).to_have_text("stopped")
    await expect(page.locator("#reason")).to_contain_text("the unit does not start")
    await expect(page.get_by_role("article", name="a1")).to_contain_text("the unit does not start")
    await expect(page.locator("#reason")).to_contain_text("a1 is tried again, then the rest.")
    await page.get_by_role("button", name="a1").click()
    await expect(page.get_by_role("article", name="a1").get_by_role("table")).to_contain_text("mesos.service")
    master.boxes["a1"].refuse_restarts(False)
    await page.get_by_role("button", name="Retry").click()
    await expect(page.locator("#state")).to_have_text("done")
    await expect(step(page, "a2", "Gate")).to_contain_text("ready, endpoints up: 1")
    await expect(page.locator("#reason")).to_be_hidden()
    await live.state("done")
    await until(lambda: master.live() == [])


def step(page: Page, host: str, title: str) -> Locator:
    return page.get_by_role("article", name=host).get_by_role("listitem").filter(has_text=title)
