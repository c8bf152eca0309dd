"""What the framework keeps, stored before anybody acts on it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Invalid, TortieError
from tortie.marathon.leader import Keys, Leadership
from tortie.packages.etcd.values import Kept
from tortie.store.port import Drop, Put, Write

STATE = "state"


class StoreLost(TortieError):
    """The store or the leadership is gone: the process ends, and another takes over."""


def keys(framework: str) -> Keys:
    """Where the framework of this name keeps what must outlive it, and who of several leads."""
    base = "/tortie/v1/packages/etcd"
    return Keys(f"{base}/{framework}/", f"{base}-leader/{framework}", f"{base}-term/{framework}")


def load(items: Sequence[tuple[str, bytes]]) -> Kept:
    """What is kept, from the store's keys."""
    for key, value in items:
        if key.endswith(f"/{STATE}"):
            try:
                return msgspec.json.decode(value, type=ready(Kept))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise Invalid(f"{key} of the store cannot be read: {error}") from error
    return Kept()


class Memory:
    """A store that fails ends the program: what it knows would be ahead of what is kept."""

    def __init__(self, kept: Kept, leadership: Leadership) -> None:
        self.kept, self._leadership = kept, leadership

    async def keep(self, kept: Kept) -> None:
        """Returns once it is stored."""
        await self._write(Put(self._key, msgspec.json.encode(kept)))
        self.kept = kept

    async def forget(self) -> None:
        await self._write(Drop(self._key))

    async def _write(self, write: Write) -> None:
        try:
            await self._leadership.commit([write])
        except TortieError as error:
            raise StoreLost(str(error)) from error

    @property
    def _key(self) -> str:
        return self._leadership.keys.prefix + STATE
