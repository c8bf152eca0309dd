"""The Stars page in a real browser: for each state of the probes exactly the edges that were measured."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from tests.support.browser import CHROMIUM, FLAGS, needs_browser
from tests.support.waiting import PATIENCE, wait_until

from tortie.lab.fileserver import FileServer, Reply
from tortie.stars.collect import Collector, Front
from tortie.stars.http1 import Server
from tortie.stars.run import Log

pytestmark = needs_browser

PAIRS = {"CF", "CB", "FC", "FB", "BC", "BF"}


@dataclass
class Probes:
    """Three probes on one server; what they answer is set by the test."""

    answering: set[str] = field(default_factory=set)
    open: set[str] = field(default_factory=set)
    port: int = 0

    def url(self, id: str) -> str:
        return f"http://127.0.0.1:{self.port}/{id}/status"

    def body(self, id: str) -> bytes:
        others = [other for other in "CFB" if other != id]
        return json.dumps(
            {"status": {"targets": [{"reachable": id + o in self.open, "url": self.url(o)} for o in others]}}
        ).encode()


@pytest.fixture
def probes() -> Iterator[Probes]:
    made = Probes()

    def answer(_method: str, _host: str, path: str) -> Reply:
        id = path.split("/")[1]
        return Reply(200, made.body(id) if id in made.answering else b"not now", "application/json")

    server = FileServer("127.0.0.1", 0, answer, lambda _text: None, None)
    made.port = server.server_port
    server.start()
    yield made
    server.shutdown()
    server.server_close()


@dataclass
class Stars:
    """A collector on real sockets, asked to poll by the test: nothing here waits for a period."""

    collector: Collector
    server: Server

    def poll(self) -> None:
        for id in "CFB":
            self.collector.poll_once(id)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"


@pytest.fixture
def stars(probes: Probes) -> Iterator[Stars]:
    log = Log("/dev/null")
    collector = Collector(3600, log)
    for id in "CFB":
        collector.add(id, probes.url(id))
    server = Server("127.0.0.1", 0, Front(collector, log).answer, log)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made = Stars(collector, server)
    made.poll()
    yield made
    server.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=1000 * PATIENCE)
        yield made
        made.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    made = browser.new_page(viewport={"width": 1280, "height": 860})
    made.set_default_timeout(1000 * PATIENCE)
    errors: list[str] = []
    made.on("pageerror", lambda error: errors.append(str(error)))
    foreign: list[str] = []
    made.on("request", lambda r: None if r.url.startswith(("http://127.0.0.1:", "data:")) else foreign.append(r.url))
    yield made
    made.close()
    assert errors == []
    assert foreign == []


def until(page: Page, script: str) -> None:
    """Wait until `script` is true; the page's policy forbids evaluation by its own clock, so we ask again."""
    wait_until(lambda: page.evaluate(script), message=script)


def drawn(page: Page, reachable: bool | None = None) -> set[str]:
    edges: list[dict[str, Any]] = page.evaluate("window.stars.edges()")
    return {e["from"] + e["to"] for e in edges if reachable in (None, e["reachable"])}


def ready(page: Page, stars: Stars) -> None:
    page.goto(stars.address)
    until(page, "Boolean(window.stars?.state()?.nodes.every((n) => n.asked))")


def places(page: Page) -> dict[str, str]:
    found: dict[str, str] = page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('#graph .node')].map((n) => "
        "[n.dataset.key, n.getAttribute('transform')]))"
    )
    return found


class Relay(ThreadingHTTPServer):
    daemon_threads = True
    clients: list[socket.socket]


