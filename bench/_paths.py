"""Ways from one network namespace to another, and what they cost, measured in turns: ratios of one run.

Client and server each on a core of their own. Before the first round a way is asked whether it is open, and whether a
stranger is kept out where one should be: rules that failed to load would measure well.
"""

from __future__ import annotations

import json
import math
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tests.differential.net import within
from tests.kernel.netlab import Container, Host, inside, until

ROUNDS, SECONDS = 3, 1
FLOWS, TRIPS = 1_500, 1_500
PORT, ECHO_PORT = 5201, 7
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


class _Echo:
    """Answers datagrams in the server's namespace while it is needed."""

    def __init__(self, netns: str) -> None:
        self._sock = within(netns, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._sock.bind(("0.0.0.0", ECHO_PORT))
        self._sock.settimeout(0.2)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._sock.sendto(*self._sock.recvfrom(100))
            except TimeoutError:
                continue

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._sock.close()


def first_packet(way: Way) -> float:
    """Microseconds there and back, median, of datagrams that each begin a flow of their own: every rule is asked."""
    return _trips(way, FLOWS, new=True)


def round_trip(way: Way) -> float:
    """Microseconds there and back, median, in one flow."""
    return _trips(way, TRIPS, new=False)


def _trips(way: Way, count: int, *, new: bool) -> float:
    def ask() -> float:
        taken = []
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for _ in range(count):
            if new:
                sock.close()
                sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.settimeout(5.0)
            sock.connect((way.address, ECHO_PORT))
            started = time.perf_counter()
            sock.send(b"x")
            sock.recv(10)
            taken.append((time.perf_counter() - started) * 1e6)
        sock.close()
        return statistics.median(taken)

    with _Echo(way.server):
        return within(way.client, ask)


MEASURES: dict[str, tuple[Callable[[Way], float], str, bool]] = {
    "TCP stream": (tcp_stream, "Gbit/s", True),
    "UDP of 64 bytes": (udp_small, "kpps", True),
    "round trip": (round_trip, "us", False),
    "first packet of a flow": (first_packet, "us", False),
}
"""What is measured, its unit, and whether more is better."""


def measure(ways: Mapping[str, Way], what: str, rounds: int = ROUNDS) -> Figures:
    """Every way in turn, some rounds."""
    found: Figures = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(MEASURES[what][0](way))
    return found


def ratios(found: Figures, what: str, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The median of the rounds' ratios of each pair, with all that was measured, and whether all rounds agree."""
    unit = MEASURES[what][1]
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


def routed(host: Host, name: str, address: str) -> Container:
    """A container behind a host that only routes."""
    interface = f"veth{name}"
    netns = host.link(interface, address)
    inside(host.netns, "sysctl", "-qw", "net.ipv4.ip_forward=1", f"net.ipv4.conf.{interface}.proxy_arp=1",
           f"net.ipv4.neigh.{interface}.proxy_delay=0")  # fmt: skip
    inside(host.netns, "ip", "route", "replace", "169.254.1.1/32", "dev", "eth0", "scope", "link")
    inside(host.netns, "ip", "route", "add", f"{address}/32", "dev", interface, "scope", "link")
    return Container(netns, host, interface, address, "")
