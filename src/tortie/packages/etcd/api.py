"""etcd's own API: who is alive, who reaches the quorum, and who belongs to the cluster."""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Conflict, Unavailable
from tortie.packages.etcd.values import Member, Peer

M = TypeVar("M")
_LOOK = aiohttp.ClientTimeout(total=5, sock_connect=2)
_CHANGE = aiohttp.ClientTimeout(total=15, sock_connect=2)
_COPY = aiohttp.ClientTimeout(total=600, sock_connect=5, sock_read=60)
_LARGEST_LINE = 4 * 1024 * 1024
MOST_SEED = 8 * 1024**3


class _Listed(msgspec.Struct):
    ID: int
    name: str = ""
    peerURLs: list[str] = []
    isLearner: bool = False


class _Members(msgspec.Struct):
    members: list[_Listed] = []


class _Status(msgspec.Struct):
    raftIndex: int = 0


class _Counted(msgspec.Struct):
    count: int = 0


class _Piece(msgspec.Struct):
    blob: str = ""


class _Stream(msgspec.Struct):
    result: _Piece | None = None


class _Nothing(msgspec.Struct):
    """An answer of which nothing is needed."""


class Etcd:
    """Calls to single members. Unavailable: no answer; Conflict: etcd refuses."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    async def alive(self, member: Member) -> int | None:
        """How far its log goes, with or without a quorum; None when its server does not answer."""
        found = await self._answers(member, "/v3/maintenance/status", _Status)
        return None if found is None else found.raftIndex

    async def healthy(self, member: Member) -> bool:
        """Does a read through the quorum succeed there?"""
        found = await self._answers(member, "/v3/kv/range", _Nothing, key=_key("health"))
        return found is not None

    async def members(self, member: Member) -> tuple[Peer, ...] | None:
        """The cluster as this member lists it; None when it does not answer."""
        found = await self._answers(member, "/v3/cluster/member/list", _Members)
        if found is None:
            return None
        return tuple(
            Peer(id=one.ID, name=one.name, urls=tuple(one.peerURLs), learner=one.isLearner) for one in found.members
        )

    async def add_learner(self, through: Sequence[Member], url: str) -> tuple[Peer, ...]:
        """All members afterwards; the new one has no vote."""
        found = await self._change(through, "/v3/cluster/member/add", _Members, peerURLs=[url], isLearner=True)
        return tuple(
            Peer(id=one.ID, name=one.name, urls=tuple(one.peerURLs), learner=one.isLearner) for one in found.members
        )

    async def promote(self, through: Sequence[Member], etcd_id: int) -> None:
        await self._change(through, "/v3/cluster/member/promote", _Nothing, ID=str(etcd_id))

    async def remove(self, through: Sequence[Member], etcd_id: int) -> None:
        await self._change(through, "/v3/cluster/member/remove", _Nothing, ID=str(etcd_id))

    async def count(self, through: Sequence[Member], prefix: str) -> int:
        """How many keys begin with this prefix."""
        asked = {"key": _key(prefix), "range_end": _key(prefix[:-1] + chr(ord(prefix[-1]) + 1)), "count_only": True}
        return (await self._change(through, "/v3/kv/range", _Counted, **asked)).count

    async def snapshot(self, member: Member, target: Path) -> None:
        """Everything that this one member holds, quorum or not; etcd's own digest stands at the end."""
        url, written = f"{member.client_url}/v3/maintenance/snapshot", 0
        try:
            async with self._http.post(url, json={}, timeout=_COPY, read_bufsize=_LARGEST_LINE) as reply:
                with target.open("wb") as file:
                    async for line in reply.content:
                        piece = msgspec.json.decode(line, type=ready(_Stream)).result
                        if reply.status != 200 or piece is None:
                            raise Unavailable(f"{member.name}: {line[:300].decode(errors='replace')}")
                        data = b64decode(piece.blob)
                        written += len(data)
                        if written > MOST_SEED:
                            raise Unavailable(f"{member.name}: more than {MOST_SEED} bytes")
                        await asyncio.to_thread(file.write, data)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, msgspec.DecodeError) as error:
            raise Unavailable(f"{member.name}: {error or type(error).__name__}") from error

    async def _answers(self, member: Member, path: str, kind: type[M], **message: Any) -> M | None:
        try:
            return await self._call(member, path, kind, message, _LOOK)
        except (Unavailable, Conflict):
            return None

    async def _change(self, through: Sequence[Member], path: str, kind: type[M], **message: Any) -> M:
        """By the first that can be reached: whether one that broke off has done it is seen at the next look."""
        if not through:
            raise Unavailable("no member is healthy")
        return await self._call(through[0], path, kind, message, _CHANGE)

    async def _call(self, member: Member, path: str, kind: type[M], message: Any, limit: aiohttp.ClientTimeout) -> M:
        try:
            async with self._http.post(member.client_url + path, json=message, timeout=limit) as reply:
                body = await reply.content.read(1 << 20)
                if reply.status != 200:
                    raise Conflict(f"{member.name}: {_message(body) or f'HTTP {reply.status}'}")
                return msgspec.json.decode(body, type=ready(kind), strict=False)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, msgspec.DecodeError) as error:
            raise Unavailable(f"{member.name}: {error or type(error).__name__}") from error


def _key(text: str) -> str:
    return b64encode(text.encode()).decode()


def _message(body: bytes) -> str:
    try:
        return str(msgspec.json.decode(body, type=dict[str, object]).get("message", ""))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body[:200].decode(errors="replace")
