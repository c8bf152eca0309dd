"""Rules in nft's text as the kernel's expressions: the part of nft's language that `render` writes, and no more.

A match is `FIELD [!=] VALUE`, VALUE one of a literal, a prefix, a range `A-B`, a set `@NAME`; of addresses also
`FIELD & MASK [!=] @NAME`; of bits of a connection `FIELD [!] BIT,…`: one of them, none of them. Several fields joined
by ` . ` take a set. Protocols, types and codes are numbers. What a field needs to be looked at (IPv4 for `ip saddr`,
TCP for `tcp dport`) is asked first unless the rule has asked it already, as nft does. Pure.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from collections.abc import Sequence
from functools import lru_cache

from tortie.base.errors import Invalid
from tortie.dataplane.kernel import expressions as x
from tortie.dataplane.kernel.fields import FIELDS, IPV4, IPV6, Field, Writer, number
from tortie.dataplane.kernel.statements import STATEMENTS, set_mark

WORD = re.compile(r'"[^"]*"|[^\s"]+')
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "ipv6-icmp": 58, "sctp": 132, "udplite": 136}
STATES = {"invalid": 1, "established": 2, "related": 4, "new": 8, "untracked": 64}
STATUSES = {"confirmed": 8, "snat": 0x10, "dnat": 0x20}
ADDRESS_TYPES = {"unicast": 1, "local": 2, "broadcast": 3, "multicast": 5}
FIB_SADDR, FIB_DADDR, FIB_MARK, FIB_IIF, FIB_PRESENT = 1, 2, 4, 8, 32
FIB_OIF, FIB_TYPE = 1, 3
FLAG_FIELDS = {"ct state": STATES, "ct status": STATUSES}
ONE_BYTE = {x.compare(x.EQ, bytes([value])): bytes([value]) for value in range(256)}
MERGED = {("icmp type", "icmp code"), ("icmpv6 type", "icmpv6 code")}


@lru_cache(maxsize=1 << 11)
def encode_rule(text: str) -> bytes:
    """The rule's expressions, one attribute after the other. Invalid, naming the rule, if it is not of our language."""
    writer = Writer(tuple(WORD.findall(text)))
    try:
        if not writer.words:
            raise Invalid("nothing in it")
        while writer.peek():
            _clause(writer)
    except (Invalid, ValueError, OverflowError, struct.error) as error:
        raise Invalid(f"rule {text!r} cannot be written: {error}") from error
    return b"".join(writer.out)


def _clause(writer: Writer) -> None:
    word = writer.peek()
    statement = STATEMENTS.get(word)
    if statement is not None:
        writer.at += 1
        statement(writer)
    elif word == "fib":
        _fib(writer)
    elif word == "meta" and writer.accept("meta", "mark", "set"):
        set_mark(writer)
    elif (found := writer.field()) is not None:
        _match(writer, *found)
    else:
        raise Invalid(f"unknown word {word!r}")


# matches


def _match(writer: Writer, name: str, first: Field) -> None:
    joined = [first]
    while writer.accept("."):
        more = writer.field()
        if more is None:
            raise Invalid(f"no field after {name} .")
        joined.append(more[1])
        name = f"{name} . {more[0]}"
    for one in joined:
        if not one.l4proto or writer.known.get("l4proto") != one.l4proto:
            writer.ask("nfproto", one.nfproto)
            writer.ask("l4proto", one.l4proto)
    if writer.accept("vmap"):
        _load(writer, joined)
        writer.out.append(x.lookup(_set_name(writer.take()), verdict=True))
        return
    if name in ("meta mark", "ct mark") and writer.accept("&"):
        _masked(writer, first)
        return
    if first.kind == "address" and len(joined) == 1 and writer.accept("&"):
        _prefix(writer, first)
        return
    if name in FLAG_FIELDS:
        none = writer.accept("!")
        _flags(writer, first, FLAG_FIELDS[name], writer.take(), none=none)
        return
    negated = writer.accept("!=")
    writer.accept("==")
    value = writer.take()
    if value.startswith("@"):
        _load(writer, joined)
        writer.out.append(x.lookup(_set_name(value), negated=negated))
    elif len(joined) > 1:
        _pair(writer, name, value, negated)
    else:
        _literal(writer, name, first, value, negated)


def _load(writer: Writer, fields: Sequence[Field]) -> None:
    register = x.REGISTER
    for one in fields:
        writer.out.append(one.load(register))
        register += (one.size + 3) // 4


def _set_name(word: str) -> str:
    if not re.fullmatch(r"@[A-Za-z0-9_.-]+", word):
        raise Invalid(f"{word!r} is not the name of a set")
    return word[1:]


def _pair(writer: Writer, name: str, value: str, negated: bool) -> None:
    """`icmp type . icmp code != { 3 . 4 }`: both bytes lie together, so they are compared together."""
    if value != "{" or tuple(name.split(" . ")) not in MERGED:
        raise Invalid(f"{name} takes a set")
    data = bytes([writer.number()])
    writer.take(".")
    data += bytes([writer.number()])
    writer.take("}")
    writer.out += [x.payload(x.TRANSPORT, 0, 2), x.compare(x.NEQ if negated else x.EQ, data)]


def _flags(writer: Writer, one: Field, names: dict[str, int], value: str, *, none: bool) -> None:
    """One of several bits is set (of the connection's state, for example), or `none` of them."""
    bits = 0
    for word in value.split(","):
        if word not in names:
            raise Invalid(f"unknown word {word!r}")
        bits |= names[word]
    mask = struct.pack("=I", bits)
    writer.out += [one.load(x.REGISTER), x.bitwise(mask, bytes(4))]
    writer.out.append(x.compare(x.EQ if none else x.NEQ, bytes(4)))


