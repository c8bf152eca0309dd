"""Failures in Marathon's terms: what a client reads in `message` and `details`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tortie.base.errors import Conflict, Invalid


class BadJson(Invalid):
    """The body cannot be read: no JSON at all, or fields missing or of the wrong type. `details` as clients get it."""

    def __init__(self, details: str | Mapping[str, Sequence[str]], message: str = "Invalid JSON") -> None:
        self.message = message
        self.details = details if isinstance(details, str) else by_path(details)
        super().__init__(f"{message}: {details}")


class NotValid(Invalid):
    """The body was read, and the object it describes breaks rules; `details` lists every problem by its path."""

    def __init__(self, problems: Mapping[str, Sequence[str]]) -> None:
        self.message = "Object is not valid"
        self.details = by_path(problems)
        super().__init__(*(f"{path}: {text}" for path, texts in problems.items() for text in texts))


class Locked(Conflict):
    """The change touches apps that running deployments hold."""

    def __init__(self, deployments: Sequence[str]) -> None:
        self.deployments = tuple(deployments)
        super().__init__(
            "App is locked by one or more deployments. Override with the option '?force=true'. "
            "View details at '/v2/deployments/<DEPLOYMENT_ID>'."
        )


def by_path(problems: Mapping[str, Sequence[str]]) -> list[dict[str, object]]:
    return [{"path": path or "/", "errors": list(texts)} for path, texts in problems.items()]
