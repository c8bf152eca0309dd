"""The page for browsers: the same line in the house style. Programs get the line alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from html import escape

STATIC = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "web", "static")
TYPES = {"tortie.css": "text/css; charset=utf-8", "cat.svg": "image/svg+xml"}
POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{line}</title>
<link rel="icon" type="image/svg+xml" href="/static/cat.svg">
<link rel="stylesheet" href="/static/tortie.css">
</head>
<body>
<header class="bar"><span class="mark"><img src="/static/cat.svg" alt=""><h1>Hello</h1></span></header>
<main id="main"><h2>{line}</h2></main>
</body>
</html>
"""


def markup(line: str) -> str:
    """A page whose text is the line."""
    return _PAGE.format(line=escape(line))


def wants_markup(accept: str) -> bool:
    """Whether whoever sent this Accept header shows pages; `*/*` alone is a program."""
    return any(item.partition(";")[0].strip().lower() == "text/html" for item in accept.split(","))


def static_files() -> Mapping[str, tuple[bytes, str]]:
    """Content and kind of the files that the page asks for, by their paths."""
    found = {}
    for name, kind in TYPES.items():
        with open(os.path.join(STATIC, name), "rb") as file:
            found[f"/static/{name}"] = file.read(), kind
    return found
