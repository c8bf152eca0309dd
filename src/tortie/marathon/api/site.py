"""Marathon's HTTP site: which path and method lead where."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from tortie.base.errors import TortieError
from tortie.marathon.api.apps import Apps
from tortie.marathon.api.groups import Groups
from tortie.marathon.api.pods import Pods
from tortie.marathon.api.replies import answer, failure, message
from tortie.marathon.api.subscriptions import Subscriptions
from tortie.marathon.api.system import System
from tortie.marathon.api.tasks import Tasks
from tortie.marathon.model import ids

Call = Callable[..., Awaitable[Response]]
Methods = Mapping[str, Call]
log = logging.getLogger("marathon.api")


def not_found(request: Request) -> Response:
    return message(f"URI not found: {request.url.path}", 404)


async def dispatch(request: Request, methods: Methods, *arguments: str) -> Response:
    """The method's call with the arguments; HEAD is GET without its body, OPTIONS lists what there is."""
    method = "GET" if request.method == "HEAD" and "GET" in methods else request.method
    allow = ", ".join([*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"])
    if method in methods:
        return await methods[method](request, *arguments)
    if method == "OPTIONS":
        return Response(headers={"Allow": allow})
    return message("Method Not Allowed", 405, {"Allow": allow})


class Site:
    """Paths are taken apart here, not by patterns: doubled and trailing slashes mean nothing in ids."""

    def __init__(self, apps: Apps, groups: Groups, tasks: Tasks, system: System, subscriptions: Subscriptions) -> None:
        self.apps = apps
        self.groups = groups
        self.tasks = tasks
        self.system = system
        self.subscriptions = subscriptions
        self.pods = Pods()

    async def v2(self, request: Request) -> Response:
        head, *rest = ids.segments(request.path_params["path"]) or [""]
        if head.startswith("pods::"):
            head, rest = "pods", [head.removeprefix("pods"), *rest]
        known = {
            "apps": self._apps,
            "groups": self._groups,
            "tasks": self._tasks,
            "deployments": self._deployments,
            "queue": self._queue,
            "pods": self._pods,
        }
        if head in known:
            return await known[head](request, rest)
        single: dict[str, Methods] = {
            "info": {"GET": self.system.info},
            "leader": {"GET": self.system.leader, "DELETE": self.system.abdicate},
            "plugins": {"GET": self.system.plugins},
            "events": {"GET": self.system.events},
            "eventSubscriptions": {
                "GET": self.subscriptions.list,
                "POST": self.subscriptions.subscribe,
                "DELETE": self.subscriptions.unsubscribe,
            },
        }
        if head in single and not rest:
            return await dispatch(request, single[head])
        return not_found(request)

    async def _apps(self, request: Request, rest: list[str]) -> Response:
        apps = self.apps
        match rest:
            case []:
                methods: Methods = {
                    "GET": apps.list,
                    "POST": apps.create,
                    "PUT": apps.put_many,
                    "PATCH": apps.patch_many,
                }
                return await dispatch(request, methods)
            case [*group, "*"]:
                return await dispatch(request, {"GET": apps.below}, _path(group))
            case [*app, "restart"] if app:
                return await dispatch(request, {"POST": apps.restart}, _path(app))
            case [*app, "tasks"] if app:
                return await dispatch(request, {"GET": apps.tasks, "DELETE": apps.kill_all}, _path(app))
            case [*app, "tasks", task] if app:
                return await dispatch(request, {"DELETE": apps.kill_one}, _path(app), task)
            case [*app, "versions"] if app:
                return await dispatch(request, {"GET": apps.versions}, _path(app))
            case [*app, "versions", version] if app:
                return await dispatch(request, {"GET": apps.version}, _path(app), version)
            case app:
                one: Methods = {"GET": apps.get, "PUT": apps.put, "PATCH": apps.patch, "DELETE": apps.delete}
                return await dispatch(request, one, _path(app))

    async def _groups(self, request: Request, rest: list[str]) -> Response:
        groups = self.groups
        match rest:
            case [*group, "versions"]:
                return await dispatch(request, {"GET": groups.versions}, _path(group))
            case [*group, "versions", version]:
                return await dispatch(request, {"GET": groups.version}, _path(group), version)
            case [*group, "apps"]:
                return await dispatch(request, {"GET": groups.apps}, _path(group))
            case group:
                methods: Methods = {
                    "GET": groups.get,
                    "POST": groups.create,
                    "PUT": groups.put,
                    "DELETE": groups.delete,
                }
                return await dispatch(request, methods, _path(group))

    async def _tasks(self, request: Request, rest: list[str]) -> Response:
        match rest:
            case []:
                return await dispatch(request, {"GET": self.tasks.list})
            case ["delete"]:
                return await dispatch(request, {"POST": self.tasks.delete})
        return not_found(request)

    async def _deployments(self, request: Request, rest: list[str]) -> Response:
        match rest:
            case []:
                return await dispatch(request, {"GET": self.system.deployments})
            case [plan_id]:
                return await dispatch(request, {"DELETE": self.system.cancel}, plan_id)
        return not_found(request)

    async def _queue(self, request: Request, rest: list[str]) -> Response:
        match rest:
            case []:
                return await dispatch(request, {"GET": self.system.queue})
            case [*app, "delay"] if app:
                return await dispatch(request, {"DELETE": self.system.reset_delay}, _path(app))
        return not_found(request)

    async def _pods(self, request: Request, rest: list[str]) -> Response:
        pods = self.pods
        methods: Methods = {"GET": pods.get}
        if rest and not rest[0].startswith("::"):
            methods = {"GET": pods.get, "PUT": pods.change, "DELETE": pods.delete}
        elif not rest:
            methods = {"GET": pods.get, "POST": pods.change}
        return await dispatch(request, methods, _path(rest).replace("/::", "::"))

    async def ping(self, request: Request) -> Response:
        return await dispatch(request, {"GET": self.system.ping})

    async def metrics(self, request: Request) -> Response:
        return await dispatch(request, {"GET": self.system.metrics})


def _path(parts: list[str]) -> str:
    return "/" + "/".join(parts)


METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def application(site: Site, pages: ASGIApp | None = None) -> Starlette:
    """The whole site; `pages` is what lies under /ui/."""

    async def home(_request: Request) -> Response:
        return RedirectResponse("ui/", 302)

    async def anything(request: Request) -> Response:
        return not_found(request)

    routes: list[Route | Mount] = [
        Route("/v2/{path:path}", site.v2, methods=METHODS),
        Route("/ping", site.ping, methods=METHODS),
        Route("/metrics", site.metrics, methods=METHODS),
    ]
    if pages is not None:
        routes += [Route("/", home), Route("/ui", home), Mount("/ui", pages)]
    routes.append(Route("/{path:path}", anything, methods=METHODS))
    handlers = {TortieError: _refused, HTTPException: _http, Exception: _unexpected}
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    return app


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, TortieError)
    return failure(error)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return message("Method Not Allowed", 405, error.headers)
    return message(
        f"URI not found: {request.url.path}" if error.status_code == 404 else error.detail, error.status_code
    )


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return answer({"message": f"{type(error).__name__}: {error}"}, 500)
