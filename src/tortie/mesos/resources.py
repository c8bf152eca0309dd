"""Resources as values: sums, differences, roles; read from a flag or a message, written for either.

Scalars are kept in thousandths, as Mesos rounds them. Things of different roles, reservations or disks never mix.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Invalid
from tortie.wire import mesos as wire

Ranges: TypeAlias = tuple[tuple[int, int], ...]
Quantity: TypeAlias = int | Ranges | frozenset[str]


class Key(NamedTuple):
    """What may be added to what. `extra`: reservation, disk and the like as JSON, mostly empty."""

    name: str
    role: str = "*"
    extra: str = ""


def merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Sorted, without overlaps, neighbours joined."""
    out: list[tuple[int, int]] = []
    for begin, end in sorted(ranges):
        if out and begin <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((begin, end))
    return tuple(out)


def without(ranges: Ranges, drop: Ranges) -> Ranges:
    """What of `ranges` is not in `drop`."""
    left = list(ranges)
    for lo, hi in drop:
        rest: list[tuple[int, int]] = []
        for begin, end in left:
            if hi < begin or lo > end:
                rest.append((begin, end))
                continue
            if begin < lo:
                rest.append((begin, lo - 1))
            if end > hi:
                rest.append((hi + 1, end))
        left = rest
    return tuple(left)


def _add(a: Quantity, b: Quantity) -> Quantity:
    if isinstance(a, int) and isinstance(b, int):
        return a + b
    if isinstance(a, tuple) and isinstance(b, tuple):
        return merged([*a, *b])
    if isinstance(a, frozenset) and isinstance(b, frozenset):
        return a | b
    raise Invalid("a resource has two types")


def _subtract(a: Quantity, b: Quantity) -> Quantity:
    if isinstance(a, int) and isinstance(b, int):
        return a - b
    if isinstance(a, tuple) and isinstance(b, tuple):
        return without(a, b)
    if isinstance(a, frozenset) and isinstance(b, frozenset):
        return a - b
    raise Invalid("a resource has two types")


def _holds(a: Quantity, b: Quantity) -> bool:
    if isinstance(a, int) and isinstance(b, int):
        return a >= b
    if isinstance(a, tuple) and isinstance(b, tuple):
        return not without(b, a)
    return isinstance(a, frozenset) and isinstance(b, frozenset) and a >= b


@dataclass(frozen=True, slots=True)
class Resources:
    """A bag of resources; falsy when there is nothing in it."""

    items: Mapping[Key, Quantity] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.items)

    def __add__(self, other: Resources) -> Resources:
        items = dict(self.items)
        for key, value in other.items.items():
            items[key] = _add(items[key], value) if key in items else value
        return Resources(items)

    def __sub__(self, other: Resources) -> Resources:
        """What is left; what is not there cannot be taken away and leaves nothing."""
        items = dict(self.items)
        for key, value in other.items.items():
            if key not in items:
                continue
            rest = _subtract(items.pop(key), value)
            if (rest > 0) if isinstance(rest, int) else rest:
                items[key] = rest
        return Resources(items)

    def holds(self, other: Resources) -> bool:
        """Whether all of `other` is in here."""
        return all(key in self.items and _holds(self.items[key], value) for key, value in other.items.items())

    def scalar(self, name: str) -> float:
        """The sum over all roles."""
        return sum(v for k, v in self.items.items() if k.name == name and isinstance(v, int)) / 1000

    def ranges(self, name: str) -> Ranges:
        return merged(r for k, v in self.items.items() if k.name == name and isinstance(v, tuple) for r in v)

    def roles(self) -> list[str]:
        """Roles that something is reserved for."""
        return sorted({key.role for key in self.items} - {"*"})

    def of_roles(self, *roles: str) -> Resources:
        return Resources({key: value for key, value in self.items.items() if key.role in roles})

    def __iter__(self) -> Iterator[tuple[Key, Quantity]]:
        return iter(self.items.items())


def total(many: Iterable[Resources]) -> Resources:
    out = Resources()
    for one in many:
        out = out + one
    return out


_EXTRAS = ("reservation", "reservations", "disk", "revocable", "shared")


def from_wire(resources: Iterable[wire.Resource]) -> Resources:
    """Raises Invalid for a resource without its value or with a negative one. Zeros are left out."""
    out = Resources()
    for resource in resources:
        value = _quantity(resource)
        if not value:
            continue
        extra = {name: found for name in _EXTRAS if (found := getattr(resource, name))}
        key = Key(resource.name, resource.role or "*", json.dumps(extra, sort_keys=True) if extra else "")
        out = out + Resources({key: value})
    return out


def _quantity(resource: wire.Resource) -> Quantity:
    if resource.type == "SCALAR" and resource.scalar:
        value = resource.scalar.value
        if not math.isfinite(value) or value < 0:
            raise Invalid(f"Invalid scalar resource '{resource.name}': scalar < 0")
        return round(value * 1000)
    if resource.type == "RANGES" and resource.ranges:
        pairs = [(r.begin, r.end) for r in resource.ranges.range]
        if any(begin > end or begin < 0 for begin, end in pairs):
            raise Invalid(f"Invalid ranges resource '{resource.name}': begin > end")
        return merged(pairs)
    if resource.type == "SET" and resource.set:
        return frozenset(resource.set.item)
    raise Invalid(f"Invalid resource '{resource.name}': its {resource.type.lower()} value is not set")


