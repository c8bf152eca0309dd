"""The Environments document, every step with real packets; then what a person at an agent or at the laptop has."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest
from tests.support.stars_lab import story, tortie
from tests.support.walk_pages import type_then, untyped

from tortie.lab.api import Lab
from tortie.lab.walks.environments_stages import APPS

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(1200)]

NAME = f"env-{os.getpid()}"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    ran = tortie("up", "environments", "--until", "0", "--name", NAME)
    try:
        assert ran.returncode == 0, ran.stderr
        yield Lab.find(NAME)
    finally:
        tortie("down", "--name", NAME)


def test_every_step_of_the_document_does_as_it_says(lab: Lab) -> None:
    ran = tortie("walk", "environments", "--here", "--json", "--name", NAME, timeout=1100)
    assert ran.returncode == 0, f"{ran.stderr}{story(NAME)}"
    assert untyped("environments", ran.stderr) == []
    type_then("environments", lab)
    report = json.loads(ran.stdout)
    assert report["holds"]
    assert [check["step"] for check in report["checks"]][-1] == "S-e"
    assert list(report["matrices"]) == ["7", "9", "10", "S-e"]
    for step, cells in report["matrices"].items():
        between = {(c["source"], c["destination"]) for c in cells if c["source"] in APPS and c["destination"] in APPS}
        assert len(between) == 30, step
        crossed = {
            (source.partition("@")[0], destination)
            for source, destination, there in ((c["source"], c["destination"], c["destinationHost"]) for c in cells)
            if source.partition("@")[2] not in ("", there)
        }
        assert {pair for pair in crossed if set(pair) <= set(APPS)}, "second containers, on other agents"
    assert tortie("up", "environments", "--name", NAME).returncode == 0, "the same lab, at its end"


def test_the_laptop_s_key_opens_master_and_agents_and_nobody_else_s_does(lab: Lab) -> None:
    laptop = lab.host("laptop")
    for host in ("master", "agent-1", "agent-3"):
        ran = laptop.run(["ssh", f"core@{host}", "hostname; command -v calicoctl; exit 7"])
        assert (ran.returncode, ran.stdout.split()) == (7, [host, "/usr/local/bin/calicoctl"]), ran.stderr
    refused = lab.host("agent-2").run(["ssh", "-o", "StrictHostKeyChecking=no", "core@172.24.197.102", "true"])
    assert refused.returncode == 255
    assert "Permission denied (publickey)" in refused.stderr


def test_images_are_there_for_every_host_and_what_one_imports_all_have(lab: Lab) -> None:
    made = lab.host("agent-2").run(
        ["bash", "-c", "mkdir -p tiny/bin && cp /bin/true tiny/bin/true && tortie image import --no-docker tiny tiny"]
    )
    assert made.returncode == 0, made.stderr
    for host in ("agent-1", "agent-3"):
        listed = lab.host(host).run(["find", "/var/lib/tortie/images", "-name", "*.tar", "-printf", "%P\n"])
        assert sorted(listed.stdout.split()) == [
            "donch/net-tools:latest.tar",
            "nginx:alpine.tar",
            "oscarfonts/h2:latest.tar",
            "tiny:latest.tar",
        ]
    pulled = lab.host("agent-2").run(["docker", "pull", "nginx:alpine"], timeout=600)
    assert pulled.returncode == 0, pulled.stderr
