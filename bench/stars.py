"""A whole lab: `up` to the demo's four apps, traffic between hosts, and how soon a rule is in force."""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.stars_lab import ECHO, Container, in_netns, tortie

from tortie.lab.api import Lab

NAME = "bench-stars"
ROUNDS = 5
TRIPS = 3000
IPERF_TRIES = 3


def run() -> list[tuple[str, str]]:
    start = time.monotonic()
    ran = tortie("up", "stars", "--until", "3", "--name", NAME, timeout=400)
    try:
        if ran.returncode != 0:
            raise RuntimeError(ran.stderr)
        rows = [("`up` to all four apps running", f"{time.monotonic() - start:.1f} s")]
        lab = Lab.find(NAME)
        one = Container(lab.host("agent-1"), "b-one", "client", ("python3", "-c", ECHO))
        two = Container(lab.host("agent-2"), "b-two", "client")
        return rows + _stream(lab, one, two) + _trips(lab, one, two) + _rule(lab)
    finally:
        tortie("down", "--name", NAME)


def _iperf(server: Path, client: Path, address: str) -> float:
    """Gbit/s of one TCP stream of one second, server and client pinned to one core each. A round that ended with an
    error is thrown away and run again, the last error raised."""
    for _ in range(IPERF_TRIES):
        document = _iperf_once(server, client, address)
        received = document.get("end", {}).get("sum_received", {})
        if "error" not in document and received.get("bits_per_second"):
            return float(received["bits_per_second"]) / 1e9
    raise RuntimeError(f"iperf3 to {address}: {document.get('error', 'nothing was received')}")


def _iperf_once(server: Path, client: Path, address: str) -> dict[str, Any]:
    """What the client reports, as JSON; the server takes one test, and the client begins when it listens."""
    listen = subprocess.Popen(
        ["nsenter", f"--net={server}", "taskset", "-c", "0", "iperf3", "-s", "-1", "--forceflush"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert listen.stdout
        while line := listen.stdout.readline():
            if "listening" in line:
                break
        ran = subprocess.run(
            ["nsenter", f"--net={client}", "taskset", "-c", "1", "iperf3", "-c", address, "-t", "1", "-J"],
            capture_output=True,
            text=True,
            check=False,
        )
        document: dict[str, Any] = json.loads(ran.stdout or "{}") or {"error": ran.stderr.strip() or "no report"}
        return document
    finally:
        listen.kill()
        listen.communicate()


def _stream(lab: Lab, one: Container, two: Container) -> list[tuple[str, str]]:
    hosts = lab.host("agent-1"), lab.host("agent-2")
    pairs = [
        (
            _iperf(one.netns, two.netns, one.address),
            _iperf(hosts[0].netns(), hosts[1].netns(), hosts[0].address),
        )
        for _ in range(ROUNDS)
    ]
    return [("throughput between hosts, container / bare host", _ratio(pairs, "Gbit/s"))]


def _round_trip(address: str, port: int) -> float:
    """Median microseconds of a request and its answer on one connection."""
    with socket.create_connection((address, port), timeout=5) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        times = []
        for _ in range(TRIPS):
            start = time.perf_counter()
            sock.sendall(b"x")
            sock.recv(1)
            times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def _trips(lab: Lab, one: Container, two: Container) -> list[tuple[str, str]]:
    first, second = lab.host("agent-1"), lab.host("agent-2")
    echo = subprocess.Popen(["nsenter", f"--net={first.netns()}", "/usr/bin/python3", "-c", ECHO])
    try:
        _until(lambda: _connects(second.netns(), first.address, 7000))
        pairs = [
            (
                in_netns(two.netns, lambda: _round_trip(one.address, 7000)),
                in_netns(second.netns(), lambda: _round_trip(first.address, 7000)),
            )
            for _ in range(ROUNDS)
        ]
    finally:
        echo.kill()
        echo.wait()
    return [("request and answer between hosts, container / bare host", _ratio(pairs, "us"))]


def _rule(lab: Lab) -> list[tuple[str, str]]:
    """From the return of `rule add` to the first connection that passes, over 20 additions."""
    server = Container(lab.host("agent-1"), "b-open", "frontend", ("python3", "-c", ECHO))
    client = Container(lab.host("agent-2"), "b-ask", "backend")
    agent = lab.host("agent-2")
    rule = "calicoctl profile frontend rule {} inbound allow tcp from tag backend to ports 7000"
    times = []
    for _ in range(20):
        agent.run(rule.format("add").split())
        start = time.perf_counter()
        _until(lambda: _connects(client.netns, server.address, 7000, 0.005))
        times.append((time.perf_counter() - start) * 1e3)
        agent.run(rule.format("remove").split())
        _until(lambda: not _connects(client.netns, server.address, 7000, 0.05))
    times.sort()
    return [
        ("`rule add` returned to first packet allowed", f"p50 {times[10]:.1f} ms, slowest of 20 {times[-1]:.1f} ms")
    ]


def _connects(netns: Path, address: str, port: int, timeout: float = 1.0) -> bool:
    def connect() -> bool:
        try:
            socket.create_connection((address, port), timeout=timeout).close()
        except OSError:
            return False
        return True

    return bool(in_netns(netns, connect))


def _until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("a condition of the benchmark did not come about")


def _ratio(pairs: list[tuple[float, float]], unit: str) -> str:
    median = statistics.median(ours / bare for ours, bare in pairs)
    raw = ", ".join(f"{ours:.1f}/{bare:.1f}" for ours, bare in pairs)
    return f"{median:.2f}  ({raw} {unit})"
