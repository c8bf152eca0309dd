"""/v2/tasks, and the killing of tasks wherever it is asked for."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from tortie.marathon.api.changes import change
from tortie.marathon.api.replies import answer, deployed, flag, json_body, message
from tortie.marathon.api.views import show_task, tasks_text
from tortie.marathon.deploy.instance import RUNNING, STAGING, Instance
from tortie.marathon.engine import Engine
from tortie.marathon.errors import BadJson
from tortie.marathon.model import ids
from tortie.marathon.model.place import Place, fields, listed, need, text
from tortie.marathon.model.tree import Tree

STATES = {"running": RUNNING, "staging": STAGING}


async def kill_tasks(engine: Engine, request: Request, chosen: Sequence[Instance], key: str) -> Response:
    """Kills them: replaced by others, or with `scale=true` by a deployment that lowers the instances."""
    scale, wipe = flag(request, "scale"), flag(request, "wipe")
    if scale and wipe:
        return message("You cannot use scale and wipe at the same time.", 400)
    if scale:

        def build(tree: Tree) -> Tree:
            for instance in chosen:
                if app := tree.apps.get(instance.app):
                    fewer = max(0, app.instances - 1)
                    tree = tree.put(msgspec.structs.replace(app, instances=fewer))
            return tree

        sentenced = [instance.id for instance in chosen]
        return deployed(await change(engine, request, build, sentenced=sentenced))
    killed = await engine.do(lambda now: engine.brain.kill(chosen, now))
    apps = engine.brain.world.tree.apps
    shown = [show_task(instance, apps.get(instance.app)) for instance in killed]
    return answer({key: shown} if key == "tasks" else {key: shown[0]})


class Tasks:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.world = engine.brain.world

    async def list(self, request: Request) -> Response:
        accept = request.headers.get("accept", "")
        if accept.startswith("text/plain"):
            return Response(tasks_text(self.world), media_type="text/plain")
        query = request.query_params
        wanted = {STATES[s] for s in (*query.getlist("status"), *query.getlist("status[]")) if s in STATES}
        instances = [i for i in self.world.instances.values() if not wanted or i.state in wanted]
        apps = self.world.tree.apps
        return answer(
            {
                "tasks": [
                    show_task(i, apps.get(i.app), self.engine.health) for i in sorted(instances, key=lambda i: i.id)
                ]
            }
        )

    async def delete(self, request: Request) -> Response:
        place = Place()
        body = fields(await json_body(request), place)
        wanted = need(body, place, "ids", listed(text)) or ()
        if place.problems:
            raise BadJson(place.problems)
        for task_id in wanted:
            if ids.app_of_task(task_id) is None:
                return message(f"Invalid task id '{task_id}'. [The id of a task is APP.UUID]", 400)
        chosen = [self.world.instances[i] for i in dict.fromkeys(wanted) if i in self.world.instances]
        return await kill_tasks(self.engine, request, chosen, "tasks")
