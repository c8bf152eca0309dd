"""The node agent comes to everything that it is told, whenever that is."""

from __future__ import annotations

import math
from typing import Any

import anyio
import pytest
from tests.support.waiting import until

from tortie.node.agent import Agent


def test_news_between_the_last_look_and_the_wait_are_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found when one interface in sixty took seconds: its endpoint had been heard of, and nobody came to it."""

    async def story() -> None:
        agent = Agent("one", "172.24.197.102/24")
        passes = 0

        async def run() -> None:
            nonlocal passes
            passes += 1

        look: Any = agent._patience
        told = False

        def patience() -> float:
            nonlocal told
            found: float = look()
            if found == math.inf and not told:
                told = True
                agent._wake()
            return found

        monkeypatch.setattr(agent._applier, "run", run)
        monkeypatch.setattr(agent, "_patience", patience)
        agent.health.store_in_sync = agent.health.links_listed = agent._applier.routes_known = True
        agent._wake()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(agent._keep)
            await until(lambda: passes == 2, message=lambda: f"{passes} passes")
            tasks.cancel_scope.cancel()
        agent._applier.close()

    anyio.run(story)
