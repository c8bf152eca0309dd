"""From one version of the product to the next and back, on real hosts whose containers speak all the while."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.rolled_pair import AGENT, NODE, Pair, Prober, Version, pair, times_out

from tortie.packages.rollout.machine import state

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]

NEXT = ("__init__.py", '__version__ = "', '__version__ = "9.9.')
# A node that knows everything, says that it is ready, and programs no way to other hosts.
LOST = ("dataplane/routes.py", "            return self._way(network, name)", "            return None")
SOON = ("packages/rollout/hand/gate.py", "REACH_SECONDS = 30.0", "REACH_SECONDS = 10.0")


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Version:
    return Version(tmp_path_factory.mktemp("old") / "source")


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory, old: Version) -> Iterator[Pair]:
    """The older version on both, a container on each."""
    with pair(tmp_path_factory.mktemp("hosts")) as made:
        done = made.apply(old)
        assert done.returncode == 0, f"{done.stdout}{done.stderr}{made.story()}"
        made.container("one", "asking")
        made.container("two", "answering")
        yield made


@pytest.fixture
def prober(hosts: Pair, tmp_path: Path) -> Prober:
    """Of the containers; it has not begun."""
    return Prober(hosts, tmp_path, ("one", "asking"), ("two", "answering"))


def steps(plan: dict[str, Any]) -> dict[str, list[str]]:
    return {host: list(delta) for host, delta in plan["hosts"].items()}


def versions(hosts: Pair) -> set[str]:
    return {hosts.ask(name, "/status")["version"] for name in hosts.hosts}


def units(hosts: Pair, unit: str) -> dict[str, str]:
    return {name: hosts.unit(name, unit) for name in hosts.hosts}


def test_an_upgrade_and_its_rollback_lose_nothing_and_restart_what_has_changed(
    hosts: Pair, old: Version, prober: Prober, tmp_path: Path
) -> None:
    with prober:
        prober.more()
        _there_and_back(hosts, old, prober, tmp_path)
        told = prober.end()
    assert told["failures"] == []
    assert told["received"] == told["sent"]


def _there_and_back(hosts: Pair, old: Version, prober: Prober, tmp_path: Path) -> None:
    new = Version(tmp_path / "new", NEXT)
    agents, nodes = units(hosts, AGENT), units(hosts, NODE)
    plan = hosts.plan(old)
    assert steps(plan) == {"one": [], "two": []}
    assert hosts.apply(old, plan["hash"]).stdout == "nothing to do\n"
    assert (units(hosts, AGENT), units(hosts, NODE)) == (agents, nodes)
    (version,) = versions(hosts)

    plan = hosts.plan(new)
    assert steps(plan) == {name: ["artefact", "cni", "node"] for name in hosts.hosts}
    done = hosts.apply(new, plan["hash"])
    assert done.returncode == 0, f"{done.stdout}{done.stderr}{hosts.story()}"
    one, two = times_out(hosts.book())
    assert one[1] <= two[0]
    assert versions(hosts) == {f"9.9.{version}"}
    upgraded = units(hosts, NODE)
    assert all(upgraded[name] != nodes[name] for name in nodes)
    prober.more()

    undone = hosts.roll(new, "undo")
    assert undone.returncode == 0, f"{undone.stdout}{undone.stderr}{hosts.story()}"
    one, two = times_out(hosts.book())
    assert two[1] <= one[0]
    assert versions(hosts) == {version}
    assert all(now != upgraded[name] for name, now in units(hosts, NODE).items())
    assert units(hosts, AGENT) == agents
    assert steps(hosts.plan(old)) == {"one": [], "two": []}
    prober.more()


def test_a_version_whose_nodes_find_no_other_host_is_stopped_at_the_first_one_and_undone(
    hosts: Pair, old: Version, prober: Prober, tmp_path: Path
) -> None:
    """Such a node takes its host's routes away; once it is undone containers speak as before."""
    broken = Version(tmp_path / "broken", NEXT, LOST, SOON)
    nodes = units(hosts, NODE)
    stopped = hosts.apply(broken)
    assert stopped.returncode == 1, f"{stopped.stdout}{stopped.stderr}{hosts.story()}"
    assert "stopped: one: gate: containers here are not reached by those of two, or the other way" in stopped.stderr
    rollout = hosts.book()
    assert (state(rollout), [host.mark for host in rollout.hosts]) == ("stopped", ["failed", "waiting"])
    assert units(hosts, NODE)["two"] == nodes["two"]
    with prober:
        prober.more()
        assert prober.end()["failures"] == []
    ended = hosts.roll(broken, "abort")
    assert ended.returncode == 0, ended.stderr
    assert steps(hosts.plan(old)) == {"one": [], "two": []}
