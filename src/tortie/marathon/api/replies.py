"""Bodies in, answers out: what all of Marathon's resources share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from tortie.base.errors import Conflict, Invalid, NotFound, TortieError, Unavailable
from tortie.marathon.brain import Accepted
from tortie.marathon.errors import BadJson, Locked, NotValid

MAX_BODY = 4 * 1024 * 1024
STATUS: Mapping[type[TortieError], int] = {
    BadJson: 400,
    NotValid: 422,
    Invalid: 422,
    NotFound: 404,
    Locked: 409,
    Conflict: 409,
    Unavailable: 503,
}
NO_STORE = {"Cache-Control": "no-cache, no-store, must-revalidate", "Pragma": "no-cache", "Expires": "0"}


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        msgspec.json.encode(body), status, headers={**NO_STORE, **(headers or {})}, media_type="application/json"
    )


def message(text: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    return answer({"message": text}, status, headers)


def deployed(accepted: Accepted, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The standard answer to a change."""
    body = {"version": accepted.version, "deploymentId": accepted.deployment}
    return answer(body, status, {"Marathon-Deployment-Id": accepted.deployment, **(headers or {})})


def failure(error: TortieError) -> Response:
    """Our families of failure in Marathon's statuses and bodies."""
    status = next((code for family, code in STATUS.items() if isinstance(error, family)), 500)
    if isinstance(error, BadJson | NotValid):
        return answer({"message": error.message, "details": error.details}, status)
    if isinstance(error, Locked):
        return answer({"message": str(error), "deployments": [{"id": i} for i in error.deployments]}, status)
    return message(str(error), status)


async def json_body(request: Request, *, empty: bool = False) -> Any:
    """The decoded body. Raises BadJson, or HTTPException 415 for another content type and 413 for too much of it."""
    data = bytearray()
    try:
        async for chunk in request.stream():
            data += chunk
            if len(data) > MAX_BODY:
                raise HTTPException(413, f"the body is larger than {MAX_BODY} bytes")
    except ClientDisconnect as error:
        raise HTTPException(400, "the body ended early") from error
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if data and kind not in ("application/json", "*/*"):
        raise HTTPException(415, "Unsupported Media Type")
    if not data.strip():
        if empty:
            return None
        raise BadJson("No content to map due to end-of-input", "Please specify data in JSON format")
    try:
        return msgspec.json.decode(bytes(data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadJson(_where(bytes(data), str(error))) from error


def _where(data: bytes, text: str) -> str:
    """The parser's words, with line and column instead of a byte's number."""
    head, _, rest = text.partition("(byte ")
    if not rest.rstrip(")").isdigit():
        return text
    before = data[: int(rest.rstrip(")"))]
    line, column = before.count(b"\n") + 1, len(before) - (before.rfind(b"\n") + 1) + 1
    return f"{head.strip()} at line {line}, column {column}"


def flag(request: Request, name: str, default: bool = False) -> bool:
    """A query parameter that is `true` or `false`. Raises Invalid."""
    value = request.query_params.get(name)
    if value is None:
        return default
    if value.lower() not in ("true", "false", ""):
        raise Invalid(f"{name} must be true or false, not {value!r}")
    return value.lower() != "false"
