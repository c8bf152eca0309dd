"""POST /api/v1 of an agent: what operators read of it, and containers inside the containers of its tasks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from tortie.mesos import operator, system
from tortie.mesos.agent import operator_state, state
from tortie.mesos.agent.input import LONGEST, attach_input
from tortie.mesos.agent.nested import StillRuns
from tortie.mesos.agent.nested_call import check_id
from tortie.mesos.agent.output import OutputStream
from tortie.mesos.agent.runtime import Agent
from tortie.mesos.agent.usage import usage_of
from tortie.mesos.files import Files
from tortie.mesos.http import Refusal, WhileThere, answer, only_post, posted_call
from tortie.mesos.levels import LogLevel
from tortie.mesos.media import Media, media
from tortie.wire import mesos as wire
from tortie.wire.agent_records import RECORDIO
from tortie.wire.mesos import agent_api as v1

RESPONSE = "agent.Response"
NESTED_ONLY = frozenset(
    f"{verb}_NESTED_CONTAINER{rest}" for verb in ("LAUNCH", "WAIT", "KILL", "REMOVE") for rest in ("", "_SESSION")
)
PAYLOADS = frozenset(v1.Call.__struct_fields__) - {"type", "get_metrics", "get_containers"}
"""Calls that mean nothing without theirs."""
SERVED = frozenset(name.upper() for name in PAYLOADS) | {"GET_CONTAINERS", "GET_LOGGING_LEVEL"}
"""By a method of OperatorApi."""


class OperatorApi:
    def __init__(self, agent: Agent, files: Files, level: LogLevel) -> None:
        self.agent = agent
        self.files = files
        self.level = level

    async def __call__(self, request: Request) -> ASGIApp:
        only_post(request)
        asked = media(request.headers)
        if not self.agent.recovered:
            raise Refusal(503, "Agent has not finished recovery")
        if asked.body == RECORDIO:
            return await attach_input(self.agent.nested, request, asked.message)
        call = await posted_call(request, asked, v1.Call, "agent.Call", LONGEST)
        kind = _checked(call)
        if kind in SERVED:
            reply: ASGIApp = await getattr(self, f"_{kind.lower()}")(call, asked)
            return reply
        read = READS.get(kind)
        if read is None:
            raise Refusal(501, f"Call {kind} is not served by this agent")
        return self._answer(asked, kind, read(self.agent))

    def _answer(self, asked: Media, kind: str, value: Any) -> Response:
        """Lists without anything in them are not said."""
        return answer(asked, RESPONSE, {"type": kind, kind.lower(): {k: v for k, v in value.items() if v != []}})

    # -- reading -------------------------------------------------------------------------------------------------------

    async def _get_containers(self, call: v1.Call, asked: Media) -> ASGIApp:
        nested = bool(call.get_containers and call.get_containers.show_nested)
        usage = await usage_of(self.agent)
        return self._answer(asked, "GET_CONTAINERS", operator_state.containers(self.agent, usage, nested=nested))

    async def _list_files(self, call: v1.Call, asked: Media) -> ASGIApp:
        assert call.list_files is not None
        return self._answer(asked, "LIST_FILES", {"file_infos": self.files.infos(call.list_files.path)})

    async def _read_file(self, call: v1.Call, asked: Media) -> ASGIApp:
        assert call.read_file is not None
        wanted = call.read_file
        return self._answer(asked, "READ_FILE", self.files.part(wanted.path, wanted.offset, wanted.length))

    async def _get_logging_level(self, call: v1.Call, asked: Media) -> ASGIApp:
        return self._answer(asked, "GET_LOGGING_LEVEL", {"level": self.level.level})

    async def _set_logging_level(self, call: v1.Call, asked: Media) -> ASGIApp:
        assert call.set_logging_level is not None
        self.level.set(call.set_logging_level.level, call.set_logging_level.duration.seconds)
        return Response(status_code=200)

    # -- containers in containers --------------------------------------------------------------------------------------

    async def _launch_nested_container(self, call: v1.Call, asked: Media) -> ASGIApp:
        made = await self.agent.nested.launch(_payload(call), session=False)
        return Response(status_code=200 if made else 202)

    _launch_container = _launch_nested_container

    async def _launch_nested_container_session(self, call: v1.Call, asked: Media) -> ASGIApp:
        nested = self.agent.nested
        made = await nested.launch(_payload(call), session=True)
        assert made is not None
        assert nested.streams is not None
        return OutputStream(nested.streams.output(made.id), asked, lambda whole: nested.end(made, by_itself=whole))

    async def _attach_container_output(self, call: v1.Call, asked: Media) -> ASGIApp:
        container_id = _payload(call).container_id
        streams = self.agent.nested.open(container_id)
        found = self.agent.nested.find(container_id)
        if found is not None and found.ended.is_set():
            raise Refusal(500, "The container has ended: there is nothing to attach to")
        return OutputStream(streams.output(container_id.value), asked, _nothing)

    async def _wait_nested_container(self, call: v1.Call, asked: Media) -> ASGIApp:
        return WhileThere(self._waited(call, asked))

    _wait_container = _wait_nested_container

    def _waited(self, call: v1.Call, asked: Media) -> Callable[[], Awaitable[Response]]:
        if asked.reply == RECORDIO:
            raise Refusal(406, "Streaming responses are not supported for this call")
        container_id = _payload(call).container_id
        self.agent.nested.find(container_id)

        async def answered() -> Response:
            status = await self.agent.nested.wait(container_id)
            return self._answer(asked, str(call.type), {"exit_status": status})

        return answered

    async def _kill_nested_container(self, call: v1.Call, asked: Media) -> ASGIApp:
        wanted = _payload(call)
        await self.agent.nested.kill(wanted.container_id, wanted.signal)
        return Response(status_code=200)

    _kill_container = _kill_nested_container

    async def _remove_nested_container(self, call: v1.Call, asked: Media) -> ASGIApp:
        try:
            await self.agent.nested.remove(_payload(call).container_id)
        except StillRuns as error:
            raise Refusal(500, str(error)) from error
        return Response(status_code=200)

    _remove_container = _remove_nested_container


READS: dict[str, Callable[[Agent], dict[str, Any]]] = {
    "GET_HEALTH": lambda agent: {"healthy": True},
    "GET_FLAGS": lambda agent: operator.flags(agent.settings.flags),
    "GET_VERSION": lambda agent: {"version_info": operator.version()},
    "GET_METRICS": lambda agent: operator.metrics(state.metrics(agent, agent.clock()) | system.metrics()),
    "GET_STATE": operator_state.whole_state,
    "GET_FRAMEWORKS": operator_state.frameworks,
    "GET_EXECUTORS": operator_state.executors,
    "GET_TASKS": operator_state.tasks,
    "GET_AGENT": lambda agent: {"agent_info": operator.built(agent.info)},
}


async def _nothing(_: bool) -> None:
    """Whoever attached leaves, the container goes on."""


def _checked(call: v1.Call) -> str:
    """The call's type, with what it needs in it. Raises Refusal in the original's words."""
    kind = call.type
    if kind is None:
        raise Refusal(400, "Failed to validate agent::Call: Expecting 'type' to be present")
    if kind == "UNKNOWN":
        raise Refusal(501, "Received 'UNKNOWN' call")
    field = kind.lower()
    if kind == "ATTACH_CONTAINER_INPUT":
        raise Refusal(415, "Expecting 'Content-Type' of application/recordio for call ATTACH_CONTAINER_INPUT")
    if field in PAYLOADS:
        payload = getattr(call, field)
        if payload is None:
            raise Refusal(400, f"Failed to validate agent::Call: Expecting '{field}' to be present")
        container_id: wire.ContainerID | None = getattr(payload, "container_id", None)
        if container_id is not None:
            check_id(container_id)
            if kind in NESTED_ONLY and container_id.parent is None:
                raise Refusal(
                    400, f"Failed to validate agent::Call: Expecting '{field}.container_id.parent' to be present"
                )
    return kind


def _payload(call: v1.Call) -> Any:
    return getattr(call, str(call.type).lower())
