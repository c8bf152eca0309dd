"""Expressions of nf_tables rules as bytes: what each keyword of a rule becomes. Pure."""

from __future__ import annotations

import struct
from functools import lru_cache

from tortie.dataplane.kernel.netlink import attr, nested, text

REGISTER = 8
"""The first 32-bit register; a field of a concatenation begins at the next one that is free."""
VERDICT_REGISTER = 0
NETWORK, TRANSPORT = 1, 2
EQ, NEQ, LTE, GTE = 0, 1, 3, 5
META = {"mark": 3, "iifname": 6, "oifname": 7, "nfproto": 15, "l4proto": 16}
CT = {"state": 0, "status": 2, "mark": 3, "src_ip": 19, "dst_ip": 20, "src_ip6": 21, "dst_ip6": 22,
      "proto_src": 11, "proto_dst": 12}  # fmt: skip
LOOKUP = text(1, "lookup")
ACCEPT, DROP, JUMP, GOTO, RETURN = 1, 0, -3, -4, -5
SNAT, DNAT = 0, 1
RANGE_SPECIFIED, RANDOM, FULLY_RANDOM = 2, 4, 16
COUNTER_OBJECT = 1
RATES = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


def number(value: int) -> bytes:
    return struct.pack(">I", value)


# As good as every rule is made of the same few expressions.
remembered = lru_cache(maxsize=4096)


def expression(name: str, *attributes: bytes) -> bytes:
    return nested(1, text(1, name), nested(2, *attributes))


def value(kind: int, data: bytes) -> bytes:
    """A value inside another attribute."""
    return nested(kind, attr(1, data))


@remembered
def meta(key: str, register: int = REGISTER) -> bytes:
    return expression("meta", attr(1, number(register)), attr(2, number(META[key])))


@remembered
def set_mark(register: int = REGISTER) -> bytes:
    return expression("meta", attr(2, number(META["mark"])), attr(3, number(register)))


@remembered
def payload(base: int, offset: int, size: int, register: int = REGISTER) -> bytes:
    fields = (register, base, offset, size)
    return expression("payload", *(attr(kind, number(field)) for kind, field in enumerate(fields, 1)))


@remembered
def conntrack(key: str, register: int = REGISTER, direction: int | None = None) -> bytes:
    parts = [attr(1, number(register)), attr(2, number(CT[key]))]
    if direction is not None:
        parts.append(attr(3, bytes([direction])))
    return expression("ct", *parts)


@remembered
def compare(op: int, data: bytes, register: int = REGISTER) -> bytes:
    return expression("cmp", attr(1, number(register)), attr(2, number(op)), value(3, data))


@remembered
def outside(low: bytes, high: bytes, register: int = REGISTER) -> bytes:
    return expression("range", attr(1, number(register)), attr(2, number(NEQ)), value(3, low), value(4, high))


@remembered
def bitwise(mask: bytes, xor: bytes, register: int = REGISTER) -> bytes:
    place, size = number(register), number(len(mask))
    return expression("bitwise", attr(1, place), attr(2, place), attr(3, size), value(4, mask), value(5, xor))


def lookup(name: str, *, negated: bool = False, verdict: bool = False, register: int = REGISTER) -> bytes:
    """Not remembered: names of sets are as many as there are policies."""
    return nested(1, LOOKUP, nested(2, text(1, name), _how(negated, verdict, register)))


@remembered
def _how(negated: bool, verdict: bool, register: int) -> bytes:
    put = attr(3, number(VERDICT_REGISTER)) if verdict else b""
    return attr(2, number(register)) + put + attr(5, number(1 if negated else 0))


def immediate(data: bytes, register: int = REGISTER) -> bytes:
    return expression("immediate", attr(1, number(register)), value(2, data))


def verdict(code: int, chain: str = "") -> bytes:
    return _plain_verdict(code) if not chain else _verdict(code, text(2, chain))


def _verdict(code: int, chain: bytes) -> bytes:
    data = nested(2, nested(2, attr(1, struct.pack(">i", code)), chain))
    return nested(1, text(1, "immediate"), nested(2, attr(1, number(VERDICT_REGISTER)), data))


@remembered
def _plain_verdict(code: int) -> bytes:
    return _verdict(code, b"")


@remembered
def counter(name: str = "") -> bytes:
    if name:
        return expression("objref", attr(1, number(COUNTER_OBJECT)), text(2, name))
    return expression("counter", attr(1, bytes(8)), attr(2, bytes(8)))


def log(
    prefix: str = "",
    level: int | None = None,
    group: int | None = None,
    snaplen: int | None = None,
    threshold: int | None = None,
) -> bytes:
    """To the kernel's log with a level, or to the readers of a netlink group."""
    parts = [text(2, prefix)] if prefix else []
    if group is not None:
        parts.append(attr(1, struct.pack(">H", group)))
    if snaplen is not None:
        parts.append(attr(3, number(snaplen)))
    if threshold is not None:
        parts.append(attr(4, struct.pack(">H", threshold)))
    if level is not None:
        parts.append(attr(5, number(level)))
    return nested(1, text(1, "log"), nested(2, *parts))


@remembered
def limit(rate: int, unit: str, burst: int, *, over: bool) -> bytes:
    """Of packets."""
    return expression(
        "limit",
        attr(1, struct.pack(">Q", rate)),
        attr(2, struct.pack(">Q", RATES[unit])),
        attr(3, number(burst)),
        attr(4, number(0)),
        attr(5, number(1 if over else 0)),
    )


def reject(kind: int, code: int | None) -> bytes:
    parts = [attr(1, number(kind))]
    if code is not None:
        parts.append(attr(2, bytes([code])))
    return expression("reject", *parts)


def route_of(flags: int, result: int) -> bytes:
    """The `fib` expression."""
    return expression("fib", attr(1, number(REGISTER)), attr(3, number(flags)), attr(2, number(result)))


def masquerade(flags: int, ports: int) -> bytes:
    """Of one port or of a range, whose ends are in the first registers."""
    parts = [attr(1, number(flags))] if flags else []
    parts += [attr(2 + place, number(REGISTER + place)) for place in range(ports)]
    return expression("masq", *parts)


def translate(kind: int, family: int, ports: int, flags: int = 0) -> bytes:
    """SNAT or DNAT to the address in the first register, and the ports from the fifth to the sixth."""
    parts = [attr(1, number(kind)), attr(2, number(family)), attr(3, number(REGISTER))]
    parts += [attr(5 + place, number(REGISTER + 4 + place)) for place in range(ports)]
    if flags:
        parts.append(attr(7, number(flags)))
    return expression("nat", *parts)


def simple(name: str) -> bytes:
    return expression(name)
