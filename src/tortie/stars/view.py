"""The board as the page and our own endpoints show it. Values in, values out."""

from __future__ import annotations

from typing import Any

from tortie.stars.board import Board, Change, Edge, Node, drawn_edges
from tortie.stars.names import display_names, port


def state(board: Board, now: float, period: float) -> dict[str, Any]:
    """All that the page shows. Times are Unix seconds by this collector's clock, whose `now` is in it."""
    names = display_names({node.id: node.url for node in board.nodes.values()})
    return {
        "now": round(now, 3),
        "period": period,
        "nodes": [_node_json(node, names[node.id]) for node in board.nodes.values()],
        "edges": [_edge_json(node, other, edge) for node, other, edge in drawn_edges(board.nodes.values())],
        "changes": [_change_json(change) for change in board.changes],
    }


def _node_json(node: Node, name: str) -> dict[str, Any]:
    return {
        "id": node.id,
        "name": name,
        "url": node.url,
        "answers": node.response is not None,
        "asked": node.asked,
        "error": node.error,
        "detail": node.detail,
        "at": node.at,
        "since": node.since,
        "period": node.period,
    }


def _edge_json(source: Node, target: Node, edge: Edge) -> dict[str, Any]:
    return {
        "from": source.id,
        "to": target.id,
        "port": port(target.url),
        "reachable": edge.reachable,
        "error": edge.error,
        "detail": edge.detail,
        "latencyMs": edge.latency_ms,
        "at": edge.at,
        "since": edge.since,
    }


def _change_json(change: Change) -> dict[str, Any]:
    return {
        "at": round(change.at, 3),
        "kind": change.kind,
        "from": change.source,
        "to": change.target,
        "up": change.up,
        "text": change.text,
        "reason": change.reason,
    }
