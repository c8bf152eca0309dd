"""The Hello demo from its document's first line, every step with real packets; then what a browser sees, and Redis lost
and found."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator

import pytest
from tests.support.browser import CHROMIUM, FLAGS, needs_browser
from tests.support.etcd_server import ETCD
from tests.support.stars_lab import story, tortie, wait_for
from tests.support.waiting import PATIENCE, wait_until
from tests.support.walk_pages import untyped

from tortie.lab.api import Lab, Ran

pytestmark = [
    pytest.mark.root,
    pytest.mark.lab,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(ETCD is None, reason="no etcd on this machine (package etcd-server)"),
]

NAME = f"hello-{os.getpid()}"
PAGE = re.compile(r"(\d+) views! Reporting from ([0-9a-f]{12})\s*")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    ran = tortie("up", "hello", "--bare", "--until", "0", "--store", "etcd", "--name", NAME)
    try:
        assert ran.returncode == 0, ran.stderr
        yield Lab.find(NAME)
    finally:
        tortie("down", "--name", NAME)


def test_every_step_of_the_document_does_as_it_says(lab: Lab) -> None:
    ran = tortie("walk", "hello", "--here", "--json", "--name", NAME, timeout=1700)
    assert ran.returncode == 0, f"{ran.stderr}{story(NAME)}"
    assert untyped("hello", ran.stderr) == []
    report = json.loads(ran.stdout)
    assert report["holds"]
    assert {check["step"] for check in report["checks"]} == {str(n) for n in range(1, 13)}
    assert list(report["matrices"]) == ["7", "12"]
    for cells in report["matrices"].values():
        assert {cell["source"] for cell in cells if cell["seen"] == "open" and cell["probe"] == "tcp/80"} >= {
            "public-1"
        }
        assert {cell["destination"] for cell in cells if cell["probe"] == "tcp/53"} >= {"its resolver", "master"}
    assert tortie("up", "hello", "--store", "etcd", "--name", NAME).returncode == 0, "the same lab, at its end"
    assert tortie("up", "hello", "--name", NAME).returncode == 4


def page(lab: Lab) -> str:
    """The page as the laptop gets it, by the balancer's virtual host."""
    words = ["curl", "-sS", "--max-time", "30", "-H", "Host: spring.acme.org", "http://172.24.197.201/"]
    return lab.host("laptop").run(words).stdout


@needs_browser
def test_a_browser_sees_the_app_door_marathon_mesos_and_the_balancer(lab: Lab) -> None:
    from playwright.sync_api import sync_playwright

    pages = {
        page["name"]: page["url"] for page in json.loads(tortie("status", "--name", NAME, "--json").stdout)["pages"]
    }
    wanted: dict[str, str | re.Pattern[str]] = {
        "hello": PAGE,
        "door": "/frontend",
        "marathon": "frontend",
        "mesos": "frontend",
        "haproxy": "frontend_10120",
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=1000 * PATIENCE)
        for name, text in wanted.items():
            tab = browser.new_page()
            tab.set_default_timeout(1000 * PATIENCE)
            tab.goto(pages[name])
            tab.get_by_text(text).first.wait_for(state="attached")
        browser.close()


def test_a_new_database_is_found_by_its_name(lab: Lab) -> None:
    """Views begin anew at 1 with a Redis at another address; until then the page says that there is none."""
    counted = wait_until(lambda: PAGE.fullmatch(page(lab)), message="the page with its views")
    assert counted is not None
    (host,) = (host for host in lab.hosts.values() if host.role == "agent" and redis(lab, host.name))
    assert host.run(["docker", "kill", *redis(lab, host.name)]).returncode == 0

    def fresh() -> bool:
        found = PAGE.fullmatch(page(lab))
        return found is not None and int(found[1]) < int(counted[1])

    wait_for("views to be counted anew", fresh)


def redis(lab: Lab, host: str) -> list[str]:
    """The database's containers there."""
    return lab.host(host).run(["docker", "ps", "-q", "--filter", "ancestor=redis"]).stdout.split()


def test_packages_are_installed_from_the_laptop_through_the_door(lab: Lab) -> None:
    """The app gets its address, answers, and is gone after."""
    laptop, door = lab.host("laptop"), "http://172.24.197.101"

    def dcos(*words: str) -> Ran:
        return laptop.run(["env", f"DCOS_URL={door}", "dcos", "package", *words], timeout=PATIENCE)

    def installed() -> set[str]:
        return {one["name"] for one in json.loads(dcos("list", "--json").stdout or "[]")}

    found = dcos("search", "--json")
    assert found.returncode == 0, found.stderr
    names = {one["name"] for one in json.loads(found.stdout)["packages"]}
    assert names == {"calico", "etcd", "hello", "marathon-lb", "stars"}
    taken = dcos("install", "marathon-lb", "--yes")
    assert (taken.returncode, taken.stderr) == (1, "Package is already installed\n"), "the document's own app"
    options = json.dumps({"hello": {"name": "packaged", "instances": 1, "virtual-host": "packaged.acme.org"}})
    assert laptop.run(["sh", "-c", f"echo '{options}' > /root/packaged.json"]).returncode == 0

    def answers() -> bool:
        words = ["curl", "-sS", "--max-time", "30", "-H", "Host: packaged.acme.org", "http://172.24.197.201/"]
        return PAGE.fullmatch(laptop.run(words).stdout) is not None

    assert not answers()
    said = dcos("install", "hello", "--options=/root/packaged.json", "--yes")
    assert said.returncode == 0, said.stderr
    assert "\nInstalling Marathon app for package [hello] version [0.1.0]\n" in said.stdout
    wait_for("the packaged app to answer through the balancer", answers)
    gone = dcos("uninstall", "hello", "--yes")
    assert (gone.returncode, gone.stderr) == (0, "Uninstalled package [hello] version [0.1.0]\n")
    wait_for("the package to be gone from the list", lambda: installed() == {"calico", "etcd", "marathon-lb"})
    wait_for("the packaged app to be gone", lambda: not answers())
