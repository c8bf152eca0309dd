"""A real agent, a real kernel: what passes and what does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.kernel.netlab import Lab, inside, own_tag

pytestmark = pytest.mark.root


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def pings(source: str, address: str, count: int = 1) -> bool:
    return "0 received" not in inside(source, "ping", "-n", "-c", str(count), "-W", "0.4", address, check=False)


def test_one_packet_is_allowed_and_one_refused(lab: Lab) -> None:
    host = lab.host("h1", "10.9.0.1")
    lab.profile("front", own_tag("front"))
    lab.profile("back", own_tag("back"))
    a = host.container("a", "10.65.0.1", "front")
    b = host.container("b", "10.65.0.2", "front")
    c = host.container("c", "10.65.0.3", "back")
    assert pings(a.netns, b.address)
    assert not pings(a.netns, c.address)
    assert pings(host.netns, c.address)
