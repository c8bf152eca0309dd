"""Elements of nftables sets and maps between nft's text and the kernel's bytes."""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from tortie.base.errors import Invalid
from tortie.dataplane.kernel.netlink import NESTED, attr, attributes, nested, text

SIZES = {"ipv4_addr": 4, "ipv6_addr": 16, "inet_proto": 1, "inet_service": 2, "ifname": 16, "mark": 4,
         "icmp_type": 1, "icmp_code": 1, "icmpv6_type": 1, "icmpv6_code": 1}  # fmt: skip
TYPE_IDS = {7: "ipv4_addr", 8: "ipv6_addr", 12: "inet_proto", 13: "inet_service", 14: "icmp_type", 19: "mark",
            29: "icmpv6_type", 32: "icmp_code", 33: "icmpv6_code", 41: "ifname"}  # fmt: skip
TYPE_NUMBERS = {name: number for number, name in TYPE_IDS.items()}
HOST_ORDER, BIG_ENDIAN = 1, 2
IN_HOST_ORDER = {"ifname", "mark"}
VERDICTS = {0: "drop", 1: "accept"}
GOTO, JUMP = -4, -3
INTERVAL_END = 1


@dataclass(frozen=True, slots=True)
class SetType:
    """The type of a set's keys: one field, or several in a row."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    number: int
    length: int
    byte_order: int

    @classmethod
    @lru_cache
    def parse(cls, text: str) -> SetType:
        """As nft writes it: `ifname . ipv4_addr`."""
        names = tuple(text.split(" . "))
        if unknown := [name for name in names if name not in SIZES]:
            raise Invalid(f"type {text}: {unknown[0]!r} is not known")
        sizes = tuple(SIZES[name] for name in names)
        number = 0
        for name in names:
            number = number << 6 | TYPE_NUMBERS[name]
        if len(names) == 1:
            return cls(names, sizes, number, sizes[0], HOST_ORDER if names[0] in IN_HOST_ORDER else BIG_ENDIAN)
        return cls(names, sizes, number, sum(size + -size % 4 for size in sizes), 0)

    def join(self, fields: Sequence[bytes]) -> bytes:
        if len(self.names) == 1:
            return fields[0]
        return b"".join(field + bytes(-len(field) % 4) for field in fields)

    def split(self, raw: bytes) -> list[bytes]:
        if len(self.names) == 1:
            return [raw]
        found, offset = [], 0
        for size in self.sizes:
            found.append(raw[offset : offset + size])
            offset += size + -size % 4
        return found


def type_name(number: int) -> str | None:
    """nft's name of a key type as the kernel keeps it (concatenations: six bits a field); None if not one of ours."""
    fields: list[str] = []
    while number:
        name = TYPE_IDS.get(number & 0x3F)
        if name is None:
            return None
        fields.insert(0, name)
        number >>= 6
    return " . ".join(fields)


def _fields(kind: SetType, key: str) -> list[tuple[str, str]]:
    values = key.split(" . ")
    if len(values) != len(kind.names):
        raise Invalid(f"element {key!r} has not the fields of {' . '.join(kind.names)}")
    return list(zip(kind.names, values, strict=True))


def encode_key(kind: SetType, key: str) -> bytes:
    """The kernel's key of an element written as nft writes it; Invalid if it does not fit the type."""
    return kind.join([_encode(name, value) for name, value in _fields(kind, key)])


def _encode(name: str, value: str) -> bytes:
    try:
        if name == "ipv4_addr":
            return socket.inet_pton(socket.AF_INET, value)
        if name == "ipv6_addr":
            return socket.inet_pton(socket.AF_INET6, value)
        if name == "ifname":
            raw = value.strip('"').encode()
            if not 0 < len(raw) < 16:
                raise Invalid(f"interface name {value!r} is not 1 to 15 bytes long")
            return raw.ljust(16, b"\0")
        return int(value, 0).to_bytes(SIZES[name], sys.byteorder if name in IN_HOST_ORDER else "big")
    except (OSError, ValueError, OverflowError) as error:
        raise Invalid(f"{value!r} is not an {name}") from error


