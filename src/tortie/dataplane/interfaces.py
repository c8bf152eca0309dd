"""Kernel settings that a host and each workload's interface need."""

from __future__ import annotations

HOST = {"net/ipv4/ip_forward": "1"}
HOST6 = {"net/ipv6/conf/all/forwarding": "1"}


def advertisements(interface: str) -> str:
    """Whether an interface takes routes from routers: 1 unless the host forwards, 2 always."""
    return f"net/ipv6/conf/{interface}/accept_ra"


def workload(interface: str, *, spoofs: bool = False) -> dict[str, str]:
    """For the host's side of a workload's pair: answer ARP for its gateway at once, forward, take no routes from it.
    `spoofs`: it may send from addresses that are not its own."""
    four, six = f"net/ipv4/conf/{interface}", f"net/ipv6/conf/{interface}"
    return {
        f"{four}/proxy_arp": "1",
        f"net/ipv4/neigh/{interface}/proxy_delay": "0",
        f"{four}/forwarding": "1",
        f"{four}/rp_filter": "0" if spoofs else "1",
        f"{four}/route_localnet": "1",
        f"{six}/disable_ipv6": "0",
        f"{six}/forwarding": "1",
        f"{six}/accept_ra": "0",
        f"{six}/accept_redirects": "0",
    }
