"""Commands in containers, by the v1 API of a Mesos agent: sessions, attaching, signals, how they ended.

Blocking and light, for command lines: plain sockets and a thread or two.
"""

from __future__ import annotations

import http.client
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tortie.base.errors import Invalid, Unavailable
from tortie.wire.agent_address import AgentAddress, Refused, refusal
from tortie.wire.agent_input import InputLine
from tortie.wire.agent_records import RECORDIO, Codec, JsonCodec, process_data
from tortie.wire.recordio import Deframer

if TYPE_CHECKING:
    import ssl

__all__ = ["AgentClient", "Refused", "Stream", "exit_code"]

SILENCE = 120.0
"""An agent says something every 30 seconds."""


def exit_code(status: int) -> int:
    """wait(2)'s status as a shell tells it: 128 and the signal's number for a death by signal."""
    return 128 + (status & 0x7F) if status & 0x7F else status >> 8


def own_codec(*, protobuf: bool) -> Codec:
    if not protobuf:
        return JsonCodec()
    from tortie.wire.protobuf_codec import ProtobufCodec

    return ProtobufCodec()


class AgentClient:
    """One agent. `url` is that of its API: http://HOST:5051/api/v1, or the entry door's /slave/ID/api/v1.

    A container id is a document as in a task's status: {"value": ..., "parent": ...?}. Every call raises Refused, or
    Unavailable when nobody answers.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 30.0,
        protobuf: bool = False,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.address = AgentAddress(url, headers or {}, timeout, context)
        self.codec = own_codec(protobuf=protobuf)

    def session(
        self,
        parent: Mapping[str, Any],
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
        terminal: bool = False,
        rows: int = 0,
        columns: int = 0,
    ) -> Stream:
        """Runs `arguments` in the container `parent`; it ends with the Stream."""
        container_id = {"value": str(uuid.uuid4()), "parent": dict(parent)}
        command: dict[str, Any] = {"shell": False, "value": arguments[0], "arguments": list(arguments)}
        if environment:
            command["environment"] = {"variables": [{"name": k, "value": v} for k, v in environment.items()]}
        if user is not None:
            command["user"] = user
        container: dict[str, Any] = {"type": "MESOS"}
        if terminal:
            container["tty_info"] = {"window_size": {"rows": rows, "columns": columns}} if rows or columns else {}
        payload = {"container_id": container_id, "command": command, "container": container}
        return self._stream("LAUNCH_NESTED_CONTAINER_SESSION", container_id, payload)

    def attach(self, container_id: Mapping[str, Any]) -> Stream:
        """The output of a container that runs already, from now on."""
        return self._stream("ATTACH_CONTAINER_OUTPUT", container_id, {"container_id": dict(container_id)})

    def wait(self, container_id: Mapping[str, Any], timeout: float | None = None) -> int:
        """wait(2)'s status, once it has ended. Unavailable after `timeout` seconds (none: for ever)."""
        kind = "WAIT_CONTAINER"
        found = self._call(kind, {"container_id": dict(container_id)}, timeout=timeout)
        try:
            return int(found["wait_container"]["exit_status"])
        except (KeyError, TypeError, ValueError) as error:
            raise Unavailable(
                f"{self.address.url} does not say how container {container_id.get('value')} ended"
            ) from error

    def kill(self, container_id: Mapping[str, Any], number: int = 9) -> None:
        self._call(
            "KILL_CONTAINER", {"container_id": dict(container_id), "signal": number}, timeout=self.address.timeout
        )

    def _call(self, kind: str, payload: Mapping[str, Any], *, timeout: float | None) -> Any:
        headers = {"Content-Type": self.codec.media_type, "Accept": self.codec.media_type}
        connection = self.address.connect(timeout)
        try:
            reply = self._ask(connection, self.codec.call(kind, payload), headers)
            body = reply.read()
            return self.codec.response(body) if body else {}
        except Invalid as error:
            raise Unavailable(f"{self.address.url} gave no answer to {kind}: {error}") from error
        except (OSError, http.client.HTTPException) as error:
            raise _silent(self.address.url, error) from error
        finally:
            connection.close()

    def _stream(self, kind: str, container_id: Mapping[str, Any], payload: Mapping[str, Any]) -> Stream:
        headers = {
            "Content-Type": self.codec.media_type,
            "Accept": RECORDIO,
            "Message-Accept": self.codec.media_type,
        }
        connection = self.address.connect(self.address.timeout)
        try:
            reply = self._ask(connection, self.codec.call(kind, payload), headers)
        except BaseException as error:
            connection.close()
            if isinstance(error, OSError | http.client.HTTPException):
                raise _silent(self.address.url, error) from error
            raise
        if connection.sock is not None:
            connection.sock.settimeout(SILENCE)
        return Stream(self, container_id, connection, reply)

    def _ask(
        self, connection: http.client.HTTPConnection, body: bytes, headers: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        connection.request("POST", self.address.path, body, {**self.address.headers, **headers})
        reply = connection.getresponse()
        if reply.status not in (200, 202):
            raise refusal(reply)
        return reply


def _silent(url: str, error: Exception) -> Unavailable:
    return Unavailable(f"{url}: {error or type(error).__name__}")


class Stream:
    """A container's output as it comes, and on demand its input. Close it, or use it in a `with`.

    For one thread that reads `output`, another that writes, and signal handlers that `resize`.
    """

    def __init__(
        self,
        client: AgentClient,
        container_id: Mapping[str, Any],
        connection: http.client.HTTPConnection,
        reply: http.client.HTTPResponse,
    ) -> None:
        self.container_id = container_id
        self._client = client
        self._connection = connection
        # The connection forgets its socket when the reply says that it is the last; shutting down needs it.
        self._socket = connection.sock
        self._reply = reply
        self._input: InputLine | None = None
        self._closed = False

    def output(self) -> Iterator[tuple[str, bytes]]:
        """("STDOUT" or "STDERR", bytes), until it has ended. Raises Refused when its input was refused, Unavailable
        when the agent is gone."""
        deframer = Deframer()
        while True:
            try:
                data = self._reply.read1(65536)
                records = deframer.feed(data)
                parts = [process_data(self._client.codec.process_io(record)) for record in records]
            except (OSError, http.client.HTTPException, ValueError, AttributeError, Invalid) as error:
                if self._closed:
                    return
                if self._input is not None and self._input.problem is not None:
                    raise self._input.problem from error
                raise _silent(self._client.address.url, error) from error
            yield from (part for part in parts if part)
            if not data:
                return

    def open_input(self) -> None:
        """Becomes the container's one input. That somebody else is it already shows in `output` (status 409)."""
        if self._input is None:
            self._input = InputLine(self._client.address, self._client.codec, self.container_id, self.hang_up)

    def write(self, data: bytes) -> None:
        """Waits while the container does not read. What it does not read any more is dropped."""
        if data:
            self._line().write(data)

    def close_input(self) -> None:
        """Its standard input ends; a terminal has no end."""
        self._line().write(b"")

    def resize(self, rows: int, columns: int) -> None:
        """Never waits; may be called by a signal handler."""
        self._line().resize(rows, columns)

    def _line(self) -> InputLine:
        self.open_input()
        assert self._input is not None
        return self._input

    def wait(self, timeout: float = 30.0) -> int:
        """wait(2)'s status, once `output` has ended."""
        return self._client.wait(self.container_id, timeout)

    def hang_up(self) -> None:
        """`output` ends at once, in whatever thread."""
        import socket

        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                return

    def close(self) -> None:
        """A session ends with this, a container that was attached to goes on; `output` ends in whatever thread."""
        self._closed = True
        if self._input is not None:
            self._input.close()
        self.hang_up()
        self._reply.close()
        self._connection.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
