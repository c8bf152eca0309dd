"""POST /api/v1/scheduler and the agents' entrance."""

from __future__ import annotations

import logging

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from tortie.base.errors import Invalid
from tortie.mesos.http import RecordStream, Refusal, accepts_json, posted_json
from tortie.mesos.master import agents, frameworks, offers, tasks
from tortie.mesos.master.cluster import Framework
from tortie.mesos.master.runtime import Master
from tortie.mesos.master.validate import wanted
from tortie.mesos.protocol import AgentCall
from tortie.mesos.resources import from_wire
from tortie.wire import mesos as wire

log = logging.getLogger("master")
STREAM_ID = "Mesos-Stream-Id"
NEEDS_PAYLOAD = {"ACCEPT", "DECLINE", "KILL", "SHUTDOWN", "ACKNOWLEDGE", "RECONCILE", "MESSAGE", "REQUEST"}


class SchedulerApi:
    """Frameworks' calls."""

    def __init__(self, master: Master) -> None:
        self.master = master

    async def __call__(self, request: Request) -> ASGIApp:
        call = wire.decode(await posted_json(request), wire.Call)
        if problem := _call_problem(call):
            raise Refusal(400, f"Failed to validate scheduler::Call: {problem}")
        if call.type == "UNKNOWN":
            raise Refusal(501, "Received 'UNKNOWN' call")
        if call.type == "SUBSCRIBE" and call.subscribe:
            return self._subscribe(request, call.subscribe)
        self._act(self._sender(request, call), call)
        return Response(status_code=202)

    def _subscribe(self, request: Request, subscribe: wire.Subscribe) -> ASGIApp:
        if not accepts_json(request):
            raise Refusal(406, "Expecting 'Accept' to allow 'application/json'")
        if STREAM_ID in request.headers:
            raise Refusal(400, f"Subscribe calls should not include the '{STREAM_ID}' header")
        stream, records = self.master.open_stream()
        frameworks.subscribe(self.master.cluster, subscribe, stream, self.master.clock())
        self.master.poke(allocate=True)
        headers = {"Content-Type": "application/json", STREAM_ID: stream, "Cache-Control": "no-cache"}
        return RecordStream(records, lambda: self.master.stream_ended(stream), headers)

    def _sender(self, request: Request, call: wire.Call) -> Framework:
        framework_id = call.framework_id.value if call.framework_id else ""
        framework = self.master.cluster.frameworks.get(framework_id)
        if framework is None:
            raise Refusal(400, "Framework cannot be found")
        if not framework.connected:
            raise Refusal(403, "Framework is not subscribed")
        stream = request.headers.get(STREAM_ID)
        if stream is None:
            raise Refusal(400, f"All non-subscribe calls should include the '{STREAM_ID}' header")
        if stream != framework.stream:
            raise Refusal(
                400,
                f"The stream ID '{stream}' included in this request didn't match the stream ID currently associated "
                f"with framework ID {framework_id}",
            )
        return framework

    def _act(self, framework: Framework, call: wire.Call) -> None:
        cluster, now, kind = self.master.cluster, self.master.clock(), call.type
        if call.accept and kind == "ACCEPT":
            offers.accept(cluster, framework, call.accept, now)
        elif call.decline and kind == "DECLINE":
            offers.decline(cluster, framework, call.decline, now)
        elif call.kill and kind == "KILL":
            tasks.kill(cluster, framework, call.kill, now)
        elif call.acknowledge and kind == "ACKNOWLEDGE":
            tasks.acknowledged(cluster, framework, call.acknowledge)
        elif call.reconcile and kind == "RECONCILE":
            tasks.reconcile(cluster, framework, call.reconcile, now)
        elif kind == "REVIVE":
            offers.revive(framework, call.revive.named if call.revive else [])
        elif kind == "SUPPRESS":
            offers.suppress(framework, call.suppress.named if call.suppress else [])
        elif kind == "TEARDOWN":
            frameworks.remove(cluster, framework, now)
        elif call.shutdown and kind == "SHUTDOWN":
            tasks.shut_down(cluster, framework, call.shutdown, now)
        else:
            log.info("framework %s: call %s has no effect here", framework.id, kind)
        self.master.poke(allocate=kind in ("REVIVE", "ACCEPT", "TEARDOWN"))


def _call_problem(call: wire.Call) -> str | None:
    if call.type is None:
        return "Expecting 'type' to be present"
    if call.type == "SUBSCRIBE":
        if call.subscribe is None:
            return "Expecting 'subscribe' to be present"
        if call.subscribe.framework_info.id != call.framework_id:
            return "'framework_id' differs from 'subscribe.framework_info.id'"
        return None
    if call.type == "UNKNOWN":
        return None
    if call.framework_id is None:
        return "Expecting 'framework_id' to be present"
    field = call.type.lower()
    if call.type in NEEDS_PAYLOAD and getattr(call, field) is None:
        return f"Expecting '{field}' to be present"
    return None


class AgentApi:
    """Agents' calls."""

    def __init__(self, master: Master) -> None:
        self.master = master

    async def __call__(self, request: Request) -> ASGIApp:
        call = wire.decode(await posted_json(request), AgentCall)
        if call.type == "SUBSCRIBE":
            return self._subscribe(call)
        agent_id = call.agent_id.value if call.agent_id else ""
        agent = self.master.cluster.agents.get(agent_id)
        if agent is None or agent.stream is None or agent.stream != request.headers.get(STREAM_ID):
            raise Refusal(403, "Agent is not registered on this stream")
        now = self.master.clock()
        if call.type == "PONG":
            agents.ponged(self.master.cluster, agent_id, now)
        elif call.type == "UNREGISTER":
            agents.unregistered(self.master.cluster, agent_id, now)
        elif call.update is not None:
            tasks.updated(self.master.cluster, agent_id, call.update)
        else:
            raise Refusal(400, "Expecting 'update' to be present")
        freed = call.type == "UNREGISTER" or (call.update is not None and call.update.latest in wire.TERMINAL)
        self.master.poke(allocate=freed)
        return Response(status_code=202)

    def _subscribe(self, call: AgentCall) -> ASGIApp:
        if call.subscribe is None:
            raise Refusal(400, "Expecting 'subscribe' to be present")
        try:
            from_wire(call.subscribe.agent_info.resources)
            for task in call.subscribe.tasks:
                wanted(task.info)
        except Invalid as error:
            raise Refusal(400, str(error)) from error
        stream, records = self.master.open_stream()
        agents.subscribe(self.master.cluster, call.subscribe, stream, self.master.clock())
        self.master.poke(allocate=True)
        headers = {"Content-Type": "application/json", STREAM_ID: stream}
        return RecordStream(records, lambda: self.master.stream_ended(stream), headers)
