"""The steps from one table to another, as values: what the ledger plans and the kernel's side carries out in one
transaction, in the order given."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class AddSet(msgspec.Struct, frozen=True, tag="set+", array_like=True):
    """A named set or (`verdict`) verdict map of nft's type `kind`; empty."""

    name: str
    kind: str
    interval: bool = False
    verdict: bool = False


class DropSet(msgspec.Struct, frozen=True, tag="set-", array_like=True):
    """A set or map with everything in it; nothing may refer to it any more."""

    name: str


class Members(msgspec.Struct, frozen=True, tag="members", array_like=True):
    """Put or drop elements of a set: (key, verdict or empty) pairs."""

    put: bool
    set: str
    kind: str
    items: Sequence[tuple[str, str]]
    interval: bool = False


class AddChain(msgspec.Struct, frozen=True, tag="chain+", array_like=True):
    """A chain without rules; one that is there already stays. `base`: its hook as nft writes it."""

    name: str
    base: str = ""
    note: str = ""


class WriteRules(msgspec.Struct, frozen=True, tag="rules", array_like=True):
    """All rules of a chain, in the place of those that it has. Each carries `mark` as its comment."""

    chain: str
    rules: Sequence[str]
    mark: str


class ClearChain(msgspec.Struct, frozen=True, tag="chain0", array_like=True):
    """Drop the rules of a chain."""

    name: str


class DropChain(msgspec.Struct, frozen=True, tag="chain-", array_like=True):
    """A chain without rules that nothing refers to any more."""

    name: str


class Replace(msgspec.Struct, frozen=True, tag="table", array_like=True):
    """Drop the whole table and make it anew, empty."""


Step = AddSet | DropSet | Members | AddChain | WriteRules | ClearChain | DropChain | Replace


class Refusal(msgspec.Struct, frozen=True, array_like=True):
    """What the kernel (or the writing of its messages) does not take: a chain with its rules, or a set with its
    elements; `key` is the element where one alone is to blame."""

    chain: str = ""
    set: str = ""
    key: str = ""
    reason: str = ""
