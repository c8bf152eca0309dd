"""BlockAffinity: that a block of addresses belongs to a host. `deleted` is a text, as others write it."""

from __future__ import annotations

from collections.abc import Iterator

from tortie.model import checks
from tortie.model.checks import Problem
from tortie.model.codec import Value
from tortie.model.resource import Kind


class BlockAffinitySpec(Value, frozen=True, kw_only=True):
    state: str = ""
    node: str = ""
    type: str | None = None
    cidr: str = ""
    deleted: str = ""


def check(spec: BlockAffinitySpec) -> Iterator[Problem]:
    yield from checks.one_of("spec.state", spec.state or None, ("confirmed", "pending", "pendingDeletion"))
    yield from checks.one_of("spec.deleted", spec.deleted or None, ("true", "false"))
    yield from checks.cidr("spec.cidr", spec.cidr)
    if not spec.node:
        yield Problem("spec.node", "is missing")


BLOCK_AFFINITY = Kind(name="BlockAffinity", plural="blockaffinities", spec=BlockAffinitySpec, check=check)
