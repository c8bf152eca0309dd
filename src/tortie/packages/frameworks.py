"""The Mesos master's side of an uninstallation: which frameworks of a name are there, and their end."""

from __future__ import annotations

from collections.abc import Sequence

import aiohttp
import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Unavailable

_TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=5)


class _Framework(msgspec.Struct):
    id: str
    name: str = ""
    active: bool = True


class _Frameworks(msgspec.Struct):
    frameworks: list[_Framework]


class Frameworks:
    """`masters` are HOST:PORT; one that does not answer is left for the next, one that does not lead sends on."""

    def __init__(self, http: aiohttp.ClientSession, masters: Sequence[str]) -> None:
        self._http = http
        self._masters = list(masters)

    async def named(self, name: str) -> list[str]:
        """The ids of the active frameworks of this name. Raises Unavailable."""
        answer = await self._ask("GET", "/master/frameworks")
        try:
            frameworks = msgspec.json.decode(answer, type=ready(_Frameworks)).frameworks
        except msgspec.DecodeError as error:
            raise Unavailable(f"not the answer of a Mesos master: {error}") from error
        return [one.id for one in frameworks if one.name == name and one.active]

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
