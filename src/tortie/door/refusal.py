"""An answer of the door's own instead of an upstream's, as a value. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

Headers = Sequence[tuple[bytes, bytes]]


class Refusal(Exception):
    """This status, with `text` behind its name as Admin Router writes it; `close` ends the connection with it."""

    def __init__(self, status: int, text: str = "", *, headers: Headers = (), close: bool = False) -> None:
        self.status = status
        self.text = f"{status} {HTTPStatus(status).phrase}{f': {text}' if text else ''}"
        self.headers = tuple(headers)
        self.close = close
        super().__init__(self.text)
