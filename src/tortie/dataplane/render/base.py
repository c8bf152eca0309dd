"""The fixed part of the table: base chains, one a side, and the closed table for a host without an agent.

A packet between two workloads of one host meets the egress side and then the ingress side in one traversal; each side
has a base chain of its own, so `accept` in a policy ends that side only. Replies end at the first rule of each side.
A base chain with nothing to do is not there.
"""

from __future__ import annotations

from collections.abc import Sequence

from tortie.dataplane.render.settings import Settings
from tortie.dataplane.steps import AddChain, Step, WriteRules
from tortie.dataplane.want import Chain, SetDef

FROM, TO, SOURCES4, SOURCES6 = "from_wl", "to_wl", "src4", "src6"

LIVE_SETS = {
    FROM: SetDef("ifname", verdict=True),
    TO: SetDef("ifname", verdict=True),
    SOURCES4: SetDef("ifname . ipv4_addr"),
    SOURCES6: SetDef("ifname . ipv6_addr"),
}

NAT = "post_nat"
# Behind the place where kube-proxy and other software put theirs.
NAT_BASE = "type nat hook postrouting priority 110; policy accept;"
ESTABLISHED = "ct state established,related accept"


def base_chains(settings: Settings) -> dict[str, Chain]:
    """Every chain that does not depend on endpoints."""
    names = [f'"{prefix}*"' for prefix in settings.interface_prefixes]
    return {
        "raw_pre": Chain(
            (
                *(f"iifname {ours} iifname . ip saddr @{SOURCES4} ip daddr != 127.0.0.0/8 accept" for ours in names),
                *(f"iifname {ours} goto spoof" for ours in names),
            ),
            base="type filter hook prerouting priority -300; policy accept;",
            uses=frozenset({SOURCES4, "spoof"}),
        ),
        "spoof": Chain(_spoof(settings), uses=frozenset({SOURCES4, SOURCES6})),
        "fwd_from": Chain(
            (ESTABLISHED, f"iifname vmap @{FROM}", *(f"iifname {ours} counter drop" for ours in names)),
            base="type filter hook forward priority -4; policy accept;",
            uses=frozenset({FROM}),
        ),
        "fwd_to": Chain(
            (ESTABLISHED, f"oifname vmap @{TO}", *(f"oifname {ours} counter drop" for ours in names)),
            base="type filter hook forward priority -3; policy accept;",
            uses=frozenset({TO}),
        ),
        "in_from": Chain(
            (ESTABLISHED, *(f"iifname {ours} goto wl_to_host" for ours in names)),
            base="type filter hook input priority -5; policy accept;",
            uses=frozenset({"wl_to_host"}),
        ),
        "wl_to_host": Chain(_to_host(settings), uses=frozenset({FROM})),
    }


def _spoof(settings: Settings) -> tuple[str, ...]:
    """Packets of workloads whose source is not on their interface's list, or that are for the host's loopback."""
    dhcp = ("ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept",) if settings.host_services else ()
    return (
        *dhcp,
        f"meta nfproto ipv6 iifname . ip6 saddr @{SOURCES6} accept",
        "meta nfproto ipv6 ip6 saddr fe80::/10 accept",
        "meta nfproto ipv6 ip6 saddr :: meta l4proto 58 accept",
        "counter drop",
    )


def _to_host(settings: Settings) -> tuple[str, ...]:
    """New flows from a workload to its own host; replies were accepted before."""
    neighbours = tuple(f"icmpv6 type {kind} accept" for kind in (130, 131, 132, 133, 135, 136))
    services = (
        # IPv4 only: there the source was found on the interface's list, while anybody may use a link-local one of IPv6.
        (
            "meta nfproto ipv4 ct state new meta l4proto 17 th dport 53 accept",
            "meta nfproto ipv4 udp sport 68 udp dport 67 accept",
        )
        if settings.host_services
        else ()
    )
    policy = () if settings.endpoint_to_host == "Drop" else (f"iifname vmap @{FROM}",)
    return (*neighbours, *services, *policy, "counter drop")


def closed_table(prefixes: Sequence[str] = Settings().interface_prefixes) -> list[Step]:
    """For a table that exists already and is empty: nothing from or to a workload passes.

    The chains have the names and hooks of the full table, so that an agent turns one into the other in place.
    """
    sides = {"fwd_from": "iifname", "fwd_to": "oifname", "in_from": "iifname"}
    full = base_chains(Settings())
    return [
        *(AddChain(name, full[name].base) for name in sides),
        *(WriteRules(name, [f'{side} "{p}*" drop' for p in prefixes], "closed") for name, side in sides.items()),
    ]
