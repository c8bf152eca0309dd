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


def _status(method: str, **given: str) -> int:
    headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()]
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
    assert _status(method, **({} if site is None else {"sec_fetch_site": site})) == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://172.24.197.101:9000", "host": "172.24.197.101:9000"}, 200),
        ({"origin": "http://Door", "host": "10.0.0.1:31000", "x_forwarded_host": "door"}, 200),
        ({"origin": "http://evil.example", "host": "172.24.197.101:9000"}, 403),
        ({"origin": "http://172.24.197.101", "host": "172.24.197.101:9000"}, 403),
        ({"origin": "null", "host": "172.24.197.101:9000"}, 403),
        ({"origin": "null", "host": ""}, 403),
        ({"origin": "https://elsewhere", "host": "10.0.0.1:31000", "sec_fetch_site": "same-origin"}, 200),
    ],
)
def test_a_browser_that_says_only_the_origin_is_believed_as_well(headers: dict[str, str], status: int) -> None:
    """Browsers keep Sec-Fetch-Site to themselves where a page comes by plain HTTP from another host."""
    assert _status("POST", **headers) == status
