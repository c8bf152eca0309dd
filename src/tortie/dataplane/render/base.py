"""The fixed part of the table: base chains, one a side, and the closed table for a host without an agent.

A packet between two workloads of one host meets the egress side and then the ingress side in one traversal; each side
has a base chain of its own, so `accept` in a policy ends that side only. Replies end at the first rule of each side.
A base chain with nothing to do is not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tortie.dataplane.hits import SPOOFED, TO_HOST, Hit
from tortie.dataplane.render import language, nat
from tortie.dataplane.render.hosts import (
    FORWARD_IN,
    FORWARD_OUT,
    IN,
    NOTHING,
    OUT,
    PRE,
    RAW_IN,
    RAW_OUT,
    Slot,
    Work,
    verdict_text,
)
from tortie.dataplane.render.language import Version
from tortie.dataplane.render.rules import Written
from tortie.dataplane.render.settings import FAMILIES, PEERS, Settings
from tortie.dataplane.render.stacks import Stack
from tortie.dataplane.steps import AddChain, Step, WriteRules
from tortie.dataplane.want import SetDef

FROM, TO, SOURCES4, SOURCES6 = "from_wl", "to_wl", "src4", "src6"

LIVE_SETS = {
    FROM: SetDef("ifname", verdict=True),
    TO: SetDef("ifname", verdict=True),
    SOURCES4: SetDef("ifname . ipv4_addr"),
    SOURCES6: SetDef("ifname . ipv6_addr"),
}

ESTABLISHED = f"{language.ESTABLISHED} accept"
IPV4, IPV6 = language.family(4), language.family(6)
TO_LOOPBACK = "127.0.0.0/8"
OPTIONAL = (
    *("nd", "raw_out", "pre_dnat", "fwd_hep_in", "fwd_hep_out", "in_tunnel", "in_hep", "out_hep", "post_hep"),
    *nat.CHAINS,
)


@dataclass(frozen=True, slots=True)
class Extras:
    """What few endpoints have: the families of floating addresses, and rules for sources that are not on their
    interface's list and yet allowed."""

    floating: tuple[Version, ...] = ()
    spoofers: tuple[str, ...] = ()


NO_EXTRAS = Extras()


def _base(place: str) -> str:
    return f"{place}; policy accept;"


def _filter(hook: str, priority: int) -> str:
    return _base(f"type filter hook {hook} priority {priority}")


def base_chains(settings: Settings, work: Work = NOTHING, extras: Extras = NO_EXTRAS) -> dict[str, tuple[Written, str]]:
    """Every chain that does not depend on policy, with its hook."""
    names = _workloads(settings)
    found = {
        "raw_pre": (_raw_pre(settings, work), _filter("prerouting", -300)),
        "spoof": (_written(*_spoof(settings, extras.spoofers), uses=(SOURCES4, SOURCES6)), ""),
        "fwd_from": (
            _written(ESTABLISHED, f"iifname vmap @{FROM}", *(f"iifname {n} counter drop" for n in names), uses=(FROM,)),
            _filter("forward", -4),
        ),
        "fwd_to": (
            _written(ESTABLISHED, f"oifname vmap @{TO}", *(f"oifname {n} counter drop" for n in names), uses=(TO,)),
            _filter("forward", -3),
        ),
        "in_from": (
            _written(ESTABLISHED, *(f"iifname {n} goto wl_to_host" for n in names), uses=("wl_to_host",)),
            _filter("input", -5),
        ),
        "wl_to_host": (_written(*_to_host(settings), uses=() if settings.endpoint_to_host == "Drop" else (FROM,)), ""),
    }
    found |= _host_chains(settings, work)
    if settings.tunnels:
        found["in_tunnel"] = (_strangers(settings), _filter("input", -6))
    translations = nat.chains(settings, extras.floating)
    return found | {name: (written, _base(place)) for name, (written, place) in translations.items()}


def _workloads(settings: Settings) -> list[str]:
    return [f'"{prefix}*"' for prefix in settings.interface_prefixes]


def _written(*rules: str, uses: Sequence[str] = ()) -> Written:
    return Written(rules=[rule for rule in rules if rule], uses=set(uses))


