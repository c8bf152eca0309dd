"""What does not add up in the books, what has leaked, and which of it can be mended. Pure.

A leak is decided per handle, all or none: every address of it must be one that a live set speaks for, and none may be
alive. Where a source does not answer, or nothing says to whom an address belongs, it counts as alive.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Literal, TypeAlias

from tortie.ipam.assign import Pool, inside
from tortie.ipam.block import Address, empty, same_handle, settle
from tortie.ipam.books import Allocation, Books
from tortie.model.ipam import Attribute, Network

GRACE_SECONDS = 15 * 60.0

Kind: TypeAlias = Literal[
    "unreadable", "overlap", "outside-pools", "leak", "not-allocated", "wrong-handle", "count", "claim", "node-gone"
]


@dataclass(frozen=True, slots=True)
class Living:
    """A source's answer: the handles that are alive, and which address has which of them, as far as known."""

    handles: Collection[str]
    addresses: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSet:
    """What one plug-in knows to be alive. It speaks for the addresses of handles with `prefix` on `node`, of every
    node when that is empty; with `type`, only for those that were taken with this attribute. `handles` None: it did
    not answer. `addresses`: address -> handle, as far as known."""

    source: str
    prefix: str
    node: str = ""
    handles: Collection[str] | None
    addresses: Mapping[str, str] = field(default_factory=dict)
    type: str = ""

    def speaks_for(self, allocation: Allocation) -> bool:
        attribute = allocation.attribute
        return (
            (attribute.handle_id or "").startswith(self.prefix)
            and self.node in ("", allocation.node)
            and self.type in ("", attribute.secondary.get("type"))
        )


@dataclass(frozen=True, slots=True)
class FreeHandle:
    """Take back all that the handle has."""

    handle: str


@dataclass(frozen=True, slots=True)
class CountHandle:
    """Write how many addresses the handle really has."""

    handle: str


@dataclass(frozen=True, slots=True)
class Claim:
    """Write the owner's confirmed claim on its block."""

    node: str
    cidr: Network


@dataclass(frozen=True, slots=True)
class Unclaim:
    """Remove the claim; a block that is the node's own goes too when it is empty, else it loses its owner."""

    node: str
    cidr: Network


Mend: TypeAlias = FreeHandle | CountHandle | Claim | Unclaim


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `mend` None: a person has to decide. `node`: the only one that it is about, if any."""

    kind: Kind
    subject: str
    text: str
    mend: Mend | None = None
    node: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """`suspects`: handles that nobody claims to be alive, each with the time since when; those past the grace are
    findings too. Give it to the next check as `earlier`. `silent`: the sources that did not answer."""

    findings: Sequence[Finding]
    suspects: Mapping[str, float]
    silent: Sequence[str] = ()


def check(
    books: Books,
    *,
    live: Sequence[LiveSet],
    nodes: Collection[str],
    pools: Collection[Pool],
    now: float,
    cooldown: float = 0.0,
    grace: float = GRACE_SECONDS,
    earlier: Mapping[str, float] | None = None,
) -> Report:
    """Everything found at this look.

    The grace of a leak runs from the look that saw it first, or, for a single look (`earlier` None), from the time at
    which the last of its addresses was given.
    """
    suspects = dict(_suspects(books, live, now, earlier))
    findings = [Finding("unreadable", key, why) for key, why in books.unreadable.items()]
    findings += _overlaps(books)
    findings += _outside(books, pools)
    findings += _leaks(books, suspects, now, grace)
    findings += _of_the_living(books, live)
    findings += _counts(books)
    findings += _claims(books, nodes, now, cooldown)
    return Report(tuple(findings), suspects, tuple(source.source for source in live if source.handles is None))


def spare_blocks(books: Books, node: str, now: float, cooldown: float) -> set[Network]:
    """The node's empty blocks, of each family all but the last that it would have."""
    spare: set[Network] = set()
    for version in (4, 6):
        own = {
            cidr: empty(settle(kept.value, now, cooldown))
            for cidr, kept in books.blocks.items()
            if cidr.version == version and kept.value.node == node
        }
        unused = sorted((cidr for cidr, is_empty in own.items() if is_empty), key=lambda c: int(c.network_address))
        spare |= set(unused[1:] if len(unused) == len(own) else unused)
    return spare


def agreed(first: Report, second: Report) -> list[Finding]:
    """What two looks found alike: one look may fall into the middle of another program's three writes."""
    seen = set(first.findings)
    return [finding for finding in second.findings if finding in seen]


def counts(books: Books) -> dict[str, dict[str, int]]:
    """How many addresses each handle really has, by block."""
    found: dict[str, dict[str, int]] = {}
    for allocation in books.allocations():
        if handle := same_handle(allocation.attribute.handle_id):
            per_block = found.setdefault(handle, {})
            per_block[str(allocation.cidr)] = per_block.get(str(allocation.cidr), 0) + 1
    return found


