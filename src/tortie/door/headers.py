"""The heads of requests and answers on their way through the door. Pure.

Names are compared in lower case and passed on as they were written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from tortie.door.refusal import Refusal

Fields = Sequence[tuple[bytes, bytes]]

HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
     b"trailer", b"transfer-encoding", b"upgrade")
)  # fmt: skip
OURS = frozenset(
    (b"host", b"x-real-ip", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-prefix",
     b"forwarded", b"via")
)  # fmt: skip
"""What the door says itself to those behind it; a client's word for it does not pass."""
COOKIES = (b"dcos-acs-auth-cookie", b"dcos-acs-info-cookie")
VIA = b"tortie-door"
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%-]*(:\d*)?|\[[0-9A-Fa-f:.]+\](:\d*)?")
Framing = Literal["none", "length", "chunked", "close"]


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks, and how: for those behind the door."""

    address: str
    host: bytes
    scheme: str = "http"
    prefix: str = ""
    guarded: bool = False
    """There is a log-in: a bearer's token is the door's."""


def values(fields: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [value for key, value in fields if key.lower() == name]


def words(fields: Fields, name: bytes) -> set[bytes]:
    """The members of a comma list, in lower case."""
    return {word.strip().lower() for value in values(fields, name) for word in value.split(b",")} - {b""}


def host_of(fields: Fields, version: str) -> bytes:
    """The one Host of a request. Raises Refusal."""
    hosts = values(fields, b"host")
    if len(hosts) > 1 or (not hosts and version == "1.1"):
        raise Refusal(400, "a request has one Host header", close=True)
    host = hosts[0] if hosts else b""
    if not _HOST.fullmatch(host):
        raise Refusal(400, "the Host header names no host", close=True)
    return host


def request_framing(fields: Fields, version: str) -> Framing:
    """How the body of a request is delimited. Raises Refusal where two readers could understand it differently."""
    lengths, encodings = values(fields, b"content-length"), values(fields, b"transfer-encoding")
    if encodings:
        if lengths or version != "1.1" or [e.strip().lower() for e in encodings] != [b"chunked"]:
            raise Refusal(400, "the length of the body can be read in two ways", close=True)
        return "chunked"
    if len(lengths) > 1 or (lengths and not lengths[0].isdigit()):
        raise Refusal(400, "the length of the body can be read in two ways", close=True)
    return "length" if lengths and int(lengths[0]) else "none"


def response_framing(fields: Fields, status: int, method: str) -> Framing:
    """How an answer of a server is delimited; of what the parser has let pass."""
    if method == "HEAD" or status in (204, 304) or status < 200:
        return "none"
    if values(fields, b"transfer-encoding"):
        return "chunked" if b"chunked" in words(fields, b"transfer-encoding") else "close"
    return "length" if values(fields, b"content-length") else "close"


def is_websocket(fields: Fields) -> bool:
    return words(fields, b"upgrade") == {b"websocket"} and b"upgrade" in words(fields, b"connection")


def request_head(
    method: str, path: str, fields: Fields, client: Client, *, framing: Framing, upgrade: bool = False
) -> bytes:
    """The head for the server behind the door. Raises Refusal 508 when the request has come from this door."""
    if any(VIA in value for value in values(fields, b"via")):
        raise Refusal(508, "the way behind the door leads to the door")
    named = words(fields, b"connection") - {b"host", b"content-length"}
    lines = [f"{method} {path} HTTP/1.1".encode("latin-1"), b"Host: " + client.host]
    for name, value in fields:
        key = name.lower()
        if key in HOP_BY_HOP or key in OURS or key in named or b"_" in key:
            continue
        if key == b"cookie":
            value = _without_ours(value)  # noqa: PLW2901
            if not value:
                continue
        elif key == b"authorization" and _is_ours(value, client):
            continue
        lines.append(name + b": " + value)
    lines += _forwarded(fields, client)
    if framing == "chunked":
        lines.append(b"Transfer-Encoding: chunked")
    if upgrade:
        lines += [b"Connection: Upgrade", b"Upgrade: websocket"]
    return b"\r\n".join([*lines, b"", b""])


def _forwarded(fields: Fields, client: Client) -> list[bytes]:
    address = client.address.encode()
    before = [value for value in values(fields, b"x-forwarded-for") if value]
    found = [
        b"X-Real-IP: " + address,
        b"X-Forwarded-For: " + b", ".join([*before, address]),
        b"X-Forwarded-Proto: " + client.scheme.encode(),
        b"X-Forwarded-Host: " + client.host,
        b"Via: " + b", ".join([*values(fields, b"via"), b"1.1 " + VIA]),
    ]
    return [*found, b"X-Forwarded-Prefix: " + client.prefix.encode("latin-1")] if client.prefix else found


def _is_ours(authorization: bytes, client: Client) -> bool:
    if authorization.lstrip().lower().startswith(b"token="):
        return True
    return client.guarded and token_of(authorization) is not None


def _without_ours(value: bytes) -> bytes:
    kept = [part.strip() for part in value.split(b";") if part.partition(b"=")[0].strip() not in COOKIES]
    return b"; ".join(part for part in kept if part)


def token_of(authorization: bytes) -> str | None:
    """The token of `Authorization: token=T` or `Bearer T`; None when it is something else, an upstream's own."""
    text = authorization.decode("latin-1").strip()
    if text.lower().startswith("token="):
        return text[6:].strip().strip('"')
    scheme, _, rest = text.partition(" ")
    return rest.strip() if scheme.lower() == "bearer" and rest else None


def cookie_token(fields: Fields) -> str | None:
    """The token that a browser keeps."""
    for value in values(fields, b"cookie"):
        for part in value.split(b";"):
            name, _, token = part.strip().partition(b"=")
            if name == COOKIES[0]:
                return token.decode("latin-1").strip('"')
    return None


def response_head(
    status: int, reason: bytes, fields: Fields, *, chunked: bool = False, close: bool = False, upgrade: bool = False
) -> bytes:
    """The head for the client; of the connection it says what is so on this side."""
    named = words(fields, b"connection") - {b"content-length"}
    lines = [b"HTTP/1.1 %d %s" % (status, reason)]
    for name, value in fields:
        key = name.lower()
        if key in HOP_BY_HOP or key in named or (chunked and key == b"content-length"):
            continue
        lines.append(name + b": " + value)
    if chunked:
        lines.append(b"Transfer-Encoding: chunked")
    if upgrade:
        lines += [b"Connection: Upgrade", b"Upgrade: websocket"]
    elif close:
        lines.append(b"Connection: close")
    return b"\r\n".join([*lines, b"", b""])


def relocated(location: bytes, *, authorities: Iterable[bytes], prefix: str) -> bytes:
    """Where a redirect of a server behind `prefix` leads from outside; one to other hosts stays as it is."""
    try:
        text = location.decode("ascii")
        parts = urlsplit(text)
    except ValueError:
        return location
    if parts.netloc:
        if parts.netloc.encode() not in authorities:
            return location
        text = text[text.index(parts.netloc) + len(parts.netloc) :]
        text = text if text.startswith("/") else f"/{text}"
    elif not text.startswith("/"):
        return location
    inside = not prefix or text == prefix or text.startswith((f"{prefix}/", f"{prefix}?"))
    return (text if inside else prefix + text).encode()
