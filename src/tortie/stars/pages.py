"""The page of the collector and the files it needs, read once from beside the program."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tortie.stars.http1 import Request, Response

_HERE = os.path.dirname(os.path.abspath(__file__))
_FOLDERS = {
    "/static/": os.path.join(os.path.dirname(_HERE), "web", "static"),
    "/assets/": os.path.join(_HERE, "assets"),
}
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


class Pages:
    """Serves / and the files of the house style; nothing outside the two folders can be named."""

    def __init__(self) -> None:
        self._files = dict(_load())

    def answer(self, request: Request) -> Response | None:
        name = "/assets/index.html" if request.path == "/" else request.path
        body = self._files.get(name)
        if body is None:
            return None
        tag = f'"{len(body):x}-{_checksum(body):x}"'
        headers = {
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-cache",  # asked again each time, answered 304: an update is never half-seen
            "ETag": tag,
        }
        kind = _TYPES[os.path.splitext(name)[1]]
        if tag in request.headers.get("if-none-match", ""):
            return Response(304, b"", kind, headers)
        return Response(200, body, kind, headers)


def _load() -> Iterator[tuple[str, bytes]]:
    for prefix, folder in _FOLDERS.items():
        for name in sorted(os.listdir(folder)):
            if os.path.splitext(name)[1] in _TYPES:
                with open(os.path.join(folder, name), "rb") as file:
                    yield prefix + name, file.read()


def _checksum(data: bytes) -> int:
    from zlib import crc32

    return crc32(data)
