"""The Stars demo without Docker: its apps by the Mesos containerizer, a CNI network for each of the document's."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tests.support.stars_lab import check, tortie

from tortie.lab.api import Lab

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(1200)]

NAME = f"ucr-{os.getpid()}"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    ran = tortie("up", "stars", "--runtime", "ucr", "--name", NAME)
    try:
        assert ran.returncode == 0, ran.stderr
        yield Lab.find(NAME)
    finally:
        tortie("down", "--name", NAME)


def test_who_reaches_whom_is_the_same_and_no_engine_runs_anything(lab: Lab) -> None:
    check(NAME)
    for host in ("agent-1", "agent-2"):
        assert lab.host(host).run(["docker", "ps", "-q"]).stdout == ""
    asked = lab.host("agent-1").run(["tortie", "why", "client", "frontend", "tcp/9000"])
    assert asked.returncode == 0, asked.stdout + asked.stderr
