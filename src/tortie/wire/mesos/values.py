"""Values that messages of every kind are made of: identities, labels, resources, addresses."""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class Message(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A message of the protocol; None and empty lists mean "not set"."""


class ID(msgspec.Struct, kw_only=True, frozen=True):
    """TaskID, FrameworkID, AgentID, OfferID, ExecutorID alike."""

    value: str


class ContainerID(Message):
    value: str
    parent: ContainerID | None = None


class Nanoseconds(Message):
    """TimeInfo and DurationInfo."""

    nanoseconds: int

    @property
    def seconds(self) -> float:
        return self.nanoseconds / 1e9


class Label(Message):
    key: str
    value: str | None = None


class Labels(Message):
    labels: list[Label] = []


class Scalar(Message):
    value: float


class Range(Message):
    """Both ends belong to it."""

    begin: int
    end: int


class Ranges(Message):
    range: list[Range] = []


class Set(Message):
    item: list[str] = []


class Text(Message):
    value: str


class AllocationInfo(Message):
    role: str | None = None


class Resource(Message):
    """A role that is not set is `*`."""

    name: str
    type: Literal["SCALAR", "RANGES", "SET", "TEXT"]
    scalar: Scalar | None = None
    ranges: Ranges | None = None
    set: Set | None = None
    role: str | None = None
    allocation_info: AllocationInfo | None = None
    reservation: dict[str, Any] | None = None
    reservations: list[dict[str, Any]] = []
    disk: dict[str, Any] | None = None
    revocable: dict[str, Any] | None = None
    shared: dict[str, Any] | None = None


class Attribute(Message):
    name: str
    type: Literal["SCALAR", "RANGES", "SET", "TEXT"]
    scalar: Scalar | None = None
    ranges: Ranges | None = None
    set: Set | None = None
    text: Text | None = None


class Address(Message):
    port: int
    hostname: str | None = None
    ip: str | None = None


class URL(Message):
    scheme: str
    address: Address
    path: str | None = None
    query: list[dict[str, Any]] = []
    fragment: str | None = None
