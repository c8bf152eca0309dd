"""Marathon's v2 API as its clients see it: apps with their tasks, deployments, changes, and the stream of events.

Only fields that readers of ours use are named; others, and versions that write fewer, do not disturb.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
import msgspec

from tortie.base.errors import Conflict, Invalid, NotFound, Unavailable

T = TypeVar("T")


class _Shape(msgspec.Struct, kw_only=True, rename="camel"):
    """A JSON object of the API."""


class IpAddress(_Shape):
    ip_address: str
    protocol: str = "IPv4"


class HealthResult(_Shape):
    alive: bool = False


class Task(_Shape):
    """`state` is absent in old versions: a task that has started runs. `ip_addresses` come with its first status."""

    id: str
    app_id: str = ""
    host: str = ""
    slave_id: str | None = None
    state: str | None = None
    ports: list[int] = []
    ip_addresses: list[IpAddress] = []
    started_at: str | None = None
    staged_at: str | None = None
    version: str | None = None
    health_check_results: list[HealthResult | None] = []


class DiscoveryPort(_Shape):
    number: int
    name: str = ""
    protocol: str = "tcp"
    labels: dict[str, str] = {}


class Discovery(_Shape):
    ports: list[DiscoveryPort] = []


class AppAddress(_Shape):
    discovery: Discovery | None = None
    network_name: str | None = None
    labels: dict[str, str] = {}


class PortMapping(_Shape):
    container_port: int = 0
    host_port: int | None = None
    service_port: int = 0
    protocol: str = "tcp"
    name: str | None = None
    labels: dict[str, str] | None = None


class Parameter(_Shape):
    key: str
    value: str


class Docker(_Shape):
    image: str | None = None
    network: str | None = None
    port_mappings: list[PortMapping] | None = None
    parameters: list[Parameter] | None = None


class Container(_Shape):
    type: str = "DOCKER"
    docker: Docker | None = None
    port_mappings: list[PortMapping] | None = None


class Network(_Shape):
    mode: str = "container"
    name: str | None = None


class PortDefinition(_Shape):
    port: int = 0
    protocol: str = "tcp"
    name: str | None = None


class Reference(_Shape):
    id: str


class TaskFailure(_Shape):
    """Why the last task of an app failed."""

    task_id: str = ""
    state: str = ""
    message: str = ""
    host: str = ""
    timestamp: str = ""


class App(_Shape):
    """`deployments` and the counts are there on every list of apps, `tasks` when asked for."""

    id: str
    version: str | None = None
    instances: int = 1
    labels: dict[str, str] = {}
    env: dict[str, Any] = {}
    ports: list[int] = []
    port_definitions: list[PortDefinition] | None = None
    ip_address: AppAddress | None = None
    networks: list[Network] = []
    container: Container | None = None
    health_checks: list[dict[str, Any]] = []
    tasks: list[Task] = []
    deployments: list[Reference] = []
    last_task_failure: TaskFailure | None = None
    tasks_staged: int = 0
    tasks_running: int = 0
    tasks_healthy: int = 0
    tasks_unhealthy: int = 0


class Deployed(_Shape):
    """The answer to a change."""

    version: str
    deployment_id: str


class Deployment(_Shape):
    id: str
    version: str = ""
    affected_apps: list[str] = []
    current_step: int = 0
    total_steps: int = 0


class _Apps(_Shape):
    apps: list[App]


class _Tasks(_Shape):
    tasks: list[Task]


class MarathonClient:
    """Calls of one Marathon. Its errors become ours: 400 and 422 Invalid, 404 NotFound, 409 Conflict, else Unavailable.

    `urls`: one or more base addresses of the same Marathon; one that does not answer is left for the next.
    """

    def __init__(self, urls: Sequence[str] | str, *, timeout: float = 10.0) -> None:
        self.urls = [url.rstrip("/") for url in ([urls] if isinstance(urls, str) else urls)]
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=5)
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

    async def apps(self, embed: Sequence[str] = ("apps.tasks",)) -> list[App]:
        query = "".join(f"{'&' if n else '?'}embed={name}" for n, name in enumerate(embed))
        return (await self._call("GET", f"/v2/apps{query}", _Apps)).apps

    async def tasks(self) -> list[Task]:
        return (await self._call("GET", "/v2/tasks", _Tasks)).tasks

    async def deployments(self) -> list[Deployment]:
        return await self._call("GET", "/v2/deployments", list[Deployment])

    async def put_group(self, group: str, body: Mapping[str, Any] | bytes, *, force: bool = False) -> Deployed:
        return await self._call("PUT", f"/v2/groups/{group.strip('/')}{_force(force)}", Deployed, body)

    async def delete_group(self, group: str, *, force: bool = False) -> Deployed:
        return await self._call("DELETE", f"/v2/groups/{group.strip('/')}{_force(force)}", Deployed)

    async def put_app(self, app: str, body: Mapping[str, Any] | bytes, *, force: bool = False) -> Deployed:
        return await self._call("PUT", f"/v2/apps/{app.strip('/')}{_force(force)}", Deployed, body)

    async def delete_app(self, app: str) -> Deployed:
        return await self._call("DELETE", f"/v2/apps/{app.strip('/')}", Deployed)

    async def events(self, types: Sequence[str] = ()) -> AsyncGenerator[dict[str, Any], None]:
        """Events as they come, the own attachment first. Ends with Unavailable when nothing is heard for 60 s."""
        query = "?plan-format=light" + "".join(f"&event_type={name}" for name in types)
        headers = {"Accept": "text/event-stream"}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=60)
        url = self.urls[0]
        try:
            async with self._http().get(f"{url}/v2/events{query}", headers=headers, timeout=timeout) as reply:
                if reply.status != 200:
                    raise Unavailable(f"{url}/v2/events answered {reply.status}")
                async for line in reply.content:
                    if line.startswith(b"data:"):
                        yield msgspec.json.decode(line[5:].strip(), type=dict[str, Any])
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise Unavailable(f"{url}: {error or type(error).__name__}") from error
        raise Unavailable(f"{url} closed the stream of events")

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        return self._session

    async def _call(self, method: str, path: str, kind: type[T], body: Mapping[str, Any] | bytes | None = None) -> T:
        data = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
        headers = {"Content-Type": "application/json"} if data is not None else {}
        last = ""
        for url in list(self.urls):
            try:
                async with self._http().request(method, url + path, data=data, headers=headers) as reply:
                    answer = await reply.read()
            except (TimeoutError, aiohttp.ClientError, OSError) as error:
                last = f"{url}: {error or type(error).__name__}"
                self.urls.append(self.urls.pop(0))
                continue
            _raise_for(url + path, reply.status, answer)
            return _decode(url + path, answer, kind)
        raise Unavailable(last)


def _force(force: bool) -> str:
    return "?force=true" if force else ""


def _decode(where: str, answer: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer, type=kind)
    except msgspec.DecodeError as error:
        raise Unavailable(f"{where}: not the answer of a Marathon: {error}") from error


def _raise_for(where: str, status: int, answer: bytes) -> None:
    if status < 400:
        return
    try:
        text = str(msgspec.json.decode(answer)["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        text = f"{where} answered {status}"
    family = {400: Invalid, 404: NotFound, 409: Conflict, 422: Invalid}.get(status, Unavailable)
    raise family(text)
