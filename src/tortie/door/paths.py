"""What a request's target asks for: which of the cluster's parts, and what is left of the path. Pure.

The path is matched decoded, segment by segment, and passed on as it was written: an encoded slash never becomes a
separator. Segments `.` and `..`, in any spelling, are refused instead of resolved: resolving them twice, here and
behind, is how doors are got round.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

from tortie.door.refusal import Refusal

Kind = Literal["own", "mesos", "mesos_dns", "service", "agent", "packages", "net", "balancer"]

_ODD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_AGENT = re.compile(r"[0-9A-Za-z-]+")
PREFIXED: dict[str, Kind] = {"mesos": "mesos", "mesos_dns": "mesos_dns", "net": "net", "balancer": "balancer"}
"""First segments that are taken off before the rest is passed on."""
OWN = frozenset(("login", "acs", "metadata", "dcos-metadata", "pkgpanda", "ca", "door"))
LONGEST_NAME = 10
"""Segments that the name of a service may have."""


@dataclass(frozen=True, slots=True)
class Target:
    """`path` as written, `query` with its question mark; `segments` decoded."""

    path: str
    query: str
    segments: tuple[str, ...]

    def after(self, count: int) -> str:
        """The path behind so many segments, as written; at least `/`."""
        parts = self.path.split("/", count + 1)
        return f"/{parts[count + 1]}" if len(parts) > count + 1 else "/"

    def before(self, count: int) -> str:
        """The first so many segments, as written."""
        return "/".join(self.path.split("/", count + 1)[: count + 1])


@dataclass(frozen=True, slots=True)
class Route:
    """`prefix` is what was taken off in front of `path`; `name` is the agent's id."""

    kind: Kind
    target: Target
    path: str
    prefix: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Redirect:
    status: int
    location: str


def parse(raw: bytes) -> Target:
    """A request target in origin or absolute form. Raises Refusal for what is none."""
    text = raw.decode("latin-1")
    if not text.startswith("/"):
        scheme, colon, rest = text.partition("://")
        if not colon or scheme.lower() not in ("http", "https"):
            raise Refusal(400, "the request target is not a path", close=True)
        slash = re.search(r"[/?]", rest)
        text = rest[slash.start() :] if slash else "/"
        text = text if text.startswith("/") else f"/{text}"
    path, mark, query = text.partition("?")
    path = "/" + path.lstrip("/")
    if "#" in text or not text.isascii() or _ODD_ESCAPE.search(path) or "\\" in path:
        raise Refusal(400, "the path has a character that no path has")
    segments = tuple(unquote(part, errors="replace") for part in path[1:].split("/"))
    for segment in segments:
        if segment in (".", "..") or any(char < " " or char == "\x7f" for char in segment):
            raise Refusal(400, "the path leads elsewhere than it says")
        if {"..", "."} & set(re.split(r"[/\\]", segment)) and re.search(r"[/\\]", segment):
            raise Refusal(400, "the path leads elsewhere than it says")
    return Target(path, mark + query, segments)


def route(target: Target) -> Route | Redirect:
    """Where a target leads. Raises Refusal 404 for what the door does not know."""
    first, *rest = target.segments
    query = target.query
    if not target.segments[0]:
        return Route("own", target, "/")
    if first in OWN or target.segments[:2] == ("system", "health"):
        return Route("own", target, target.path)
    if kind := PREFIXED.get(first):
        if not rest:
            return Redirect(301, f"/{first}/{query}")
        return Route(kind, target, target.after(1), target.before(1))
    if first == "marathon":
        if not rest:
            return Redirect(307, f"/marathon/{query}")
        return Route("service", target, target.after(1), target.before(1), "marathon")
    if first == "service" and rest and rest[0]:
        return Redirect(301, f"{target.path}/{query}") if len(rest) == 1 else Route("service", target, target.path)
    if first in ("agent", "slave") and rest and _AGENT.fullmatch(rest[0]):
        return Route("agent", target, target.after(2), target.before(2), rest[0])
    if first in ("package", "capabilities"):
        return Route("packages", target, target.path)
    if target.segments[:2] == ("cosmos", "service"):
        return Route("packages", target, target.after(1), target.before(1))
    raise Refusal(404, "the door knows no such path")


def names(target: Target) -> list[tuple[str, int]]:
    """What `/service/...` may name, the shortest first: the name and the number of its segments with `service`."""
    found: list[tuple[str, int]] = []
    parts: list[str] = []
    for at, part in enumerate(target.segments[1:], 2):
        if not part:
            continue
        parts.append(part)
        if len(parts) > LONGEST_NAME:
            break
        found.append((normal("/".join(parts)), at))
    return found


def normal(name: str) -> str:
    """One spelling for `group/app` and `app.group`: the one of names in DNS."""
    return ".".join(reversed([part for part in name.split("/") if part]))
