"""Faults while the table is applied: what is forbidden never passes, what is allowed is not cut, and it converges."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.kernel.netlab import Container, Host, Lab, allow_tcp, inside, own_tag, until
from tests.kernel.test_node_kernel import go_on, in_thread, listening, passes, send_udp, stream, strip
from tests.support.etcd_server import ETCD, EtcdServer

from tortie.base.errors import TortieError
from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec
from tortie.model.kinds.profile import PROFILE
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT
from tortie.model.resource import Metadata, Resource, encode
from tortie.model.rule import Rule
from tortie.store.open import open_store
from tortie.store.port import Drop, Put

pytestmark = pytest.mark.root

LONG = 60.0


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


def test_kills_at_random_instants_leak_nothing_and_cut_nothing(lab: Lab) -> None:
    """The agent, its child, or both, while the table changes all the time."""
    host = lab.host("h1", "10.9.0.1")
    a, b, c = trio(lab, host)
    dice, stop = random.Random(5), threading.Event()

    def change() -> None:
        number = 0
        while not stop.is_set():
            churn(lab, number)
            number += 1
            stop.wait(0.002)

    changing = threading.Thread(target=change)
    # The allowed one ends first, with every answer in: what of the other got through had its time.
    with (
        stream(a.netns, c.address, answered=False) as refused,
        stream(a.netns, b.address, answered=True) as allowed,
        ExitStack() as stack,
    ):
        changing.start()
        stack.callback(changing.join)
        stack.callback(stop.set)
        for _ in range(8):
            time.sleep(dice.random() / 5)
            assert host.agent is not None
            child = children(host.agent.pid)
            if child and dice.random() < 0.5:
                os.kill(dice.choice(child), signal.SIGKILL)
            else:
                host.kill(signal.SIGKILL)
                host.start()
            go_on(allowed, refused)
        stop.set()
        changing.join()
        host.ready()
        go_on(allowed, refused)
    assert (allowed.sent, allowed.lost) == (allowed.received, [])
    assert (refused.received, len(refused.lost)) == (0, refused.sent)
    settled_like_new(lab, host)


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
        until(lambda: passes(host.containers[0].netns, addresses["b"]), LONG)
        go_on(refused)
    assert refused.received == 0


def test_policies_that_change_places_in_one_write_are_never_both_away(lab: Lab) -> None:
    host = lab.host("h1", "10.9.0.1")
    lab.profile("empty")
    spec = GlobalNetworkPolicySpec(
        selector="all()", ingress=(Rule(action="Allow"),), egress=(Rule(action="Allow"),), types=("Ingress", "Egress")
    )
    one, two = (
        Resource(kind=GLOBAL_NETWORK_POLICY, metadata=Metadata(name=name), spec=spec) for name in ("one", "two")
    )
    lab.client.datastore.commit([Put(one.key, encode(one))])
    a, b = host.container("a", "10.65.0.1", "empty"), host.container("b", "10.65.0.2", "empty")
    until(lambda: passes(a.netns, b.address), LONG)
    with stream(a.netns, b.address, answered=True) as allowed:
        for number in range(40):
            comes, goes = (two, one) if number % 2 == 0 else (one, two)
            lab.client.datastore.commit([Put(comes.key, encode(comes)), Drop(goes.key)])
            go_on(allowed)
    assert (allowed.sent, allowed.lost) == (allowed.received, [])


def settled_like_new(lab: Lab, host: Host) -> None:
    """A host that starts now, with an empty kernel, comes to the same table."""
    fresh = Host("h1", lab.plug("fresh", "10.9.0.9"), "10.9.0.9", lab)
    fresh.name, socket = "h1", lab.directory / "fresh.sock"
    fresh.start("--socket", str(socket))
    try:
        until(lambda: table(fresh) == table(host), LONG, "the same table as that of a host that starts now")
    finally:
        fresh.kill(signal.SIGTERM)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_thousands_of_updates_are_few_transactions_and_end_right(lab: Lab) -> None:
    host = lab.host("h1", "10.9.0.1")
    a, b, c = trio(lab, host)
    before = figures(host)
    with stream(a.netns, c.address, answered=False) as refused:
        for number in range(3000):
            churn(lab, number)
        lab.profile("n", own_tag("n"))
        lab.profile("last", allow_tcp(1))
        d = host.container("d", "10.65.0.4", "n")
        until(lambda: passes(d.netns, b.address), LONG)
    after = figures(host)
    assert refused.received == 0
    # How many fewer depends on how fast the machine writes: 50 a second at most, for 9,000 writes.
    assert after["felix_nft_calls_total"] - before["felix_nft_calls_total"] < 9000
    assert after["tortie_node_pending_events"] == 0
    assert after["tortie_node_pass_failures_total"] == before["tortie_node_pass_failures_total"]
    assert passes(a.netns, b.address)
    settled_like_new(lab, host)


def figures(host: Host) -> dict[str, float]:
    """What `/metrics` says, without labels."""
    text = host.ask("/metrics") or ""
    found = {s.name: s.value for family in text_string_to_metric_families(text) for s in family.samples if not s.labels}
    for name in ("felix_active_local_endpoints", "felix_int_dataplane_apply_time_seconds_count",
                 "felix_route_table_num_routes", "process_resident_memory_bytes"):  # fmt: skip
        assert name in found
    return found


def test_an_agent_that_was_stopped_for_long_goes_on_where_the_world_is(lab: Lab) -> None:
    """As a machine that was suspended: time has jumped, events have come in heaps."""
    host = lab.host("h1", "10.9.0.1")
    a, b, c = trio(lab, host)
    assert host.agent is not None
    host.agent.send_signal(signal.SIGSTOP)
    for number in range(200):
        churn(lab, number)
    lab.profile("n", own_tag("n"))
    lab.client.delete(WORKLOAD_ENDPOINT, c.key.rpartition("/")[2], "libnetwork")
    assert passes(a.netns, b.address)
    assert not passes(a.netns, c.address)
    host.agent.send_signal(signal.SIGCONT)
    until(lambda: c.key not in host.status().get("endpoints", {c.key: 1}), LONG)
    host.ready()
    assert passes(a.netns, b.address)
    settled_like_new(lab, host)


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
            until(lambda: host.status()["store"]["reason"], LONG)
            inside(host.netns, "ip", "route", "flush", "proto", "80")
            until(lambda: passes(a.netns, b.address), LONG)
            assert table(host) == before
            second.stop()
            shutil.rmtree(first.directory / "data")
            shutil.copytree(second.directory / "data", first.directory / "data")
            first.start()
            until(lambda: passes(a.netns, c.address), LONG)
            until(lambda: not passes(a.netns, b.address), LONG)
        assert refused.received == 0
        assert set(host.status()["endpoints"]) == {a.key, c.key}
        assert not host.status()["store"]["reason"]


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


def test_a_disk_that_is_full_leaves_what_is_enforced_as_it_is(lab: Lab, tmp_path: Path) -> None:
    """The store lies on a file system without room: nothing can be written there, and what is there is followed."""
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)], check=True)
    try:
        lab.move(f"sqlite://{small}/store")
        host = lab.host("h1", "10.9.0.1")
        a, b, c = trio(lab, host)
        fill(small)
        with pytest.raises(TortieError, match=r"(?i)full|disk|space"):
            churn_on(lab)
        assert passes(a.netns, b.address)
        assert not passes(a.netns, c.address)
        host.kill(signal.SIGKILL)
        host.start()
        assert passes(a.netns, b.address)
        assert not passes(a.netns, c.address)
        (small / "filler").unlink()
        lab.profile("n", own_tag("n"))
        d = host.container("d", "10.65.0.4", "n", wait=False)
        until(lambda: passes(d.netns, b.address), LONG)
    finally:
        for running in lab.hosts:
            if running.agent is not None:
                running.kill(signal.SIGTERM)
        lab.client.datastore.close()
        subprocess.run(["umount", "-l", str(small)], check=True)


def churn_on(lab: Lab) -> None:
    for number in range(10_000):
        churn(lab, number)


def fill(directory: Path) -> None:
    with (directory / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def test_an_interface_that_vanishes_and_comes_back_under_load_ends_right(lab: Lab) -> None:
    host = lab.host("h1", "10.9.0.1")
    a, b, c = trio(lab, host)
    with stream(a.netns, c.address, answered=False) as refused:
        for number in range(10):
            churn(lab, number)
            inside(host.netns, "ip", "link", "del", b.interface)
            churn(lab, number + 100)
            inside(host.netns, "ip", "link", "add", b.interface, "address", "ee:ee:ee:ee:ee:ee", "type", "veth",
                   "peer", "name", "eth0", "netns", b.netns)  # fmt: skip
            inside(host.netns, "ip", "link", "set", b.interface, "up")
        for words in ("link set eth0 up", f"addr add {b.address}/32 dev eth0",
                      "route add 169.254.1.1 dev eth0", "route add default via 169.254.1.1 dev eth0"):  # fmt: skip
            inside(b.netns, "ip", *words.split())
        until(lambda: passes(a.netns, b.address), LONG)
    assert refused.received == 0
    assert host.endpoint(b)["state"] == "up"


def test_a_start_beside_a_store_that_is_truly_empty_closes(lab: Lab, tmp_path: Path) -> None:
    host = lab.host("h1", "10.9.0.1")
    a, b, _ = trio(lab, host)
    host.kill(signal.SIGTERM)
    empty = open_store(f"sqlite://{tmp_path}/empty")
    empty.close()
    host.start("--store", f"sqlite://{tmp_path}/empty")
    until(lambda: not passes(a.netns, b.address), LONG)
    with listening(b.netns, 7) as received:
        send_udp(a.netns, a.address, b.address, 7, b"x")
        host.ready()
        assert not received
    assert lab.client.find(PROFILE, "n") is not None
