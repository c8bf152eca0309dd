"""What the Mesos master is asked for: which frameworks of a name are there, and their end; which agents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import aiohttp
import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Unavailable

T = TypeVar("T")
_TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=5)


class _Framework(msgspec.Struct):
    id: str
    name: str = ""
    active: bool = True
    webui_url: str = ""


class Slave(msgspec.Struct):
    """An agent as the master tells of it."""

    id: str
    hostname: str
    pid: str = ""
    active: bool = True
    reserved_resources: dict[str, Any] = {}


class _Slaves(msgspec.Struct):
    slaves: list[Slave]


class _Frameworks(msgspec.Struct):
    frameworks: list[_Framework]


class Frameworks:
    """`masters` are HOST:PORT; one that does not answer is left for the next, one that does not lead sends on."""

    def __init__(self, http: aiohttp.ClientSession, masters: Sequence[str]) -> None:
        self._http = http
        self._masters = list(masters)

    async def named(self, name: str) -> list[str]:
        """The ids of the active frameworks of this name. Raises Unavailable."""
        return [one.id for one in await self._active(name)]

    async def page(self, name: str) -> str:
        """The address of the pages of the active framework of this name; empty where there is none."""
        return next((one.webui_url for one in await self._active(name) if one.webui_url), "")

    async def _active(self, name: str) -> list[_Framework]:
        found = _read(await self._ask("GET", "/master/frameworks"), _Frameworks).frameworks
        return [one for one in found if one.name == name and one.active]

    async def agents(self) -> list[Slave]:
        """Those that are active. Raises Unavailable."""
        return [one for one in _read(await self._ask("GET", "/master/slaves"), _Slaves).slaves if one.active]

    async def tear_down(self, framework: str) -> None:
        """Ends the framework and all its tasks. Raises Unavailable."""
        await self._ask("POST", "/master/teardown", {"frameworkId": framework})

    async def _ask(self, method: str, path: str, form: dict[str, str] | None = None) -> bytes:
        said = []
        for master in self._masters:
            url = f"http://{master}{path}"
            try:
                async with self._http.request(method, url, data=form, timeout=_TIMEOUT) as reply:
                    answer = await reply.read()
                    if reply.status == 200:
                        return answer
                    said.append(f"{url}: HTTP {reply.status}: {answer[:200].decode(errors='replace')}")
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                said.append(f"{url}: {error or type(error).__name__}")
        raise Unavailable("; ".join(said))


def _read(answer: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer, type=ready(kind))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unavailable(f"not the answer of a Mesos master: {error}") from error
