"""The front page and the log-in in a real browser."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from playwright.async_api import Page, async_playwright, expect
from tests.support.browser import CHROMIUM, FLAGS, needs_browser
from tests.support.door_live import Behind, answering, at, door
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE

from tortie.door import tokens
from tortie.door.links import Link

expect.set_options(timeout=1000 * PATIENCE)

LABELS = {"DCOS_SERVICE_NAME": "demo", "DCOS_SERVICE_SCHEME": "http", "DCOS_SERVICE_PORT_INDEX": "0"}


@needs_browser
def test_one_logs_in_sees_the_cluster_and_its_changes(tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text(tokens.password_line("ana", "secret", b"0123456789abcdef"))
    slave = {"id": "S0", "hostname": "agent-1", "pid": "slave(1)@127.0.0.1:5051", "active": True}
    says: dict[str, Any] = {
        "/master/state-summary": {"frameworks": [], "slaves": [slave]},
        "/v2/apps": {"apps": []},
        "/page": "a page of the master",
        "/roller/v1/summary": {"state": "rolling", "text": "2 of 5 agents done, a3: Gate"},
    }

    async def story() -> None:
        shop_says: dict[str, Any] = {"/": (503, "", b"no server")}
        async with (
            answering(says) as cluster,
            answering(shop_says) as shop,
            door(
                tmp_path,
                masters=(cluster.port,),
                marathons=(cluster.port,),
                users=users,
                links=(
                    Link("Wiki", "/wiki"),
                    Link("Shop", ":8123/", at(shop.port)),
                    Link("Far", ":1/", at(free_port())),
                ),
            ) as port,
            async_playwright() as playwright,
        ):
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=1000 * PATIENCE)
            page = await browser.new_page()
            page.set_default_timeout(1000 * PATIENCE)
            wrong: list[str] = []
            page.on("pageerror", lambda error: wrong.append(str(error)))
            await enter(page, f"http://127.0.0.1:{port}")
            await follow(page, says)
            await find_pages(page, shop_says, shop)
            await see_a_rollout(page, says, cluster.port)
            await leave(page, f"http://127.0.0.1:{port}")
            await browser.close()
            assert wrong == []

    asyncio.run(story())


async def enter(page: Page, url: str) -> None:
    """A page that needs a log-in asks for it in its place, and is there afterwards."""
    await page.goto(f"{url}/mesos/page")
    await page.get_by_label("User").fill("ana")
    await page.get_by_label("Password").fill("wrong")
    await page.get_by_role("button", name="Log in").click()
    await expect(page.locator("#said")).to_have_text("Invalid username or password given")
    await page.get_by_label("Password").fill("secret")
    await page.get_by_role("button", name="Log in").click()
    await expect(page.locator("body")).to_contain_text("a page of the master")
    await page.goto(url)


async def follow(page: Page, says: dict[str, Any]) -> None:
    await expect(page.locator("#sum")).to_have_text("All is well")
    await expect(page.locator("#parts li")).to_have_count(3)
    await expect(page.locator("#agents li")).to_contain_text("agent-1")
    await expect(page.locator("#services .none")).to_have_text("No app runs on Marathon.")
    app = {"id": "/<b>demo", "labels": LABELS, "instances": 2, "tasksRunning": 1}
    says["/v2/apps"] = {"apps": [app]}
    line = page.locator("#services li", has_text="/<b>demo")
    await expect(line.locator(".badge")).to_have_text("waiting")
    await expect(line.get_by_role("link")).to_have_attribute("href", "service/demo/")
    await expect(page.locator("#sum")).to_have_text("/<b>demo: waiting")
    says["/v2/apps"] = {"apps": [{**app, "tasksRunning": 2}]}
    await expect(line.locator(".badge")).to_have_text("well")
    says["/master/state-summary"]["slaves"][0]["active"] = False
    await expect(page.locator("#agents .badge")).to_have_text("failing")
    await expect(page.locator("#sum")).to_have_text("agent-1: failing")
    kept = says.pop("/master/state-summary")
    await expect(page.locator("#agents .none")).to_have_text("Not known: no master answers.")
    await expect(page.locator("#sum")).to_have_text("Mesos master: failing")
    await expect(page.locator("#parts").get_by_role("link", name="Mesos master")).to_have_count(0)
    kept["slaves"][0]["active"] = True
    says["/master/state-summary"] = kept
    await expect(page.locator("#agents li")).to_contain_text("agent-1")
    await expect(page.locator("#sum")).to_have_text("All is well")


async def find_pages(page: Page, says: dict[str, Any], shop: Behind) -> None:
    """What does not answer yet is no link; what nobody can ask about is one."""
    links = page.locator("#links")
    await expect(links.locator("li")).to_have_text(["Wiki", "Shop no answer yet", "Far no answer yet"])
    await expect(links.get_by_role("link")).to_have_text(["Wiki"])
    await expect(page.locator("#sum")).to_have_text("All is well")
    await expect(links.locator("li", has_text="Shop").locator("span").first).to_have_attribute("title", "HTTP 503")
    says["/"] = "open"
    await expect(links.get_by_role("link")).to_have_text(["Wiki", "Shop"])
    await expect(links.get_by_role("link", name="Shop")).to_have_attribute("href", "http://127.0.0.1:8123/")
    assert {first for first, _ in shop.asked} == {"HEAD / HTTP/1.1"}


async def see_a_rollout(page: Page, says: dict[str, Any], port: int) -> None:
    """In one line, as long as it runs, with a way to its page."""
    line = page.locator("#rollout")
    await expect(line).to_be_hidden()
    framework = {"id": "F", "name": "calico", "webui_url": f"http://127.0.0.1:{port}/roller/", "active": True}
    slave = {**says["/master/state-summary"]["slaves"][0], "active": True}
    says["/master/state-summary"] = {"frameworks": [framework], "slaves": [slave]}
    await expect(line).to_contain_text("2 of 5 agents done, a3: Gate")
    await expect(line.get_by_role("link")).to_have_attribute("href", "service/calico/")
    await expect(page.locator("#sum")).to_have_text("The network is being rolled out")
    said = says.pop("/roller/v1/summary")
    says["/roller/v1/summary"] = (503, "", b"")
    await expect(line.locator(".badge")).to_have_text("silent")
    await expect(line).to_contain_text("does not say how far it is: HTTP 503")
    says["/roller/v1/summary"] = {**said, "state": "done"}
    await expect(line).to_be_hidden()
    await expect(page.locator("#sum")).to_have_text("All is well")


async def leave(page: Page, url: str) -> None:
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_label("Password")).to_be_visible()
    await page.goto(f"{url}/login?redirect_uri=urn:ietf:wg:oauth:2.0:oob")
    await page.get_by_label("User").fill("ana")
    await page.get_by_label("Password").fill("secret")
    await page.get_by_role("button", name="Log in").click()
    shown = page.get_by_label("Token")
    await expect(shown).to_be_visible()
    assert (await shown.input_value()).count(".") == 2
