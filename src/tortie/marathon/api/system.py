"""/v2/deployments, /v2/queue, /v2/info, /v2/leader, /ping, /metrics, /v2/events."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from tortie.base.errors import NotFound
from tortie.framework.leader import Leadership, LeadershipLost
from tortie.marathon.api.replies import NO_STORE, answer, deployed, flag, message
from tortie.marathon.api.views import embeds, plan_view, queue_view
from tortie.marathon.engine import Engine
from tortie.marathon.events import event

HEARTBEAT = 10.0
ABDICATION = 0.5


@dataclass(frozen=True, slots=True)
class About:
    """What `/v2/info` says of this program; it names the version of Marathon it behaves like."""

    config: Mapping[str, Any]
    http_port: int
    https_port: int | None = None
    endpoints: Sequence[str] | None = None
    version: str = "1.4.8"

    @property
    def subscriber(self) -> dict[str, Any] | None:
        if self.endpoints is None:
            return None
        return {"type": "http_callback", "http_endpoints": list(self.endpoints) or None}


class System:
    def __init__(self, engine: Engine, leadership: Leadership, about: About) -> None:
        self.engine = engine
        self.world = engine.brain.world
        self.leadership = leadership
        self.about = about

    # -- deployments and queue -----------------------------------------------------------------------------------------

    async def deployments(self, _request: Request) -> Response:
        return answer([plan_view(plan, self.engine.brain) for plan in self.world.plans.values()])

    async def cancel(self, request: Request, plan_id: str) -> Response:
        force = flag(request, "force")
        accepted = await self.engine.do(lambda now: self.engine.brain.cancel(plan_id, now, force=force))
        return deployed(accepted) if accepted else Response(status_code=202, headers=NO_STORE)

    async def queue(self, request: Request) -> Response:
        offers = "lastUnusedOffers" in embeds(request.query_params.getlist("embed"))
        engine = self.engine
        return answer({"queue": queue_view(engine.brain, engine.launcher, engine.clock(), last_offers=offers)})

    async def reset_delay(self, _request: Request, app_id: str) -> Response:
        if app_id not in self.engine.brain.demand:
            raise NotFound(f"Application {app_id} not found in tasks queue.")
        await self.engine.do(lambda _now: self.engine.brain.reset_delay(app_id))
        return Response(status_code=204, headers=NO_STORE)

    # -- about this program --------------------------------------------------------------------------------------------

    async def info(self, _request: Request) -> Response:
        framework = self.engine.framework
        config = {**self.about.config, "mesos_leader_ui_url": framework.leader if framework else None}
        return answer(
            {
                "name": self.about.config["framework_name"],
                "version": self.about.version,
                "buildref": "tortie",
                "elected": self.leadership.held,
                "leader": self.leadership.leader(),
                "frameworkId": self.world.framework_id,
                "marathon_config": config,
                "zookeeper_config": {},
                "event_subscriber": self.about.subscriber,
                "http_config": {"http_port": self.about.http_port, "https_port": self.about.https_port},
            }
        )

    async def leader(self, _request: Request) -> Response:
        leader = self.leadership.leader()
        return answer({"leader": leader}) if leader else message("There is no leader", 404)

    async def abdicate(self, _request: Request) -> Response:
        """This Marathon ends, once it has said so: another one leads, or its supervisor starts it again."""
        asyncio.get_running_loop().call_later(ABDICATION, self.engine.give_up, LeadershipLost("asked to abdicate"))
        return message("Leadership abdicated", 200)

    async def plugins(self, _request: Request) -> Response:
        return answer({"plugins": []})

    async def ping(self, request: Request) -> Response:
        if "application/json" in request.headers.get("accept", ""):
            return answer("pong")
        return PlainTextResponse("pong", headers=NO_STORE)

    async def metrics(self, _request: Request) -> Response:
        world, now = self.world, self.engine.clock()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        prefix, newer = "service.mesosphere.marathon.", "marathon."
        running = sum(i.running for i in world.instances.values())
        staged = sum(i.state == "TASK_STAGING" for i in world.instances.values())
        uptime = now - self.engine.started
        gauges = {
            f"{prefix}app.count": len(world.tree.apps),
            f"{prefix}group.count": len(world.tree.groups),
            f"{prefix}task.running.count": running,
            f"{prefix}task.staged.count": staged,
            f"{prefix}deployment.count": len(world.plans),
            f"{prefix}uptime": int(uptime * 1000),
            f"{prefix}leaderDuration": int(uptime * 1000),
            f"{newer}apps.active.gauge": len(world.tree.apps),
            f"{newer}groups.active.gauge": len(world.tree.groups),
            f"{newer}tasks.running.gauge": running,
            f"{newer}tasks.staged.gauge": staged,
            f"{newer}deployments.active.gauge": len(world.plans),
            f"{newer}uptime.gauge.seconds": uptime,
            "process.memory.rss.max": usage.ru_maxrss * 1024,
            "process.cpu.seconds": usage.ru_utime + usage.ru_stime,
        }
        shown = {name: {"value": value} for name, value in gauges.items()}
        return answer(
            {"version": "3.0.0", "gauges": shown, "counters": {}, "histograms": {}, "meters": {}, "timers": {}}
        )

    # -- events --------------------------------------------------------------------------------------------------------

    async def events(self, request: Request) -> Response:
        accept = request.headers.get("accept", "")
        if "text/event-stream" not in accept and "*/*" not in accept and accept:
            return message("Not Acceptable", 406)
        kinds = frozenset(request.query_params.getlist("event_type"))
        light = request.query_params.get("plan-format") == "light"
        remote = request.client.host if request.client else ""
        headers = {**NO_STORE, "X-Accel-Buffering": "no", "Connection": "close"}
        stream = self._frames(kinds, remote, light=light)
        return StreamingResponse(stream, headers=headers, media_type="text/event-stream;charset=utf-8")

    async def _frames(self, kinds: frozenset[str], remote: str, *, light: bool) -> AsyncIterator[bytes]:
        """The stream's own attachment first, then events as they come; an empty line keeps it alive."""
        broadcast = self.engine.broadcast
        attached = event("event_stream_attached", self.engine.clock(), remoteAddress=remote)
        try:
            with broadcast.listen(kinds, light=light) as queue:
                yield frame(attached)
                broadcast.publish(attached)
                if not kinds or "event_stream_attached" in kinds:
                    queue.get_nowait()
                while True:
                    try:
                        async with asyncio.timeout(HEARTBEAT):
                            item = await queue.get()
                    except TimeoutError:
                        yield b"\r\n"
                    else:
                        yield frame(item)
        finally:
            broadcast.publish(event("event_stream_detached", self.engine.clock(), remoteAddress=remote))


def frame(item: Mapping[str, Any]) -> bytes:
    """One event as it goes over the wire: CRLF, one line of data."""
    return b"event: %s\r\ndata: %s\r\n\r\n" % (item["eventType"].encode(), msgspec.json.encode(item))