def _raw_pre(settings: Settings, work: Work) -> Written:
    """Legal sources of workloads first, in one look-up: that is most of the packets, and the name of an interface is
    dear to look at. What comes from outside of the only pool is asked more cheaply whether it is a workload's."""
    early = language.clear_mark(settings.marks.accepted) if work.has(RAW_IN, PRE) else ""
    pools = [net for net in settings.pools if ":" not in net]
    inside = language.match(language.address(4, "s"), pools[0]) if len(pools) == 1 else ""
    written = _written(
        early,
        language.line(IPV4, inside, f"iifname . ip saddr @{SOURCES4} ip daddr != {TO_LOOPBACK} accept"),
        *(f"iifname {ours} goto spoof" for ours in _workloads(settings)),
        *_untracked_tunnels(settings, language.TO_US),
        uses=(SOURCES4, "spoof"),
    )
    if work.has(RAW_IN):
        written.jump("nd")
        _to_host_endpoint(written, RAW_IN, work, 'iifname "lo" accept')
    return written


def _untracked_tunnels(settings: Settings, local: str) -> list[str]:
    """The two directions of a tunnel have different ports: tracked, they would be conversations without answers."""
    return [language.line(_vxlan(settings), local, "notrack")] if "vxlan" in settings.tunnels else []


def _spoof(settings: Settings, spoofers: Sequence[str]) -> tuple[str, ...]:
    """Packets of workloads whose source is not in the pool or not on their interface's list, or that are for the host's
    loopback."""
    dhcp = f"{IPV4} ip saddr 0.0.0.0 meta l4proto 17 th sport 68 th dport 67 accept"
    return (
        dhcp if settings.host_services else "",
        f"{IPV4} ip daddr {TO_LOOPBACK} counter drop",
        f"{IPV4} iifname . ip saddr @{SOURCES4} accept",
        *spoofers,
        f"{IPV6} iifname . ip6 saddr @{SOURCES6} accept",
        f"{IPV6} ip6 saddr fe80::/10 accept",
        f"{IPV6} ip6 saddr :: meta l4proto 58 accept",
        *language.refused(Hit("Deny", "fixed", "egress", SPOOFED), flows=settings.flows),
    )


def _to_host(settings: Settings) -> tuple[str, ...]:
    """New flows from a workload to its own host; replies were accepted before."""
    neighbours = (f"{IPV6} meta l4proto 58 icmpv6 type {kinds} accept" for kinds in ("130-133", "135-136"))
    services = (
        # IPv4 only: there the source was found on the interface's list, while anybody may use a link-local one of IPv6.
        (
            f"{IPV4} meta l4proto 17 th dport 53 ct state new accept",
            f"{IPV4} meta l4proto 17 th sport 68 th dport 67 accept",
        )
        if settings.host_services
        else ()
    )
    policy = () if settings.endpoint_to_host == "Drop" else (f"iifname vmap @{FROM}",)
    refused = language.refused(Hit("Deny", "fixed", "egress", TO_HOST), flows=settings.flows)
    return (*neighbours, *services, *policy, *refused)


def _host_chains(settings: Settings, work: Work) -> dict[str, tuple[Written, str]]:
    found: dict[str, tuple[Written, str]] = {}
    early = f"{language.has_mark(settings.marks.accepted)} accept"
    if work.has(IN):
        # Neighbours find each other whatever the policy says, and conversations of theirs are not tracked.
        kinds = ("130-136", "143")
        found["nd"] = (_written(*(f"{IPV6} meta l4proto 58 icmpv6 type {kind} accept" for kind in kinds)), "")
    if work.has(RAW_OUT) or "vxlan" in settings.tunnels:
        found["raw_out"] = (_raw_out(settings, work), _filter("output", -300))
    if work.has(PRE):
        written = _written(ESTABLISHED, early if work.has(RAW_IN) else "")
        written.jump("nd")
        found["pre_dnat"] = (_to_host_endpoint(written, PRE, work, 'iifname "lo" accept'), _filter("prerouting", -150))
    if work.has(FORWARD_IN):
        written = _written(ESTABLISHED, early if work.has(RAW_IN, PRE) else "")
        found["fwd_hep_in"] = (_to_host_endpoint(written, FORWARD_IN, work), _filter("forward", -5))
    if work.has(FORWARD_OUT):
        found["fwd_hep_out"] = (_to_host_endpoint(_written(ESTABLISHED), FORWARD_OUT, work), _filter("forward", -2))
    if work.has(IN):
        written = _written(ESTABLISHED, early if work.has(RAW_IN, PRE) else "", *_workload_exempt(settings, "iifname"))
        written.jump("nd")
        # The tunnels between hosts are not for policy of a host endpoint: what is in them is.
        _peers(written, settings, "s", "accept")
        found["in_hep"] = (_to_host_endpoint(written, IN, work, 'iifname "lo" accept'), _filter("input", -4))
        found |= _out_chains(settings, work, early)
    return found


