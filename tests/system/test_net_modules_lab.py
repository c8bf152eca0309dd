"""The net-modules document, every step with real packets and pictures, on a real etcd; then what a browser sees."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import partial
from http.client import HTTPException
from typing import Any
from urllib.request import urlopen

import pytest
from tests.support.browser import CHROMIUM, FLAGS, needs_browser
from tests.support.etcd_server import ETCD
from tests.support.stars_lab import story, tortie, wait_for
from tests.support.waiting import PATIENCE
from tests.support.walk_pages import untyped

from tortie.lab.api import Lab
from tortie.lab.walks.net_modules import ALL_EDGES, WITHIN_HALVES

pytestmark = [
    pytest.mark.root,
    pytest.mark.lab,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(ETCD is None, reason="no etcd on this machine (package etcd-server)"),
]

NAME = f"nm-{os.getpid()}"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    ran = tortie("up", "net-modules", "--until", "0", "--store", "etcd", "--name", NAME)
    try:
        assert ran.returncode == 0, ran.stderr
        yield Lab.find(NAME)
    finally:
        tortie("down", "--name", NAME)


def test_every_step_of_the_document_does_as_it_says(lab: Lab) -> None:
    ran = tortie("walk", "net-modules", "--here", "--json", "--name", NAME, timeout=1100)
    assert ran.returncode == 0, f"{ran.stderr}{story(NAME)}"
    assert untyped("net-modules", ran.stderr) == []
    report = json.loads(ran.stdout)
    assert report["holds"]
    assert {check["step"] for check in report["checks"]} == {str(n) for n in range(1, 10)}
    assert list(report["matrices"]) == ["6", "8"]
    pictures = [check["name"] for check in report["checks"] if check["name"].startswith("picture: ")]
    assert len(pictures) == 3


def test_the_laptop_s_own_ports_lead_to_the_master(lab: Lab) -> None:
    for port, path in ((8080, "v2/info"), (5050, "metrics/snapshot")):
        asked = lab.host("laptop").run(["curl", "-sS", "--fail", "-o", "/dev/null", f"http://localhost:{port}/{path}"])
        assert asked.returncode == 0, asked.stderr


@needs_browser
def test_a_browser_outside_sees_the_pictures(lab: Lab) -> None:
    from playwright.sync_api import sync_playwright

    for script in ("launch-probes", "launch-probes-isolated"):
        ran = lab.host("laptop").run([f"net-modules/demo/{script}.sh"])
        assert ran.returncode == 0, ran.stderr
    pages = {p["name"]: p["url"] for p in json.loads(tortie("status", "--name", NAME, "--json").stdout)["pages"]}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=1000 * PATIENCE)
        for name, bright in (("star", ALL_EDGES), ("star-iso", WITHIN_HALVES)):
            wait_for(f"the page {name}", partial(answers, pages[name]))
            tab = browser.new_page()
            tab.set_default_timeout(1000 * PATIENCE)
            tab.goto(pages[name])
            wait_for(f"the picture of {name}", partial(shows, tab, set(bright)))
        browser.close()


def answers(url: str) -> bool:
    """The collector is there and its name leads to it."""
    try:
        with urlopen(url, timeout=PATIENCE) as answer:
            return bool(answer.status == 200)
    except (OSError, HTTPException):
        return False


def shows(tab: Any, bright: set[tuple[str, str]]) -> bool:
    """Whether the page draws four nodes, and exactly these edges bright."""
    nodes, edges = tab.evaluate("[window.stars.nodes(), window.stars.edges()]")
    return len(nodes) == 4 and {(edge["from"], edge["to"]) for edge in edges if edge["reachable"]} == bright
