"""Orders that a browser brings from another site's page are refused; all else passes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from tortie.web.own_site import OwnSite


async def _fine(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def _status(method: str, site: str | None) -> int:
    headers = [] if site is None else [(b"sec-fetch-site", site.encode())]
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": "/uninstall", "headers": headers, "query_string": b""}
    asyncio.run(OwnSite(_fine)(scope, receive, send))
    return int(sent[0]["status"])


@pytest.mark.parametrize(
    ("method", "site", "status"),
    [
        ("POST", None, 200),
        ("POST", "same-origin", 200),
        ("POST", "none", 200),
        ("POST", "same-site", 403),
        ("POST", "cross-site", 403),
        ("DELETE", "cross-site", 403),
        ("GET", "cross-site", 200),
        ("HEAD", "cross-site", 200),
    ],
)
def test_another_sites_page_gives_no_orders(method: str, site: str | None, status: int) -> None:
    assert _status(method, site) == status
