"""What flow records cost: packets and new conversations with and without them, in ratios of one run.

Interleaved rounds, pinned; the median of the rounds' ratios. Needs root, iperf3, taskset; in namespaces of its own.
"""

from __future__ import annotations

import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.kernel.netlab import Container, Host, Lab, inside, own_tag, until

from bench._paths import Way, tcp_stream, udp_small
from tortie.lab.walks.prober import enter
from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION, FelixConfigurationSpec
from tortie.model.resource import Metadata, Resource

ROUNDS, FLOOD, CONVERSATIONS = 5, 200_000, 2_000
CASES = ("with records", "without")


def run() -> list[tuple[str, str]]:
    """(what was measured, the figure) pairs."""
    with tempfile.TemporaryDirectory() as directory:
        lab = Lab(Path(directory))
        try:
            return _measured(lab)
        finally:
            lab.close()


def _measured(lab: Lab) -> list[tuple[str, str]]:
    spec = FelixConfigurationSpec(flow_logs="Disabled")
    lab.client.apply(Resource(kind=FELIX_CONFIGURATION, metadata=Metadata(name="node.off"), spec=spec))
    lab.profile("n", own_tag("n"))
    lab.profile("m", own_tag("m"))
    cases: dict[str, tuple[Host, Container, Container, Container]] = {}
    for name, title, net in (("on", CASES[0], 1), ("off", CASES[1], 2)):
        host = lab.host(name, f"10.9.1.{net}")
        one, two = (host.container(f"{name}{i}", f"10.65.{net}.{i}", "n") for i in (1, 2))
        cases[title] = (host, one, two, host.container(f"{name}3", f"10.65.{net}.3", "m"))
        until(lambda host=host, want=name == "on": _tells(host) is want)  # type: ignore[misc]
    found = []
    for what, measure in (
        ("TCP stream", lambda one, two, _: tcp_stream(_way(one, two))),
        ("UDP of 64 bytes", lambda one, two, _: udp_small(_way(one, two))),
        ("datagrams a second that nobody answers", lambda one, two, _: _unanswered(one, two)),
        ("new TCP conversations a second", lambda one, two, _: _conversations(one, two)),
        ("datagrams a second that are refused", lambda one, _, three: _flood(one, three)),
    ):
        found.append((f"{what}, with flow records / without", _ratio(cases, measure)))
    return found


def _tells(host: Host) -> bool:
    return "group 80" in inside(host.netns, "nft", "list", "table", "inet", "tortie", check=False)


def _ratio(
    cases: dict[str, tuple[Host, Container, Container, Container]],
    measure: Callable[[Container, Container, Container], float],
) -> str:
    rounds = [{title: measure(*cases[title][1:]) for title in CASES} for _ in range(ROUNDS)]
    ratio = statistics.median(figures[CASES[0]] / figures[CASES[1]] for figures in rounds)
    return f"{ratio:.2f}  ({', '.join('/'.join(f'{figures[title]:.3g}' for title in CASES) for figures in rounds)})"


def _in(netns: str, work: Callable[[], None]) -> None:
    def call() -> None:
        enter(Path("/var/run/netns", netns))
        work()

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def _way(one: Container, two: Container) -> Way:
    return Way(one.netns, two.netns, two.address)


def _unanswered(source: Container, destination: Container) -> float:
    """To somebody who listens and never speaks: connection tracking takes each for the first of its conversation."""
    listeners: list[socket.socket] = []

    def listen() -> None:
        listeners.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        listeners[0].bind(("0.0.0.0", 9))

    _in(destination.netns, listen)
    try:
        return _flood(source, destination)
    finally:
        listeners[0].close()


def _flood(source: Container, destination: Container) -> float:
    took: list[float] = []

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            started = time.monotonic()
            for _ in range(FLOOD):
                sock.sendto(b"x", (destination.address, 9))
            took.append(time.monotonic() - started)

    _in(source.netns, send)
    return FLOOD / took[0]


def _conversations(source: Container, destination: Container) -> float:
    listeners: list[socket.socket] = []
    _in(destination.netns, lambda: listeners.append(socket.create_server(("0.0.0.0", 0), backlog=CONVERSATIONS)))
    took: list[float] = []

    def connect() -> None:
        target = (destination.address, listeners[0].getsockname()[1])
        started = time.monotonic()
        for _ in range(CONVERSATIONS):
            with socket.create_connection(target):
                pass
            listeners[0].accept()[0].close()
        took.append(time.monotonic() - started)

    _in(source.netns, connect)
    listeners[0].close()
    return CONVERSATIONS / took[0]
