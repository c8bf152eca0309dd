"""Rules in nft's text as the kernel's expressions: the part of nft's language that `render` writes, and no more.

A match is `FIELD [!=] VALUE`, VALUE one of a literal, a prefix, a range `A-B`, a set `@NAME`; several fields joined by
` . ` take a set. Protocols, types and codes are numbers. What a field needs to be looked at (IPv4 for `ip saddr`, TCP
for `tcp dport`) is asked first unless the rule has asked it already, as nft does. Pure.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from tortie.base.errors import Invalid
from tortie.dataplane.kernel import expressions as x

WORD = re.compile(r'"[^"]*"|[^\s"]+')
IPV4, IPV6, TCP, UDP, ICMP, ICMPV6 = 2, 10, 6, 17, 1, 58
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "ipv6-icmp": 58, "sctp": 132, "udplite": 136}
STATES = {"invalid": 1, "established": 2, "related": 4, "new": 8, "untracked": 64}
STATUSES = {"snat": 0x10, "dnat": 0x20}
LEVELS = {"emerg": 0, "alert": 1, "crit": 2, "err": 3, "warn": 4, "notice": 5, "info": 6, "debug": 7}
ADDRESS_TYPES = {"unicast": 1, "local": 2, "broadcast": 3, "multicast": 5}
FIB_SADDR, FIB_DADDR, FIB_MARK, FIB_IIF, FIB_PRESENT = 1, 2, 4, 8, 32
FIB_OIF, FIB_TYPE = 1, 3
ORIGINAL, REPLY = 0, 1
FLAG_FIELDS = {"ct state": STATES, "ct status": STATUSES}

Load = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Field:
    """Something of a packet that can be compared. `nfproto`, `l4proto`: what must be known before it means anything."""

    load: Load
    size: int
    kind: str
    nfproto: int = 0
    l4proto: int = 0
    payload: tuple[int, int] | None = None


def _payload(base: int, offset: int, size: int, kind: str, nfproto: int = 0, l4proto: int = 0) -> Field:
    return Field(lambda r: x.payload(base, offset, size, r), size, kind, nfproto, l4proto, (base, offset))


def _meta(key: str, size: int, kind: str) -> Field:
    return Field(lambda r: x.meta(key, r), size, kind)


def _original(key: str, size: int, kind: str, direction: int = ORIGINAL, nfproto: int = 0) -> Field:
    return Field(lambda r: x.conntrack(key, r, direction), size, kind, nfproto)


def _fields() -> dict[str, Field]:
    found = {
        "iifname": _meta("iifname", 16, "ifname"),
        "oifname": _meta("oifname", 16, "ifname"),
        "meta nfproto": _meta("nfproto", 1, "nfproto"),
        "meta l4proto": _meta("l4proto", 1, "l4proto"),
        "meta mark": _meta("mark", 4, "mark"),
        "ct mark": Field(lambda r: x.conntrack("mark", r), 4, "mark"),
        "ct state": Field(lambda r: x.conntrack("state", r), 4, "flags"),
        "ct status": Field(lambda r: x.conntrack("status", r), 4, "flags"),
        "ip saddr": _payload(x.NETWORK, 12, 4, "address", IPV4),
        "ip daddr": _payload(x.NETWORK, 16, 4, "address", IPV4),
        "ip protocol": _payload(x.NETWORK, 9, 1, "l4proto", IPV4),
        "ip6 saddr": _payload(x.NETWORK, 8, 16, "address", IPV6),
        "ip6 daddr": _payload(x.NETWORK, 24, 16, "address", IPV6),
        "icmp type": _payload(x.TRANSPORT, 0, 1, "number", IPV4, ICMP),
        "icmp code": _payload(x.TRANSPORT, 1, 1, "number", IPV4, ICMP),
        "icmpv6 type": _payload(x.TRANSPORT, 0, 1, "number", IPV6, ICMPV6),
        "icmpv6 code": _payload(x.TRANSPORT, 1, 1, "number", IPV6, ICMPV6),
        "@th,0,16": _payload(x.TRANSPORT, 0, 2, "number"),
    }
    for word, protocol in (("th", 0), ("tcp", TCP), ("udp", UDP)):
        found[f"{word} sport"] = _payload(x.TRANSPORT, 0, 2, "number", 0, protocol)
        found[f"{word} dport"] = _payload(x.TRANSPORT, 2, 2, "number", 0, protocol)
    for word, direction in (("original", ORIGINAL), ("reply", REPLY)):
        for side, letter in (("src", "s"), ("dst", "d")):
            found[f"ct {word} ip {letter}addr"] = _original(f"{side}_ip", 4, "address", direction)
            found[f"ct {word} ip6 {letter}addr"] = _original(f"{side}_ip6", 16, "address", direction)
            found[f"ct {word} proto-{side}"] = _original(f"proto_{side}", 2, "number", direction)
    return found


FIELDS = _fields()
# An IPv6 address stands in brackets before a port.
ENDPOINT = re.compile(r"\[([^\]]+)\](?::([\d-]+))?|([0-9.]+)(?::([\d-]+))?|([0-9A-Fa-f:.]+)")
LONGEST = max(len(name.split()) for name in FIELDS)
ONE_BYTE = {x.compare(x.EQ, bytes([value])): bytes([value]) for value in range(256)}
MERGED = {("icmp type", "icmp code"), ("icmpv6 type", "icmpv6 code")}


@dataclass(slots=True)
class _Writer:
    """The words of a rule that are left, what is written of it, and what it has asked for already."""

    words: Sequence[str]
    at: int = 0
    out: list[bytes] = field(default_factory=list)
    known: dict[str, int] = field(default_factory=dict)

    def peek(self, ahead: int = 0) -> str:
        return self.words[self.at + ahead] if self.at + ahead < len(self.words) else ""

    def take(self, wanted: str = "") -> str:
        word = self.peek()
        if not word or (wanted and word != wanted):
            raise Invalid(f"{wanted or 'more'} expected at {word or 'the end'!r}")
        self.at += 1
        return word

    def accept(self, *words: str) -> bool:
        """Take these words if they come next."""
        if any(self.peek(i) != word for i, word in enumerate(words)):
            return False
        self.at += len(words)
        return True

    def number(self) -> int:
        word = self.take()
        return _number(word)

    def ask(self, what: str, value: int) -> None:
        """Only packets of this family or protocol go on, unless that is so already."""
        if value and self.known.get(what) != value:
            self.out += [x.meta(what), x.compare(x.EQ, bytes([value]))]
            self.known[what] = value

    def field(self) -> tuple[str, Field] | None:
        for count in range(LONGEST, 0, -1):
            name = " ".join(self.words[self.at : self.at + count])
            if name in FIELDS and len(name.split()) == count:
                self.at += count
                return name, FIELDS[name]
        return None


@lru_cache(maxsize=1 << 11)
def encode_rule(text: str) -> bytes:
    """The rule's expressions, one attribute after the other. Invalid, naming the rule, if it is not of our language."""
    writer = _Writer(WORD.findall(text))
    try:
        if not writer.words:
            raise Invalid("nothing in it")
        while writer.peek():
            _clause(writer)
    except (Invalid, ValueError, OverflowError, struct.error) as error:
        raise Invalid(f"rule {text!r} cannot be written: {error}") from error
    return b"".join(writer.out)


