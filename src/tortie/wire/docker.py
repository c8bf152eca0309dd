"""Docker Engine API over its unix socket: what the plug-in and the Mesos agent ask of the host's engine."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp

from tortie.base.errors import Conflict, Invalid, NotFound, Unavailable

API = "v1.41"
DEFAULT_SOCKET = "/var/run/docker.sock"


class DockerClient:
    """Calls of one engine. Its errors become ours: 400 Invalid, 404 NotFound, 409 Conflict, else Unavailable."""

    def __init__(self, socket: str = DEFAULT_SOCKET) -> None:
        self.socket = socket
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(self.socket, limit=0),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
            )
        return self._session

    async def call(self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Any = None) -> Any:
        """One request; the decoded JSON of the reply, or None when it is empty."""
        try:
            async with self._http().request(
                method, f"http://docker/{API}{path}", params=_query(query), json=body
            ) as reply:
                data = await reply.read()
                _raise_for(reply.status, data)
                return json.loads(data) if data else None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unavailable(f"docker {self.socket}: {error}") from error

    async def stream(self, method: str, path: str, *, query: Mapping[str, Any] | None = None) -> AsyncIterator[Any]:
        """The JSON objects of a streaming reply, such as /events."""
        try:
            async with self._http().request(method, f"http://docker/{API}{path}", params=_query(query)) as reply:
                if reply.status >= 400:
                    _raise_for(reply.status, await reply.read())
                async for line in reply.content:
                    if line.strip():
                        yield json.loads(line)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unavailable(f"docker {self.socket}: {error}") from error

    async def chunks(self, method: str, path: str, *, query: Mapping[str, Any] | None = None) -> AsyncIterator[bytes]:
        """The bytes of a streaming reply as they come, such as a container's logs."""
        try:
            async with self._http().request(method, f"http://docker/{API}{path}", params=_query(query)) as reply:
                if reply.status >= 400:
                    _raise_for(reply.status, await reply.read())
                async for data in reply.content.iter_any():
                    yield data
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unavailable(f"docker {self.socket}: {error}") from error


def _query(query: Mapping[str, Any] | None) -> dict[str, str]:
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in (query or {}).items()}


def _raise_for(status: int, data: bytes) -> None:
    if status < 400:
        return
    try:
        text = str(json.loads(data)["message"])
    except (ValueError, KeyError, TypeError):
        text = data.decode(errors="replace").strip() or f"HTTP {status}"
    family = {400: Invalid, 404: NotFound, 409: Conflict}.get(status, Unavailable)
    raise family(text)
