"""Ways from one network namespace to another, and what they cost, measured in turns: ratios of one run.

Streams have client and server each on a core of their own; the rest is one thread's. Before the first round a way is
asked whether it is open, and whether a stranger is kept out where one should be: rules that failed to load would
measure well.
"""

from __future__ import annotations

import json
import math
import os
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

from tests.differential.net import within
from tests.kernel.netlab import Container, Host, inside, until

from bench import quick
from tortie.dataplane import interfaces

ROUNDS, QUICK_ROUNDS, SECONDS = 3, 1, 1
BURSTS, PACKETS, TRIPS, FLOWS, CONVERSATIONS = 10, 30, 60, 40, 15
"""In one batch."""
BATCHES = 50
SMALL = bytes(64)
PORT, ECHO_PORT, SILENT_PORT = 5201, 7, 9
Figures = dict[str, list[float]]


@dataclass(frozen=True)
class Way:
    """From `client` to `address`, which is `server`'s or leads there; `shut`: an address that must not answer."""

    client: str
    server: str
    address: str
    shut: str = ""

    def check(self) -> None:
        until(lambda: self._answers(self.address), message=f"{self.client} reaches {self.address}")
        if self.shut and self._answers(self.shut):
            raise AssertionError(f"{self.client} reaches {self.shut}: the rules are not in force")

    def _answers(self, address: str) -> bool:
        return "1 received" in inside(self.client, "ping", "-c1", "-W0.5", address, check=False)


def tcp_stream(way: Way) -> float:
    """Gbit/s that arrive."""
    return _iperf(way)["sum_received"]["bits_per_second"] / 1e9


def udp_small(way: Way) -> float:
    """Thousands of packets of 64 bytes a second that arrive."""
    total = _iperf(way, "-u", "-b", "0", "-l", "64")["sum"]
    return float(total["packets"] - total["lost_packets"]) / total["seconds"] / 1e3


def _iperf(way: Way, *options: str) -> dict[str, dict[str, float]]:
    with subprocess.Popen(
        ["ip", "netns", "exec", way.server, "taskset", "-c", "0", "iperf3", "-s", "-1"], stdout=subprocess.DEVNULL
    ) as listen:
        until(lambda: f":{PORT}" in inside(way.server, "ss", "-Hltn"))
        try:
            text = inside(
                way.client,
                *(
                    "taskset",
                    "-c",
                    "1",
                    "iperf3",
                    "-c",
                    way.address,
                    "-p",
                    str(PORT),
                    "-t",
                    str(SECONDS),
                    "-J",
                    *options,
                ),
            )
            listen.wait(10)
        finally:
            listen.kill()
    found: dict[str, dict[str, float]] = json.loads(text)["end"]
    return found


class _Datagrams:
    """From a way's client to its server and back, by one thread: no sleeper has to be woken, so what is measured is
    what the packets take."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._server = self._socket(way.server)
        self._server.bind(("0.0.0.0", ECHO_PORT))
        self._client = self._socket(way.client)
        self._client.connect((way.address, ECHO_PORT))
        self._trip(self._client)

    @staticmethod
    def _socket(netns: str) -> socket.socket:
        sock = within(netns, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sock.settimeout(5.0)
        return sock

    def close(self) -> None:
        self._server.close()
        self._client.close()

    def _trip(self, sock: socket.socket) -> float:
        started = time.perf_counter()
        sock.send(b"x")
        self._server.sendto(*self._server.recvfrom(10))
        sock.recv(10)
        return (time.perf_counter() - started) * 1e6

    def trips(self) -> list[float]:
        """Microseconds there and back, in one flow."""
        return [self._trip(self._client) for _ in range(TRIPS)]

    def beginnings(self) -> list[float]:
        """The same, each in a flow of its own: every rule is asked."""

        def ask() -> list[float]:
            found = []
            for _ in range(FLOWS):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                    sock.settimeout(5.0)
                    sock.connect((self._way.address, ECHO_PORT))
                    found.append(self._trip(sock))
            return found

        return within(self._way.client, ask)

    def packets(self) -> list[float]:
        """Nanoseconds that a packet of 64 bytes of an established flow takes, all the way to a socket that keeps none:
        the sender does all the work."""
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        return _sent(self._client)


def _sent(sock: socket.socket) -> list[float]:
    """Nanoseconds that a small packet took, some times: each so short that most are not interrupted."""
    send, found = sock.send, []
    for _ in range(BURSTS):
        started = time.perf_counter_ns()
        for _ in range(PACKETS):
            send(SMALL)
        found.append((time.perf_counter_ns() - started) / PACKETS)
    return found


class Unanswered:
    """One flow of small packets to somebody who listens and never speaks, if it gets there at all: connection tracking
    takes each for the first of its conversation."""

    def __init__(self, way: Way) -> None:
        self._server = within(way.server, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._server.bind(("0.0.0.0", SILENT_PORT))
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        self._client = within(way.client, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._client.connect((way.address, SILENT_PORT))

    def close(self) -> None:
        self._server.close()
        self._client.close()

    def packets(self) -> list[float]:
        """As of `_Datagrams`."""
        return _sent(self._client)


class _Conversations:
    """Over TCP, opened and closed by one thread for both sides."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._listener = within(way.server, lambda: socket.create_server(("0.0.0.0", PORT), backlog=10))

    def close(self) -> None:
        self._listener.close()

    def batch(self) -> list[float]:
        """Microseconds of each."""
        return within(self._way.client, lambda: [self._one() for _ in range(CONVERSATIONS)])

    def _one(self) -> float:
        started = time.perf_counter()
        with socket.create_connection((self._way.address, PORT), 5.0):
            self._listener.accept()[0].close()
        return (time.perf_counter() - started) * 1e6


