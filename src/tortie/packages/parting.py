"""Asking an app to take out what it has brought to the hosts, before the app itself is removed."""

from __future__ import annotations

from collections.abc import Sequence

import aiohttp
import msgspec

from tortie.base.errors import NotFound, Unavailable
from tortie.packages import failures
from tortie.packages.apps import PARTING, Installed
from tortie.wire.marathon import MarathonClient, Rejected

_TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=5)


class Parting:
    """The app's label names a path at its first port. `POST` there, again and again until it is done, answers 200 or
    204 (nothing is left), 202 with `{"message"}` (under way), or 409 with `{"message"}` (refused, and why)."""

    def __init__(self, http: aiohttp.ClientSession, marathon: MarathonClient) -> None:
        self._http = http
        self._marathon = marathon

    async def ask(self, apps: Sequence[Installed], *, force: bool) -> None:
        """Returns once the apps of one framework may go: all of them are asked, since one leads and the others only
        say that. Raises CosmosError: under way, or refused; with `force` apps that do not answer may go."""
        said = [found for one in apps if (found := await self._said(one, force=force)) is not None]
        if not said:
            return
        name = apps[0].name
        for status, message in said:
            if status == 202:
                raise failures.uninstall_under_way(name, message)
        if not any(status in (200, 204) for status, _ in said):
            raise failures.uninstall_refused(name, "; ".join(dict.fromkeys(message for _, message in said)))

    async def _said(self, one: Installed, *, force: bool) -> tuple[int, str] | None:
        """None where nothing needs to be asked, or with `force` nobody can be."""
        path = one.labels.get(PARTING)
        if not path:
            return None
        try:
            return await self._post(one, path, force=force)
        except Unavailable as error:
            return None if force else (503, f"its app cannot be asked: {error}")

    async def _post(self, one: Installed, path: str, *, force: bool) -> tuple[int, str]:
        url = await self._url(one.app, path)
        try:
            async with self._http.post(url, json={"force": force}, timeout=_TIMEOUT) as reply:
                answer = await reply.content.read(65536)
                status = reply.status
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise Unavailable(f"{url}: {error or type(error).__name__}") from error
        if status not in (200, 202, 204, 409):
            raise Unavailable(f"{url} answered {status}")
        return status, _message(answer)

    async def _url(self, app: str, path: str) -> str:
        try:
            tasks = (await self._marathon.app(app)).tasks or []
        except (NotFound, Rejected) as error:
            raise Unavailable(str(error)) from error
        for task in tasks:
            if task.state == "TASK_RUNNING" and task.ports:
                return f"http://{task.host}:{task.ports[0]}/{path.lstrip('/')}"
        raise Unavailable(f"no task of {app} runs")


def _message(answer: bytes) -> str:
    try:
        return str(msgspec.json.decode(answer, type=dict[str, object])["message"])
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError):
        return answer.decode(errors="replace").strip()[:500]