def _raw_out(settings: Settings, work: Work) -> Written:
    written = _written()
    if work.has(RAW_OUT):
        written.rules.append(language.clear_mark(settings.marks.accepted))
        written.rules += _untracked_tunnels(settings, language.FROM_US)
        written.rules += _workload_exempt(settings, "oifname")
        written.jump("nd")
        return _to_host_endpoint(written, RAW_OUT, work, 'oifname "lo" accept')
    written.rules += _untracked_tunnels(settings, language.FROM_US)
    return written


def _out_chains(settings: Settings, work: Work, early: str) -> dict[str, tuple[Written, str]]:
    """What the host's own processes send. Where its destination was translated, the interface is known only behind the
    routing: such packets are judged there, with the translated port."""
    exempt = _workload_exempt(settings, "oifname")
    out = _written(ESTABLISHED, early if work.has(RAW_OUT) else "", *exempt)
    out.jump("nd")
    _peers(out, settings, "d", "accept")
    out.rules.append("ct status dnat accept")
    post = _written(ESTABLISHED, *exempt)
    translated = f"ct status dnat {language.FROM_US} "
    return {
        "out_hep": (_to_host_endpoint(out, OUT, work, 'oifname "lo" accept'), _filter("output", -5)),
        "post_hep": (
            _to_host_endpoint(post, OUT, work, 'oifname "lo" accept', condition=translated),
            _filter("postrouting", -150),
        ),
    }


def _workload_exempt(settings: Settings, side: str) -> list[str]:
    """Between a host and its own workloads no host endpoint stands."""
    return [f"{side} {ours} accept" for ours in _workloads(settings)]


def _vxlan(settings: Settings) -> str:
    return language.line(language.protocol(language.UDP), f"th dport {settings.vxlan_port}")


def _peers(written: Written, settings: Settings, side: language.Word, end: str, *, negated: bool = False) -> None:
    """Add rules about tunnel packets from or to the hosts of the cluster, or from anybody else. IPIP is for IPv4."""
    kinds = [(kind, version) for kind in sorted(settings.tunnels) for version in FAMILIES]
    for kind, version in kinds:
        if kind == "ipip" and version == 6:
            continue
        peers = language.match(language.address(version, side), f"@{PEERS[version]}", negated=negated)
        packets = _vxlan(settings) if kind == "vxlan" else language.protocol(language.IPIP)
        written.rules.append(language.line(language.family(version), peers, packets, end))
        written.uses.add(PEERS[version])


def _strangers(settings: Settings) -> Written:
    """Tunnel packets from hosts that are none of the cluster's would come out as a workload's."""
    written = Written()
    _peers(written, settings, "s", f"{language.TO_US} counter drop", negated=True)
    return written


def _to_host_endpoint(written: Written, slot: Slot, work: Work, own: str = "", condition: str = "") -> Written:
    """To the interface's own host endpoint, else to that for all. `own`: what is nobody's, between the two."""
    written.rules.append(f"{condition}{slot.side} vmap @{slot.map}")
    written.uses.add(slot.map)
    others = work.others[slot]
    if others != "accept":
        if own:
            written.rules.append(own)
        written.rules.append(f"{condition}{verdict_text(others)}")
        written.uses.update([others.chain] if isinstance(others, Stack) else [])
    return written


def closed_table(prefixes: Sequence[str] = Settings().interface_prefixes) -> list[Step]:
    """For a table that exists already and is empty: nothing from or to a workload passes.

    The chains have the names and hooks of the full table, so that an agent turns one into the other in place.
    """
    sides = {"fwd_from": "iifname", "fwd_to": "oifname", "in_from": "iifname"}
    full = base_chains(Settings())
    return [
        *(AddChain(name, full[name][1]) for name in sides),
        *(WriteRules(name, [f'{side} "{p}*" drop' for p in prefixes], "closed") for name, side in sides.items()),
    ]
