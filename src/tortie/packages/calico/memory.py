"""What the framework keeps, stored before anybody acts on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from tortie.base.decoding import ready
from tortie.base.errors import Invalid, TortieError
from tortie.marathon.leader import Keys, Leadership
from tortie.packages.calico.values import Kept
from tortie.packages.rollout.inventory import Plan
from tortie.store.open import NETWORK
from tortie.store.port import Drop, Put, Write

KEYS = Keys("/tortie/v1/packages/calico/", "/tortie/v1/packages/calico-leader", "/tortie/v1/packages/calico-term")
STATE = f"{KEYS.prefix}state"
PLANS = f"{KEYS.prefix}plans/"


class StoreLost(TortieError):
    """The store or the leadership is gone: the process ends, and another takes over."""


class Memory:
    """`kept`, and the plans that have been begun and not been undone, each under its number."""

    def __init__(self, leadership: Leadership, items: Sequence[tuple[str, bytes]] = ()) -> None:
        self.leadership = leadership
        found = dict(items)
        try:
            self.kept = msgspec.json.decode(found[STATE], type=ready(Kept)) if STATE in found else Kept()
            numbered = {key.removeprefix(PLANS): text for key, text in found.items() if key.startswith(PLANS)}
            self.plans = {int(key): msgspec.json.decode(text, type=ready(Plan)) for key, text in numbered.items()}
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
            raise Invalid(f"{KEYS.prefix} of the store cannot be read: {error}") from error
        self._turn = asyncio.Lock()
        self._network: str | None = None

    async def change(self, how: Callable[[Kept], Kept], *more: Write) -> None:
        """Together with `more`. StoreLost ends the program: what it knows would be ahead of what is kept."""
        async with self._turn:
            kept = how(self.kept)
            if kept != self.kept or more:
                await self._commit([Put(STATE, msgspec.json.encode(kept)), *more])
                self.kept = kept

    async def push(self, plan: Plan) -> None:
        """Before a plan is begun: it is to be undone at the end, after those that come later."""
        number = max(self.plans, default=0) + 1
        await self.change(lambda kept: kept, Put(_key(number), msgspec.json.encode(plan)))
        self.plans[number] = plan

    async def pop(self, plan: str) -> None:
        """After this plan, the latest one, has been undone. With the last of all the network is gone."""
        number = max(self.plans, default=0)
        if number and self.plans[number].digest == plan:
            gone = [Drop(NETWORK)] if len(self.plans) == 1 else []
            await self.change(lambda kept: kept, Drop(_key(number)), *gone)
            del self.plans[number]
            self._network = None

    async def tell_network(self, store: str) -> None:
        """Who has no node finds the network's store by this."""
        if store != self._network:
            await self.change(lambda kept: kept, Put(NETWORK, store.encode()))
            self._network = store

    @property
    def latest(self) -> Plan | None:
        return self.plans[max(self.plans)] if self.plans else None

    async def forget(self) -> None:
        async with self._turn:
            await self._commit([Drop(STATE), Drop(NETWORK)])

    async def _commit(self, writes: Sequence[Write]) -> None:
        try:
            await self.leadership.commit(writes)
        except TortieError as error:
            raise StoreLost(str(error)) from error


def _key(number: int) -> str:
    return f"{PLANS}{number:06}"
