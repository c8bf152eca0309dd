"""What goes with a container: its pair of interfaces, its conversations."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.netns import within
from tests.support.waiting import PATIENCE

from tortie.base.errors import Unavailable
from tortie.dataplane.kernel import conntrack
from tortie.dataplane.kernel.netlink import (
    NETLINK_NETFILTER,
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    attr,
    failure,
    message,
    nested,
    open_socket,
    receive,
)
from tortie.dataplane.kernel.unlinking import unlink

pytestmark = pytest.mark.root
NEW, TIMEOUT = 1 << 8, 7
TOGETHER = 20


@pytest.fixture
def netns() -> Iterator[str]:
    name = f"going-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def pair(netns: str, number: int) -> str:
    name = f"cali{number}"
    words = f"ip -n {netns} link add {name} up type veth peer name eth{number}"
    subprocess.run(words.split(), check=True)
    subprocess.run(["ip", "-n", netns, "link", "set", f"eth{number}", "up"], check=True)
    return name


def links(netns: str) -> str:
    return subprocess.run(["ip", "-n", netns, "link"], capture_output=True, text=True, check=True).stdout


def test_a_pair_that_is_unlinked_is_gone_when_the_call_returns(netns: str) -> None:
    with within(netns):
        for _ in range(5):
            name = pair(netns, 1)
            unlink(name)
            shown = links(netns)
            assert name not in shown
            assert "eth1" not in shown
        unlink("cali1")
        for impossible in ("lo", "far-too-long-for-a-name"):
            with pytest.raises(Unavailable, match=impossible):
                unlink(impossible)
    assert "lo" in links(netns)


def test_many_that_go_at_once_do_not_take_one_for_another(netns: str) -> None:
    names = [pair(netns, number) for number in range(TOGETHER)]
    stays = pair(netns, TOGETHER)
    with within(netns), ThreadPoolExecutor(TOGETHER) as threads:

        def gone(name: str) -> bool:
            unlink(name)
            return f"{name}@" not in links(netns)

        assert all(threads.map(gone, names, timeout=PATIENCE))
    assert f"{stays}@" in links(netns)


def conversation(one: str, two: str, port: int) -> bytes:
    source, target = socket.inet_aton(one), socket.inet_aton(two)
    here, there = struct.pack(">H", port), struct.pack(">H", 9)

    def side(kind: int, source: bytes, target: bytes, sport: bytes, dport: bytes) -> bytes:
        ports = nested(2, attr(1, bytes([socket.IPPROTO_UDP])), attr(2, sport), attr(3, dport))
        return nested(kind, nested(1, attr(1, source), attr(2, target)), ports)

    head = struct.pack(">BBH", socket.AF_INET, 0, 0) + attr(TIMEOUT, struct.pack(">I", 3600))
    return head + side(1, source, target, here, there) + side(2, target, source, there, here)


def begin(*conversations: bytes) -> None:
    with open_socket(NETLINK_NETFILTER) as sock:
        for body in conversations:
            sock.send(message(NEW, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_ACK, 1, body))
            codes = [failure(found) for found in receive(sock, PATIENCE) if found.kind == NLMSG_ERROR]
            assert codes == [0]


@pytest.mark.parametrize("listed", [conntrack.LISTED, 0])
def test_conversations_of_an_address_are_forgotten_and_others_are_not(
    netns: str, listed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conntrack, "LISTED", listed)
    gone, other, third = "10.65.0.1", "10.65.0.2", "10.65.0.3"
    with within(netns):
        table = conntrack.Conntrack()
        try:
            assert (table.count(), table.forget([gone])) == (0, 0)
            begin(conversation(gone, other, 1024), conversation(other, gone, 1025), conversation(other, third, 1026))
            assert table.count() == 3
            assert table.forget([gone, "fd00::1"]) == 2
            assert (table.count(), table.forget([gone])) == (1, 0)
        finally:
            table.close()
