"""What the agent and its nftables child say to each other: msgpack values, each behind its length."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

import msgspec

from tortie.base.errors import Unavailable
from tortie.dataplane.steps import Refusal, Step

BATCH_BYTES = 48 << 20


class Open(msgspec.Struct, tag=True, frozen=True):
    """Take the table: make it when absent and load `closed` into it at once. `owner`: with the flags owner and
    persist where the kernel has them. `batch_bytes`: what goes to the kernel in one transaction at most, as far as it
    can be divided."""

    owner: bool
    closed: Sequence[Step]
    batch_bytes: int = BATCH_BYTES


class Read(msgspec.Struct, tag=True, frozen=True):
    """Read the table back: all of it but elements, and the elements of the sets `names` (None: of all)."""

    names: Sequence[str] | None = None


class Apply(msgspec.Struct, tag=True, frozen=True):
    """Carry out `prepare` and `commit` in one transaction. `prepare` makes only what nothing refers to yet: it goes
    ahead, in several transactions, if all of it together is too much for one."""

    prepare: Sequence[Step]
    commit: Sequence[Step]


Request = Open | Read | Apply


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
    """Nothing of the request was applied, or it is not known how much."""

    reason: str


class Rejected(msgspec.Struct, tag=True, frozen=True):
    """Nothing of the request was applied, because of these."""

    refusals: Sequence[Refusal]


Reply = Opened | State | Done | Failed | Rejected


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