def encode_range(name: str, value: str) -> tuple[bytes, bytes]:
    """First and last value of `A`, `A-B` or `A/LENGTH`."""
    low, dash, high = value.partition("-")
    if dash:
        first, last = _encode(name, low), _encode(name, high)
        if first > last:
            raise Invalid(f"{value!r} ends before it begins")
        return first, last
    address, slash, length = value.partition("/")
    first = _encode(name, address)
    if not slash:
        return first, first
    width = 8 * len(first)
    if name not in ("ipv4_addr", "ipv6_addr") or not length.isdecimal() or int(length) > width:
        raise Invalid(f"{value!r} is not an {name}")
    free = (1 << (width - int(length))) - 1
    whole = int.from_bytes(first, "big") & ~free
    return whole.to_bytes(len(first), "big"), (whole | free).to_bytes(len(first), "big")


def decode_range(kind: SetType, first: bytes, last: bytes) -> str:
    """The inverse of `encode_range` for every field, in the shortest form; a network is written as one."""
    pairs = zip(kind.names, kind.split(first), kind.split(last), strict=True)
    return " . ".join(_decode_range(name, low, high) for name, low, high in pairs)


def _decode_range(name: str, low: bytes, high: bytes) -> str:
    if low == high:
        return _decode(name, low)
    if name in ("ipv4_addr", "ipv6_addr"):
        differs = int.from_bytes(low, "big") ^ int.from_bytes(high, "big")
        bits = differs.bit_length()
        if differs == (1 << bits) - 1 and not int.from_bytes(low, "big") & differs:
            return f"{_decode(name, low)}/{8 * len(low) - bits}"
    return f"{_decode(name, low)}-{_decode(name, high)}"


def canonical_key(kind: str, key: str) -> str:
    """A range of a set with intervals as it is read back."""
    found = SetType.parse(kind)
    ranges = [encode_range(name, value) for name, value in _fields(found, key)]
    return decode_range(found, found.join([low for low, _ in ranges]), found.join([high for _, high in ranges]))


def decode_key(kind: SetType, raw: bytes) -> str:
    """The inverse of `encode_key`."""
    return " . ".join(_decode(name, part) for name, part in zip(kind.names, kind.split(raw), strict=True))


def _decode(name: str, raw: bytes) -> str:
    if name == "ipv4_addr":
        return socket.inet_ntop(socket.AF_INET, raw)
    if name == "ipv6_addr":
        # As the values of the policy are written; inet_ntop writes some addresses in another way.
        return str(ipaddress.IPv6Address(raw))
    if name == "ifname":
        return f'"{raw.rstrip(bytes(1)).decode(errors="replace")}"'
    return str(int.from_bytes(raw, sys.byteorder if name in IN_HOST_ORDER else "big"))


# Many endpoints go to one stack.
@lru_cache(maxsize=1 << 10)
def encode_verdict(verdict: str) -> bytes:
    """The data of a map element: `drop`, `accept`, `goto CHAIN`, `jump CHAIN`."""
    word, _, chain = verdict.partition(" ")
    codes = {"drop": 0, "accept": 1, "goto": GOTO, "jump": JUMP}
    if word not in codes or (word in ("goto", "jump")) != bool(chain):
        raise Invalid(f"{verdict!r} is not a verdict")
    parts = [attr(1, struct.pack(">i", codes[word]))]
    if chain:
        parts.append(text(2, chain))
    return nested(2, nested(2, *parts))


def decode_verdict(data: bytes) -> str:
    verdict = dict(attributes(dict(attributes(data)).get(2, b"")))
    code = int(struct.unpack(">i", verdict[1])[0])
    chain = verdict.get(2, b"").rstrip(b"\0").decode()
    if code in VERDICTS:
        return VERDICTS[code]
    return f"{'goto' if code == GOTO else 'jump'} {chain}"


