"""Orders that a browser brings: a page gives them to its own server, another site's has none to give."""

from __future__ import annotations

from starlette.requests import Request

REFUSED = "an order comes from this page, not from another site's"


def from_another_site(request: Request) -> bool:
    """As the browser says; a program that is none says nothing and is believed."""
    return request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")
