"""Who lives at endpoints, in the words of a refusal. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tortie.model.resource import Resource

NAMED = 5


def resident(endpoint: Resource[Any]) -> str:
    """The container's or the task's name; without one that of the endpoint."""
    told = endpoint.metadata.annotations or {}
    own = f"{endpoint.metadata.namespace}/{endpoint.name}"
    return told.get("org.tortie/container") or told.get("org.tortie/task-name") or own


def listed(names: Sequence[str], where: str) -> str:
    """How many there are, and the first of them: `6 endpoints of containers are WHERE: a, b, c, d, e and 1 more`."""
    count = "1 endpoint of a container is" if len(names) == 1 else f"{len(names)} endpoints of containers are"
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{count} {where}: {', '.join(names[:NAMED])}{more}"
