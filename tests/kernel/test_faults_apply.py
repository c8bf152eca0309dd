"""Faults at the start of an agent and of its store; what goes wrong later is `test_faults_prober`'s."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.kernel.netlab import Container, Host, Lab, allow_tcp, inside, own_tag, until
from tests.kernel.test_node_kernel import go_on, in_thread, listening, passes, send_udp, stream, strip
from tests.support.etcd_server import ETCD, EtcdServer

from tortie.model.kinds.profile import PROFILE
from tortie.store.open import open_store

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def table(host: Host) -> str:
    return strip(inside(host.netns, "nft", "list", "table", "inet", "tortie", check=False))


def trio(lab: Lab, host: Host) -> tuple[Container, Container, Container]:
    """Two that policy lets speak, and one that it keeps apart."""
    lab.profile("n", own_tag("n"))
    lab.profile("m", own_tag("m"))
    return (
        host.container("a", "10.65.0.1", "n"),
        host.container("b", "10.65.0.2", "n"),
        host.container("c", "10.65.0.3", "m"),
    )


def churn(lab: Lab, number: int) -> None:
    """A change that never lets c be reached: other rules, other members, other endpoints."""
    lab.profile("n", own_tag("n"), allow_tcp(number % 60000 + 1))
    lab.profile(f"x{number % 5}", own_tag(f"x{number % 3}"), allow_tcp(80, "n"))
    name, profiles = f"g{number % 4}", ("n", f"x{number % 5}") if number % 2 else (f"x{number % 5}",)
    lab.put_endpoint("h1", name, f"calig{number % 4}", f"10.65.9.{number % 4 + 1}", profiles)


def test_kills_during_the_first_application_leak_nothing(lab: Lab) -> None:
    """As after a reboot: a closed table, workloads already there, and an agent that does not get far."""
    host = Host("h1", lab.plug("h1", "10.9.0.1"), "10.9.0.1", lab)
    lab.hosts.append(host)
    inside(host.netns, sys.executable, "-m", "tests.kernel.run_node", "boot")
    inside(host.netns, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    lab.profile("n", own_tag("n"))
    lab.profile("m", own_tag("m"))
    addresses = {"a": "10.65.0.1", "b": "10.65.0.2", "c": "10.65.0.3"}
    for name, address in addresses.items():
        host.container(name, address, "m" if name == "c" else "n", wait=False)
        inside(host.netns, "ip", "route", "add", f"{address}/32", "dev", f"cali{name}", "scope", "link", "proto", "80")
    for number in range(200):
        lab.profile(f"y{number}", own_tag(f"y{number}"), allow_tcp(number + 1))
        lab.put_endpoint("h1", f"y{number}", f"caliy{number}", f"10.65.{number + 1}.1", (f"y{number}",))
    dice = random.Random(11)
    with stream(host.containers[0].netns, addresses["c"], answered=False) as refused:
        for _ in range(6):
            go_on(refused)
            host.start()
            time.sleep(dice.random())
            host.kill(signal.SIGKILL)
        host.start()
        host.ready()
        until(lambda: passes(host.containers[0].netns, addresses["b"]))
        go_on(refused)
    assert refused.received == 0


@pytest.mark.skipif(ETCD is None, reason="etcd is not installed")
def test_a_store_that_comes_back_with_other_content_is_followed_at_once_and_whole(lab: Lab, tmp_path: Path) -> None:
    first, second = EtcdServer(tmp_path / "first"), EtcdServer(tmp_path / "second")
    with ExitStack() as stack:
        for server in (first, second):
            server.start()
            stack.callback(server.stop)
        stack.callback(lab.close)
        lab.move(first.url)
        host = Host("h1", lab.plug("h1", "10.9.0.1"), "10.9.0.1", lab)
        lab.hosts.append(host)
        stack.callback(reach(host, first.client).kill)
        host.start()
        host.ready()
        a, b, c = trio(lab, host)
        for number in range(50):  # its revision goes ahead of the other's
            churn(lab, number)
        host.container("d", "10.65.0.4", "n")  # programmed: so is all that was written before it
        before = table(host)
        lab.move(second.url)
        for name in ("n", "m"):
            lab.profile(name, own_tag("m"))
        for one in (a, c):
            lab.put_endpoint("h1", one.interface[4:], one.interface, one.address, ("m",))
        with stream(b.netns, c.address, answered=False) as refused:
            first.kill()
            until(lambda: host.status()["store"]["reason"])
            inside(host.netns, "ip", "route", "flush", "proto", "80")
            until(lambda: passes(a.netns, b.address))
            assert table(host) == before
            second.stop()
            shutil.rmtree(first.directory / "data")
            shutil.copytree(second.directory / "data", first.directory / "data")
            first.start()
            until(lambda: passes(a.netns, c.address))
            until(lambda: not passes(a.netns, b.address))
        assert refused.received == 0
        until(lambda: set(host.status()["endpoints"]) == {a.key, c.key}, message=host.story)
        until(lambda: not host.status()["store"]["reason"], message=host.story)


def reach(host: Host, port: int) -> subprocess.Popen[bytes]:
    """The host's own 127.0.0.1 leads to the machine's, at this port."""
    listening: list[socket.socket] = []
    in_thread(host.netns, lambda: listening.append(socket.create_server(("127.0.0.1", port)))).join()
    number = listening[0].fileno()
    with listening[0]:
        return subprocess.Popen(
            [sys.executable, "-m", "tortie.lab.forward", f"etcd=127.0.0.1:{port}"],
            pass_fds=[number],
            env=os.environ | {"LAB_SOCKETS": json.dumps({"etcd": number})},
            stderr=subprocess.DEVNULL,
        )


def test_a_start_beside_a_store_that_is_truly_empty_closes(lab: Lab, tmp_path: Path) -> None:
    host = lab.host("h1", "10.9.0.1")
    a, b, _ = trio(lab, host)
    host.kill(signal.SIGTERM)
    empty = open_store(f"sqlite://{tmp_path}/empty")
    empty.close()
    host.start("--store", f"sqlite://{tmp_path}/empty")
    until(lambda: not passes(a.netns, b.address))
    with listening(b.netns, 7) as received:
        send_udp(a.netns, a.address, b.address, 7, b"x")
        host.ready()
        assert not received
    assert lab.client.find(PROFILE, "n") is not None
