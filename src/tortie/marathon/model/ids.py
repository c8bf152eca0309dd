"""Ids of apps and groups: paths from the root, resolved against the group they stand in."""

from __future__ import annotations

import re
from collections.abc import Iterator

RULE = r"^(([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9])\.)*([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9])|(\.|\.\.)$"
_SEGMENT = re.compile(r"(([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9])\.)*([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9])")
ROOT = "/"
LONGEST = 200
RESERVED = frozenset({"restart", "tasks", "versions"})


def segments(path: str) -> list[str]:
    return [part for part in path.split("/") if part]


def resolve(raw: str, base: str = ROOT) -> str:
    """The absolute id of `raw` seen from group `base`: `.`, `..`, doubled and trailing slashes vanish."""
    parts: list[str] = [] if raw.startswith("/") else segments(base)
    for part in segments(raw):
        if part == "..":
            del parts[-1:]
        elif part != ".":
            parts.append(part)
    return "/" + "/".join(parts)


def problems(path: str) -> Iterator[str]:
    """Why an absolute id may not name an app or a group."""
    if any(not _SEGMENT.fullmatch(part) for part in segments(path)):
        yield f"must fully match regular expression '{RULE}'"
    if len(path) > LONGEST:
        yield f"must have at most {LONGEST} characters: the ids of its tasks become too long otherwise"


def parent(path: str) -> str:
    """The group that holds `path`; the root's parent is the root."""
    return "/" + "/".join(segments(path)[:-1])


def ancestors(path: str) -> Iterator[str]:
    """Every group above `path`, the root last."""
    while path != ROOT:
        path = parent(path)
        yield path


def within(path: str, group: str) -> bool:
    """Is `path` the group itself, or anything below it?"""
    return group in (ROOT, path) or path.startswith(group + "/")


def safe(path: str) -> str:
    """`/calico-stars/client` as `calico-stars_client`: the first part of a task id."""
    return "_".join(segments(path))


def dns_name(path: str) -> str:
    """`/calico-stars/client` as `client.calico-stars`: the task's name, from which DNS names are made."""
    return ".".join(reversed(segments(path)))


def app_of_task(task_id: str) -> str | None:
    """The app a task id was made for, or None when it does not have the form of one."""
    name, dot, _ = task_id.rpartition(".")
    return "/" + name.replace("_", "/") if dot and name else None
