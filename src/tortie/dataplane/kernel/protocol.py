"""What the agent and its nftables child say to each other: msgpack values, each behind its length."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

import msgspec

from tortie.base.errors import Unavailable


class Open(msgspec.Struct, tag=True, frozen=True):
    """Take the table: make it when absent and load `closed` into it at once. `owner`: with the flags owner and
    persist where the kernel has them."""

    owner: bool
    closed: str


class Read(msgspec.Struct, tag=True, frozen=True):
    """Read the whole table back."""


class Text(msgspec.Struct, tag=True, frozen=True):
    """Run nft text as one transaction."""

    text: str


class Change(msgspec.Struct, frozen=True, array_like=True):
    """One element of a set or map: put (with a verdict for maps) or drop."""

    put: bool
    set: str
    type: str
    key: str
    verdict: str = ""


class Elements(msgspec.Struct, tag=True, frozen=True):
    """Change elements, all in one transaction."""

    changes: Sequence[Change]


Request = Open | Read | Text | Elements


class Opened(msgspec.Struct, tag=True, frozen=True):
    """`owned`: nobody else can change the table. `made`: it was absent. `reason`: why it is not owned."""

    owned: bool
    made: bool
    reason: str = ""


class State(msgspec.Struct, tag=True, frozen=True):
    sets: dict[str, str]
    chains: dict[str, str]
    elements: dict[str, dict[str, str]]


class Done(msgspec.Struct, tag=True, frozen=True):
    pass


class Failed(msgspec.Struct, tag=True, frozen=True):
    """Nothing of the request was applied."""

    reason: str


Reply = Opened | State | Done | Failed


def send(sock: socket.socket, value: Request | Reply) -> None:
    body = msgspec.msgpack.encode(value)
    sock.sendall(struct.pack("=I", len(body)) + body)


def receive(sock: socket.socket) -> bytes:
    """One message's bytes; Unavailable when the other side is gone."""
    (size,) = struct.unpack("=I", _exactly(sock, 4))
    return _exactly(sock, size)


def _exactly(sock: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = sock.recv(size - len(parts))
        if not part:
            raise Unavailable("nftables child: the connection ended")
        parts += part
    return bytes(parts)
