"""What the roller must know of the cluster: its agents, and where the network's store is."""

from __future__ import annotations

import aiohttp
import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Unavailable
from tortie.packages.calico.tasks import PUBLIC
from tortie.packages.calico.values import Agent, Wanted, store_of
from tortie.packages.frameworks import Frameworks

_TIMEOUT = aiohttp.ClientTimeout(total=10, sock_connect=3)


class _Member(msgspec.Struct):
    host: str
    clientPort: int


class Cluster:
    def __init__(self, http: aiohttp.ClientSession, frameworks: Frameworks, wanted: Wanted) -> None:
        self._http, self._frameworks, self._wanted = http, frameworks, wanted

    async def agents(self) -> list[Agent]:
        """Those that the master has. Unavailable when it does not say, or when a host has two of them."""
        found = [
            Agent(one.id, one.hostname, PUBLIC in one.reserved_resources, _address(one.pid))
            for one in await self._frameworks.agents()
        ]
        names = [agent.hostname for agent in found]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise Unavailable(f"two agents are called {twice[0]}: the roller could not tell them apart")
        return found

    async def store(self) -> str:
        """The address of the network's store. Unavailable while the etcd framework is not there, or not healthy: a
        list of members that is being changed would be rolled out twice."""
        if not self._wanted.etcd:
            return store_of(self._wanted.endpoints)
        page = await self._frameworks.page(self._wanted.etcd)
        if not page:
            raise Unavailable(f"there is no framework {self._wanted.etcd}: install the package etcd")
        said = (await self._get(f"{page.rstrip('/')}/healthz")).decode(errors="replace")
        if "is healthy" not in said:
            why = " ".join(said.rpartition("cluster not healthy.")[2].split())[:300]
            raise Unavailable(f"{self._wanted.etcd} is not healthy yet{f': {why}' if why else ''}")
        answer = await self._get(f"{page.rstrip('/')}/members")
        try:
            members = msgspec.json.decode(answer, type=ready(list[_Member]))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Unavailable(f"{page}: not a list of members: {error}") from error
        return store_of([f"http://{one.host}:{one.clientPort}" for one in members])

    async def _get(self, url: str) -> bytes:
        """Its text, also where the framework is not healthy."""
        try:
            async with self._http.get(url, timeout=_TIMEOUT) as reply:
                return await reply.content.read(1 << 20)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unavailable(f"{url}: {error or type(error).__name__}") from error


def _address(pid: str) -> str:
    """Of `slave(1)@10.0.0.1:5051`."""
    return pid.rpartition("@")[2].rpartition(":")[0].strip("[]")
