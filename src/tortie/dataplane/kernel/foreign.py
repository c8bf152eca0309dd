"""Reading the tables of others: only their chains at the forward hook and what those lead to. Nothing is written."""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Iterator

from tortie.dataplane.foreign import Family, ForeignChain, ForeignRule, by_key
from tortie.dataplane.kernel.batch import HOOKS, NFTABLES
from tortie.dataplane.kernel.netlink import attributes, dump, text
from tortie.dataplane.kernel.nft import GETCHAIN, GETRULE
from tortie.dataplane.want import TABLE_NAME

FAMILIES: dict[int, Family] = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
NUMBERS = {name: number for number, name in FAMILIES.items()}
HOOK_NAMES = {number: name for name, number in HOOKS.items()}
VERDICTS = {0: "drop", 1: "accept", -3: "jump", -4: "goto", -5: "return"}
IIFNAME, OIFNAME = 6, 7
NEUTRAL = {"counter", "log", "immediate"}
_numbers = itertools.count(1)


def read_foreign(sock: socket.socket) -> dict[tuple[str, str, str, str], ForeignChain]:
    """Every chain at the forward hook of a table that is not ours, with all chains that it can lead to."""
    heads = [chain for chain in _chains(sock) if (chain.family, chain.table) != ("inet", TABLE_NAME)]
    known = by_key(heads)
    found: dict[tuple[str, str, str, str], ForeignChain] = {}
    wanted = [chain for chain in heads if chain.hook == "forward"]
    while wanted:
        chain = wanted.pop()
        if chain.key in found:
            continue
        rules = tuple(_rules(sock, chain))
        found[chain.key] = ForeignChain(
            chain.family, chain.table, chain.name, chain.hook, chain.priority, chain.policy, rules
        )
        targets = {rule.verdict.partition(" ")[2] for rule in rules}
        wanted += [known[key] for target in targets if (key := (*chain.key[:3], target)) in known]
    return found


def _dump(sock: socket.socket, kind: int, family: int, body: bytes = b"") -> Iterator[tuple[int, dict[int, bytes]]]:
    for part in dump(sock, NFTABLES | kind, struct.pack(">BBH", family, 0, 0) + body, next(_numbers)):
        yield part.body[0], dict(attributes(part.body[4:]))


def _string(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode(errors="replace")


def _chains(sock: socket.socket) -> Iterator[ForeignChain]:
    for family, fields in _dump(sock, GETCHAIN, 0):
        if family not in FAMILIES:
            continue
        hook, priority = "", 0
        if 4 in fields:
            place = dict(attributes(fields[4]))
            hook = HOOK_NAMES.get(int(struct.unpack(">I", place[1])[0]), "")
            priority = int(struct.unpack(">i", place[2])[0])
        policy = "accept" if struct.unpack(">I", fields.get(5, b"\0\0\0\1"))[0] else "drop"
        yield ForeignChain(FAMILIES[family], _string(fields[1]), _string(fields[3]), hook, priority, policy)


def _rules(sock: socket.socket, chain: ForeignChain) -> Iterator[ForeignRule]:
    body = text(1, chain.table) + text(2, chain.name)
    for _, fields in _dump(sock, GETRULE, NUMBERS[chain.family], body):
        # A kernel that does not know the filter answers with all rules.
        if (_string(fields[1]), _string(fields[2])) == (chain.table, chain.name):
            yield _rule(fields.get(4, b""))


def _rule(expressions: bytes) -> ForeignRule:
    interfaces = {IIFNAME: "", OIFNAME: ""}
    loaded, other, verdict, comment = 0, False, "", ""
    for _, raw in attributes(expressions):
        parts = dict(attributes(raw))
        name, data = _string(parts[1]), dict(attributes(parts.get(2, b"")))
        if name == "meta" and struct.unpack(">I", data.get(2, bytes(4)))[0] in interfaces:
            loaded = int(struct.unpack(">I", data[2])[0])
        elif name == "cmp" and loaded:
            value = dict(attributes(data.get(3, b""))).get(1, b"")
            negated = struct.unpack(">I", data.get(2, bytes(4)))[0] != 0
            interfaces[loaded] = _string(value) + ("" if value.endswith(b"\0") else "*")
            other, loaded = other or negated, 0
        elif name == "immediate":
            verdict = _verdict(data) or verdict
        elif name == "reject":
            verdict = "reject"
        elif name == "target":
            verdict = "reject" if _string(data.get(1, b"")) == "REJECT" else verdict
            other = other or _string(data.get(1, b"")) not in ("REJECT", "LOG", "NFLOG")
        elif name == "match" and _string(data.get(1, b"")) == "comment":
            comment = _string(data.get(3, b"").split(b"\0")[0])
        elif name not in NEUTRAL:
            other = True
    return ForeignRule(interfaces[IIFNAME], interfaces[OIFNAME], other, verdict, comment)


def _verdict(data: dict[int, bytes]) -> str:
    value = dict(attributes(data.get(2, b"")))
    if 2 not in value:
        return ""
    verdict = dict(attributes(value[2]))
    word = VERDICTS.get(int(struct.unpack(">i", verdict[1])[0]), "")
    return f"{word} {_string(verdict[2])}" if 2 in verdict else word
