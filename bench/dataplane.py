"""The dataplane in figures of one run: a rule's way to the kernel, elements among sets, growth, repairs.

What a packet costs is in `packets` and `across`. Needs root; in namespaces of its own.
"""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.kernel.netlab import Lab, inside, own_tag, until

from bench import quick
from tortie.dataplane.kernel.netlink import NETLINK_NETFILTER, open_socket
from tortie.dataplane.kernel.nft import table_flags
from tortie.dataplane.kernel.table import KernelTable
from tortie.dataplane.render.base import closed_table
from tortie.dataplane.steps import AddSet, Members
from tortie.lab.walks.prober import enter
from tortie.model.rule import Rule

CHANGES, QUICK_CHANGES, SETS, REPEATS = 50, 10, 2000, 200
SIZES, QUICK_SIZES = (10, 100, 1000), (10, 100)


def run() -> list[tuple[str, str]]:
    """(what was measured, the figure) pairs."""
    with tempfile.TemporaryDirectory() as directory:
        lab = Lab(Path(directory))
        try:
            return [*_changes(lab), *_elements(lab), *_growth(lab), *_repairs(lab)]
        finally:
            lab.close()


def _changes(lab: Lab) -> list[tuple[str, str]]:
    """From the moment that a profile is written to the first packet of a new flow that it allows."""
    host = lab.host("c", "10.9.1.3")
    lab.profile("source", Rule(action="Allow"))
    lab.profile("changing")
    source = host.container("c1", "10.67.0.1", "source")
    target = host.container("c2", "10.67.0.2", "changing")
    taken: list[float] = []
    for _ in range(QUICK_CHANGES if quick() else CHANGES):
        started: list[float] = []

        def write(started: list[float] = started) -> None:
            lab.profile("changing", Rule(action="Allow"))
            started.append(time.monotonic())

        answered = _first_answer(source.netns, target.address, write)
        taken.append((answered - started[0]) * 1000)
        lab.profile("changing")
        until(lambda: "0 received" in inside(source.netns, "ping", "-c1", "-W0.05", target.address, check=False))
    taken.sort()
    p50, p99 = statistics.median(taken), taken[min(len(taken) - 1, int(len(taken) * 0.99))]
    return [("profile written to first packet allowed", f"p50 {p50:.1f} ms, p99 {p99:.1f} ms of {len(taken)}")]


def _first_answer(netns: str, address: str, write: Callable[[], None]) -> float:
    """When the first of a row of new flows, a millisecond apart, was answered."""
    answered: list[float] = []
    sending = threading.Event()

    def send() -> None:
        enter(Path("/var/run/netns", netns))
        waiting: list[socket.socket] = []
        end = time.monotonic() + 10
        while not answered and time.monotonic() < end:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            sock.connect((address, 9))
            sock.send(b"x")
            waiting.append(sock)
            sending.set()
            time.sleep(0.001)
            for asked in waiting[-8:]:
                try:
                    asked.recv(10)
                except BlockingIOError:
                    continue
                except ConnectionRefusedError:
                    answered.append(time.monotonic())
                    break
        for sock in waiting:
            sock.close()

    thread = threading.Thread(target=send)
    thread.start()
    sending.wait(5)
    write()
    thread.join()
    if not answered:
        raise AssertionError("the change never reached the kernel")
    return answered[0]


def _elements(lab: Lab) -> list[tuple[str, str]]:
    """One element put and dropped, in a table with few sets and in one with many."""
    netns = lab.plug("e", "10.9.1.4")
    text = inside(netns, sys.executable, "-m", "bench.dataplane")
    few, many = json.loads(text)
    return [
        (f"element put and dropped, 1 set / {SETS} sets", f"{few:.3f} ms / {many:.3f} ms"),
    ]


def _growth(lab: Lab) -> list[tuple[str, str]]:
    """One more endpoint, a changed label, a changed rule, beside N endpoints with N profiles on one host."""
    found, sizes = {}, QUICK_SIZES if quick() else SIZES
    for size in sizes:
        netns = lab.plug(f"g{size}", "10.9.9.1")
        found[size] = json.loads(inside(netns, sys.executable, "-m", "bench._growth", str(size), str(lab.directory)))
    head = " / ".join(map(str, sizes))
    rows = {"start": "ms", "endpoint": "ms", "label": "ms", "rule": "ms", "memory": "MB"}
    return [
        (
            f"N endpoints and profiles, {name}, N = {head}",
            " / ".join(f"{found[n][name]:.1f}" for n in sizes) + f" {unit}",
        )
        for name, unit in rows.items()
    ]


def _repairs(lab: Lab) -> list[tuple[str, str]]:
    """From a foreign edit to the table as it was, where we share it; an owned one refuses the edit."""
    host = lab.host("x", "10.9.1.5", "--share-table")
    lab.profile("n", own_tag("n"))
    host.container("x1", "10.68.0.1", "n")
    found = []
    for edit in ("flush ruleset", "delete table inet tortie", "flush chain inet tortie fwd_to"):
        taken = []
        for _ in range(5):
            inside(host.netns, "nft", *edit.split())
            started = time.monotonic()
            until(lambda: _whole(host.netns))
            taken.append((time.monotonic() - started) * 1000)
        found.append((f"repair after nft {edit}", f"{statistics.median(taken):.0f} ms (max {max(taken):.0f})"))
    gaps = sorted(_gap(host.netns) for _ in range(10))
    found.append(("no table at all after a flush", f"{statistics.median(gaps):.1f} ms (max {gaps[-1]:.1f})"))
    return found


def _gap(netns: str) -> float:
    """How long there is no table at all after a flush, in ms; 0 when it is shorter than can be seen."""
    until(lambda: _whole(netns))
    seen: list[float] = []

    def watch() -> None:
        enter(Path("/var/run/netns", netns))
        with open_socket(NETLINK_NETFILTER) as sock, subprocess.Popen(["nft", "flush", "ruleset"]) as flushing:
            ended = None
            while ended is None or time.monotonic() < ended + 0.2:
                if table_flags(sock) is None:
                    seen.append(time.perf_counter())
                if ended is None and flushing.poll() is not None:
                    ended = time.monotonic()

    thread = threading.Thread(target=watch)
    thread.start()
    thread.join()
    return (seen[-1] - seen[0]) * 1000 if seen else 0.0


def _whole(netns: str) -> bool:
    """The base chain looks its endpoints up again, and they are there."""
    chain = inside(netns, "nft", "list", "chain", "inet", "tortie", "fwd_to", check=False)
    return "vmap" in chain and "goto" in inside(netns, "nft", "list", "map", "inet", "tortie", "to_wl", check=False)


def _measure_elements() -> list[float]:
    table = KernelTable()
    table.open(owner=True, closed=closed_table())
    found = []
    try:
        for first, last in ((0, 1), (1, SETS)):
            assert not table.apply([AddSet(f"b{i}", "ipv4_addr") for i in range(first, last)])
            times = []
            for _ in range(REPEATS):
                started = time.perf_counter()
                for put in (True, False):
                    assert not table.apply([Members(put, "b0", "ipv4_addr", [("10.0.0.1", "")])])
                times.append((time.perf_counter() - started) * 1000)
            found.append(statistics.median(times))
    finally:
        table.close()
    return found


if __name__ == "__main__":
    print(json.dumps(_measure_elements()))
