"""A client of Marathon's v2 API: apps with their tasks, deployments, changes, and the stream of events."""

from __future__ import annotations

import base64
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Conflict, Invalid, NotFound, Unavailable
from tortie.wire.marathon_apps import App, Base, decode

T = TypeVar("T")
_SILENT = 300.0
_LONGEST_EVENT = 1 << 26


class Deployed(Base):
    """The answer to a change."""

    version: str
    deployment_id: str


class Deployment(Base):
    id: str
    version: str = ""
    affected_apps: list[str] = []
    current_step: int = 0
    total_steps: int = 0


class Rejected(Invalid):
    """Marathon's refusal of a request: its status, its message (the text) and its details, as it gave them."""

    def __init__(self, message: str, status: int, details: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.details = details


class _OneApp(msgspec.Struct):
    app: App


class MarathonClient:
    """Calls of one Marathon. Its errors become ours: 400 and 422 Invalid, 404 NotFound, 409 Conflict, else Unavailable.

    `urls`: one or more base addresses of the same Marathon; one that does not answer is left for the next. `user` is
    a name and a password; `ca` a file with the certificates that are believed, else the system's.
    """

    def __init__(
        self,
        urls: Sequence[str] | str,
        *,
        timeout: float = 60.0,
        user: tuple[str, str] | None = None,
        ca: str | None = None,
    ) -> None:
        self.urls = [url.rstrip("/") for url in ([urls] if isinstance(urls, str) else urls)]
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=5)
        self._session: aiohttp.ClientSession | None = None
        self._headers = {"Authorization": basic(*user)} if user else {}
        self._tls = _trusting(ca) if ca else True

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

    async def apps(self, embed: Sequence[str] = ("apps.tasks",)) -> tuple[list[App], list[str]]:
        """Apps by id, and a line for each that cannot be read."""
        query = "".join(f"{'&' if n else '?'}embed={name}" for n, name in enumerate(embed))
        where, answer = await self._ask("GET", f"/v2/apps{query}")
        try:
            return decode(answer)
        except Invalid as error:
            raise Unavailable(f"{where}: not the answer of a Marathon: {error}") from error

    async def app_json(self, app: str) -> dict[str, Any]:
        """An app as Marathon shows it, with its tasks."""
        return (await self._call("GET", f"/v2/apps/{app.strip('/')}?embed=app.tasks", dict[str, dict[str, Any]]))["app"]

    async def app(self, app: str) -> App:
        where, answer = await self._ask("GET", f"/v2/apps/{app.strip('/')}?embed=app.tasks")
        try:
            return msgspec.json.decode(answer, type=ready(_OneApp)).app
        except msgspec.DecodeError as error:
            raise Unavailable(f"{where}: not the answer of a Marathon: {error}") from error

    async def post_app(self, body: Mapping[str, Any]) -> None:
        """A new app; Conflict when there is one of its id."""
        await self._ask("POST", "/v2/apps", body)

    async def delete_app(self, app: str, *, force: bool = False) -> None:
        await self._ask("DELETE", f"/v2/apps/{app.strip('/')}{_force(force)}")

    async def kill_tasks(self, tasks: Sequence[str], *, scale: bool) -> None:
        """End tasks; `scale`: their apps want as many fewer."""
        await self._ask("POST", f"/v2/tasks/delete?scale={str(scale).lower()}", {"ids": list(tasks)})

    async def deployments(self) -> list[Deployment]:
        return await self._call("GET", "/v2/deployments", list[Deployment])

    async def put_group(self, group: str, body: Mapping[str, Any] | bytes, *, force: bool = False) -> Deployed:
        return await self._call("PUT", f"/v2/groups/{group.strip('/')}{_force(force)}", Deployed, body)

    async def delete_group(self, group: str, *, force: bool = False) -> Deployed:
        return await self._call("DELETE", f"/v2/groups/{group.strip('/')}{_force(force)}", Deployed)

    async def put_app(self, app: str, body: Mapping[str, Any] | bytes, *, force: bool = False) -> Deployed:
        return await self._call("PUT", f"/v2/apps/{app.strip('/')}{_force(force)}", Deployed, body)

    async def events(
        self, types: Sequence[str] = (), opened: Callable[[], None] | None = None
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Events as they come. Ends with Unavailable, also when nothing is heard for minutes.

        `opened` is called when the stream stands: what happened before has to be asked for.
        """
        query = [("plan-format", "light"), *(("event_type", kind) for kind in types)]
        headers = {"Accept": "text/event-stream"}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=_SILENT)
        base = self.urls[0]
        url = f"{base}/v2/events"
        try:
            async with self._http().get(url, params=query, headers=headers, timeout=timeout) as reply:
                if reply.status != 200:
                    raise Unavailable(f"{url} answered {reply.status}")
                if opened is not None:
                    opened()
                rest = b""
                async for chunk in reply.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        if line.startswith(b"data:"):
                            yield msgspec.json.decode(line[5:].strip(), type=dict[str, Any])
                    if len(rest) > _LONGEST_EVENT:
                        raise Unavailable(f"{url} does not end an event")
                raise Unavailable(f"{url} closed the stream of events")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            self._leave(base)
            raise Unavailable(f"{url}: {error or type(error).__name__}") from error
        except Unavailable:
            self._leave(base)
            raise

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=self._tls)
            self._session = aiohttp.ClientSession(timeout=self._timeout, headers=self._headers, connector=connector)
        return self._session

    def _leave(self, url: str) -> None:
        """Ask another first from now on; not when that was done already."""
        if self.urls[0] == url:
            self.urls.append(self.urls.pop(0))

    async def _call(self, method: str, path: str, kind: type[T], body: Mapping[str, Any] | bytes | None = None) -> T:
        where, answer = await self._ask(method, path, body)
        try:
            return msgspec.json.decode(answer, type=ready(kind))
        except msgspec.DecodeError as error:
            raise Unavailable(f"{where}: not the answer of a Marathon: {error}") from error

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | bytes | None = None) -> tuple[str, bytes]:
        """Who answered, and what. Unavailable lists what every URL said."""
        data = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
        headers = {"Content-Type": "application/json"} if data is not None else {}
        said = []
        for url in list(self.urls):
            try:
                async with self._http().request(method, url + path, data=data, headers=headers) as reply:
                    answer = await reply.read()
                _raise_for(url + path, reply.status, answer)
                return url + path, answer
            except Unavailable as error:
                said.append(str(error))
            except (aiohttp.ClientError, OSError) as error:
                said.append(f"{url}: {error or type(error).__name__}")
            self._leave(url)
        raise Unavailable("; ".join(said))


def basic(name: str, password: str) -> str:
    """The value of the header Authorization."""
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def _trusting(ca: str) -> ssl.SSLContext:
    """Invalid when the file cannot be read or holds no certificate."""
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise Invalid(f"{ca}: no certificates to believe: {error}") from error


def _force(force: bool) -> str:
    return "?force=true" if force else ""


def _raise_for(where: str, status: int, answer: bytes) -> None:
    if status < 400:
        return
    try:
        said = msgspec.json.decode(answer, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = {}
    text = str(said.get("message", f"{where} answered {status}"))
    if status in (400, 422):
        details = said.get("details")
        raise Rejected(text, status, details if isinstance(details, list) else [details] if details else [])
    raise {404: NotFound, 409: Conflict}.get(status, Unavailable)(text)
