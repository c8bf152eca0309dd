"""The wire of a lab: a bridge for each subnet in the switch's network namespace, veth pairs to hosts, hosts' settings.

Everything is made from inside the new namespaces; the machine's own network is never touched.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tortie.base.errors import Unavailable
from tortie.lab.plan import RESOLVER, Host, subnet_of

BRIDGE = "br"
UPLINK = "eth"
SWITCH_SETTINGS = {
    "net/bridge/bridge-nf-call-iptables": "0",
    "net/bridge/bridge-nf-call-ip6tables": "0",
    "net/bridge/bridge-nf-call-arptables": "0",
    "net/ipv4/conf/all/accept_redirects": "0",
}


def settings(host: Host, *, bare: bool = False) -> dict[str, str]:
    """Kernel settings of a host, by their paths under /proc/sys: no redirects, no limit on refusals. With `bare`, those
    that a network is to be brought to have these alone, and forward, as their engine wants it."""
    if host.role == "switch":
        return SWITCH_SETTINGS
    wire = {
        # laptop's way to containers leads over agent-1, whichever host has them.
        **{f"net/ipv4/conf/{which}/send_redirects": "0" for which in ("all", "default")},
        "net/ipv4/icmp_ratelimit": "0",
    }
    if bare and host.role in ("master", "agent", "public"):
        return {"net/ipv4/ip_forward": "1", **wire}
    return {
        **wire,
        "net/ipv4/ip_forward": "1" if host.forwards else "0",
        **{f"net/ipv4/conf/{which}/accept_redirects": "0" for which in ("all", "default")},
        # Spoofing is the node agent's to refuse, on workload interfaces; answers to laptop may take another way.
        **{f"net/ipv4/conf/{which}/rp_filter": "0" for which in ("all", "default")},
        "net/ipv6/conf/all/accept_ra": "0",
        "net/ipv6/conf/default/accept_dad": "0",
    }


def apply_settings(host: Host, *, bare: bool = False) -> None:
    """In the caller's network namespace. What this kernel does not have (no bridge filter, no IPv6) is passed over."""
    for name, value in settings(host, bare=bare).items():
        path = Path("/proc/sys", name)
        if path.exists() and path.read_text().strip() != value:
            path.write_text(value)


def make_switch(host: Host) -> None:
    """A bridge for each subnet, in the caller's network namespace; it has an address on the first only."""
    bridges = [f"{BRIDGE}{n}" for n in range(1 + len(host.others))]
    _ip(
        [
            "link set lo up",
            *(f"link add {bridge} type bridge forward_delay 0 mcast_snooping 0" for bridge in bridges),
            f"addr add {host.address}/24 dev {bridges[0]}",
            *(f"link set {bridge} up" for bridge in bridges),
            *_routes(host),
        ]
    )


def join_switch(host: Host, switch_pid: int, *, second_resolver: str = "") -> None:
    """Wire the caller's network namespace to the switch whose process 1 is `switch_pid`, one interface a subnet."""
    resolvers = filter(None, (RESOLVER, second_resolver))
    _ip(["link set lo up", *(f"addr add {address}/32 dev lo" for address in resolvers)])
    for n, address in enumerate((host.address, *host.others)):
        uplink, end = f"{UPLINK}{n}", f"{host.name}.{n}" if n else host.name
        _ip(
            [
                f"link add {uplink} type veth peer name {end} netns {switch_pid}",
                f"addr add {address}/24 dev {uplink}",
                f"link set {uplink} up",
            ]
        )
        _ip([f"link set dev {end} master {BRIDGE}{subnet_of(address)} up"], inside=switch_pid)
    _ip(_routes(host))


def _routes(host: Host) -> list[str]:
    return [f"route add {destination} via {gateway}" for destination, gateway in host.routes]


def _ip(commands: Sequence[str], inside: int | None = None) -> None:
    enter = ["nsenter", f"--net=/proc/{inside}/ns/net"] if inside else []
    ran = subprocess.run(
        [*enter, "ip", "-batch", "-"], input="\n".join(commands), capture_output=True, text=True, check=False
    )
    if ran.returncode != 0:
        raise Unavailable(f"ip: {ran.stderr.strip()}")
