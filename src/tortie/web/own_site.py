"""Orders that a browser brings from another site's page are refused."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

OWN = ("same-origin", "none")
READING = ("GET", "HEAD", "OPTIONS")


class OwnSite:
    """Around an application: a browser says where a request comes from (Sec-Fetch-Site); 403 for one that changes
    something and comes from elsewhere. Programs say nothing, and are let through."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ordered = scope["type"] == "http" and scope["method"] not in READING
        if ordered and Request(scope).headers.get("sec-fetch-site", OWN[0]) not in OWN:
            message = "an order comes from this page, not from another site's"
            await JSONResponse({"message": message}, 403)(scope, receive, send)
            return
        await self._app(scope, receive, send)
