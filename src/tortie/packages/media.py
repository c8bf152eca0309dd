"""Cosmos' media types: which a request must have, which an answer may have. Pure.

Clients compare them as strings: exactly this order of parameters, no blanks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tortie.packages.failures import CosmosError

ERROR = "application/vnd.dcos.package.error+json;charset=utf-8;version=v1"
CAPABILITIES = "application/vnd.dcos.capabilities+json;charset=utf-8;version=v1"
REPOSITORY = "application/vnd.dcos.universe.repo+json;charset=utf-8;version=v{}"


@dataclass(frozen=True, slots=True)
class Operation:
    """`name` is its part of the media types; `versions` of its answer, lowest first."""

    path: str
    name: str
    versions: Sequence[int] = (1,)
    family: str = "package"

    @property
    def request(self) -> str:
        return f"application/vnd.dcos.{self.family}.{self.name}-request+json;charset=utf-8;version=v1"

    def response(self, version: int) -> str:
        return f"application/vnd.dcos.{self.family}.{self.name}-response+json;charset=utf-8;version=v{version}"


OPERATIONS = (
    Operation("/package/search", "search"),
    Operation("/package/describe", "describe", (1, 2, 3)),
    Operation("/package/list-versions", "list-versions"),
    Operation("/package/render", "render"),
    Operation("/package/install", "install", (1, 2)),
    Operation("/package/uninstall", "uninstall"),
    Operation("/package/list", "list"),
    Operation("/package/repository/add", "repository.add"),
    Operation("/package/repository/delete", "repository.delete"),
    Operation("/package/repository/list", "repository.list"),
    Operation("/service/describe", "describe", family="service"),
    Operation("/service/update", "update", family="service"),
)
BY_PATH: Mapping[str, Operation] = {operation.path: operation for operation in OPERATIONS}


def negotiate(operation: Operation, content_type: str | None, accept: str | None) -> int:
    """The version of the answer. Raises CosmosError naming what is missing or wrong, of both headers."""
    problems = []
    if content_type is None:
        problems.append(("not_present", "Content-Type", "header is missing"))
    elif parsed(content_type) != parsed(operation.request):
        problems.append(("not_valid", "Content-Type", f"{content_type[:200]!r} is not {operation.request}"))
    version = None
    if accept is None:
        problems.append(("not_present", "Accept", "header is missing"))
    elif (version := accepted(accept, operation)) is None:
        known = ", ".join(operation.response(one) for one in operation.versions)
        problems.append(("not_valid", "Accept", f"{accept[:200]!r} has none of {known}"))
    if problems or version is None:
        kind = problems[0][0] if len(problems) == 1 else "multiple_errors"
        message = "; ".join(f"Item 'header {name}': {why}" for _, name, why in problems)
        data = {"errors": [{"type": one, "item": f"header {name}", "reason": why} for one, name, why in problems]}
        raise CosmosError(kind, message, data)
    return version


def accepted(accept: str, operation: Operation) -> int | None:
    """The version that the client likes best: by its q values, then the highest that we have."""
    best: tuple[float, int] | None = None
    for item in accept.split(","):
        kind, parameters, quality = parsed(item)
        for version in operation.versions:
            wanted = parsed(operation.response(version))
            if (kind, parameters) == wanted[:2] and quality > 0 and (best is None or (quality, version) > best):
                best = quality, version
    return best[1] if best else None


def parsed(text: str) -> tuple[str, frozenset[tuple[str, str]], float]:
    """A media type without its blanks, its parameters whatever their order, and its q."""
    kind, *rest = (part.strip() for part in text.split(";"))
    quality, parameters = 1.0, set()
    for part in rest:
        name, _, value = part.partition("=")
        name, value = name.strip().lower(), value.strip().strip('"').lower()
        if name == "q":
            quality = _quality(value)
        elif name:
            parameters.add((name, value))
    return kind.lower(), frozenset(parameters), quality


def _quality(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0 <= value <= 1 else 0.0
