"""The file of an export: lines of JSON that a person can read, a program can compare, and a cut is noticed in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Invalid
from tortie.model.codec import UNREADABLE

FORMAT = "tortie-store/v1"
READY_KEY = "/calico/resources/v3/projectcalico.org/clusterinformations/default"
TOLD = 10


class Entry(msgspec.Struct, frozen=True):
    key: str
    value: bytes


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    revision: int


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`value` where it is text, else `base64`."""

    key: str
    value: str | None = None
    base64: bytes | None = None


class _Foot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keys: int


def render(entries: Iterable[Entry], revision: int) -> bytes:
    """A head with the revision, an entry a line, a foot with their number."""
    lines = [msgspec.json.encode(_Head(FORMAT, revision))]
    for entry in entries:
        try:
            line = _Line(entry.key, entry.value.decode())
        except UnicodeDecodeError:
            line = _Line(entry.key, base64=entry.value)
        lines.append(msgspec.json.encode(line))
    lines.append(msgspec.json.encode(_Foot(len(lines) - 1)))
    return b"\n".join(lines) + b"\n"


def read(data: bytes, prefixes: Sequence[str]) -> list[Entry]:
    """The entries of a file. Invalid tells every line that is wrong (ten of them at most), and that a file was cut."""
    lines = data.split(b"\n")
    if lines[-1:] == [b""]:
        lines.pop()
    try:
        head = msgspec.json.decode(lines[0] if lines else b"", type=ready(_Head))
    except UNREADABLE:
        raise Invalid('line 1: not the head of an export ({"format":"tortie-store/v1","revision":…})') from None
    if head.format != FORMAT:
        raise Invalid(f"line 1: format {head.format!r}; this program reads {FORMAT}")
    try:
        foot = msgspec.json.decode(lines[-1], type=ready(_Foot))
    except UNREADABLE:
        raise Invalid("the last line is not the end of an export: the file was cut") from None
    entries, problems = _entries(lines[1:-1], prefixes)
    if foot.keys != len(lines) - 2:
        problems.append(f"line {len(lines)}: says {foot.keys} keys, there are {len(lines) - 2}")
    if problems:
        more = len(problems) - TOLD
        raise Invalid(*problems[:TOLD], *([f"and {more} more"] if more > 0 else []))
    return entries


def _entries(lines: Sequence[bytes], prefixes: Sequence[str]) -> tuple[list[Entry], list[str]]:
    entries: list[Entry] = []
    problems: list[str] = []
    seen: dict[str, int] = {}
    for number, text in enumerate(lines, 2):
        try:
            line = msgspec.json.decode(text, type=ready(_Line))
        except UNREADABLE as error:
            problems.append(f"line {number}: {error}")
            continue
        if (line.value is None) == (line.base64 is None):
            problems.append(f"line {number}: expected either value or base64")
        elif not line.key.startswith(tuple(prefixes)):
            problems.append(f"line {number}: key {line.key!r} does not begin with {' or '.join(prefixes)}")
        elif line.key in seen:
            problems.append(f"line {number}: key {line.key} again, after line {seen[line.key]}")
        else:
            seen[line.key] = number
            entries.append(Entry(line.key, line.value.encode() if line.value is not None else line.base64 or b""))
    return entries, problems
