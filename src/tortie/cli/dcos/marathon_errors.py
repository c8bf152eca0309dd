"""What Marathon's refusals say to a person."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from tortie.cli.dcos.reply import Reply

THINGS = ("app", "group", "pod")
MISCONFIGURED = "Service likely misconfigured. Please check your proxy or Service URL settings. See dcos config --help."


def said(method: str, reply: Reply) -> str:
    """For a reply whose status is 400 or more."""
    try:
        body: Any = json.loads(reply.body)
    except (ValueError, RecursionError):
        body = None
    if reply.status == 400:
        shown = "" if body is None else f":\n{json.dumps(body, indent=2, sort_keys=True)}"
        return f"Error on request [{method} {reply.url}]: HTTP 400: {reply.reason}{shown}"
    if reply.status == 409:
        path = urlsplit(reply.url).path
        thing = next((name for name in THINGS if name in path), "resource")
        return f"Changes blocked: deployment already in progress for {thing}."
    if body is None:
        return f"Error decoding response from [{reply.url}]: HTTP {reply.status}: {reply.reason}"
    if isinstance(body, dict) and isinstance(body.get("message"), str):
        return "\n".join([f"Error: {body['message']}", *_details(body.get("details"))])
    errors = body.get("errors") if isinstance(body, dict) else None
    lines = [str(one["error"]) for one in errors or () if isinstance(one, dict) and "error" in one]
    return f"{MISCONFIGURED} " + "\n".join(lines)


def _details(details: Any) -> list[str]:
    """A line for each thing that is wrong with what was sent."""
    if not isinstance(details, list):
        return []
    objects = (one for one in details if isinstance(one, dict))
    return [f"{one.get('path', '/')}: {text}" for one in objects for text in one.get("errors") or ()]
