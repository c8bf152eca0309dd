"""The network of the differential test: two hosts with workloads on one bridge, an outsider there, another behind the
first host, IPv4 and IPv6. No agent: each host's table is loaded by the test."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tests.kernel.netlab import GATEWAY, GATEWAY_MAC, TAG, Host, Lab, inside

from tortie.lab.walks.prober import enter

GATEWAY6 = "fe80::ecee:eeff:feee:eeee"
HOSTS = {"h1": ("10.9.0.1", "fd09::1"), "h2": ("10.9.0.2", "fd09::2")}
OUTSIDERS = {"o1": ("10.9.0.9", "fd09::9"), "o2": ("10.8.0.9", "fd08::9")}
BEHIND = ("10.8.0.1", "fd08::1")
WORKLOADS = {
    "w1": ("h1", "10.65.0.1", "fd65::1"),
    "w2": ("h1", "10.65.0.2", "fd65::2"),
    "w3": ("h2", "10.65.1.3", "fd65::1:3"),
    "w4": ("h2", "10.65.1.4", "fd65::1:4"),
}
POOL, POOL6 = "10.65.0.0/16", "fd65::/64"
FORWARDING = ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv4.conf.all.send_redirects=0")
# A redirect would send the outsider's packets past the first host.
STEADY = tuple(f"net.{ip}.conf.{place}.accept_redirects=0" for ip in ("ipv4", "ipv6") for place in ("all", "eth0"))
QUIET = ("net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.all.accept_ra=0")
T = TypeVar("T")


@dataclass
class Net:
    """`netns`: the namespace of every party, workloads, hosts and outsiders, by name."""

    lab: Lab
    netns: dict[str, str] = field(default_factory=dict)

    def build(self) -> None:
        hosts = {name: self._host(name) for name in HOSTS}
        self.netns["o1"] = self._plug("o1", *OUTSIDERS["o1"])
        self._second_outsider()
        for name, (host, four, six) in WORKLOADS.items():
            self._workload(hosts[host], name, four, six)
        for host, other in (("h1", "h2"), ("h2", "h1")):
            for place, four, six in WORKLOADS.values():
                if place == other:
                    self._route(host, (f"{four}/32", f"{six}/128"), *HOSTS[other])
        self._route("h2", ("10.8.0.0/24", "fd08::/64"), *HOSTS["h1"])
        self._route("o1", (POOL, POOL6), *HOSTS["h1"])
        self._route("o1", ("10.8.0.0/24", "fd08::/64"), *HOSTS["h1"])
        self._route("o2", ("default", "default"), *BEHIND)

    def _plug(self, name: str, four: str, six: str) -> str:
        netns = self.lab.plug(name, four)
        inside(netns, "sysctl", "-qw", *QUIET, *STEADY)
        inside(netns, "ip", "addr", "add", f"{six}/64", "dev", "eth0", "nodad")
        return netns

    def _host(self, name: str) -> Host:
        netns = self.netns[name] = self._plug(name, *HOSTS[name])
        inside(netns, "sysctl", "-qw", *FORWARDING)
        return Host(name, netns, HOSTS[name][0], self.lab)

    def _second_outsider(self) -> None:
        """On a link of its own to the first host."""
        netns = self.netns["o2"] = f"{TAG}-o2"
        self.lab.add_netns(netns)
        inside(netns, "sysctl", "-qw", *QUIET)
        inside(self.netns["h1"], "ip", "link", "add", "eth1", "type", "veth", "peer", "name", "eth0", "netns", netns)
        ends = ((self.netns["h1"], "eth1", BEHIND), (netns, "eth0", OUTSIDERS["o2"]))
        for place, device, (four, six) in ends:
            inside(place, "ip", "addr", "add", f"{four}/24", "dev", device)
            inside(place, "ip", "addr", "add", f"{six}/64", "dev", device, "nodad")
            inside(place, "ip", "link", "set", device, "up")

    def _workload(self, host: Host, name: str, four: str, six: str) -> None:
        netns = self.netns[name] = host.link(f"cali{name}", four)
        inside(netns, "sysctl", "-qw", *QUIET)
        for words in (
            f"addr add {six}/128 dev eth0 nodad",
            f"neigh replace {GATEWAY} lladdr {GATEWAY_MAC} dev eth0 nud permanent",
            f"neigh replace {GATEWAY6} lladdr {GATEWAY_MAC} dev eth0 nud permanent",
            f"route add default via {GATEWAY6} dev eth0",
        ):
            inside(netns, "ip", *(("-6",) if "via fe80" in words else ()), *words.split())
        inside(host.netns, "ip", "route", "add", f"{four}/32", "dev", f"cali{name}")
        inside(host.netns, "ip", "-6", "route", "add", f"{six}/128", "dev", f"cali{name}")

    def _route(self, party: str, destinations: tuple[str, str], four: str, six: str) -> None:
        inside(self.netns[party], "ip", "route", "add", destinations[0], "via", four)
        inside(self.netns[party], "ip", "-6", "route", "add", destinations[1], "via", six)


def within(netns: str, what: Callable[[], T]) -> T:
    """Call something in a network namespace: sockets and processes that it makes belong there."""
    found: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            enter(Path("/run/netns") / netns)
            found.append(what())
        except BaseException as error:  # noqa: BLE001  handed on to the caller below
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return found[0]


def raw(family: socket.AddressFamily, protocol: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol)
    sock.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
    if family == socket.AF_INET6 and protocol in (socket.IPPROTO_TCP, socket.IPPROTO_UDP):
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_CHECKSUM, 16 if protocol == socket.IPPROTO_TCP else 6)
    return sock
