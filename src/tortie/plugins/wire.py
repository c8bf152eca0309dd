"""How the launcher and the agent speak: one call per connection, the same bytes when a call is kept for later."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from tortie.base.errors import Invalid
from tortie.plugins.launching import MOST, PROTOCOL

READ_SECONDS = 5.0
_CREDENTIALS = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class Request:
    """What a launcher says of a call: PLUGIN (the name it was run by), STAMP (the namespace that it passes along) and
    the runtime's own variables; and what the runtime wrote to it."""

    variables: Mapping[str, str]
    stdin: bytes


def decode(data: bytes) -> Request:
    """Invalid when it is no call of a launcher."""
    if not data.startswith(PROTOCOL):
        raise Invalid("not a call of this version's launcher")
    head, end, stdin = data[len(PROTOCOL) :].partition(b"\0\0")
    if not end:
        raise Invalid("the call was cut off")
    pairs = (part.decode(errors="replace").partition("=") for part in head.split(b"\0"))
    return Request({name: value for name, _, value in pairs}, stdin)


def encode(request: Request) -> bytes:
    head = b"".join(f"{name}={value}\0".encode() for name, value in request.variables.items())
    return PROTOCOL + head + b"\0" + request.stdin


def receive(connection: socket.socket) -> tuple[Request, int | None]:
    """A call of root's, with the descriptor of the container's namespace, the caller's to close. It blocks.

    Invalid for anybody else's and for what is no call; OSError when the other side is gone or too slow.
    """
    _pid, user, _group = _CREDENTIALS.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    if user != 0:
        raise Invalid(f"user {user} may not ask for interfaces")
    connection.settimeout(READ_SECONDS)
    data, descriptors = bytearray(), []
    try:
        while len(data) <= 2 * MOST:
            part, passed, _flags, _address = socket.recv_fds(connection, 65536, 1)
            descriptors += passed
            data += part
            if not part:
                return decode(bytes(data)), descriptors.pop(0) if descriptors else None
        raise Invalid(f"a call of more than {2 * MOST} bytes")
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