def to_wire(resources: Resources, allocated_to: str | None = None) -> list[wire.Resource]:
    """`allocated_to`: the role that an offer was made to."""
    info = wire.AllocationInfo(role=allocated_to) if allocated_to else None
    out = []
    for key, value in resources:
        resource = wire.Resource(name=key.name, type="SCALAR", role=key.role, allocation_info=info)
        if isinstance(value, int):
            resource.scalar = wire.Scalar(value=value / 1000)
        elif isinstance(value, tuple):
            resource.type, resource.ranges = "RANGES", wire.Ranges(range=[wire.Range(begin=b, end=e) for b, e in value])
        else:
            resource.type, resource.set = "SET", wire.Set(item=sorted(value))
        for name, extra in json.loads(key.extra or "{}").items():
            setattr(resource, name, extra)
        out.append(resource)
    return out


def legacy(resources: Resources) -> dict[str, Any]:
    """As /state prints them: four numbers always, ranges and sets as text."""
    out: dict[str, Any] = {name: number(resources.scalar(name)) for name in ("cpus", "gpus", "mem", "disk")}
    for key, value in resources:
        if isinstance(value, int):
            name = f"{key.name}_revocable" if '"revocable"' in key.extra else key.name
            if name not in out:
                out[name] = number(resources.scalar(key.name))
        elif isinstance(value, tuple):
            out[key.name] = "[" + ", ".join(f"{b}-{e}" for b, e in resources.ranges(key.name)) + "]"
        else:
            out[key.name] = "{" + ", ".join(sorted(value)) + "}"
    return out


def number(value: float) -> int | float:
    return int(value) if value == int(value) else value


_ITEM = re.compile(r"^([A-Za-z_][\w.-]*)(?:\(([^()\s]+)\))?$")
_NUMBER = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)$")


def parse(text: str, default_role: str = "*") -> Resources:
    """The value of `--resources`: `cpus:4;mem:2048;ports:[21000-24000,30000-34000];cpus(prod):8` or a JSON array."""
    if text.lstrip().startswith("["):
        try:
            return from_wire(msgspec.json.decode(text.encode(), type=ready(list[wire.Resource])))
        except msgspec.MsgspecError as error:
            raise Invalid(f"--resources: {error}") from error
    out = Resources()
    for item in filter(None, (part.strip() for part in text.split(";"))):
        name, colon, value = item.partition(":")
        found = _ITEM.match(name.strip())
        if not colon or not found:
            raise Invalid(f"--resources: bad value for resources, missing or extra ':' in {item!r}")
        quantity = _parsed(value.strip(), item)
        if quantity:
            out = out + Resources({Key(found[1], found[2] or default_role): quantity})
    return out


def _parsed(value: str, item: str) -> Quantity:
    if _NUMBER.match(value):
        if float(value) < 0:
            raise Invalid(f"--resources: {item!r} is negative")
        return round(float(value) * 1000)
    if value.startswith("[") and value.endswith("]"):
        return parse_ranges(value, item)
    if value.startswith("{") and value.endswith("}"):
        return frozenset(filter(None, (part.strip() for part in value[1:-1].split(","))))
    raise Invalid(f"--resources: {item!r}: a number, [ranges] or {{set}} is expected")


def parse_ranges(value: str, item: str) -> Ranges:
    pairs = []
    for part in filter(None, (p.strip() for p in value[1:-1].split(","))):
        found = re.match(r"^(\d+)(?:\s*-\s*(\d+))?$", part)
        if not found or int(found[2] or found[1]) < int(found[1]):
            raise Invalid(f"{item!r}: {part!r} is no range")
        pairs.append((int(found[1]), int(found[2] or found[1])))
    return merged(pairs)


def parse_attributes(text: str) -> list[wire.Attribute]:
    """The value of `--attributes`: `rack:abc;level:10;keys:[1000-1500]`. A set is refused, as the original does."""
    out = []
    for item in filter(None, (part.strip() for part in text.split(";"))):
        name, colon, value = (part.strip() for part in item.partition(":"))
        if not colon or not name or not value:
            raise Invalid(f"--attributes: invalid attribute key:value pair {item!r}")
        if _NUMBER.match(value):
            out.append(wire.Attribute(name=name, type="SCALAR", scalar=wire.Scalar(value=float(value))))
        elif value.startswith("[") and value.endswith("]"):
            pairs = [wire.Range(begin=b, end=e) for b, e in parse_ranges(value, item)]
            out.append(wire.Attribute(name=name, type="RANGES", ranges=wire.Ranges(range=pairs)))
        elif value.startswith("{"):
            raise Invalid(f"--attributes: {item!r}: an attribute cannot be a set")
        else:
            out.append(wire.Attribute(name=name, type="TEXT", text=wire.Text(value=value)))
    return out


def legacy_attributes(attributes: Iterable[wire.Attribute]) -> dict[str, Any]:
    """As /state prints them."""
    out: dict[str, Any] = {}
    for attribute in attributes:
        if attribute.scalar:
            out[attribute.name] = number(attribute.scalar.value)
        elif attribute.ranges:
            out[attribute.name] = "[" + ", ".join(f"{r.begin}-{r.end}" for r in attribute.ranges.range) + "]"
        else:
            out[attribute.name] = attribute.text.value if attribute.text else ""
    return out
