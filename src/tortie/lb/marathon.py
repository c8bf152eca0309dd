"""Marathon's side: the apps with their tasks, and the events that say when to look again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import aiohttp

from tortie.base.errors import Unavailable
from tortie.lb.marathon_apps import App, decode

log = logging.getLogger("lb")

EVENTS = (
    "api_post_event", "health_status_changed_event", "status_update_event", "deployment_success",
    "app_terminated_event", "instance_changed_event",
)  # fmt: skip
_SILENT = 300.0


class Marathon:
    """Asks the first of its URLs that answers."""

    def __init__(self, http: aiohttp.ClientSession, urls: Sequence[str]) -> None:
        self._http = http
        self._urls = [url.rstrip("/") for url in urls]

    async def apps(self) -> tuple[list[App], list[str]]:
        """Apps by id, and what could not be read. Unavailable lists what every URL said."""
        said = []
        for url in list(self._urls):
            try:
                limit = aiohttp.ClientTimeout(total=60, sock_connect=5)
                async with self._http.get(f"{url}/v2/apps?embed=apps.tasks", timeout=limit) as reply:
                    if reply.status != 200:
                        said.append(f"{url}: HTTP {reply.status}")
                        continue
                    data = await reply.read()
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                said.append(f"{url}: {error or type(error).__name__}")
                continue
            self._prefer(url)
            return decode(data)
        raise Unavailable("; ".join(said))

    async def hear(self, changed: Callable[[], None]) -> None:
        """Call `changed` when the stream opens and at every event that matters, until it ends; else Unavailable."""
        url = self._urls[0]
        query = [("plan-format", "light"), *(("event_type", kind) for kind in EVENTS)]
        limit = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=_SILENT)
        headers = {"Accept": "text/event-stream"}
        try:
            async with self._http.get(f"{url}/v2/events", params=query, headers=headers, timeout=limit) as reply:
                if reply.status != 200:
                    raise Unavailable(f"{url}/v2/events: HTTP {reply.status}")
                changed()
                rest = b""
                async for chunk in reply.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    if any(_matters(line) for line in lines):
                        changed()
                    rest = rest[:1024] if rest.startswith(b"data") else rest
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unavailable(f"{url}/v2/events: {error or type(error).__name__}") from error

    def _prefer(self, url: str) -> None:
        if self._urls[0] != url:
            self._urls.remove(url)
            self._urls.insert(0, url)


def _matters(line: bytes) -> bool:
    name, _, value = line.partition(b":")
    return name == b"event" and value.strip().decode(errors="replace") in EVENTS