def _clause(writer: _Writer) -> None:
    if writer.accept("meta", "mark", "set") or writer.peek() == "fib":
        (_fib if writer.peek() == "fib" else _set_mark)(writer)
        return
    found = writer.field()
    if found is not None:
        _match(writer, *found)
        return
    word = writer.take()
    statement = STATEMENTS.get(word)
    if statement is None:
        raise Invalid(f"unknown word {word!r}")
    statement(writer)


# matches


def _match(writer: _Writer, name: str, first: Field) -> None:
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
    negated = writer.accept("!=")
    writer.accept("==")
    value = writer.take()
    if value.startswith("@"):
        _load(writer, joined)
        writer.out.append(x.lookup(_set_name(value), negated=negated))
    elif len(joined) > 1:
        _pair(writer, name, value, negated)
    elif name in FLAG_FIELDS:
        _flags(writer, first, FLAG_FIELDS[name], value, negated)
    else:
        _literal(writer, name, first, value, negated)


def _load(writer: _Writer, fields: Sequence[Field]) -> None:
    register = x.REGISTER
    for one in fields:
        writer.out.append(one.load(register))
        register += (one.size + 3) // 4


def _set_name(word: str) -> str:
    if not re.fullmatch(r"@[A-Za-z0-9_.-]+", word):
        raise Invalid(f"{word!r} is not the name of a set")
    return word[1:]


