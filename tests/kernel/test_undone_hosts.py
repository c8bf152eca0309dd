"""A first rollout to a real host, undone: refused under a container, then the host is as it was before it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.host_state import State, difference
from tests.support.real_host import RealHost
from tests.support.rolled_pair import Pair, Version, pair
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Pair]:
    """One of them is rolled out to."""
    with pair(tmp_path) as made:
        two = made.hosts["two"]
        two.must("rm -rf /opt/tortie /opt/cni /etc/tortie /etc/calico /var/lib/tortie")
        two.must("mkdir -p /run/netns /run/mount")
        made.write(hosts=[{"name": "two", "address": two.address.partition("/")[0]}])
        yield made


def test_an_undone_rollout_leaves_the_host_as_it_was(hosts: Pair, tmp_path: Path) -> None:
    two, version = hosts.hosts["two"], Version(tmp_path / "version")
    before = two.there()
    done = hosts.apply(version)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}{hosts.story()}"
    assert {"files", "folders", "nft", "sysctls", "processes"} <= set(left(before, two))
    hosts.container("two", "box")
    pid = hosts.unit("two", "calico-node.service")

    stopped = hosts.roll(version, "undo")
    assert stopped.returncode == 1, f"{stopped.stdout}{stopped.stderr}"
    assert "two: node cannot be undone: tortie node uninstall" in stopped.stderr
    assert "1 endpoint of a container is still on this host: default/two-cni-" in stopped.stderr
    assert hosts.unit("two", "calico-node.service") == pid

    config = json.dumps({"cniVersion": "1.0.0", "name": "calico", "type": "calico", "ipam": {"type": "calico-ipam"}})
    number = f"{sum(map(ord, 'box')):012x}".ljust(64, "0")
    call = f"CNI_COMMAND=DEL CNI_CONTAINERID={number} CNI_NETNS=/var/run/netns/box CNI_IFNAME=eth0"
    two.must(f"{call} CNI_PATH=/opt/cni/bin /opt/cni/bin/calico <<< '{config}' && ip netns del box")
    wait_until(lambda: ": cali" not in two.must("ip -o link show"), message=hosts.story)
    undone = hosts.roll(version, "retry")
    assert undone.returncode == 0, f"{undone.stdout}{undone.stderr}{hosts.story()}"
    wait_until(lambda: not left(before, two), message=lambda: left(before, two))


def left(before: State, host: RealHost) -> dict[str, list[str]]:
    """Without what stands for the service manager keeps for itself."""
    found = difference(before, host.there())
    lines = {what: [line for line in lines if "/run/units" not in line] for what, lines in found.items()}
    return {what: lines for what, lines in lines.items() if lines}
