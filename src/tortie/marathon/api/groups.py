"""/v2/groups and everything below it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response

from tortie.base.errors import Conflict, Invalid, NotFound
from tortie.marathon.api.changes import change
from tortie.marathon.api.replies import answer, deployed, flag, json_body
from tortie.marathon.api.views import app_view, embeds, group_view
from tortie.marathon.brain import Accepted
from tortie.marathon.clock import parse
from tortie.marathon.engine import Engine
from tortie.marathon.events import show_actions
from tortie.marathon.model import ids
from tortie.marathon.model.app import App
from tortie.marathon.model.group import GroupUpdate, apply_group, read_group
from tortie.marathon.model.tree import Tree


class Groups:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.world = engine.brain.world

    def _known(self, group: str, tree: Tree | None = None) -> str:
        if group not in (tree or self.world.tree).groups:
            raise NotFound(f"Group '{group}' does not exist")
        return group

    # -- reading -------------------------------------------------------------------------------------------------------

    async def get(self, request: Request, group: str) -> Response:
        asked = request.query_params.getlist("embed")
        embed = embeds(asked) if asked else None
        return answer(group_view(self.engine.brain, self.world.tree, self._known(group), embed, self.engine.clock()))

    async def apps(self, request: Request, group: str) -> Response:
        embed, now = embeds(request.query_params.getlist("embed")), self.engine.clock()
        found = self.world.tree.apps_below(self._known(group))
        return answer([app_view(self.engine.brain, app, embed, now) for app in found])

    async def versions(self, _request: Request, group: str) -> Response:
        self._known(group)
        return answer(sorted((v for v, r in self.world.roots.items() if group in r.groups), reverse=True))

    async def version(self, _request: Request, group: str, version: str) -> Response:
        tree = self._at(parse(version))
        return answer(group_view(self.engine.brain, tree, self._known(group, tree), None, self.engine.clock()))

    def _at(self, version: str) -> Tree:
        if version not in self.world.roots:
            raise Invalid(f"Group version {version} does not exist")
        return self.world.tree_at(version)

    # -- changing ------------------------------------------------------------------------------------------------------

    async def create(self, request: Request, group: str) -> Response:
        update = read_group(await json_body(request), group)

        def build(tree: Tree) -> Tree:
            if update.id in tree.apps:
                raise Conflict(f"An app with the path {update.id} already exists.")
            if update.id in tree.groups:
                raise Conflict(f"Group {update.id} is already created. Use PUT to change this group.")
            return apply_group(tree, update)

        accepted = await self._change(request, build, update.id, update.paths)
        return deployed(accepted, 201, {"Location": f"/v2/groups{update.id}"})

    async def put(self, request: Request, group: str) -> Response:
        """Create or replace; with `dryRun=true` only the steps."""
        update = read_group(await json_body(request), group)
        brain, base, paths = self.engine.brain, update.id, update.paths
        if update.scale_by is not None:
            paths = {app.id: app.id for app in self.world.tree.apps_below(base)}

        def build(tree: Tree) -> Tree:
            return self._changed(tree, update)

        if flag(request, "dryRun"):
            _, plan = brain.propose(build, self.engine.clock(), paths=paths)
            return answer({"steps": [{"actions": show_actions(step)} for step in plan.steps]})
        return deployed(await self._change(request, build, base, paths))

    def _changed(self, tree: Tree, update: GroupUpdate) -> Tree:
        if update.version is None:
            if update.scale_by is not None:
                self._known(update.id, tree)
            return apply_group(tree, update)
        old = self._at(parse(update.version))
        tree = tree.drop_group(self._known(update.id, old))
        for group, dependencies in old.groups.items():
            if ids.within(group, update.id):
                tree = tree.put_group(group, dependencies)
        for app in old.apps_below(update.id):
            tree = tree.put(app)
        return tree

    async def delete(self, request: Request, group: str) -> Response:
        def build(tree: Tree) -> Tree:
            return tree.drop_group(self._known(group, tree))

        return deployed(await change(self.engine, request, build, base=group))

    async def _change(
        self, request: Request, build: Callable[[Tree], Tree], group: str, paths: Mapping[str, str]
    ) -> Accepted:
        """A change that posts every app of the group."""

        def posted(tree: Tree) -> list[App]:
            return tree.apps_below(group)

        return await change(self.engine, request, build, base=group, paths=paths, posted=posted)
