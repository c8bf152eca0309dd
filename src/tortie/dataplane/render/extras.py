"""What endpoints may have besides policy: floating addresses, which become an own one before policy sees the packet,
and sources that are not theirs.

A map leads from a floating address to a chain of its own, so that the cost does not grow with their number. An endpoint
that speaks to its own floating address comes back from that address, or it would see an answer from itself.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping

from tortie.dataplane.render import language
from tortie.dataplane.render.language import Version
from tortie.dataplane.render.rules import Written
from tortie.dataplane.want import name_of
from tortie.policy.values import Resolved

# By family: where packets to the address outside go, and those that an endpoint sends to itself.
TO_FLOATING: dict[Version, str] = {4: "float4", 6: "float6"}
HAIRPIN: dict[Version, str] = {4: "hairpin4", 6: "hairpin6"}


def floating(endpoints: Iterable[Resolved], owned: Callable[[Resolved, str], bool]) -> dict[str, str]:
    """The own address of each floating one; of several endpoints that claim one the first has it. `owned`: whether an
    endpoint has the address that it says is its own."""
    found: dict[str, str] = {}
    for endpoint in endpoints:
        for outside, inside in endpoint.floating:
            if owned(endpoint, inside):
                found.setdefault(outside, inside)
    return found


def version_of(address: str) -> Version:
    return 6 if ":" in address else 4


def floating_chains(pairs: Mapping[str, str]) -> dict[str, Written]:
    """A chain for each floating address, and one for its own address speaking to itself."""
    found: dict[str, Written] = {}
    for outside, inside in pairs.items():
        version = version_of(outside)
        ip, family = ("ip" if version == 4 else "ip6"), language.family(version)
        found[to_chain(outside, inside)] = Written(rules=[f"{family} dnat {ip} to {inside}"])
        own = language.match(language.address(version, "d"), inside)
        found.setdefault(hairpin_chain(inside), Written(rules=[f"{family} {own} snat {ip} to {outside}"]))
    return found


def floating_elements(pairs: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """Verdicts by map and address."""
    found: dict[tuple[str, str], str] = {}
    for outside, inside in pairs.items():
        found[(TO_FLOATING[version_of(outside)], outside)] = f"goto {to_chain(outside, inside)}"
        found[(HAIRPIN[version_of(outside)], inside)] = f"jump {hairpin_chain(inside)}"
    return found


def to_chain(outside: str, inside: str) -> str:
    return name_of("fd", outside, inside)


def hairpin_chain(inside: str) -> str:
    return name_of("fs", inside)


def spoof_rules(endpoints: Iterable[Resolved]) -> list[str]:
    """Sources that endpoints may use besides their own. A rule each: few have any, and theirs alone come here."""
    found = set[str]()
    for endpoint in endpoints:
        for net in endpoint.spoofed:
            version = version_of(net)
            source = language.match(language.address(version, "s"), _spelt(net))
            found.add(language.line(language.family(version), f'iifname "{endpoint.interface}"', source, "accept"))
    return sorted(found)


def _spelt(net: str) -> str:
    return str(ipaddress.ip_network(net)) if "/" in net else net
