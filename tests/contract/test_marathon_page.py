"""The Marathon page in a real browser: what runs is on it, changes come without a reload, the view has an address."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from playwright.async_api import Page, async_playwright, expect
from tests.support.browser import CHROMIUM, FLAGS, needs_browser
from tests.support.marathon_live import Live, marathon, sleeper, stars
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE

expect.set_options(timeout=1000 * PATIENCE)


def test_every_file_of_the_page_is_there_and_comes_from_here(tmp_path: Path) -> None:
    async def story() -> None:
        async with marathon(tmp_path) as live:
            home = await live.call("GET", "/")
            assert home.status == 200
            assert home.headers["Content-Security-Policy"].startswith("default-src 'self'")
            named = re.findall(r'(?:src|href)="([^"]+)"', home.body)
            assert {"assets/marathon.js", "assets/marathon.css", "static/tortie.css"} <= set(named)
            for name in named:
                if not name.startswith("#"):
                    assert (await live.call("GET", f"/ui/{name}")).status == 200, name
            assert (await live.call("GET", "/ui/nothing")).status == 404

    asyncio.run(story())


@needs_browser
def test_the_page_follows_what_happens(tmp_path: Path) -> None:
    async def story() -> None:
        async with marathon(tmp_path) as live, async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=1000 * PATIENCE)
            page = await browser.new_page()
            page.set_default_timeout(1000 * PATIENCE)
            wrong: list[str] = []
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
            await follow(live, page)
            await browser.close()
            assert wrong == []

    asyncio.run(story())


async def follow(live: Live, page: Page) -> None:
    await page.goto(live.url)
    await expect(page.locator(".note")).to_contain_text("No apps yet")
    await live.call("PUT", "/v2/groups/calico-stars", stars())
    await expect(page.locator("tr.app")).to_have_count(4)
    ui = page.locator("tr.app", has_text="management-ui")
    await expect(ui.locator(".state")).to_have_text("running")
    await expect(ui.locator(".counts span")).to_have_text("1 of 1")
    (task,) = await live.tasks("calico-stars/management-ui")
    address = task["ipAddresses"][0]["ipAddress"]
    await expect(ui.locator(".addresses")).to_have_text(f"{address}:9001")
    await expect(page.locator("#deployments")).to_be_hidden()
    await live.call("POST", "/v2/apps", sleeper("<b>big", cpus=1000))
    await live.call("POST", "/v2/apps", sleeper("big", cpus=1000))
    big = page.locator("tr.app", has_text="big")
    await expect(big.locator(".why")).to_contain_text("2 of 2 agents: not enough CPUs")
    await expect(page.locator("#deployments .apps")).to_have_text("/big")
    await live.call("POST", "/v2/apps", sleeper("many", ports=[0] * 9))
    many = page.locator("tr.app", has_text="many").locator(".addresses")
    await expect(many).to_contain_text("and 6 more")
    for agent in live.master.agents.values():
        agent.hostname = "127.0.0.1"
    refused = {"protocol": "TCP", "port": free_port(), "intervalSeconds": 1, "maxConsecutiveFailures": 0}
    await live.call("POST", "/v2/apps", sleeper("sick", healthChecks=[refused]))
    sick = page.locator("tr.app", has_text="sick")
    await expect(sick.locator(".why")).to_contain_text("1 of 1 task not healthy: ConnectionRefusedError")
    await ui.get_by_role("button").click()
    await expect(page.locator("tr.detail")).to_contain_text(task["id"])
    await page.keyboard.press("/")
    await page.keyboard.type("HAPROXY_GROUP=external")
    await expect(page.locator("tr.app")).to_have_count(1)
    await page.goto(page.url)
    await page.reload()
    await expect(page.locator("tr.app")).to_have_count(1)
    await expect(page.locator("tr.detail")).to_contain_text("my.marathon.app")