def _pair(writer: _Writer, name: str, value: str, negated: bool) -> None:
    """`icmp type . icmp code != { 3 . 4 }`: both bytes lie together, so they are compared together."""
    if value != "{" or tuple(name.split(" . ")) not in MERGED:
        raise Invalid(f"{name} takes a set")
    data = bytes([writer.number()])
    writer.take(".")
    data += bytes([writer.number()])
    writer.take("}")
    writer.out += [x.payload(x.TRANSPORT, 0, 2), x.compare(x.NEQ if negated else x.EQ, data)]


def _flags(writer: _Writer, one: Field, names: dict[str, int], value: str, negated: bool) -> None:
    """One of several bits is set (of the connection's state, for example), or none of them."""
    bits = 0
    for word in value.split(","):
        if word not in names:
            raise Invalid(f"unknown word {word!r}")
        bits |= names[word]
    mask = struct.pack("=I", bits)
    writer.out += [one.load(x.REGISTER), x.bitwise(mask, bytes(4))]
    writer.out.append(x.compare(x.EQ if negated else x.NEQ, bytes(4)))


def _masked(writer: _Writer, one: Field) -> None:
    mask = struct.pack("=I", writer.number())
    negated = writer.accept("!=")
    if not negated:
        writer.take("==")
    data = struct.pack("=I", writer.number())
    writer.out += [one.load(x.REGISTER), x.bitwise(mask, bytes(4)), x.compare(x.NEQ if negated else x.EQ, data)]


def _literal(writer: _Writer, name: str, one: Field, value: str, negated: bool) -> None:
    op = x.NEQ if negated else x.EQ
    if one.kind == "address":
        _address(writer, one, value, negated)
    elif one.kind == "ifname":
        writer.out += [one.load(x.REGISTER), x.compare(op, _interface(value))]
    elif "-" in value and one.kind == "number":
        low, _, high = value.partition("-")
        _range(writer, one, _number(low).to_bytes(one.size, "big"), _number(high).to_bytes(one.size, "big"), negated)
    else:
        data = _bytes(one, value)
        if _merge_code(writer, name, data, negated):
            return
        writer.out += [one.load(x.REGISTER), x.compare(op, data)]
        if one.kind in ("nfproto", "l4proto") and not negated:
            writer.known["nfproto" if one.kind == "nfproto" else "l4proto"] = data[0]


def _merge_code(writer: _Writer, name: str, data: bytes, negated: bool) -> bool:
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
        return struct.pack("=I", _number(value))
    return (PROTOCOLS[value] if one.kind == "l4proto" and value in PROTOCOLS else _number(value)).to_bytes(
        one.size, "big"
    )


def _address(writer: _Writer, one: Field, value: str, negated: bool) -> None:
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


def _range(writer: _Writer, one: Field, low: bytes, high: bytes, negated: bool) -> None:
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


def _fib(writer: _Writer) -> None:
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


# statements


def _number(word: str) -> int:
    try:
        return int(word, 0)
    except ValueError as error:
        raise Invalid(f"{word or 'the end'!r} is not a number") from error


def _set_mark(writer: _Writer) -> None:
    if not writer.accept("meta", "mark"):
        writer.out += [x.immediate(struct.pack("=I", writer.number())), x.set_mark()]
        return
    sign, value = writer.take(), writer.number()
    if sign not in ("|", "&"):
        raise Invalid(f"unknown word {sign!r}")
    keep, bits = (value, 0) if sign == "&" else (~value & 0xFFFFFFFF, value)
    writer.out += [x.meta("mark"), x.bitwise(struct.pack("=I", keep), struct.pack("=I", bits)), x.set_mark()]


def _counter(writer: _Writer) -> None:
    writer.out.append(x.counter(writer.take() if writer.accept("name") else ""))


