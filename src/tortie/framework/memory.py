"""What a framework keeps in the store, stored before anybody acts on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Invalid, TortieError
from tortie.framework.leader import Leadership
from tortie.store.port import Drop, Put, Write

T = TypeVar("T")
K = TypeVar("K", bound=msgspec.Struct)
STATE = "state"
"""Below the framework's prefix."""


class StoreLost(TortieError):
    """The store or the leadership is gone: the process ends, and another takes over."""


def read(key: str, value: bytes, kind: type[T]) -> T:
    """Invalid when what the store has under the key is none."""
    try:
        return msgspec.json.decode(value, type=ready(kind))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"{key} of the store cannot be read: {error}") from error


async def commit(leadership: Leadership, writes: Sequence[Write]) -> None:
    """StoreLost ends the program: what it knows would be ahead of what is kept."""
    try:
        await leadership.commit(writes)
    except TortieError as error:
        raise StoreLost(str(error)) from error


class Memory(Generic[K]):
    """`kept`: of this kind, as `items` of the store have it, or new; it has a `framework_id`."""

    def __init__(self, leadership: Leadership, kind: type[K], items: Sequence[tuple[str, bytes]] = ()) -> None:
        self.leadership = leadership
        self._key = leadership.keys.prefix + STATE
        found = dict(items).get(self._key)
        self.kept = kind() if found is None else read(self._key, found, kind)
        self._turn = asyncio.Lock()

    async def change(self, how: Callable[[K], K], *more: Write) -> None:
        """Returns once it is stored, together with `more`. Raises StoreLost."""
        async with self._turn:
            kept = how(self.kept)
            if kept != self.kept or more:
                await commit(self.leadership, [Put(self._key, msgspec.json.encode(kept)), *more])
                self.kept = kept

    async def keep(self, kept: K) -> None:
        await self.change(lambda _: kept)

    async def subscribed(self, framework_id: str) -> None:
        """As the master knows us from now on."""
        await self.change(lambda kept: msgspec.structs.replace(kept, framework_id=framework_id))

    async def forget(self, *more: Write) -> None:
        """For good, together with `more`."""
        async with self._turn:
            await commit(self.leadership, [Drop(self._key), *more])
