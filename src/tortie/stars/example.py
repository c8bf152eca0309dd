"""The fixed sample of GET /responses/example: five probes A to E, of which E does not answer."""

from __future__ import annotations

from typing import Any

_REACHES = {"A": "BC", "B": "AC", "C": "D", "D": "A"}


def _url(id: str) -> str:
    return f"http://{id.lower()}.example:9000/status"


def _response(id: str) -> dict[str, Any]:
    targets = [{"reachable": other in _REACHES[id], "url": _url(other)} for other in "ABCDE" if other != id]
    return {"json": {"status": {"targets": targets}}, "statusCode": 200, "url": _url(id)}


EXAMPLE: dict[str, Any] = {"responses": {id: _response(id) if id in _REACHES else None for id in "ABCDE"}}
