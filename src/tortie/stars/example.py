"""The fixed sample of GET /responses/example: five probes A to E, of which E does not answer."""

from __future__ import annotations

import json
from typing import Any

from tortie.stars.board import Answer, Board, put, record

_REACHES = {"A": "BC", "B": "AC", "C": "D", "D": "A"}


def _url(id: str) -> str:
    return f"http://{id.lower()}.example:9000/status"


def _response(id: str) -> dict[str, Any]:
    targets = [{"reachable": other in _REACHES[id], "url": _url(other)} for other in "ABCDE" if other != id]
    return {"json": {"status": {"targets": targets}}, "statusCode": 200, "url": _url(id)}


EXAMPLE: dict[str, Any] = {"responses": {id: _response(id) if id in _REACHES else None for id in "ABCDE"}}


def example_board(now: float) -> Board:
    """The sample as the page shows it."""
    board = Board()
    for id in EXAMPLE["responses"]:
        board = put(board, id, _url(id))
    for id, response in EXAMPLE["responses"].items():
        answer = Answer(error="timeout", detail="no answer within 3 s")
        if response is not None:
            answer = Answer(200, json.dumps(response["json"]).encode())
        board = record(board, id, _url(id), answer, now)
    return board
