"""The host's own network, as one of the ways to have a network: there is nothing to join."""

from __future__ import annotations

from collections.abc import Sequence

from tortie.base.errors import Invalid
from tortie.mesos.agent.networks import Joined, Wish


class HostNetworks:
    """The Networks of containers that ask for none."""

    def check(self, wish: Wish) -> None:
        for info in wish.network_infos:
            if info.name:
                raise Invalid(f"Unknown CNI network '{info.name}'")

    async def join(self, wish: Wish) -> Joined:
        self.check(wish)
        return Joined()

    async def isolate(self, container_id: str, pid: int) -> None:
        """Nothing to do."""

    async def leave(self, container_id: str) -> None:
        """Nothing is kept."""

    def joined(self, container_id: str) -> Joined | None:
        return Joined()

    def keeps(self, container_id: str) -> bool:
        return False

    def kept(self) -> Sequence[str]:
        return ()
