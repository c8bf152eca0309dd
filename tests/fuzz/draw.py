"""Bytes to values: what a fuzzer changes are bytes, what a parser reads are documents of roughly the right shape."""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from typing import Any

import msgspec

from tortie.model.codec import KEPT

TEXTS = (
    "", "a", "web", "default", "kns.a", "all()", "global()", "has(a)", "!has(a)", "a == 'b'",
    "a in {'b', 'c'} || !has(c)",
    "a not in {}", "a = 'b'", "(", "10.0.0.0/8", "10.0.0.1", "10.0.0.1/32",
    "10.0.0.1/8", "0.0.0.0/0", "::/0", "fd00::/64",
    "fd00::1", "fe80::1%eth0", "10.0.0.0/255.0.0.0", "1:2", "2:1", "80", "0", "65536", "http", "tcp",
    "TCP", "udp", "ICMP",
    "ICMPv6", "icmp", "UDPLite", "Allow", "Deny", "Pass", "Log", "allow", "next-tier", "Ingress", "Egress", "eth0", "*",
    "cali12345678901", "host-a", "k8s", "libnetwork", "default.x", "x.y", "2026-05-01T10:00:00Z", "64512",
    "1.10", "aa:bb",
    "ee:ee:ee:ee:ee:ee", "\x00", "é", "'", '"', "\n", "a'b", "-", ".", "/", "%", "Always", "Never", "true", "null",
    "projectcalico.org/namespace", "projectcalico.org/metadata", '{"name":"x"}', "٣", "²", "1e400", "۸۰", "10.0.0.0/٨",
    "9" * 5000,
)  # fmt: skip
NUMBERS = (0, 1, -1, 4, 6, 80, 254, 255, 256, 65535, 65536, 2**31, 2**63, -(2**63), 10**30, 1.5, -0.0, 1e308)


class Draw:
    """Takes what it needs from the front of the bytes; behind their end everything is the first choice."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def ended(self) -> bool:
        return self._at >= len(self._data)

    def below(self, limit: int) -> int:
        if self.ended or limit < 2:
            return 0
        self._at += 1
        return self._data[self._at - 1] % limit

    def of(self, options: Sequence[Any]) -> Any:
        return options[self.below(len(options))]

    def raw(self) -> bytes:
        """A few of the bytes as they are."""
        length = self.below(40)
        self._at += length
        return self._data[self._at - length : self._at]

    def rest(self) -> bytes:
        self._at, at = len(self._data), self._at
        return self._data[at:]

    def text(self) -> str:
        if self.below(8) == 7:
            return self.raw().decode("utf-8", "replace")
        return str(self.of(TEXTS))

    def words(self, known: Sequence[str]) -> list[str]:
        return [self.text() if self.below(5) == 4 else str(self.of(known)) for _ in range(self.below(16))]

    def value(self, depth: int = 3) -> Any:
        """Any JSON."""
        choice = self.below(10 if depth else 7)
        if choice < 4:
            return self.text()
        if choice < 7:
            return (self.of(NUMBERS), True, None)[choice - 4]
        if choice == 7:
            return [self.value(depth - 1) for _ in range(self.below(4))]
        return {self.text(): self.value(depth - 1) for _ in range(self.below(4))}

    def changed(self, value: Any) -> Any:
        """The same JSON with something else in one place, now and then."""
        if self.below(6) == 5:
            return self.value(2)
        if isinstance(value, dict) and value:
            name = self.of(sorted(value))
            found = {key: self.changed(item) if key == name else item for key, item in value.items()}
            return found | ({self.text(): self.value(1)} if self.below(12) == 11 else {})
        if isinstance(value, list) and value:
            at = self.below(len(value))
            return [*value[:at], self.changed(value[at]), *value[at + self.below(2) :]]
        return self.text() if self.below(2) else value

    def shaped(self, kind: Any, depth: int = 5) -> Any:
        """JSON that a type would take, nearly: now and then something else stands in its place."""
        if depth == 0 or self.below(24) == 23:
            return self.value(1)
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return self._object(kind, depth)
        if origin is typing.Literal:
            return self.of(arguments)
        if origin in (typing.Union, types.UnionType):
            return self.shaped(self.of(arguments), depth)
        if origin in (tuple, list):
            return [self.shaped(arguments[0], depth - 1) for _ in range(self.below(4))]
        if origin is dict:
            return {self.text(): self.shaped(arguments[1], depth - 1) for _ in range(self.below(4))}
        plain = {bool: (True, False), int: NUMBERS, float: NUMBERS, type(None): (None,)}.get(kind)
        return self.of(plain) if plain else self.text()

    def _object(self, kind: type[msgspec.Struct], depth: int) -> dict[str, Any]:
        hints = typing.get_type_hints(kind)
        fields = [field for field in msgspec.structs.fields(kind) if field.encode_name != KEPT]
        found = {
            f.encode_name: self.shaped(hints[f.name], depth - 1) for f in fields if f.required or self.below(3) == 2
        }
        if self.below(16) == 15:
            found[self.text()] = self.value(1)
        return found
