"""The net-modules document, every step with real packets and pictures, on a real etcd."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest
from tests.support.browser import CHROMIUM, FLAGS, needs_browser
from tests.support.etcd_server import ETCD
from tests.support.stars_lab import story, tortie
from tests.support.waiting import PATIENCE

from tortie.lab.api import Lab

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
    report = json.loads(ran.stdout)
    assert report["holds"]
    assert {check["step"] for check in report["checks"]} == {str(n) for n in range(1, 10)}
    assert list(report["matrices"]) == ["6", "8"]
    pictures = [check["name"] for check in report["checks"] if check["name"].startswith("picture: ")]
    assert len(pictures) == 3


@needs_browser
def test_the_laptop_s_own_ports_lead_to_the_master_and_the_page_opens(lab: Lab) -> None:
    from playwright.sync_api import sync_playwright

    for port, path in ((8080, "v2/info"), (5050, "metrics/snapshot")):
        asked = lab.host("laptop").run(["curl", "-sS", "--fail", "-o", "/dev/null", f"http://localhost:{port}/{path}"])
        assert asked.returncode == 0, asked.stderr
    pages = json.loads(tortie("status", "--name", NAME, "--json").stdout)["pages"]
    (mesos,) = (page["url"] for page in pages if page["name"] == "mesos")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        tab = browser.new_page()
        tab.set_default_timeout(1000 * PATIENCE)
        tab.goto(mesos)
        tab.get_by_text("172.24.197.103").first.wait_for(state="attached")
        browser.close()