def _masked(writer: Writer, one: Field) -> None:
    mask = struct.pack("=I", writer.number())
    negated = writer.accept("!=")
    if not negated:
        writer.take("==")
    data = struct.pack("=I", writer.number())
    writer.out += [one.load(x.REGISTER), x.bitwise(mask, bytes(4)), x.compare(x.NEQ if negated else x.EQ, data)]


def _prefix(writer: Writer, one: Field) -> None:
    """`ip saddr & 255.255.255.0 @SET`: the networks of one length."""
    mask = (ipaddress.IPv4Address if one.size == 4 else ipaddress.IPv6Address)(writer.take()).packed
    negated = writer.accept("!=")
    if not negated:
        writer.accept("==")
    found = x.lookup(_set_name(writer.take()), negated=negated)
    writer.out += [one.load(x.REGISTER), x.bitwise(mask, bytes(one.size)), found]


def _literal(writer: Writer, name: str, one: Field, value: str, negated: bool) -> None:
    op = x.NEQ if negated else x.EQ
    if one.kind == "address":
        _address(writer, one, value, negated)
    elif one.kind == "ifname":
        writer.out += [one.load(x.REGISTER), x.compare(op, _interface(value))]
    elif "-" in value and one.kind == "number":
        low, _, high = value.partition("-")
        _range(writer, one, number(low).to_bytes(one.size, "big"), number(high).to_bytes(one.size, "big"), negated)
    else:
        data = _bytes(one, value)
        if _merge_code(writer, name, data, negated):
            return
        writer.out += [one.load(x.REGISTER), x.compare(op, data)]
        if one.kind in ("nfproto", "l4proto") and not negated:
            writer.known["nfproto" if one.kind == "nfproto" else "l4proto"] = data[0]


def _merge_code(writer: Writer, name: str, data: bytes, negated: bool) -> bool:
    """A code right behind the type it belongs to is compared together with it, as nft does."""
    if name not in ("icmp code", "icmpv6 code") or negated or len(writer.out) < 2:
        return False
    before = FIELDS[name.replace("code", "type")].load(x.REGISTER)
    kind = ONE_BYTE.get(writer.out[-1])
    if writer.out[-2] != before or kind is None:
        return False
    writer.out[-2:] = [x.payload(x.TRANSPORT, 0, 2), x.compare(x.EQ, kind + data)]
    return True


def _bytes(one: Field, value: str) -> bytes:
    if one.kind == "nfproto":
        families = {"ipv4": IPV4, "ipv6": IPV6}
        if value not in families:
            raise Invalid(f"{value!r} is not ipv4 or ipv6")
        return bytes([families[value]])
    if one.kind == "mark":
        return struct.pack("=I", number(value))
    return (PROTOCOLS[value] if one.kind == "l4proto" and value in PROTOCOLS else number(value)).to_bytes(
        one.size, "big"
    )


def _address(writer: Writer, one: Field, value: str, negated: bool) -> None:
    op = x.NEQ if negated else x.EQ
    family = ipaddress.IPv4Network if one.size == 4 else ipaddress.IPv6Network
    if "-" in value:
        low, _, high = value.partition("-")
        _range(writer, one, family(low).network_address.packed, family(high).network_address.packed, negated)
        return
    net = family(value)
    data, length = net.network_address.packed, net.prefixlen
    if length == net.max_prefixlen:
        writer.out += [one.load(x.REGISTER), x.compare(op, data)]
    elif length and length % 8 == 0 and one.payload is not None:
        writer.out += [x.payload(*one.payload, length // 8), x.compare(op, data[: length // 8])]
    else:
        writer.out += [one.load(x.REGISTER), x.bitwise(net.netmask.packed, bytes(one.size)), x.compare(op, data)]


def _range(writer: Writer, one: Field, low: bytes, high: bytes, negated: bool) -> None:
    if low > high:
        raise Invalid("a range ends before it begins")
    writer.out.append(one.load(x.REGISTER))
    if negated:
        writer.out.append(x.outside(low, high))
    else:
        writer.out += [x.compare(x.GTE, low), x.compare(x.LTE, high)]


def _interface(value: str) -> bytes:
    raw = value.strip('"').encode()
    prefix = raw.endswith(b"*")
    name = raw[:-1] if prefix else raw
    if not 0 < len(name) < 16 or b"*" in name:
        raise Invalid(f"interface name {value} is not 1 to 15 bytes long")
    return name if prefix else name.ljust(16, b"\0")


def _fib(writer: Writer) -> None:
    """`fib daddr type local`, `fib saddr . mark . iif oif missing`."""
    writer.take("fib")
    flags, words = 0, {"saddr": FIB_SADDR, "daddr": FIB_DADDR, "mark": FIB_MARK, "iif": FIB_IIF}
    while True:
        word = writer.take()
        if word not in words:
            raise Invalid(f"unknown word {word!r}")
        flags |= words[word]
        if not writer.accept("."):
            break
    result = writer.take()
    negated = writer.accept("!=")
    op, value = x.NEQ if negated else x.EQ, writer.take()
    if result == "type" and value in ADDRESS_TYPES:
        writer.out += [x.route_of(flags, FIB_TYPE), x.compare(op, struct.pack("=I", ADDRESS_TYPES[value]))]
    elif result == "oif" and value in ("missing", "exists") and not negated:
        found = struct.pack("=I", value == "exists")
        writer.out += [x.route_of(flags | FIB_PRESENT, FIB_OIF), x.compare(x.EQ, found)]
    else:
        raise Invalid(f"fib {result} {value}")
