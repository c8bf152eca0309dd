"""Assertions beside resources (`apiVersion: tortie/v1, kind: Assertion`): checked before anything is written, and never
written themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tortie.base.errors import Invalid
from tortie.model.resource import Resource
from tortie.policy.assertions import Assertion, assertion, check
from tortie.policy.live import read_store
from tortie.policy.reading import still_unread, world_of
from tortie.policy.tables import broken_lines
from tortie.store.client import Client


def parsed(documents: Sequence[dict[str, Any]]) -> list[Assertion]:
    """Raises Invalid with every fault of all of them."""
    found: list[Assertion] = []
    faults: list[str] = []
    for number, document in enumerate(documents, 1):
        try:
            found.append(assertion(document))
        except Invalid as error:
            metadata = document.get("metadata")
            name = metadata.get("name") if isinstance(metadata, dict) else None
            faults += [f"assertion {name or number}: {problem}" for problem in error.problems]
    if faults:
        raise Invalid(*faults)
    return found


def broken(client: Client, resources: Sequence[Resource[Any]], assertions: Sequence[Assertion]) -> list[str]:
    """What would not hold if the resources were written, in words; empty when all is well."""
    stored = read_store(client)
    would = {**stored.resources, **{resource.key: resource for resource in resources}}
    return broken_lines(check(world_of(would.values(), still_unread(stored.unread, resources)), assertions))
