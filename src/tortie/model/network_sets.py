"""What both kinds of network set have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tortie.model import checks
from tortie.model.checks import Problem
from tortie.model.codec import Value
from tortie.model.resource import Resource

NAMESPACE_LABEL = "projectcalico.org/namespace"


class Networks(Value, frozen=True, kw_only=True):
    """Networks, or single addresses without a length."""

    nets: tuple[str, ...] = ()


def check(spec: Networks) -> Iterator[Problem]:
    for net in spec.nets:
        yield from checks.cidr("spec.nets", net, plain=True)


def check_labels(resource: Resource[Any]) -> Iterator[Problem]:
    if NAMESPACE_LABEL in resource.metadata.labels:
        yield Problem(f"metadata.labels.{NAMESPACE_LABEL}", "is given by the namespace, not by a person")
