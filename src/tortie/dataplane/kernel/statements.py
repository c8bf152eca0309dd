"""The statements of rules: what becomes of a packet that matches. Pure."""

from __future__ import annotations

import ipaddress
import re
import struct
from collections.abc import Callable

from tortie.base.errors import Invalid
from tortie.dataplane.kernel import expressions as x
from tortie.dataplane.kernel.fields import IPV4, IPV6, TCP, Writer, number

LEVELS = {"emerg": 0, "alert": 1, "crit": 2, "err": 3, "warn": 4, "notice": 5, "info": 6, "debug": 7}
# An IPv6 address stands in brackets before a port.
ENDPOINT = re.compile(r"\[([^\]]+)\](?::([\d-]+))?|([0-9.]+)(?::([\d-]+))?|([0-9A-Fa-f:.]+)")


def set_mark(writer: Writer) -> None:
    if not writer.accept("meta", "mark"):
        writer.out += [x.immediate(struct.pack("=I", writer.number())), x.set_mark()]
        return
    sign, value = writer.take(), writer.number()
    if sign not in ("|", "&"):
        raise Invalid(f"unknown word {sign!r}")
    keep, bits = (value, 0) if sign == "&" else (~value & 0xFFFFFFFF, value)
    writer.out += [x.meta("mark"), x.bitwise(struct.pack("=I", keep), struct.pack("=I", bits)), x.set_mark()]


def _counter(writer: Writer) -> None:
    writer.out.append(x.counter(writer.take() if writer.accept("name") else ""))


def _log(writer: Writer) -> None:
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


def _limit(writer: Writer) -> None:
    writer.take("rate")
    over = writer.accept("over")
    rate, _, unit = writer.take().partition("/")
    if unit not in x.RATES:
        raise Invalid(f"unknown unit {unit!r}")
    burst = 5
    if writer.accept("burst"):
        burst = writer.number()
        writer.take("packets")
    writer.out.append(x.limit(number(rate), unit, burst, over=over))


def _verdict(code: int, *, chain: bool = False) -> Callable[[Writer], None]:
    def write(writer: Writer) -> None:
        writer.out.append(x.verdict(code, writer.take() if chain else ""))

    return write


def _reject(writer: Writer) -> None:
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


def _masquerade(writer: Writer) -> None:
    flags, ports = 0, 0
    if writer.accept("to"):
        ports = _ports(writer, writer.take().removeprefix(":"), x.REGISTER)
        flags = x.RANGE_SPECIFIED
    flags |= _random(writer)
    writer.out.append(x.masquerade(flags, ports))


def _ports(writer: Writer, text: str, register: int) -> int:
    """A port, or the first and the last of a range, into one register or two; how many."""
    words = text.split("-", 1)
    for place, word in enumerate(words):
        writer.out.append(x.immediate(number(word).to_bytes(2, "big"), register + place))
    return len(words)


def _random(writer: Writer) -> int:
    return x.FULLY_RANDOM if writer.accept("fully-random") else x.RANDOM if writer.accept("random") else 0


def _translate(kind: int) -> Callable[[Writer], None]:
    def write(writer: Writer) -> None:
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


def _simple(name: str) -> Callable[[Writer], None]:
    return lambda writer: writer.out.append(x.simple(name))


STATEMENTS: dict[str, Callable[[Writer], None]] = {
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
