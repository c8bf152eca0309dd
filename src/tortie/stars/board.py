"""What the collector knows: nodes, edges between them and what changed when. Values in, values out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from tortie.stars.names import display_names, port

MAX_CHANGES = 200
MAX_NODES = 500


@dataclass(frozen=True, slots=True)
class Edge:
    """One measured direction: the node that holds it probes `to`."""

    url: str
    reachable: bool
    error: str | None = None
    detail: str = ""
    latency_ms: float | None = None
    at: float | None = None  # when the probe measured it, by our clock
    since: float | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A resource and the last answer of its probe; `response` None means that it did not give a usable one."""

    id: str
    url: str
    response: dict[str, Any] | None = None
    edges: tuple[Edge, ...] = ()
    period: float | None = None
    asked: bool = False
    error: str | None = None
    detail: str = ""
    at: float | None = None
    since: float | None = None


@dataclass(frozen=True, slots=True)
class Change:
    at: float
    kind: str  # "edge" or "node"
    source: str
    target: str
    up: bool
    text: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Board:
    """All nodes by id in the order they were added, the known state of each pair, and the latest changes."""

    nodes: dict[str, Node] = field(default_factory=dict)
    known: dict[tuple[str, str], bool] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What one poll of a node brought: the body of its /status, and of /v1/status where it has one."""

    status: int = 0
    body: bytes = b""
    details: bytes | None = None
    error: str | None = None
    detail: str = ""


def parse_resource(body: bytes) -> tuple[str, str]:
    """Id and URL of a posted resource; ValueError says what is wrong with it."""
    return _resource(_json(body))


def parse_resources(body: bytes) -> list[tuple[str, str]]:
    """The resources file: a JSON array of {"id", "url"}."""
    value = _json(body)
    if not isinstance(value, list):
        raise ValueError("expected a JSON array of resources")
    return [_resource(item) for item in value]


def put(board: Board, id: str, url: str) -> Board:
    """Add a resource, or start it anew: its response is null until the next poll. A later URL of one id wins."""
    old = board.nodes.get(id)
    if old is None and len(board.nodes) >= MAX_NODES:
        raise ValueError(f"more than {MAX_NODES} resources")
    known = board.known if old is None else {pair: up for pair, up in board.known.items() if id not in pair}
    return Board({**board.nodes, id: Node(id, url)}, known, board.changes)


def record(board: Board, id: str, url: str, answer: Answer, now: float) -> Board:
    """The board after one poll. An answer to a URL that the resource no longer has is dropped."""
    old = board.nodes.get(id)
    if old is None or old.url != url:
        return board
    new = _polled(old, answer, now)
    nodes = {**board.nodes, id: new}
    names = display_names({node.id: node.url for node in nodes.values()})
    found = _node_change(old, new, names[id], now)
    known, edges = _edge_changes(board.known, nodes, new, names, now)
    changes = sorted((*board.changes, *found, *edges), key=lambda change: change.at)
    return Board(nodes, known, tuple(changes[-MAX_CHANGES:]))


def responses(board: Board) -> dict[str, Any]:
    """The body of GET /responses, exactly the original's shape."""
    return {"responses": {node.id: node.response for node in board.nodes.values()}}


def resources(board: Board) -> dict[str, Any]:
    return {"resources": [{"id": node.id, "url": node.url} for node in board.nodes.values()]}


def drawn_edges(nodes: Iterable[Node]) -> list[tuple[Node, Node, Edge]]:
    """Pairs that both answer and whose probe URL equals the other's collector URL, letter by letter."""
    up = [node for node in nodes if node.response is not None]
    by_url = {node.url: node for node in up}
    pairs = [(node, by_url.get(edge.url), edge) for node in up for edge in node.edges]
    return [(node, other, edge) for node, other, edge in pairs if other is not None and other.id != node.id]


def _polled(old: Node, answer: Answer, now: float) -> Node:
    response, error, detail = None, answer.error, answer.detail
    if error is None:
        try:
            response = {"json": _json(answer.body), "statusCode": answer.status, "url": old.url}
        except ValueError as problem:
            error, detail = "protocol", f"the answer is not JSON: {problem}"
    more = _details(answer.details) if response else {}
    flipped = (response is None) != (old.response is None)
    return replace(
        old,
        response=response,
        edges=_edges(response["json"], more, now) if response else (),
        period=_number(more.get("period")),
        asked=True,
        error=error,
        detail=detail,
        at=now,
        since=now if flipped or not old.asked else old.since,
    )


def _edges(body: Any, more: dict[str, Any], now: float) -> tuple[Edge, ...]:
    extra = {row["url"]: row for row in _rows(more)}
    found = {}
    for row in _rows(body.get("status") if isinstance(body, dict) else None):
        known = extra.get(row["url"], {})
        if known.get("reachable") != row.get("reachable"):
            known = {}  # it changed between the two requests: the next poll tells
        found[row["url"]] = Edge(
            row["url"],
            row.get("reachable") is True,
            _text(known.get("error")),
            _text(known.get("detail")) or "",
            _number(known.get("latencyMs")),
            _ago(now, known.get("age")),
            _ago(now, known.get("sinceAge")),
        )
    return tuple(found.values())


def _node_change(old: Node, new: Node, name: str, now: float) -> list[Change]:
    up = new.response is not None
    if up == (old.response is not None):
        return []
    text = f"{name} answers the collector" if up else f"{name} no longer answers the collector"
    return [Change(now, "node", "", new.id, up, text, new.error)]


def _edge_changes(
    known: dict[tuple[str, str], bool], nodes: dict[str, Node], polled: Node, names: dict[str, str], now: float
) -> tuple[dict[tuple[str, str], bool], list[Change]]:
    """Edges at the node just polled against what was known; a first look at a closed edge is no change."""
    after, changes = dict(known), []
    for source, target, edge in drawn_edges(nodes.values()):
        if polled.id not in (source.id, target.id):
            continue
        pair = (source.id, target.id)
        if known.get(pair, False) != edge.reachable:
            at = min(now, edge.since) if edge.since is not None else now
            verb = "accepts" if edge.reachable else "no longer accepts"
            text = f"{names[target.id]} {verb} {names[source.id]} on {port(target.url)}"
            changes.append(Change(at, "edge", source.id, target.id, edge.reachable, text, edge.error))
        after[pair] = edge.reachable
    return after, changes


def _resource(value: Any) -> tuple[str, str]:
    if not isinstance(value, dict):
        raise ValueError("a resource is a JSON object with id and url")
    for key in ("id", "url"):
        if key not in value:
            raise ValueError(f"missing field {key!r}")
        if not isinstance(value[key], str) or not value[key]:
            raise ValueError(f"field {key!r} must be a text that is not empty")
    return value["id"], value["url"]


def _json(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def _details(body: bytes | None) -> dict[str, Any]:
    if body is None:
        return {}
    try:
        value = _json(body)
    except ValueError:
        return {}  # a probe that only looks like ours: the picture needs none of it
    return value if isinstance(value, dict) else {}


def _rows(value: Any) -> list[dict[str, Any]]:
    rows = value.get("targets") if isinstance(value, dict) else None
    if not isinstance(rows, list):
        return []
    return [row for row in rows if isinstance(row, dict) and isinstance(row.get("url"), str)]


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _ago(now: float, age: Any) -> float | None:
    seconds = _number(age)
    return None if seconds is None else round(now - seconds, 3)