def _log(writer: _Writer) -> None:
    prefix, level, group = "", None, None
    numbers: dict[str, int | None] = {"snaplen": None, "queue-threshold": None}
    while True:
        if writer.accept("prefix"):
            prefix = writer.take().strip('"')
        elif writer.accept("level"):
            name = writer.take()
            if name not in LEVELS:
                raise Invalid(f"unknown level {name!r}")
            level = LEVELS[name]
        elif writer.accept("group"):
            group = writer.number()
        elif writer.peek() in numbers:
            word = writer.take()
            numbers[word] = writer.number()
        else:
            break
    if len(prefix.encode()) > 127:
        raise Invalid("a prefix of more than 127 bytes")
    writer.out.append(x.log(prefix, level, group, numbers["snaplen"], numbers["queue-threshold"]))


def _limit(writer: _Writer) -> None:
    writer.take("rate")
    over = writer.accept("over")
    rate, _, unit = writer.take().partition("/")
    if unit not in x.RATES:
        raise Invalid(f"unknown unit {unit!r}")
    burst = 5
    if writer.accept("burst"):
        burst = writer.number()
        writer.take("packets")
    writer.out.append(x.limit(_number(rate), unit, burst, over=over))


def _verdict(code: int, *, chain: bool = False) -> Callable[[_Writer], None]:
    def write(writer: _Writer) -> None:
        writer.out.append(x.verdict(code, writer.take() if chain else ""))

    return write


def _reject(writer: _Writer) -> None:
    if writer.accept("with", "tcp", "reset"):
        writer.ask("l4proto", TCP)
        writer.out.append(x.reject(1, 0))
        return
    codes = {"no-route": 0, "port-unreachable": 1, "host-unreachable": 2, "admin-prohibited": 3}
    code = 1
    if writer.accept("with", "icmpx"):
        name = writer.take()
        if name not in codes:
            raise Invalid(f"unknown code {name!r}")
        code = codes[name]
    writer.out.append(x.reject(2, code))


def _masquerade(writer: _Writer) -> None:
    flags, ports = 0, 0
    if writer.accept("to"):
        ports = _ports(writer, writer.take().removeprefix(":"), x.REGISTER)
        flags = x.RANGE_SPECIFIED
    flags |= _random(writer)
    writer.out.append(x.masquerade(flags, ports))


def _ports(writer: _Writer, text: str, register: int) -> int:
    """A port, or the first and the last of a range, into one register or two; how many."""
    words = text.split("-", 1)
    for place, word in enumerate(words):
        writer.out.append(x.immediate(_number(word).to_bytes(2, "big"), register + place))
    return len(words)


def _random(writer: _Writer) -> int:
    return x.FULLY_RANDOM if writer.accept("fully-random") else x.RANDOM if writer.accept("random") else 0


def _translate(kind: int) -> Callable[[_Writer], None]:
    def write(writer: _Writer) -> None:
        version = writer.take() if writer.peek() in ("ip", "ip6") else ""
        writer.take("to")
        text = writer.take()
        bracketed = ENDPOINT.fullmatch(text)
        if bracketed is None:
            raise Invalid(f"{text!r} is not an address with a port")
        address = ipaddress.ip_address(next(filter(None, (bracketed[1], bracketed[3], bracketed[5]))))
        if version and version != {4: "ip", 6: "ip6"}[address.version]:
            raise Invalid(f"{text!r} is not of {version}")
        writer.ask("nfproto", IPV4 if address.version == 4 else IPV6)
        port = bracketed[2] or bracketed[4]
        writer.out.append(x.immediate(address.packed))
        ports = _ports(writer, port, x.REGISTER + 4) if port else 0
        family = IPV4 if address.version == 4 else IPV6
        flags = (x.RANGE_SPECIFIED if port else 0) | _random(writer)
        writer.out.append(x.translate(kind, family, ports, flags))

    return write


def _simple(name: str) -> Callable[[_Writer], None]:
    return lambda writer: writer.out.append(x.simple(name))


STATEMENTS: dict[str, Callable[[_Writer], None]] = {
    "accept": _verdict(x.ACCEPT),
    "drop": _verdict(x.DROP),
    "return": _verdict(x.RETURN),
    "jump": _verdict(x.JUMP, chain=True),
    "goto": _verdict(x.GOTO, chain=True),
    "counter": _counter,
    "log": _log,
    "limit": _limit,
    "reject": _reject,
    "masquerade": _masquerade,
    "snat": _translate(x.SNAT),
    "dnat": _translate(x.DNAT),
    "notrack": _simple("notrack"),
}