def encode_elements(kind: SetType, key: str, verdict: str, *, interval: bool) -> bytes:
    """The list members of one element for NFT_MSG_NEWSETELEM; for DELSETELEM leave `verdict` empty.

    A range of a plain set is two members, its first value and, marked as an end, the one behind its last; at the top of
    all values there is no end. A range of a set of several fields is one member with both ends.
    """
    data = encode_verdict(verdict) if verdict else b""
    if not interval:
        return _member(encode_key(kind, key), data)
    ranges = [encode_range(name, value) for name, value in _fields(kind, key)]
    first, last = kind.join([low for low, _ in ranges]), kind.join([high for _, high in ranges])
    if len(kind.names) > 1:
        return nested(1, nested(1, attr(1, first)), data, nested(10, attr(1, last)))
    members = _member(first, data)
    behind = int.from_bytes(last, "big") + 1
    if behind < 1 << (8 * len(last)):
        end = behind.to_bytes(len(last), "big")
        members += nested(1, nested(1, attr(1, end)), attr(3, struct.pack(">I", INTERVAL_END)))
    return members


@lru_cache
def _frame(size: int) -> struct.Struct:
    padded = size + -size % 4
    return struct.Struct(f"=HHHHHH{size}s{padded - size}x")


def _member(key: bytes, data: bytes) -> bytes:
    if data:
        return nested(1, nested(1, attr(1, key)), data)
    # In one go, for there may be 100,000 of them.
    size = len(key) + -len(key) % 4
    return _frame(len(key)).pack(size + 12, 1 | NESTED, size + 8, 1 | NESTED, len(key) + 4, 1, key)


def decode_elements(kind: SetType, listing: bytes) -> Iterator[tuple[str, str]]:
    """(key, verdict or empty) of the members of one NFTA_SET_ELEM_LIST_ELEMENTS of a set without intervals."""
    for _, member in attributes(listing):
        fields = dict(attributes(member))
        if 1 not in fields:
            continue  # a catch-all element: none of ours, and without a key
        key = dict(attributes(fields[1]))[1]
        yield decode_key(kind, key), decode_verdict(fields[2]) if 2 in fields else ""


def decode_intervals(kind: SetType, listings: Iterable[bytes]) -> dict[str, str]:
    """The ranges of a set with intervals, from all its NFTA_SET_ELEM_LIST_ELEMENTS together."""
    found: dict[str, str] = {}
    bounds: list[tuple[bytes, bool, str]] = []
    for listing in listings:
        for _, member in attributes(listing):
            fields = dict(attributes(member))
            if 1 not in fields:
                continue
            key = dict(attributes(fields[1]))[1]
            verdict = decode_verdict(fields[2]) if 2 in fields else ""
            if 10 in fields:
                found[decode_range(kind, key, dict(attributes(fields[10]))[1])] = verdict
            else:
                end = 3 in fields and bool(struct.unpack(">I", fields[3])[0] & INTERVAL_END)
                bounds.append((key, end, verdict))
    return found | _joined(kind, bounds)


def _joined(kind: SetType, bounds: list[tuple[bytes, bool, str]]) -> dict[str, str]:
    """Ranges from their bounds. An end sorts before a start at the same value; one without a start says nothing."""
    found: dict[str, str] = {}
    start: tuple[bytes, str] | None = None
    for key, end, verdict in sorted(bounds, key=lambda bound: (bound[0], not bound[1])):
        before = (int.from_bytes(key, "big") - 1).to_bytes(len(key), "big") if any(key) else key
        if start is not None:
            found[decode_range(kind, start[0], before)] = start[1]
        start = None if end else (key, verdict)
    if start is not None:
        found[decode_range(kind, start[0], b"\xff" * len(start[0]))] = start[1]
    return found
