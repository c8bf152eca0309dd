"""Who may ask: HTTP basic credentials for every path, and which pages of other sites may read the answers."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Guard:
    """`credentials` is `user:password`, or None for everybody; `origins` are those allowed to read, `*` all."""

    def __init__(
        self, app: ASGIApp, *, credentials: str | None = None, realm: str = "Mesosphere", origins: Sequence[str] = ()
    ) -> None:
        self.app = app
        self.credentials = credentials
        self.realm = realm
        self.origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if self.origins:
            send = self._readable(headers, send)
        if self.credentials is None or authorized(headers.get("authorization", ""), self.credentials):
            await self.app(scope, receive, send)
            return
        page = "<html><head><title>Error 401</title></head><body><h2>HTTP ERROR 401 Unauthorized</h2></body></html>\n"
        challenge = {"WWW-Authenticate": f'basic realm="{self.realm}"', "Cache-Control": "no-store"}
        await HTMLResponse(page, 401, challenge)(scope, receive, send)

    def _readable(self, asked: Headers, send: Send) -> Send:
        """Answers that say which page may read them."""
        origin = asked.get("origin", "")
        allowed = "*" if "*" in self.origins else origin if origin in self.origins else None

        async def send_readable(message: Message) -> None:
            if message["type"] == "http.response.start" and allowed:
                headers = MutableHeaders(scope=message)
                headers["Access-Control-Allow-Origin"] = allowed
                headers.add_vary_header("Origin")
                if wanted := asked.get("access-control-request-headers"):
                    headers["Access-Control-Allow-Headers"] = wanted
                headers["Access-Control-Allow-Methods"] = "GET, HEAD, OPTIONS"
                headers["Access-Control-Max-Age"] = "86400"
            await send(message)

        return send_readable


def authorized(header: str, credentials: str) -> bool:
    """Does an Authorization header carry these credentials?"""
    scheme, _, given = header.partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        said = base64.b64decode(given.strip(), validate=True)
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(said, credentials.encode())