def _slowest(values: list[float]) -> float:
    return sorted(values)[len(values) * 99 // 100]


@dataclass(frozen=True)
class Measure:
    """`whole`: a figure of one way at a time. Otherwise `make` a worker for each way, and `batch` gives some figures
    each time: a millisecond or two of each way in turn, so that what else the machine does meets all of them alike."""

    unit: str
    whole: Callable[[Way], float] | None = None
    make: Callable[[Way], Any] = _Datagrams
    batch: Callable[[Any], list[float]] = _Datagrams.trips
    sum_up: Callable[[list[float]], float] = statistics.median


MEASURES: dict[str, Measure] = {
    "TCP stream": Measure("Gbit/s", tcp_stream),
    "UDP of 64 bytes": Measure("kpps", udp_small),
    "packet of 64 bytes": Measure("ns", batch=_Datagrams.packets),
    "round trip": Measure("us"),
    "round trip, slowest of 100": Measure("us", sum_up=_slowest),
    "first packet of a flow": Measure("us", batch=_Datagrams.beginnings),
    "TCP conversation": Measure("us", make=_Conversations, batch=_Conversations.batch),
}


def measure(ways: Mapping[str, Way], what: Measure) -> Figures:
    """Every way in turn, some rounds."""
    whole, rounds = what.whole, QUICK_ROUNDS if quick() else ROUNDS
    if whole is None:
        return _in_batches(ways, what, rounds)
    found: Figures = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(whole(way))
    return found


def _in_batches(ways: Mapping[str, Way], what: Measure, rounds: int) -> Figures:
    found: Figures = {name: [] for name in ways}
    with ExitStack() as undo:
        workers = {name: undo.enter_context(closing(what.make(way))) for name, way in ways.items()}
        cores = os.sched_getaffinity(0)
        undo.callback(os.sched_setaffinity, 0, cores)
        os.sched_setaffinity(0, {max(cores)})
        for _ in range(rounds):
            taken: Figures = {name: [] for name in ways}
            for _ in range(BATCHES):
                for name, worker in workers.items():
                    taken[name] += what.batch(worker)
            for name, each in taken.items():
                found[name].append(what.sum_up(each))
    return found


def ratios(found: Figures, what: str, unit: str, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The median of the rounds' ratios of each pair, with all that was measured, and whether all rounds agree."""
    rows = []
    for one, other in pairs:
        each = [mine / theirs for mine, theirs in zip(found[one], found[other], strict=True)]
        agree = all(r >= 1 for r in each) or all(r <= 1 for r in each)
        raw = ", ".join(f"{a:.3g}/{b:.3g}" for a, b in zip(found[one], found[other], strict=True))
        note = "" if agree else ", the rounds differ in sign"
        rows.append((f"{what}, {one} / {other}", f"{statistics.median(each):.2f}  ({raw} {unit}{note})"))
    return rows


def slope(points: Mapping[int, Sequence[float]]) -> float:
    """Of the line through the medians, both axes logarithmic: 0 is flat, 1 is proportional."""
    xs = [math.log10(size) for size in points]
    ys = [math.log10(statistics.median(values)) for values in points.values()]
    mean_x, mean_y = statistics.fmean(xs), statistics.fmean(ys)
    above = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return above / sum((x - mean_x) ** 2 for x in xs)


def routed(host: Host, name: str, address: str, *, alike: bool = False) -> Container:
    """A container behind a host that only routes. `alike`: its interface has the kernel settings of a workload's, among
    them the check of sources; else as few as will do."""
    interface = f"veth{name}"
    netns = host.link(interface, address)
    few = {f"net/ipv4/conf/{interface}/proxy_arp": "1", f"net/ipv4/neigh/{interface}/proxy_delay": "0"}
    settings = interfaces.HOST | (interfaces.workload(interface) if alike else few)
    inside(host.netns, "sysctl", "-qw", *(f"{name.replace('/', '.')}={value}" for name, value in settings.items()))
    inside(host.netns, "ip", "route", "replace", "169.254.1.1/32", "dev", "eth0", "scope", "link")
    inside(host.netns, "ip", "route", "add", f"{address}/32", "dev", interface, "scope", "link")
    return Container(netns, host, interface, address, "")
