"""How the 3 grammar words what a store answered."""

from __future__ import annotations

from typing import Any

from tortie.base.errors import Invalid, NotFound, TortieError
from tortie.cli.calicoctl.write import Exists, Stale
from tortie.model.admission import Missing
from tortie.model.resource import Resource


def identity(kind: str, name: str, namespace: str | None) -> str:
    return f"{kind}({namespace}/{name})" if namespace else f"{kind}({name})"


def missing(kind: str, name: str, namespace: str | None) -> str:
    return f"resource does not exist: {identity(kind, name, namespace)} with error: <nil>"


def reason(resource: Resource[Any], error: TortieError) -> str:
    """Why the resource was not written."""
    kind, name, namespace = resource.kind.name, resource.name, resource.metadata.namespace
    match error:
        case Exists():
            return f"resource already exists: {identity(kind, name, namespace)} with error: <nil>"
        case NotFound():
            return missing(kind, name, namespace)
        case Stale():
            return f"update conflict: {identity(kind, name, namespace)}"
        case Missing():
            return missing(error.kind, error.name, None)
        case Invalid():
            return several(error.problems)
    return str(error)


def several(problems: tuple[str, ...]) -> str:
    """One fault on its own, more as a list."""
    if len(problems) == 1:
        return problems[0]
    return "error with the following fields:\n" + "\n".join(f"-  {problem}" for problem in problems)
