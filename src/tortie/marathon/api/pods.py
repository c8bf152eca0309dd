"""/v2/pods: there are none. Clients may ask; who wants to make one is told why it cannot be."""

from __future__ import annotations

from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response

from tortie.base.errors import NotFound
from tortie.marathon.api.replies import answer, json_body
from tortie.marathon.errors import NotValid

REFUSAL = "pods need task groups of the Mesos containerizer, which the agents of this cluster do not run"


class Pods:
    """`path` is what follows /v2/pods, such as `/x`, `/x::status`, `::status`."""

    async def get(self, _request: Request, path: str) -> Response:
        pod = unquote(path).partition("::")[0].rstrip("/")
        if pod:
            raise NotFound(f"Pod '{pod}' does not exist")
        return answer([])

    async def change(self, request: Request, _path: str) -> Response:
        await json_body(request)
        raise NotValid({"/": [REFUSAL]})

    async def delete(self, _request: Request, path: str) -> Response:
        raise NotFound(f"Pod '{unquote(path).partition('::')[0]}' does not exist")
