"""POST /api/v1: the operator API, as far as reading goes, its event stream, and TEARDOWN; JSON or protocol buffers."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from tortie.mesos import operator
from tortie.mesos.http import RecordStream, Refusal, answer, only_post, posted_call
from tortie.mesos.master import frameworks, state
from tortie.mesos.master.cluster import Say
from tortie.mesos.master.runtime import Master
from tortie.mesos.media import Media, media
from tortie.mesos.resources import total
from tortie.wire import mesos as wire
from tortie.wire.agent_records import PROTOBUF, RECORDIO
from tortie.wire.mesos.binary import encode_protobuf


class TeardownCall(wire.Message):
    framework_id: wire.ID


class OperatorCall(wire.Message):
    type: str | None = None
    teardown: TeardownCall | None = None


class OperatorApi:
    def __init__(self, master: Master) -> None:
        self.master = master

    async def __call__(self, request: Request) -> ASGIApp:
        only_post(request)
        asked = media(request.headers)
        if asked.body == RECORDIO:
            raise Refusal(415, "Streaming requests are not supported by this master")
        call = await posted_call(request, asked, OperatorCall, "master.Call")
        if call.type is None:
            raise Refusal(400, "Failed to validate master::Call: Expecting 'type' to be present")
        if call.type == "TEARDOWN":
            return self._teardown(call)
        if call.type == "SUBSCRIBE":
            return self._subscribe(asked)
        read = getattr(self, f"_{call.type.lower()}", None) if call.type in READS else None
        if read is None:
            raise Refusal(501, f"Call {call.type} is not served by this master")
        return answer(asked, "master.Response", {"type": call.type, call.type.lower(): read()})

    def _subscribe(self, asked: Media) -> ASGIApp:
        """All there is, then every change of it."""
        stream, records = self.master.open_stream()
        cluster = self.master.cluster
        beat = cluster.settings.heartbeat
        subscribed = {"get_state": self._get_state(), "heartbeat_interval_seconds": beat}
        cluster.outbox.append(Say(stream, {"type": "SUBSCRIBED", "subscribed": subscribed}))
        cluster.outbox.append(Say(stream, {"type": "HEARTBEAT"}))
        cluster.watchers.add(stream)
        self.master.poke()
        headers = {"Content-Type": asked.reply, "Cache-Control": "no-cache"}
        if asked.reply == RECORDIO:
            headers["Message-Content-Type"] = asked.reply_records
        binary = _as_protobuf if asked.reply_message == PROTOBUF else None
        return RecordStream(records, lambda: self.master.stream_ended(stream), headers, binary)

    def _teardown(self, call: OperatorCall) -> ASGIApp:
        if call.teardown is None:
            raise Refusal(400, "Failed to validate master::Call: Expecting 'teardown' to be present")
        framework = self.master.cluster.frameworks.get(call.teardown.framework_id.value)
        if framework is None:
            raise Refusal(400, "No framework found with specified ID")
        frameworks.remove(self.master.cluster, framework, self.master.clock())
        self.master.poke(allocate=True)
        return Response(status_code=200)

    def _get_health(self) -> dict[str, Any]:
        return {"healthy": True}

    def _get_version(self) -> dict[str, Any]:
        return {"version_info": operator.version()}

    def _get_flags(self) -> dict[str, Any]:
        return operator.flags(self.master.me.flags)

    def _get_metrics(self) -> dict[str, Any]:
        return operator.metrics(state.metrics(self.master.cluster, self.master.me, self.master.clock()))

    def _get_master(self) -> dict[str, Any]:
        return {"master_info": msgspec.to_builtins(self.master.cluster.info)}

    def _get_agents(self) -> dict[str, Any]:
        cluster = self.master.cluster
        rows = []
        for agent in cluster.agents.values():
            offered = total(o.resources for o in cluster.offers.values() if o.agent_id == agent.id)
            rows.append(state.operator_agent(agent, offered))
        return {"agents": rows, "recovered_agents": [msgspec.to_builtins(r.info) for r in cluster.recovered.values()]}

    def _get_frameworks(self) -> dict[str, Any]:
        cluster = self.master.cluster
        return {
            "frameworks": [state.operator_framework(f) for f in cluster.frameworks.values()],
            "completed_frameworks": [state.operator_framework(f) for f in cluster.completed.values()],
        }

    def _get_executors(self) -> dict[str, Any]:
        return {"executors": []}

    def _get_tasks(self) -> dict[str, Any]:
        cluster = self.master.cluster
        everyone = [*cluster.frameworks.values(), *cluster.completed.values()]
        return {
            "tasks": [state.operator_task(t) for t in cluster.tasks()],
            "unreachable_tasks": [state.operator_task(t) for f in everyone for t in f.unreachable.values()],
            "completed_tasks": [state.operator_task(t) for f in everyone for t in f.completed],
        }

    def _get_state(self) -> dict[str, Any]:
        parts = ("tasks", "executors", "frameworks", "agents")
        return {f"get_{part}": getattr(self, f"_get_{part}")() for part in parts}

    def _get_roles(self) -> dict[str, Any]:
        rows = state.roles(self.master.cluster)["roles"]
        return {
            "roles": [
                {"name": r["name"], "weight": r["weight"], "frameworks": [{"value": f} for f in r["frameworks"]]}
                for r in rows
            ]
        }


READS = frozenset(
    {
        "GET_HEALTH",
        "GET_VERSION",
        "GET_FLAGS",
        "GET_METRICS",
        "GET_MASTER",
        "GET_AGENTS",
        "GET_FRAMEWORKS",
        "GET_EXECUTORS",
        "GET_TASKS",
        "GET_STATE",
        "GET_ROLES",
    }
)


def _as_protobuf(event: bytes) -> bytes:
    return encode_protobuf("master.Event", msgspec.json.decode(event))
