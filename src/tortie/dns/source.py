"""The Mesos master's side: read /state from the leader, and hear of changes through the operator API's stream."""

from __future__ import annotations

import asyncio
import base64
import logging
import ssl
from collections.abc import Callable, Sequence

import aiohttp

from tortie.base.errors import Invalid, Unavailable
from tortie.dns.config import Login
from tortie.dns.events import Event
from tortie.dns.events import decode as decode_event
from tortie.dns.state import State, decode, pid_host_port
from tortie.wire.recordio import Deframer

log = logging.getLogger("dns")

_PATHS = ("/master/state", "/state", "/master/state.json")
_SILENT = 90.0


class NoStream(Unavailable):
    """The master answers but offers no event stream."""


class MesosMaster:
    """Reads from the first master that answers; the leader that it names is asked itself, once."""

    def __init__(
        self, http: aiohttp.ClientSession, masters: Sequence[str], timeout: float, *, tls: bool = False
    ) -> None:
        self._http = http
        self._scheme = "https" if tls else "http"
        self._masters = list(masters)
        self._timeout = timeout
        self.leader = ""

    async def read(self) -> State:
        """Unavailable lists what every master said."""
        said = []
        for address in dict.fromkeys([self.leader, *self._masters]):
            if not address:
                continue
            try:
                state = await self._follow(address)
            except (Unavailable, Invalid) as error:
                said.append(str(error))
                continue
            return state
        self.leader = ""
        raise Unavailable("; ".join(said))

    async def _follow(self, address: str) -> State:
        state = await self._get(address)
        named = _leader_address(state)
        if named and named != address:
            state, address = await self._get(named), named
        self.leader = address
        return state

    async def _get(self, address: str) -> State:
        for path in _PATHS:
            url = f"{self._scheme}://{address}{path}"
            try:
                limit = aiohttp.ClientTimeout(total=self._timeout, sock_connect=5)
                async with self._http.get(url, timeout=limit) as reply:
                    if reply.status == 404:
                        continue
                    if reply.status != 200:
                        raise Unavailable(f"{url}: HTTP {reply.status}")
                    data = await reply.read()
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise Unavailable(f"{url}: {error or type(error).__name__}") from error
            try:
                return decode(data)
            except Invalid as error:
                raise Invalid(f"{url}: {error}") from error
        raise Unavailable(f"{self._scheme}://{address}: none of {', '.join(_PATHS)} is there")

    async def hear(self, tell: Callable[[list[Event]], None]) -> None:
        """Tell the events of the leader's stream, those together that came together, until it ends or another leads.

        NoStream when the leader offers none.
        """
        leader = self.leader
        if not leader:
            raise Unavailable("no leader is known yet")
        url = f"{self._scheme}://{leader}/api/v1"
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        limit = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=_SILENT)
        frames = Deframer()
        try:
            async with self._http.post(url, data=b'{"type":"SUBSCRIBE"}', headers=headers, timeout=limit) as reply:
                if reply.status != 200:
                    raise NoStream(f"{url}: HTTP {reply.status}")
                async for chunk in reply.content.iter_any():
                    if events := [decode_event(record) for record in frames.feed(chunk)]:
                        tell(events)
                    if self.leader not in ("", leader):
                        return
        except (aiohttp.ClientError, OSError, TimeoutError, Invalid) as error:
            raise Unavailable(f"{url}: {error or type(error).__name__}") from error


def headers_of(login: Login) -> dict[str, str]:
    """What every call to a master carries."""
    if not login.principal:
        return {}
    pair = base64.b64encode(f"{login.principal}:{login.secret}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def tls_of(login: Login) -> ssl.SSLContext | None:
    """Masters are known by the given authority, else by the system's. Invalid names a file that cannot be used."""
    if not login.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=login.ca_file or None)
        if login.cert_file:
            context.load_cert_chain(login.cert_file, login.key_file)
    except OSError as error:  # ssl.SSLError is one; both say little of the file
        files = [file for file in (login.ca_file, login.cert_file, login.key_file) if file]
        raise Invalid(f"{', '.join(files)}: {error.strerror or error}") from error
    return context


def _leader_address(state: State) -> str:
    host, port = pid_host_port(state.leader)
    if not host:
        return ""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def resolve_host(name: str) -> tuple[str, ...]:
    """The addresses of a host name by the system's resolver; nothing when it has none or is slow."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(10):
            found = await loop.getaddrinfo(name, None)
    except (OSError, TimeoutError, UnicodeError) as error:
        log.debug("host name %s: %s", name, error)
        return ()
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
