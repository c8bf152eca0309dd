"""/v2/apps and everything below it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tortie.base.errors import Conflict, NotFound
from tortie.marathon.api import labels
from tortie.marathon.api.changes import change
from tortie.marathon.api.encoded import Encoded
from tortie.marathon.api.replies import answer, deployed, flag, json_body
from tortie.marathon.api.tasks import kill_tasks
from tortie.marathon.api.views import app_view, embeds, show_task, tasks_text
from tortie.marathon.brain import Accepted
from tortie.marathon.clock import parse
from tortie.marathon.engine import Engine
from tortie.marathon.errors import BadJson, NotValid
from tortie.marathon.model import ids
from tortie.marathon.model.app import App
from tortie.marathon.model.place import Place, fields, need, text
from tortie.marathon.model.read import create, given_fields, update
from tortie.marathon.model.show import show_app
from tortie.marathon.model.tree import Tree

DETAIL = frozenset({"tasks", "lastTaskFailure", "deployments"})


class Apps:
    """The resource; one method per call, named after it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.brain = engine.brain
        self.world = engine.brain.world
        self.encoded = Encoded(engine.brain)

    def app(self, app_id: str) -> App:
        found = self.world.tree.apps.get(app_id)
        if found is None:
            raise NotFound(f"App '{app_id}' does not exist")
        return found

    # -- reading -------------------------------------------------------------------------------------------------------

    async def list(self, request: Request) -> Response:
        query = request.query_params
        apps = [self.world.tree.apps[key] for key in sorted(self.world.tree.apps)]
        if cmd := query.get("cmd"):
            apps = [app for app in apps if cmd.lower() in (app.cmd or "").lower()]
        if wanted := query.get("id"):
            apps = [app for app in apps if wanted.lower() in app.id.lower()]
        if "label" in query:
            selector = labels.parse(query["label"])
            apps = [app for app in apps if selector(app.labels)]
        embed, now = embeds(query.getlist("embed")), self.engine.clock()
        return answer({"apps": self.encoded.apps(apps, embed, now)})

    async def get(self, request: Request, app_id: str) -> Response:
        now = self.engine.clock()
        embed = embeds(request.query_params.getlist("embed")) | DETAIL
        return answer({"app": self.encoded.apps([self.app(app_id)], embed, now)[0]})

    async def below(self, request: Request, group: str) -> Response:
        if group not in self.world.tree.groups:
            raise NotFound(f"Group '{group}' does not exist")
        embed, now = embeds(request.query_params.getlist("embed")) | DETAIL, self.engine.clock()
        return answer({"*": self.encoded.apps(self.world.tree.apps_below(group), embed, now)})

    async def versions(self, _request: Request, app_id: str) -> Response:
        self.app(app_id)
        found = {r.apps[app_id] for r in self.world.roots.values() if app_id in r.apps}
        return answer({"versions": sorted(found, reverse=True)})

    async def version(self, _request: Request, app_id: str, version: str) -> Response:
        return answer(show_app(self._at(app_id, parse(version))))

    def _at(self, app_id: str, version: str) -> App:
        found = self.world.definitions.get((app_id, version))
        if found is None:
            self.app(app_id)
            raise NotFound(f"App '{app_id}' does not exist in version {version}")
        return found

    async def tasks(self, request: Request, app_id: str) -> Response:
        if request.headers.get("accept", "").startswith("text/plain"):
            return Response(tasks_text(self.world), media_type="text/plain")
        app = self.app(app_id)
        instances = sorted(self.world.instances_of(app_id), key=lambda i: i.id)
        return answer({"tasks": [show_task(i, app, self.engine.health, service_ports=False) for i in instances]})

    # -- changing ------------------------------------------------------------------------------------------------------

    async def create(self, request: Request) -> Response:
        body = await json_body(request)
        place = Place()
        given = fields(body, place)
        app_id = ids.resolve(need(given, place, "id", text) or "")
        app = _fresh(app_id, given, place)

        def build(tree: Tree) -> Tree:
            if app_id in tree.apps:
                raise Conflict(f"An app with id [{app_id}] already exists.")
            return tree.put(app)

        accepted = await self._change(request, build, {app_id: ""}, base=app_id)
        shown = app_view(self.brain, self.app(app_id), frozenset({"tasks"}), self.engine.clock())
        shown["deployments"] = [{"id": accepted.deployment}]
        headers = {"Location": f"/v2/apps{app_id}", "Marathon-Deployment-Id": accepted.deployment}
        return answer(shown, 201, headers)

    async def put(self, request: Request, app_id: str) -> Response:
        return await self._update(request, app_id, may_create=True, partial=flag(request, "partialUpdate", True))

    async def patch(self, request: Request, app_id: str) -> Response:
        return await self._update(request, app_id, may_create=False, partial=True)

    async def _update(self, request: Request, app_id: str, *, may_create: bool, partial: bool) -> Response:
        body = await json_body(request)
        exists = app_id in self.world.tree.apps
        if not exists and not may_create:
            self.app(app_id)
        update_one = self._change_of(app_id, body, Place(), partial=partial)
        accepted = await self._change(request, update_one, {app_id: ""}, base=app_id)
        return deployed(accepted, 200 if exists else 201, {} if exists else {"Location": f"/v2/apps{app_id}"})

    def _change_of(self, app_id: str, body: Any, place: Place, *, partial: bool) -> Any:
        """How the tree changes by one body for one app; `{"version": ...}` alone goes back to that version."""
        given = fields(body, place)
        if given.keys() - {"id"} == {"version"}:
            old = self._at(app_id, parse(text(given["version"], place.at("version"))))
            return lambda tree: tree.put(old)
        if "version" in given and not _same_version(given["version"], self.world.tree.apps.get(app_id)):
            raise NotValid({"/": ["The 'version' field may only be combined with the 'id' field."]})
        read = given_fields(given, place, app_id)
        if place.problems:
            raise BadJson(place.problems)

        def updated(tree: Tree) -> Tree:
            known = tree.apps.get(app_id) if partial else None
            return tree.put(update(known, read) if known else create(app_id, read))

        return updated

    async def put_many(self, request: Request) -> Response:
        return await self._many(request, may_create=True, partial=flag(request, "partialUpdate", True))

    async def patch_many(self, request: Request) -> Response:
        return await self._many(request, may_create=False, partial=True)

    async def _many(self, request: Request, *, may_create: bool, partial: bool) -> Response:
        body = await json_body(request)
        if not isinstance(body, list):
            raise BadJson({"/": ["error.expected.jsarray"]})
        changes, problems = [], Place()
        named: dict[str, str] = {}
        for index, item in enumerate(body):
            place = problems.item(index)
            given = fields(item, place)
            if "id" not in given:
                place.at("id").say("error.path.missing")
                continue
            app_id = ids.resolve(text(given["id"], place.at("id")))
            if not may_create:
                self.app(app_id)
            named[app_id] = place.path
            changes.append(self._change_of(app_id, given, place, partial=partial))
        if problems.problems:
            raise BadJson(problems.problems)

        def build(tree: Tree) -> Tree:
            for one in changes:
                tree = one(tree)
            return tree

        return deployed(await self._change(request, build, named))

    async def delete(self, request: Request, app_id: str) -> Response:
        def build(tree: Tree) -> Tree:
            if app_id not in tree.apps:
                raise NotFound(f"App '{app_id}' does not exist")
            return tree.drop(app_id)

        return deployed(await change(self.engine, request, build, base=app_id, forced=True))

    async def restart(self, request: Request, app_id: str) -> Response:
        self.app(app_id)
        return deployed(await change(self.engine, request, lambda tree: tree, base=app_id, restart=[app_id]))

    async def kill_all(self, request: Request, app_id: str) -> Response:
        self.app(app_id)
        host = request.query_params.get("host", "*")
        chosen = [i for i in self.world.instances_of(app_id) if host in ("*", i.host)]
        return await kill_tasks(self.engine, request, chosen, "tasks")

    async def kill_one(self, request: Request, app_id: str, task_id: str) -> Response:
        self.app(app_id)
        instance = self.world.instances.get(task_id)
        if instance is None or instance.app != app_id:
            raise NotFound(f"Task '{task_id}' does not exist")
        return await kill_tasks(self.engine, request, [instance], "task")

    async def _change(
        self, request: Request, build: Callable[[Tree], Tree], paths: Mapping[str, str], base: str = ids.ROOT
    ) -> Accepted:
        """A change that posts the apps that `paths` names."""

        def posted(tree: Tree) -> list[App]:
            return [tree.apps[app_id] for app_id in paths if app_id in tree.apps]

        return await change(self.engine, request, build, base=base, paths=paths, posted=posted)


def _same_version(version: Any, app: App | None) -> bool:
    """A definition read before and sent back whole carries the version it had."""
    return app is not None and version == app.version


def _fresh(app_id: str, given: dict[str, Any], place: Place) -> App:
    read = given_fields(given, place, app_id)
    if place.problems:
        raise BadJson(place.problems)
    return create(app_id, read)
