"""A change that a request asks for: made, and the apps that it posts told of before anything that follows from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from starlette.requests import Request

from tortie.marathon.api.replies import flag
from tortie.marathon.brain import Accepted
from tortie.marathon.engine import Engine
from tortie.marathon.events import event
from tortie.marathon.model import ids
from tortie.marathon.model.app import App
from tortie.marathon.model.show import show_app
from tortie.marathon.model.tree import Tree


async def change(
    engine: Engine,
    request: Request,
    build: Callable[[Tree], Tree],
    *,
    base: str = ids.ROOT,
    paths: Mapping[str, str] | None = None,
    posted: Callable[[Tree], Iterable[App]] = lambda _tree: (),
    restart: Iterable[str] = (),
    sentenced: Iterable[str] = (),
    forced: bool = False,
) -> Accepted:
    """`Brain.change`, with the request's `force` (`forced` where it has none); `posted` names apps in the new tree."""
    force = flag(request, "force", forced)
    client = request.client.host if request.client else ""

    def decide(now: float) -> Accepted:
        accepted = engine.brain.change(
            build, now, base=base, paths=paths, force=force, restart=restart, sentenced=sentenced
        )
        world, about = engine.brain.world, {"clientIp": client, "uri": request.url.path}
        world.out.events[:0] = [
            event("api_post_event", now, **about, appDefinition=show_app(app)) for app in posted(world.tree)
        ]
        return accepted

    return await engine.do(decide)
