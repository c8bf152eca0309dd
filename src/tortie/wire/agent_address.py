"""Where an agent's v1 API is, and its refusals."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tortie.base.errors import Invalid, TortieError

if TYPE_CHECKING:
    import ssl


class Refused(TortieError):
    """The agent, or who stands before it, answered with another status than 200."""

    def __init__(self, status: int, reason: str, text: str) -> None:
        self.status = status
        self.reason = reason
        self.text = text
        super().__init__(text or f"HTTP {status}: {reason}")


def refusal(reply: http.client.HTTPResponse) -> Refused:
    """A page of HTML is no text to show."""
    text = reply.read(65536).decode(errors="replace").strip()
    return Refused(reply.status, reply.reason, "" if text.startswith("<") else text)


@dataclass(frozen=True, slots=True)
class AgentAddress:
    """`headers` go with every request, such as the one that says who asks. `timeout`: of connecting and answering."""

    url: str
    headers: Mapping[str, str]
    timeout: float
    context: ssl.SSLContext | None = None

    @property
    def path(self) -> str:
        return urlsplit(self.url).path or "/api/v1"

    def connect(self, timeout: float | None) -> http.client.HTTPConnection:
        """A connection that is made when it is first used. Raises Invalid for what is no URL of an API."""
        parts = urlsplit(self.url)
        try:
            port = parts.port
        except ValueError as error:
            raise Invalid(f"{self.url}: {error}") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Invalid(f"{self.url} is no URL of an agent's API")
        if parts.scheme == "https":
            return http.client.HTTPSConnection(parts.hostname, port, timeout=timeout, context=self.context)
        return http.client.HTTPConnection(parts.hostname, port, timeout=timeout)
