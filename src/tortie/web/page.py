"""The page shell and the static files of the house style, for every front that shows pages."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "json": "application/json",
}


def page(
    title: str,
    body: str,
    *,
    subtitle: str = "",
    modules: Sequence[str] = (),
    styles: Sequence[str] = (),
    nav: Sequence[tuple[str, str]] = (),
    current: str = "",
    static: str = "static",
    status: int = 200,
    live: bool = True,
) -> HTMLResponse:
    """A whole page in the house style. `body` is markup of the caller's own; all else is text and escaped.

    `static` is the address of the static files, relative to the page so that it also works behind a prefix. `modules`
    and `styles` are addresses of the page's own scripts and style sheets; `nav` holds (address, text), `current` is
    the address of this page in it. The bar carries a live mark, `.live`, that `live.js` fills in; not with
    `live` false.
    """
    links = "".join(
        f'<a href="{escape(address)}"{" aria-current=page" if address == current else ""}>{escape(text)}</a>'
        for address, text in nav
    )
    sheets = "".join(f'<link rel="stylesheet" href="{escape(a)}">\n' for a in (f"{static}/tortie.css", *styles))
    scripts = "".join(f'<script type="module" src="{escape(address)}"></script>\n' for address in modules)
    menu = f'<nav aria-label="Pages">{links}</nav>' if links else ""
    sub = f'<span class="subtitle">{escape(subtitle)}</span>' if subtitle else ""
    mark = '<span class="push live" role="status">connecting</span>' if live else ""
    text = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} · Tortie</title>
<link rel="icon" type="image/svg+xml" href="{escape(static)}/cat.svg">
{sheets}{scripts}</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header class="bar">
<span class="mark"><img src="{escape(static)}/cat.svg" alt=""><h1>{escape(title)}</h1></span>
{sub}{menu}{mark}
</header>
<main id="main">
{body}
</main>
</body>
</html>
"""
    return HTMLResponse(text, status, headers={**HEADERS, "Cache-Control": "no-cache"})


def static_routes(prefix: str = "/static", *, package: str | None = None, folder: str = "static") -> list[Route]:
    """Routes for the house style, or for the files of another package's folder: `static_routes("/ui", package=...)`."""
    table = load(package or "tortie.web", folder)

    async def serve(request: Request) -> Response:
        return answer(table, request.path_params["name"], request.headers.get("if-none-match", ""))

    return [Route(prefix.rstrip("/") + "/{name}", serve, methods=["GET", "HEAD"])]


@cache
def load(package: str, folder: str) -> Mapping[str, tuple[bytes, str]]:
    """Name to (content, entity tag) of every file of a kind that pages use."""
    found = {}
    for file in files(package).joinpath(folder).iterdir():
        if file.is_file() and file.name.rpartition(".")[2] in TYPES:
            content = file.read_bytes()
            found[file.name] = content, f'"{hashlib.sha256(content).hexdigest()[:20]}"'
    return found


def answer(table: Mapping[str, tuple[bytes, str]], name: str, if_none_match: str) -> Response:
    """A file, 304 when the reader has it, 404 when there is none."""
    if name not in table:
        return Response("404: no such file\n", 404, media_type="text/plain")
    content, tag = table[name]
    headers = {**HEADERS, "ETag": tag, "Cache-Control": "no-cache"}
    if tag in if_none_match:
        return Response(status_code=304, headers=headers)
    return Response(content, headers={**headers, "Content-Type": TYPES[name.rpartition(".")[2]]})
