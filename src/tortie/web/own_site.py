"""Orders that a browser brings from another site's page are refused."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

OWN = ("same-origin", "none")
HOSTS = ("host", "x-forwarded-host")
READING = ("GET", "HEAD", "OPTIONS")


class OwnSite:
    """Around an application: a browser says where a request comes from (Sec-Fetch-Site; to a page that is neither by
    HTTPS nor on its own host only the older Origin); 403 for one that changes something and comes from elsewhere.
    Programs say nothing, and are let through."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ordered = scope["type"] == "http" and scope["method"] not in READING
        if ordered and not _own(Request(scope).headers):
            message = "an order comes from this page, not from another site's"
            await JSONResponse({"message": message}, 403)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _own(headers: Headers) -> bool:
    if (site := headers.get("sec-fetch-site")) is not None:
        return site in OWN
    if (origin := headers.get("origin")) is None:
        return True
    host = origin.partition("://")[2].lower()
    return bool(host) and host in [headers.get(name, "").lower() for name in HOSTS]
