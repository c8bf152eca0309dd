"""The part of nft's language that rules of ours are written in: one way to write each match and each statement.

A rule is a line: matches, then statements, each behind one space. Nothing in it makes nft add a condition of its own:
what a match depends on (family, protocol) is written before it. Numbers are decimal, marks have 0x and eight digits,
names of interfaces are in quotes. Lists of more than one item are named sets, never `{ … }`.

Matches; `!=` may stand before the value of those marked with `*`:

    meta nfproto ipv4|ipv6
    meta l4proto* NUMBER
    iifname "NAME" · iifname "BEGIN*" · oifname likewise
    iifname . ip saddr @SET · iifname . ip6 saddr @SET
    ip saddr* VALUE · ip daddr* VALUE · ip6 saddr* VALUE · ip6 daddr* VALUE     VALUE: ADDRESS, NETWORK or @SET
    ip saddr & MASK* @SET · ip daddr & MASK* @SET · ip6 likewise
    th sport* VALUE · th dport* VALUE                                           VALUE: PORT, LOW-HIGH or @SET
    ip saddr . meta l4proto . th sport* @SET · ip daddr . meta l4proto . th dport* @SET · ip6 likewise
    meta l4proto . th sport @SET · meta l4proto . th dport @SET
    icmp type* NUMBER · icmp code* NUMBER · icmpv6 likewise · icmpv6 type LOW-HIGH
    ct state established,related · ct state invalid · ct state new
    ct status dnat · ct status confirmed · ct status ! confirmed
    fib saddr type local · fib daddr type local · fib daddr type broadcast
    meta mark & BIT == BIT

Statements, those of one rule in this order:

    limit rate NUMBER/second burst NUMBER packets
    counter
    log prefix "TEXT" level info · log prefix "TEXT" group NUMBER
    notrack
    meta mark set meta mark & NUMBER · meta mark set meta mark | BIT
    dnat ip|ip6 to ADDRESS · snat ip|ip6 to ADDRESS[:LOW-HIGH] · masquerade[ to :LOW-HIGH]
    iifname vmap @MAP · oifname vmap @MAP · ip saddr vmap @MAP · ip daddr vmap @MAP · ip6 likewise
    accept · drop · reject · return · jump CHAIN · goto CHAIN
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

from tortie.dataplane.hits import Hit, prefix_of

Version = Literal[4, 6]
Word = Literal["s", "d"]
ESTABLISHED = "ct state established,related"
INVALID = "ct state invalid"
# A conversation is confirmed once its first packet has left the host or reached one of its programs.
BEGINS, GOES_ON = "ct status ! confirmed", "ct status confirmed"
TO_US, TO_ALL, FROM_US = "fib daddr type local", "fib daddr type broadcast", "fib saddr type local"
TCP, UDP, ICMP, ICMPV6, IPIP = 6, 17, 1, 58, 4
# Others use low numbers: Felix 1 to 3, ulogd from 0.
FLOW_GROUP = 80
# Of each rule that does not end with an established conversation: what comes beyond is decided without being told.
FEW = "limit rate 20/second burst 100 packets"
# Of beginnings.
MANY = "limit rate 1000/second burst 2000 packets"


def family(version: Version) -> str:
    return f"meta nfproto ipv{version}"


def address(version: Version, side: Word) -> str:
    """`ip saddr` and the like."""
    return f"{'ip' if version == 4 else 'ip6'} {side}addr"


@lru_cache(maxsize=162)
def mask(version: Version, length: int) -> str:
    """What of an address a prefix of this length looks at, written as an address."""
    net = IPv4Network((0, length)) if version == 4 else IPv6Network((0, length))
    return str(net.netmask)


def protocol(number: int, *, negated: bool = False) -> str:
    return match("meta l4proto", str(number), negated=negated)


def match(field: str, value: str, *, negated: bool = False) -> str:
    return f"{field} != {value}" if negated else f"{field} {value}"


def icmp(number: int, word: Literal["type", "code"], value: int, *, negated: bool = False) -> str:
    """Type or code of the protocol `number`, which was matched before."""
    return match(f"{'icmp' if number == ICMP else 'icmpv6'} {word}", str(value), negated=negated)


def has_mark(bit: int) -> str:
    return f"meta mark & 0x{bit:08x} == 0x{bit:08x}"


def set_mark(bit: int) -> str:
    return f"meta mark set meta mark | 0x{bit:08x}"


def clear_mark(bit: int) -> str:
    return f"meta mark set meta mark & 0x{0xFFFFFFFF ^ bit:08x}"


def told(hit: Hit) -> str:
    """To whoever reads flow records; without a reader it costs next to nothing."""
    return f'log prefix "{prefix_of(hit)}" group {FLOW_GROUP}'


def refused(hit: Hit, *, flows: bool, end: str = "drop") -> list[str]:
    """Not let through, with a record of some."""
    return [*([line(FEW, "counter", told(hit), end)] if flows else []), line("counter", end)]


def line(*parts: str) -> str:
    """A rule; parts that are empty are left out."""
    return " ".join(part for part in parts if part)
