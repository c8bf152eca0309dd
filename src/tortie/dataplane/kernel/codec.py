"""Elements of nftables sets and maps between nft's text and the kernel's bytes."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterable

from tortie.base.errors import Invalid
from tortie.dataplane.kernel.netlink import attr, attributes, nested, text

SIZES = {"ipv4_addr": 4, "ipv6_addr": 16, "inet_proto": 1, "inet_service": 2, "ifname": 16}
TYPE_IDS = {7: "ipv4_addr", 8: "ipv6_addr", 12: "inet_proto", 13: "inet_service", 41: "ifname"}
VERDICTS = {0: "drop", 1: "accept"}
GOTO, JUMP = -4, -3


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


def encode_key(kind: str, key: str) -> bytes:
    """The kernel's key of an element written as nft writes it; Invalid if it does not fit the type."""
    names, values = kind.split(" . "), key.split(" . ")
    if len(names) != len(values):
        raise Invalid(f"element {key!r} has not the fields of {kind}")
    fields = [_encode(name, value) for name, value in zip(names, values, strict=True)]
    if len(fields) == 1:
        return fields[0]
    return b"".join(field + bytes(-len(field) % 4) for field in fields)


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
        return int(value).to_bytes(SIZES[name], "big")
    except (OSError, ValueError, OverflowError, KeyError) as error:
        raise Invalid(f"{value!r} is not an {name}") from error


def decode_key(kind: str, raw: bytes) -> str:
    """The inverse of `encode_key`."""
    names = kind.split(" . ")
    values, offset = [], 0
    for name in names:
        size = SIZES[name]
        values.append(_decode(name, raw[offset : offset + size]))
        offset += size + (-size % 4 if len(names) > 1 else 0)
    return " . ".join(values)


def _decode(name: str, raw: bytes) -> str:
    if name == "ipv4_addr":
        return socket.inet_ntop(socket.AF_INET, raw)
    if name == "ipv6_addr":
        # As the values of the policy are written; inet_ntop writes some addresses in another way.
        return str(ipaddress.IPv6Address(raw))
    if name == "ifname":
        return f'"{raw.rstrip(bytes(1)).decode(errors="replace")}"'
    return str(int.from_bytes(raw, "big"))


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


def encode_element(kind: str, key: str, verdict: str) -> bytes:
    """One list member for NFT_MSG_NEWSETELEM; for DELSETELEM leave `verdict` empty."""
    data = encode_verdict(verdict) if verdict else b""
    return nested(1, nested(1, attr(1, encode_key(kind, key))), data)


def decode_elements(kind: str, listing: bytes) -> Iterable[tuple[str, str]]:
    """(key, verdict or empty) of the members of one NFTA_SET_ELEM_LIST_ELEMENTS."""
    for _, member in attributes(listing):
        fields = dict(attributes(member))
        key = dict(attributes(fields[1]))[1]
        yield decode_key(kind, key), decode_verdict(fields[2]) if 2 in fields else ""