def relay_to(target: int, port: int) -> Relay:
    """Passes bytes on to `target` until `stop`."""

    class Pass(BaseHTTPRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", target)) as far:
                relay.clients += [self.connection, far]
                try:
                    far.sendall(self.connection.recv(65536))
                    while data := far.recv(65536):
                        self.connection.sendall(data)
                except OSError:
                    return

    relay = Relay(("127.0.0.1", port), Pass)
    relay.clients = []
    threading.Thread(target=relay.serve_forever, daemon=True).start()
    return relay


def stop(relay: Relay) -> None:
    relay.shutdown()
    relay.server_close()
    for client in relay.clients:
        with suppress(OSError):  # it ended by itself
            client.shutdown(socket.SHUT_RDWR)


def test_all_null_is_an_empty_picture_with_its_own_words(page: Page, stars: Stars) -> None:
    ready(page, stars)
    assert page.evaluate("window.stars.nodes()") == []
    assert drawn(page) == set()
    assert "No probe has answered yet" in page.inner_text("#note")
    assert f"Is port {stars.collector.board.nodes['C'].url.split(':')[2].split('/')[0]} open" in page.inner_text(
        "#note"
    )
    assert page.locator("#toggle-unreachable").is_visible()
    assert page.locator("#toggle-markers").is_visible()


def test_the_picture_follows_without_a_reload(page: Page, stars: Stars, probes: Probes) -> None:
    ready(page, stars)
    probes.answering = set("CFB")
    stars.poll()
    until(page, "window.stars.nodes().length === 3 && window.stars.edges().length === 6")
    assert drawn(page, True) == set()
    assert drawn(page, False) == PAIRS
    before = places(page)

    probes.open = {"CF", "FB"}
    stars.poll()
    until(page, "window.stars.edges().filter((e) => e.reachable).length === 2")
    assert drawn(page, True) == {"CF", "FB"}
    assert drawn(page, False) == PAIRS - {"CF", "FB"}
    assert page.locator("#matrix td.open").count() == 2
    assert page.locator("#matrix td.shut").count() == 4
    lines = "\n".join(page.locator("#changes li").all_inner_texts())
    assert "F accepts C on" in lines
    assert "B accepts F on" in lines

    probes.answering = set("CF")
    stars.poll()
    until(page, "window.stars.nodes().length === 2")
    assert drawn(page) == {"CF", "FC"}
    assert places(page) == {id: before[id] for id in "CF"}, "nothing moves"
    probes.answering = set()
    stars.poll()
    until(page, "window.stars.nodes().length === 0")
    assert drawn(page) == set()


def test_closed_edges_can_be_hidden_and_the_address_keeps_it(page: Page, stars: Stars, probes: Probes) -> None:
    probes.answering, probes.open = set("CFB"), {"CF", "FB"}
    stars.poll()
    ready(page, stars)
    until(page, "window.stars.edges().length === 6")
    page.click("#toggle-unreachable")
    assert drawn(page) == {"CF", "FB"}
    assert page.url.endswith("#unreachable=0")
    assert page.get_attribute("#toggle-unreachable", "aria-pressed") == "false"
    page.reload()
    until(page, "window.stars?.edges().length === 2")
    page.keyboard.press("u")
    assert drawn(page) == PAIRS
    page.go_back()
    until(page, "window.stars.edges().length === 2")


def test_an_edge_is_opened_by_keyboard_and_told_in_words(page: Page, stars: Stars, probes: Probes) -> None:
    probes.answering, probes.open = set("CFB"), {"CF"}
    stars.poll()
    ready(page, stars)
    until(page, "window.stars.edges().length === 6")
    edge = page.locator("#graph .edge[data-from=C][data-to=F]")
    assert (edge.get_attribute("aria-label") or "").startswith("C reaches F, port ")
    edge.focus()
    page.keyboard.press("Enter")
    assert page.inner_text("#details-title") == "C → F"
    assert "✓ reaches" in page.inner_text("#details")
    assert "edge=C%3EF" in page.url
    page.keyboard.press("Escape")
    assert page.locator("#details").is_hidden()
    page.keyboard.press("?")
    assert page.locator("dialog[open]").is_visible()


def test_open_and_closed_differ_in_shape_and_not_only_in_colour(page: Page, stars: Stars, probes: Probes) -> None:
    probes.answering, probes.open = set("CFB"), {"CF"}
    stars.poll()
    ready(page, stars)
    until(page, "window.stars.edges().length === 6")
    look = (
        "(e) => [getComputedStyle(e.querySelector('.line')).strokeDasharray,"
        " e.querySelector('.sign path').getAttribute('d')]"
    )
    open_line, open_sign = page.locator("#graph .edge[data-from=C][data-to=F]").evaluate(look)
    shut_line, shut_sign = page.locator("#graph .edge[data-from=F][data-to=C]").evaluate(look)
    assert open_line == "none"
    assert shut_line != "none"
    assert open_sign != shut_sign


def test_a_lost_stream_is_marked_and_found_again(page: Page, stars: Stars, probes: Probes) -> None:
    """A relay between page and collector goes away and comes back on the same port."""
    probes.answering = set("CFB")
    stars.poll()
    relay = relay_to(stars.server.port, 0)
    page.goto(f"http://127.0.0.1:{relay.server_port}")
    until(page, "window.stars?.nodes().length === 3 && document.querySelector('.live').textContent === 'live'")
    stop(relay)
    until(page, "document.querySelector('.live').textContent.startsWith('stale since ')")
    assert page.evaluate("window.stars.nodes().length") == 3, "what was known stays on the page"
    probes.open = {"CF"}
    stars.poll()
    relay = relay_to(stars.server.port, relay.server_port)
    until(page, "window.stars.edges().some((e) => e.reachable)")
    until(page, "document.querySelector('.live').textContent === 'live'")
    stop(relay)


def test_the_example_is_the_originals_sample(page: Page, stars: Stars) -> None:
    page.goto(stars.address + "/?example=true")
    until(page, "window.stars?.nodes().length === 4")
    assert sorted(page.evaluate("window.stars.nodes()")) == list("ABCD")
    assert drawn(page, True) == {"AB", "AC", "BA", "BC", "CD", "DA"}
