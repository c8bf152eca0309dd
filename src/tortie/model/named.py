"""Kinds whose resources have names that are given: one `default`, or one for each node beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tortie.model.checks import Problem
from tortie.model.resource import Resource


def check_default(resource: Resource[Any]) -> Iterator[Problem]:
    if resource.name != "default":
        yield Problem("metadata.name", f"{resource.name!r}: there is only one {resource.kind.name}, named default")


def check_default_or_node(resource: Resource[Any]) -> Iterator[Problem]:
    node = resource.name.removeprefix("node.")
    if resource.name != "default" and (not node or node == resource.name):
        yield Problem("metadata.name", f"{resource.name!r} is neither default nor node.NAME")
