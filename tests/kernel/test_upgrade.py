"""From one version of the product to the next and back, on real hosts whose containers speak all the while."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.rolled_pair import AGENT, NODE, Pair, Prober, Version, pair, times_out

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]

NEXT = ("__init__.py", '__version__ = "', '__version__ = "9.9.')


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Pair]:
    with pair(tmp_path) as made:
        yield made


def steps(plan: dict[str, Any]) -> dict[str, list[str]]:
    return {host: list(delta) for host, delta in plan["hosts"].items()}


def versions(hosts: Pair) -> list[str]:
    return [hosts.ask(name, "/status")["version"] for name in hosts.hosts]


def test_an_upgrade_and_its_rollback_lose_nothing_and_restart_what_has_changed(hosts: Pair, tmp_path: Path) -> None:
    old, new = Version(tmp_path / "old"), Version(tmp_path / "new", NEXT)
    done = hosts.apply(old)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}{hosts.story()}"
    server = hosts.container("two", "answering")
    hosts.container("one", "asking")
    prober = Prober(hosts, tmp_path, ("one", "asking"), ("two", "answering"), server)
    prober.more()
    before = {name: hosts.units(name, AGENT, NODE) for name in hosts.hosts}
    assert steps(hosts.plan(old)) == {"one": [], "two": []}
    assert "nothing to do" in hosts.roll(old, str(hosts.file), "--dry-run").stdout
    assert {name: hosts.units(name, AGENT, NODE) for name in hosts.hosts} == before
    (version,) = set(versions(hosts))

    assert steps(hosts.plan(new)) == {name: ["artefact", "cni", "node"] for name in hosts.hosts}
    done = hosts.apply(new)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}{hosts.story()}"
    first, second = times_out(hosts.book(new))
    assert first[1] <= second[0]
    assert set(versions(hosts)) == {version.replace("0", "9.9.0", 1)}
    for name, (agent, node) in before.items():
        assert hosts.units(name, AGENT) == [agent]
        assert hosts.units(name, NODE) != [node]
    upgraded = {name: hosts.units(name, NODE) for name in hosts.hosts}
    prober.more()

    undone = hosts.roll(new, "undo")
    assert undone.returncode == 0, f"{undone.stdout}{undone.stderr}{hosts.story()}"
    second, first = times_out(hosts.book(new))
    assert first[1] <= second[0]
    assert set(versions(hosts)) == {version}
    assert all(hosts.units(name, NODE) != upgraded[name] for name in hosts.hosts)
    assert {name: hosts.units(name, AGENT) for name in hosts.hosts} == {name: [own[0]] for name, own in before.items()}
    assert steps(hosts.plan(old)) == {"one": [], "two": []}
    prober.more()
    told = prober.end()
    assert told["failures"] == []
    assert told["received"] == told["sent"]
