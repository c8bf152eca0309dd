"""One look at the members: which of them answer, and what etcd itself says of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from tortie.packages.etcd.api import Etcd
from tortie.packages.etcd.values import Member, Seen


class Look:
    """Remembers since when a member is silent, and since when there is no leader."""

    def __init__(self, etcd: Etcd, clock: Callable[[], float]) -> None:
        self._etcd, self._clock = etcd, clock
        self._silent: dict[str, float] = {}
        self._leaderless: float | None = None

    def forget_leader(self) -> None:
        """A cluster that is begun anew gets its whole time to find one."""
        self._leaderless = None

    async def at(self, members: Sequence[Member], states: Mapping[str, str], in_touch: Callable[[], bool]) -> Seen:
        """`states` of tasks and `in_touch` are read when all have answered: the master may have said more meanwhile."""
        answers = await asyncio.gather(*(self._at(member) for member in members))
        now = self._clock()
        alive = {one.name: index for one, (index, _) in zip(members, answers, strict=True) if index is not None}
        healthy = {one.name for one, (_, good) in zip(members, answers, strict=True) if good}
        cluster = None
        for member in members:
            if member.name in healthy and cluster is None:
                cluster = await self._etcd.members(member)
        silent = {member.name for member in members if member.name not in alive}
        self._silent = {name: self._silent.get(name, now) for name in silent}
        self._leaderless = None if cluster is not None else (self._leaderless or now)
        return Seen(
            in_touch=in_touch(),
            tasks=dict(states),
            alive=alive,
            healthy=healthy,
            cluster=cluster,
            silent=dict(self._silent),
            leaderless=self._leaderless,
        )

    async def _at(self, member: Member) -> tuple[int | None, bool]:
        index = await self._etcd.alive(member)
        return index, index is not None and await self._etcd.healthy(member)
