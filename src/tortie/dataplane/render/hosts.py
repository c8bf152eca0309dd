"""The host endpoints of one host: which interface each is for, and what each kind of traffic meets there.

An interface has the first of them by key that names it or has one of its addresses. `*` is for every interface without
one of its own; loopback is nobody's, unless it is named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tortie.dataplane.render.stacks import Stack, StackKind
from tortie.policy.values import Direction, ResolvedHost

ALL = "*"
Verdict = Stack | str
"""Where a packet goes: to a stack, or `accept` or `drop`."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One kind of traffic in one direction, with the map that leads from an interface to its stack."""

    kind: StackKind
    direction: Direction
    map: str

    @property
    def side(self) -> str:
        return "iifname" if self.direction == "ingress" else "oifname"


RAW_IN = Slot("untracked", "ingress", "hep_raw_in")
RAW_OUT = Slot("untracked", "egress", "hep_raw_out")
PRE = Slot("preDNAT", "ingress", "hep_pre")
FORWARD_IN = Slot("forward", "ingress", "hep_fwd_in")
FORWARD_OUT = Slot("forward", "egress", "hep_fwd_out")
IN = Slot("host", "ingress", "hep_in")
OUT = Slot("host", "egress", "hep_out")
SLOTS = (RAW_IN, RAW_OUT, PRE, FORWARD_IN, FORWARD_OUT, IN, OUT)


def attached(hosts: Mapping[str, ResolvedHost], interfaces: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The host endpoint of each interface, `*` for the others. `interfaces`: those of the host with their addresses."""
    found: dict[str, str] = {}
    for key in sorted(hosts):
        host = hosts[key]
        names = [host.interface] if host.interface else _with_addresses(host.addresses, interfaces)
        for name in names:
            found.setdefault(name, key)
    return found


def _with_addresses(addresses: Sequence[str], interfaces: Mapping[str, Sequence[str]]) -> list[str]:
    return [name for name, held in interfaces.items() if not set(held).isdisjoint(addresses)]


def verdict(slot: Slot, host: ResolvedHost, *, closed: bool) -> Verdict:
    """`accept`: this traffic has no policy there."""
    if slot.kind == "host":
        # Closed or not, the failsafes stand before everything.
        if closed:
            return Stack("host", slot.direction)
        return Stack("host", slot.direction, host.normal.of(slot.direction), host.profiles)
    if closed:
        return "drop" if slot.kind == "forward" else "accept"
    part = {"untracked": host.untracked, "preDNAT": host.pre_dnat, "forward": host.forward}[slot.kind]
    tiers = part.of(slot.direction)
    return Stack(slot.kind, slot.direction, tiers) if tiers else "accept"


@dataclass(frozen=True, slots=True)
class Work:
    """What host endpoints ask of the base chains: slots that have work, each with the verdict for interfaces
    without a host endpoint of their own."""

    others: Mapping[Slot, Verdict]

    def has(self, *slots: Slot) -> bool:
        return any(slot in self.others for slot in slots)


NOTHING = Work({})


def dispatch(
    by_interface: Mapping[str, str], hosts: Mapping[str, ResolvedHost], closed: Mapping[str, bool]
) -> tuple[dict[Slot, dict[str, Verdict]], Work]:
    """(the verdict of each interface with a host endpoint, for the slots that have work; the base chains' part)."""
    elements: dict[Slot, dict[str, Verdict]] = {}
    others: dict[Slot, Verdict] = {}
    for slot in SLOTS:
        wanted = {name: verdict(slot, hosts[key], closed=closed[key]) for name, key in by_interface.items()}
        if all(found == "accept" for found in wanted.values()):
            continue
        others[slot] = wanted.pop(ALL, "accept")
        elements[slot] = wanted
    return elements, Work(others)


def verdict_text(found: Verdict) -> str:
    """As nft writes it."""
    return f"goto {found.chain}" if isinstance(found, Stack) else found