def _suspects(
    books: Books, live: Sequence[LiveSet], now: float, earlier: Mapping[str, float] | None
) -> Iterator[tuple[str, float]]:
    alive = {same_handle(handle) for source in live for handle in source.handles or ()}
    by_handle: dict[str, list[Allocation]] = {}
    for allocation in books.allocations():
        if handle := same_handle(allocation.attribute.handle_id):
            by_handle.setdefault(handle, []).append(allocation)
    for handle, held in by_handle.items():
        if handle in alive or not all(_nobody_claims(allocation, live) for allocation in held):
            continue
        since = (
            max(given_at(allocation.attribute) for allocation in held) if earlier is None else earlier.get(handle, now)
        )
        yield handle, since


def _nobody_claims(allocation: Allocation, live: Sequence[LiveSet]) -> bool:
    speaking = [source for source in live if source.speaks_for(allocation)]
    return bool(speaking) and all(source.handles is not None for source in speaking)


def given_at(attribute: Attribute) -> float:
    """Of an address that does not say: never, so that its grace does not end."""
    text = attribute.secondary.get("timestamp", "").removesuffix(" +0000 UTC")
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return float("inf")


def _leaks(books: Books, suspects: Mapping[str, float], now: float, grace: float) -> Iterator[Finding]:
    held = counts(books)
    nodes: dict[str | None, set[str]] = {}
    for allocation in books.allocations():
        nodes.setdefault(same_handle(allocation.attribute.handle_id), set()).add(allocation.node)
    for handle, since in suspects.items():
        if now - since >= grace:
            where = ", ".join(f"{number} in {cidr}" for cidr, number in held[handle].items())
            text = f"handle {handle} ({where}) belongs to nothing alive"
            yield Finding("leak", handle, text, FreeHandle(handle), _only(nodes[handle]))


def _only(nodes: Collection[str]) -> str:
    return next(iter(nodes)) if len(nodes) == 1 else ""


def _of_the_living(books: Books, live: Sequence[LiveSet]) -> Iterator[Finding]:
    have = {a.address: same_handle(a.attribute.handle_id) for a in books.allocations()}
    for source in live:
        for text, handle in source.addresses.items():
            address: Address = ip_address(text)
            if address not in have:
                yield Finding("not-allocated", text, f"{text} is in use by {handle} and allocated to nobody")
            elif have[address] != same_handle(handle):
                owner = have[address] or "no handle"
                yield Finding("wrong-handle", text, f"{text} is in use by {handle} and allocated to {owner}")


def _counts(books: Books) -> Iterator[Finding]:
    really = counts(books)
    written = {handle: {c: n for c, n in kept.value.block.items() if n} for handle, kept in books.handles.items()}
    for handle in sorted(really.keys() | written.keys()):
        name, said, has = handle, written.get(handle), really.get(same_handle(handle) or handle, {})
        if said != has:
            text = f"handle {name} says {_sums(said)}, the blocks say {_sums(has)}"
            yield Finding("count", name, text, CountHandle(name))


def _sums(per_block: Mapping[str, int] | None) -> str:
    if per_block is None:
        return "nothing, for it is not there"
    return ", ".join(f"{number} in {cidr}" for cidr, number in sorted(per_block.items())) or "none"


def _claims(books: Books, nodes: Collection[str], now: float, cooldown: float) -> Iterator[Finding]:
    for (node, cidr), claim in books.claims.items():
        kept = books.blocks.get(cidr)
        block = kept.value if kept else None
        subject = f"{node} {cidr}"
        if block is None:
            text = f"node {node} claims block {cidr}, which does not exist"
            yield Finding("claim", subject, text, Unclaim(node, cidr), node)
        elif block.node != node:
            owner = block.affinity or "nobody"
            text = f"node {node} claims block {cidr}, which belongs to {owner}"
            yield Finding("claim", subject, text, Unclaim(node, cidr), node)
        elif node not in nodes:
            unused = empty(settle(block, now, cooldown))
            text = f"block {cidr} belongs to node {node}, which does not exist" + ("" if unused else "; it is in use")
            yield Finding("node-gone", subject, text, Unclaim(node, cidr) if unused else None, node)
        elif not claim.value.confirmed:
            text = f"node {node} has block {cidr}, its claim says {claim.value.state}"
            yield Finding("claim", subject, text, Claim(node, cidr), node)
    for cidr, kept in books.blocks.items():
        host = kept.value.node
        if host is not None and (host, cidr) not in books.claims:
            mend = Claim(host, cidr) if host in nodes else Unclaim(host, cidr)
            text = f"block {cidr} belongs to node {host}, which does not claim it"
            yield Finding("claim", f"{host} {cidr}", text, mend, host)


def _overlaps(books: Books) -> Iterator[Finding]:
    ordered = sorted(books.blocks, key=lambda c: (c.version, int(c.network_address), c.prefixlen))
    widest: Network | None = None
    for cidr in ordered:
        if widest is not None and widest.version == cidr.version and cidr[0] in widest:
            yield Finding("overlap", str(cidr), f"block {cidr} has addresses of block {widest}")
        if widest is None or widest.version != cidr.version or cidr[-1] > widest[-1]:  # type: ignore[operator]
            widest = cidr


def _outside(books: Books, pools: Collection[Pool]) -> Iterator[Finding]:
    for cidr, kept in books.blocks.items():
        if not inside(pools, cidr) and not empty(kept.value):
            yield Finding("outside-pools", str(cidr), f"block {cidr} has addresses in use and lies in no IP pool")
