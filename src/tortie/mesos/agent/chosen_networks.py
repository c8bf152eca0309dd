"""All ways to a network as one: each container keeps the one that it was brought by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tortie.mesos.agent.network_choice import Way, way
from tortie.mesos.agent.networks import Joined, Networks, Wish


class ChosenNetworks:
    """`ways` has HOST and CNI, and MODULES only where they are configured."""

    def __init__(self, ways: Mapping[Way, Networks]) -> None:
        self.ways = ways

    def _for(self, wish: Wish) -> Networks:
        return self.ways[way(wish.network_infos, modules=Way.MODULES in self.ways)]

    def _of(self, container_id: str) -> list[Networks]:
        """Whoever keeps something of it: what is on disk decides, whatever is configured by now."""
        return [networks for networks in self.ways.values() if networks.keeps(container_id)]

    def check(self, wish: Wish) -> None:
        self._for(wish).check(wish)

    async def join(self, wish: Wish) -> Joined:
        """An earlier attempt may have gone another way."""
        chosen = self._for(wish)
        for other in self._of(wish.container_id):
            if other is not chosen:
                await other.leave(wish.container_id)
        return await chosen.join(wish)

    async def isolate(self, container_id: str, pid: int) -> None:
        for networks in self._of(container_id):
            await networks.isolate(container_id, pid)

    async def leave(self, container_id: str) -> None:
        for networks in self._of(container_id):
            await networks.leave(container_id)

    def joined(self, container_id: str) -> Joined | None:
        keepers = self._of(container_id) or [self.ways[Way.HOST]]
        found = (networks.joined(container_id) for networks in keepers)
        return next((joined for joined in found if joined is not None), None)

    def keeps(self, container_id: str) -> bool:
        return bool(self._of(container_id))

    def kept(self) -> Sequence[str]:
        return sorted({container_id for networks in self.ways.values() for container_id in networks.kept()})
