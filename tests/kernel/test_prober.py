"""The prober against a real kernel: one namespace probes another through a veth pair."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.waiting import wait_until

from tortie.base.errors import Unavailable
from tortie.lab.walks.matrix import Probe, Seen
from tortie.lab.walks.prober import Target, enter, probe_all

pytestmark = pytest.mark.root

LEFT, RIGHT = f"tprobe-left-{os.getpid()}", f"tprobe-right-{os.getpid()}"


def sh(line: str) -> None:
    subprocess.run(["bash", "-ec", line], check=True)


@pytest.fixture(scope="module")
def listener() -> Iterator[str]:
    """An address that listens on tcp 9000, answers nothing on udp, and drops tcp 22 and all of 10.77.0.3."""
    sh(f"""
    ip netns add {LEFT}; ip netns add {RIGHT}
    ip link add name pa netns {LEFT} type veth peer name pb netns {RIGHT}
    ip -n {LEFT} addr add 10.77.0.1/24 dev pa; ip -n {RIGHT} addr add 10.77.0.2/24 dev pb
    ip -n {LEFT} link set pa up; ip -n {RIGHT} link set pb up
    ip netns exec {RIGHT} nft 'add table inet t; add chain inet t c {{ type filter hook input priority 0; }};
      add rule inet t c tcp dport 22 drop'
    """)
    server: list[socket.socket] = []

    def listen() -> None:
        enter(Path("/run/netns") / RIGHT)
        server.append(socket.create_server(("10.77.0.2", 9000)))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    yield "10.77.0.2"
    server[0].close()
    sh(f"ip netns del {LEFT}; ip netns del {RIGHT}")


def test_each_outcome_is_told_apart(listener: str) -> None:
    probes = {
        Probe("tcp", 9000): Seen.OPEN,
        Probe("tcp", 9001): Seen.REFUSED,
        Probe("tcp", 22): Seen.DROPPED,
        Probe("udp", 9000): Seen.REFUSED,
        Probe("icmp"): Seen.OPEN,
    }
    netns = Path("/run/netns") / LEFT
    seen: dict[Path, list[Seen]] = {}

    def told_apart() -> bool:
        """One that is to be silent ends the time of all: a busy machine may keep the others from answering in it."""
        seen.update(probe_all({netns: [Target(listener, probe) for probe in probes]}, timeout=1.5))
        return seen == {netns: list(probes.values())}

    wait_until(told_apart, message=lambda: seen)


def test_nobody_at_the_address_is_silence(listener: str) -> None:
    netns = Path("/run/netns") / LEFT
    targets = [Target("10.77.0.9", Probe("tcp", 9000)), Target("10.99.0.1", Probe("icmp"))]
    assert probe_all({netns: targets}, timeout=0.5) == {netns: [Seen.DROPPED, Seen.DROPPED]}


def test_a_missing_namespace_is_named() -> None:
    with pytest.raises(Unavailable, match="no-such-namespace"):
        probe_all({Path("/run/netns/no-such-namespace"): [Target("10.77.0.2", Probe("icmp"))]}, timeout=0.1)
