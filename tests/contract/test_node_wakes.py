"""The node agent comes to everything that it is told, whenever that is."""

from __future__ import annotations

import math
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.support.waiting import until

from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.node import NODE, NodeBgp, NodeSpec
from tortie.model.resource import Kind, Metadata, Resource, encode
from tortie.node.agent import Agent
from tortie.store.client import Client
from tortie.store.open import open_store
from tortie.store.port import Event


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


def event(kind: Kind[Any], name: str, spec: Any) -> Event:
    stored = Resource(kind=kind, metadata=Metadata(name=name), spec=spec)
    return Event(stored.key, encode(stored), 1)


def test_what_is_learned_after_the_wake_is_come_to_as_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Found when a host had no end of its tunnel before something else happened: who was to give it one had looked
    before the pool was learned."""

    async def story(client: Client) -> None:
        agent = Agent("one", "172.24.197.102/24")
        asked: list[Any] = []

        async def run() -> None:
            pass

        monkeypatch.setattr(agent._applier, "run", run)
        monkeypatch.setattr("tortie.node.agent.settle_ends", lambda *given, now: asked.append(given[2]))
        agent.health.links_listed = agent._applier.routes_known = True
        pool = IPPoolSpec(cidr="192.168.0.0/16", vxlan_mode="Always")
        node = NodeSpec(bgp=NodeBgp(ipv4_address="172.24.197.102/24"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(agent._keep_ends, client)
            await anyio.wait_all_tasks_blocked()
            agent._intake.replace([event(NODE, "one", node), event(IP_POOL, "pool", pool)])
            agent._wake()
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(agent._keep)
            await until(lambda: asked, message="a look at the ends of tunnels")
            tasks.cancel_scope.cancel()
        agent._applier.close()
        assert asked[0] == {"vxlan"}

    with closing(open_store(f"sqlite://{tmp_path}/store")) as store:
        anyio.run(story, Client(store))
