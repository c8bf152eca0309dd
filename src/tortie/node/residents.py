"""Who lives at endpoints, in the words of a refusal. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tortie.model.kinds.workload_endpoint import CONTAINER_ANNOTATION, TASK_NAME_ANNOTATION
from tortie.model.resource import Resource

NAMED = 5


def resident(endpoint: Resource[Any]) -> str:
    """The task's or the container's name; without one that of the endpoint."""
    told = endpoint.metadata.annotations or {}
    own = f"{endpoint.metadata.namespace}/{endpoint.name}"
    return told.get(TASK_NAME_ANNOTATION) or told.get(CONTAINER_ANNOTATION) or own


def listed(names: Sequence[str], where: str) -> str:
    """How many there are, and the first of them: `6 endpoints of containers are WHERE: a, b (3), c and 1 more`."""
    count = "1 endpoint of a container is" if len(names) == 1 else f"{len(names)} endpoints of containers are"
    shown = list(Counter(names).items())[:NAMED]
    left = len(names) - sum(number for _, number in shown)
    said = (f"{name} ({number})" if number > 1 else name for name, number in shown)
    return f"{count} {where}: {', '.join(said)}{f' and {left} more' if left else ''}"
