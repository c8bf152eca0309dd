"""ATTACH_CONTAINER_INPUT: a request whose body is the input of a container, as long as that is open."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import suppress

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp

from tortie.base.errors import Invalid, TortieError
from tortie.mesos.agent.nested import NestedContainers
from tortie.mesos.agent.nested_call import check_id, check_window, path_of
from tortie.mesos.agent.streams import Streams
from tortie.mesos.http import Refusal, status_of
from tortie.wire import mesos as wire
from tortie.wire.agent_records import JSON
from tortie.wire.mesos import agent_api as v1
from tortie.wire.mesos.binary import decode_protobuf
from tortie.wire.recordio import Deframer

LONGEST = 16 * 1024 * 1024
PIECE = 64 * 1024


async def attach_input(nested: NestedContainers, request: Request, inner: str) -> ASGIApp:
    """Answers when the body or the container ends. What is wrong with a record is told at once. Whoever hangs up frees
    the container's input and does not end it."""
    calls = _calls(request, inner)
    try:
        container_id = _first(await anext(calls, None))
        found = nested.find(container_id)
        streams = nested.open(container_id)
        if found is not None and found.ended.is_set():
            raise Refusal(500, f"Container {path_of(container_id)} has ended", Connection="close")
        release = nested.take_input(container_id)
        try:
            await _until_either_ends(nested, streams, container_id, calls)
        finally:
            release()
    except ClientDisconnect:
        return Response(status_code=200)
    except TortieError as error:
        # The body goes on: nothing else may come over this connection.
        raise Refusal(status_of(error), str(error), Connection="close") from error
    finally:
        await calls.aclose()
    return Response(status_code=200, headers={"Connection": "close"})


async def _calls(request: Request, inner: str) -> AsyncGenerator[v1.AttachInput, None]:
    """Raises Invalid for a body that is none, ClientDisconnect for one that breaks off."""
    deframer = Deframer(LONGEST)
    async for chunk in request.stream():
        for record in deframer.feed(chunk):
            call = wire.decode(record, v1.Call) if inner == JSON else decode_protobuf(record, v1.Call, "agent.Call")
            if call.type is None:
                raise Invalid("Failed to validate agent::Call: Expecting 'type' to be present")
            if call.type != "ATTACH_CONTAINER_INPUT":
                raise Refusal(415, f"Streaming requests are not supported for call {call.type}", Connection="close")
            if call.attach_container_input is None:
                raise Invalid("Failed to validate agent::Call: Expecting 'attach_container_input' to be present")
            yield call.attach_container_input
    if deframer.pending:
        raise Invalid("RecordIO: the body ends within a record")


def _first(said: v1.AttachInput | None) -> wire.ContainerID:
    if said is None:
        raise Invalid("Expecting a first record with 'attach_container_input'")
    if said.type != "CONTAINER_ID":
        raise Invalid("Expecting 'attach_container_input.type' to be CONTAINER_ID")
    if said.container_id is None:
        raise Invalid("Expecting 'attach_container_input.container_id' to be present")
    check_id(said.container_id)
    return said.container_id


async def _until_either_ends(
    nested: NestedContainers,
    streams: Streams,
    container_id: wire.ContainerID,
    calls: AsyncGenerator[v1.AttachInput, None],
) -> None:
    problem: Exception | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(_until_over, nested, container_id, group.cancel_scope)
        try:
            async for said in calls:
                await _carry_out(streams, container_id.value, said)
        except (TortieError, ClientDisconnect, Refusal) as error:
            problem = error
        group.cancel_scope.cancel()
    if problem is not None:
        raise problem


async def _until_over(nested: NestedContainers, container_id: wire.ContainerID, scope: anyio.CancelScope) -> None:
    with suppress(TortieError):
        await nested.wait(container_id)
    scope.cancel()


async def _carry_out(streams: Streams, name: str, said: v1.AttachInput) -> None:
    if said.type != "PROCESS_IO":
        raise Invalid("Expecting 'attach_container_input.type' to be PROCESS_IO")
    told = said.process_io
    if told is None:
        raise Invalid("Expecting 'attach_container_input.process_io' to be present")
    if told.type == "DATA":
        if told.data is None or told.data.type != "STDIN":
            raise Invalid("Expecting 'process_io.data.type' to be STDIN")
        data = told.data.data
        if not data:
            await streams.close_input(name)
        for start in range(0, len(data), PIECE):
            await streams.write(name, data[start : start + PIECE])
    elif told.type == "CONTROL" and told.control and told.control.type == "TTY_INFO":
        if told.control.tty_info is None or told.control.tty_info.window_size is None:
            raise Invalid("Expecting 'process_io.control.tty_info.window_size' to be present")
        size = check_window(told.control.tty_info.window_size)
        await streams.resize(name, size.rows, size.columns)
