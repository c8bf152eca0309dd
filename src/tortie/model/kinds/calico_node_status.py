"""CalicoNodeStatus: a request that a node report its state, which it writes into `status`."""

from __future__ import annotations

from collections.abc import Iterator

from tortie.model import checks
from tortie.model.checks import Problem
from tortie.model.codec import Value
from tortie.model.resource import Kind


class CalicoNodeStatusSpec(Value, frozen=True, kw_only=True):
    node: str = ""
    classes: tuple[str, ...] = ()
    update_period_seconds: int | None = None


def check(spec: CalicoNodeStatusSpec) -> Iterator[Problem]:
    if not spec.node:
        yield Problem("spec.node", "is missing")
    for item in spec.classes:
        yield from checks.one_of("spec.classes", item, ("Agent", "BGP", "Routes"))
    yield from checks.between("spec.updatePeriodSeconds", spec.update_period_seconds, 0, 86400)


CALICO_NODE_STATUS = Kind(name="CalicoNodeStatus", plural="caliconodestatuses", spec=CalicoNodeStatusSpec, check=check)
