"""Pairs of interfaces in a namespace of the test's own."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from threading import Thread
from typing import TypeVar

import pytest

from tortie.base.delta import Delta
from tortie.base.errors import Conflict, Unavailable
from tortie.dataplane.kernel import veth
from tortie.dataplane.kernel.rtnl import Rtnl
from tortie.dataplane.want import Route

pytestmark = pytest.mark.root
T = TypeVar("T")
CLONE_NEWNET = 0x40000000


@pytest.fixture
def netns() -> Iterator[str]:
    name = f"docker-veth-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def inside(netns: str, call: Callable[[], T]) -> T:
    """In a thread of its own, which ends there: a namespace belongs to its thread."""
    import ctypes

    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        with open(f"/run/netns/{netns}") as handle:
            if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        try:
            results.append(call())
        except (Conflict, Unavailable) as error:
            errors.append(error)

    thread = Thread(target=work)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def links(netns: str) -> str:
    return subprocess.run(["ip", "-n", netns, "link"], capture_output=True, text=True, check=True).stdout


def test_a_pair_has_its_addresses_and_mtu_and_only_the_host_s_end_is_up(netns: str) -> None:
    inside(netns, lambda: veth.create_pair("cali1", "temp1", "02:00:00:00:00:01", 1450))
    shown = links(netns)
    assert re.search(r"cali1@temp1: <\S*\bUP\b\S*> mtu 1450", shown)
    assert not re.search(r"temp1@cali1: <\S*\bUP\b\S*>", shown)
    assert re.search(r"cali1@.*\n\s+link/ether ee:ee:ee:ee:ee:ee", shown)
    assert re.search(r"temp1@.*\n\s+link/ether 02:00:00:00:00:01", shown)
    assert {"cali1", "temp1", "lo"} == set(inside(netns, veth.names))


@pytest.mark.parametrize(("host", "peer"), [("cali1", "other"), ("other", "temp1")])
def test_a_name_that_is_taken_is_a_conflict_and_leaves_nothing_new(netns: str, host: str, peer: str) -> None:
    inside(netns, lambda: veth.create_pair("cali1", "temp1", "02:00:00:00:00:01"))
    with pytest.raises(Conflict, match=host):
        inside(netns, lambda: veth.create_pair(host, peer, "02:00:00:00:00:02"))
    assert {"cali1", "temp1", "lo"} == set(inside(netns, veth.names))


@pytest.mark.parametrize("mtu", [0, 10, 70000])
def test_an_impossible_mtu_is_refused_and_leaves_nothing(netns: str, mtu: int) -> None:
    with pytest.raises(Unavailable, match="cali1"):
        inside(netns, lambda: veth.create_pair("cali1", "temp1", "02:00:00:00:00:01", mtu))
    assert set(inside(netns, veth.names)) == {"lo"}


def test_one_end_takes_the_other_along_and_twice_is_fine(netns: str) -> None:
    inside(netns, lambda: veth.create_pair("cali1", "temp1", "02:00:00:00:00:01"))
    assert inside(netns, lambda: veth.delete("cali1"))
    assert not inside(netns, lambda: veth.delete("cali1"))
    assert set(inside(netns, veth.names)) == {"lo"}


def test_a_route_whose_interface_has_vanished_is_gone_and_holds_nobody_up(netns: str) -> None:
    """Found when a removal took a second: the whole pass had failed."""

    def drop() -> dict[str, str]:
        gone = {"192.0.2.7/32": Route("link", "caligone"), "192.0.2.8/32": Route("link", "lo")}
        return Rtnl().apply(Delta({}, frozenset(gone)), gone)

    subprocess.run(["ip", "-n", netns, "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "-n", netns, "route", "add", "192.0.2.8", "dev", "lo", "proto", "80"], check=True)
    assert inside(netns, drop) == {}
    shown = subprocess.run(["ip", "-n", netns, "route"], capture_output=True, text=True, check=True).stdout
    assert "192.0.2.8" not in shown
