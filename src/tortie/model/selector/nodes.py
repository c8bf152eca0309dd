"""What a selector is made of. Every node answers `matches` and has one canonical text.

Two selectors with the same canonical text are the same selector: whoever keeps a set per selector keys it by that text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, TypeAlias

import msgspec


class All(msgspec.Struct, frozen=True):
    """Matches everything."""

    canonical: ClassVar[str] = "all()"

    def matches(self, labels: Mapping[str, str]) -> bool:
        return True


class Global(msgspec.Struct, frozen=True):
    """Matches everything here; means "without a namespace" in a rule's namespaceSelector, where it is rewritten."""

    canonical: ClassVar[str] = "global()"

    def matches(self, labels: Mapping[str, str]) -> bool:
        return True


class Has(msgspec.Struct, frozen=True):
    label: str

    @property
    def canonical(self) -> str:
        return f"has({self.label})"

    def matches(self, labels: Mapping[str, str]) -> bool:
        return self.label in labels


class Equal(msgspec.Struct, frozen=True):
    label: str
    value: str

    @property
    def canonical(self) -> str:
        return f"{self.label} == {quoted(self.value)}"

    def matches(self, labels: Mapping[str, str]) -> bool:
        return labels.get(self.label) == self.value


class NotEqual(msgspec.Struct, frozen=True):
    """True as well when the label is absent."""

    label: str
    value: str

    @property
    def canonical(self) -> str:
        return f"{self.label} != {quoted(self.value)}"

    def matches(self, labels: Mapping[str, str]) -> bool:
        return labels.get(self.label) != self.value


class In(msgspec.Struct, frozen=True):
    label: str
    values: frozenset[str]

    @property
    def canonical(self) -> str:
        return f"{self.label} in {braced(self.values)}"

    def matches(self, labels: Mapping[str, str]) -> bool:
        return labels.get(self.label) in self.values


class NotIn(msgspec.Struct, frozen=True):
    """True as well when the label is absent."""

    label: str
    values: frozenset[str]

    @property
    def canonical(self) -> str:
        return f"{self.label} not in {braced(self.values)}"

    def matches(self, labels: Mapping[str, str]) -> bool:
        return labels.get(self.label) not in self.values


class Contains(msgspec.Struct, frozen=True):
    label: str
    value: str

    @property
    def canonical(self) -> str:
        return f"{self.label} contains {quoted(self.value)}"

    def matches(self, labels: Mapping[str, str]) -> bool:
        return self.label in labels and self.value in labels[self.label]


class StartsWith(msgspec.Struct, frozen=True):
    label: str
    value: str

    @property
    def canonical(self) -> str:
        return f"{self.label} starts with {quoted(self.value)}"

    def matches(self, labels: Mapping[str, str]) -> bool:
        return self.label in labels and labels[self.label].startswith(self.value)


class EndsWith(msgspec.Struct, frozen=True):
    label: str
    value: str

    @property
    def canonical(self) -> str:
        return f"{self.label} ends with {quoted(self.value)}"

    def matches(self, labels: Mapping[str, str]) -> bool:
        return self.label in labels and labels[self.label].endswith(self.value)


class Not(msgspec.Struct, frozen=True):
    operand: Node

    @property
    def canonical(self) -> str:
        return f"!{self.operand.canonical}"

    def matches(self, labels: Mapping[str, str]) -> bool:
        return not self.operand.matches(labels)


class And(msgspec.Struct, frozen=True):
    operands: tuple[Node, ...]

    @property
    def canonical(self) -> str:
        return "(" + " && ".join(node.canonical for node in self.operands) + ")"

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(node.matches(labels) for node in self.operands)


class Or(msgspec.Struct, frozen=True):
    operands: tuple[Node, ...]

    @property
    def canonical(self) -> str:
        return "(" + " || ".join(node.canonical for node in self.operands) + ")"

    def matches(self, labels: Mapping[str, str]) -> bool:
        return any(node.matches(labels) for node in self.operands)


Node: TypeAlias = All | Global | Has | Equal | NotEqual | In | NotIn | Contains | StartsWith | EndsWith | Not | And | Or


class Selector(msgspec.Struct, frozen=True, eq=False):
    """A parsed selector; equal to every other one with the same canonical text."""

    node: Node
    canonical: str

    @classmethod
    def of(cls, node: Node) -> Selector:
        return cls(node, node.canonical)

    def matches(self, labels: Mapping[str, str]) -> bool:
        return self.node.matches(labels)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Selector) and self.canonical == other.canonical

    def __hash__(self) -> int:
        return hash(self.canonical)

    def __str__(self) -> str:
        return self.canonical


def map_labels(node: Node, change: Callable[[str], str]) -> Node:
    """The same expression over labels with other names: how a namespaceSelector becomes one over `pcns.` labels."""
    if isinstance(node, All | Global):
        return node
    if isinstance(node, Has):
        return Has(change(node.label))
    if isinstance(node, Not):
        return Not(map_labels(node.operand, change))
    if isinstance(node, And | Or):
        return type(node)(tuple(map_labels(operand, change) for operand in node.operands))
    if isinstance(node, In | NotIn):
        return type(node)(change(node.label), node.values)
    return type(node)(change(node.label), node.value)


def quoted(value: str) -> str:
    """The value as a string literal; the grammar has no escapes, so a value never holds both kinds of quote."""
    return f"'{value}'" if '"' in value else f'"{value}"'


def braced(values: frozenset[str]) -> str:
    return "{" + ", ".join(quoted(value) for value in sorted(values)) + "}"
