"""What the framework keeps in the store, stored before anybody acts on it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tortie.base.errors import Invalid
from tortie.base.numbers import whole
from tortie.framework import memory
from tortie.framework.leader import Keys, Leadership
from tortie.packages.calico.values import Kept
from tortie.packages.rollout.inventory import Plan
from tortie.store.open import NETWORK
from tortie.store.port import Drop, Put, Write

KEYS = Keys("/tortie/v1/packages/calico/", "/tortie/v1/packages/calico-leader", "/tortie/v1/packages/calico-term")
PLANS = f"{KEYS.prefix}plans/"


class Memory(memory.Memory[Kept]):
    """`kept`, and the plans that have been begun and not been undone, each under its number."""

    def __init__(self, leadership: Leadership, items: Sequence[tuple[str, bytes]] = ()) -> None:
        super().__init__(leadership, Kept, items)
        self.plans = {_number(key): memory.read(key, text, Plan) for key, text in items if key.startswith(PLANS)}
        self._network: str | None = None

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

    async def forget(self, *more: Write) -> None:
        await super().forget(Drop(NETWORK), *more)


def _key(number: int) -> str:
    return f"{PLANS}{number:06}"


def _number(key: str) -> int:
    number = whole(key.removeprefix(PLANS), 999_999)
    if number is None:
        raise Invalid(f"{key} of the store is no number of a plan")
    return number
