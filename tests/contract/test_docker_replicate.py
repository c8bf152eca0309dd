"""Two hosts' engines and one table: what is declared on either exists on both, whatever was away meanwhile."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.from_thread
import pytest
from tests.support.addresses import PlainAddresses
from tests.support.docker_fakes import FakeEngine, FakeGate, FakeLinks
from tests.support.waiting import until

from tortie.model.kinds.profile import PROFILE
from tortie.plugins.docker.driver import Driver
from tortie.plugins.docker.networks import TABLE
from tortie.plugins.docker.replicate import Replicator
from tortie.store.open import open_store
from tortie.store.port import Datastore


class Host:
    def __init__(self, name: str, store: Datastore) -> None:
        self.engine = FakeEngine(name)
        self.driver = Driver(
            datastore=store,
            gate=FakeGate(),
            addresses=PlainAddresses(store),
            engine=self.engine,
            links=FakeLinks(),
            node=name,
        )

    @property
    def names(self) -> list[str]:
        return sorted(n.name for n in self.engine.local.values())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as group:
            group.start_soon(Replicator(self.driver, self.engine).run)
            yield
            group.cancel_scope.cancel()


def story(tmp_path: Path, tell: Callable[[Host, Host, Datastore], Awaitable[None]]) -> None:
    async def main() -> None:
        store = open_store(f"sqlite://{tmp_path}/store")
        await tell(Host("a", store), Host("b", store), store)

    anyio.run(main)


def test_a_network_made_on_one_host_exists_on_the_other_with_its_profile(tmp_path: Path) -> None:
    async def tell(a: Host, b: Host, store: Datastore) -> None:
        async with a.running(), b.running():
            a.engine.user_creates("client", subnet="192.168.0.0/16")
            await until(lambda: b.names == ["client"], message="the replica")
            (replica,) = b.engine.local.values()
            assert replica.subnet == "192.168.0.0/16"
            assert replica.labels == {"org.tortie.replica": "true"}
            assert store.get(PROFILE.key("client"))

    story(tmp_path, tell)


@pytest.mark.parametrize("where", ["a", "b"])
def test_a_removal_on_either_host_goes_everywhere_and_the_profile_stays(tmp_path: Path, where: str) -> None:
    async def tell(a: Host, b: Host, store: Datastore) -> None:
        async with a.running(), b.running():
            a.engine.user_creates("client")
            await until(lambda: b.names == ["client"], message="the replica")
            (a if where == "a" else b).engine.user_removes("client")
            await until(lambda: a.names == b.names == [], message="the removal")
            await until(lambda: not store.list("/tortie/v1/docker/").items, message="no mark of removal is left")
            assert store.get(PROFILE.key("client"))
            b.engine.user_creates("client", subnet="10.0.0.0/24")
            await until(lambda: a.names == ["client"], message="made anew on the other host")

    story(tmp_path, tell)


def test_a_network_that_is_removed_while_it_is_declared_does_not_come_back(tmp_path: Path) -> None:
    async def tell(a: Host, b: Host, store: Datastore) -> None:
        plain = a.driver.ensure_profile

        def meddling(network: str) -> None:
            plain(network)
            if network == "hasty":
                anyio.from_thread.run_sync(a.engine.user_removes, network)

        a.driver.ensure_profile = meddling  # type: ignore[method-assign]
        async with a.running(), b.running():
            a.engine.user_creates("hasty")
            await until(lambda: "hasty" not in a.names, message="the removal by its user")
            a.engine.user_creates("brief")
            await until(lambda: store.get(TABLE + "brief"), message="declared")
            a.engine.user_removes("brief")
            a.engine.user_creates("last")
            await until(lambda: a.names == b.names == ["last"], message=lambda: (a.names, b.names))
            await until(lambda: not store.get(TABLE + "hasty") and not store.get(TABLE + "brief"), message="undeclared")

    story(tmp_path, tell)


def test_a_network_in_use_goes_when_its_last_endpoint_has_gone(tmp_path: Path) -> None:
    async def tell(a: Host, b: Host, store: Datastore) -> None:
        async with a.running(), b.running():
            network = a.engine.user_creates("client")
            await until(lambda: b.names == ["client"], message="the replica")
            a.engine.members[network.id] = {"e"}
            b.engine.user_removes("client")
            await until(lambda: store.get(TABLE + "client") is None, message="no longer declared")
            assert a.names == ["client"]
            a.engine.members.clear()
            a.engine.tell("disconnect", network)
            await until(lambda: a.names == [], message="the removal")
            assert b.names == []

    story(tmp_path, tell)


def test_a_host_that_was_away_catches_up_both_ways(tmp_path: Path) -> None:
    async def tell(a: Host, b: Host, store: Datastore) -> None:
        async with a.running():
            a.engine.user_creates("old")
            a.engine.user_creates("kept")
            async with b.running():
                await until(lambda: b.names == ["kept", "old"], message="the replicas")
            a.engine.user_removes("old")
            a.engine.user_creates("new")
            b.engine.user_creates("mine")
            await until(lambda: store.get(TABLE + "new"), message="declared")
            async with b.running():
                await until(lambda: b.names == ["kept", "mine", "new"], message="caught up")
                await until(lambda: a.names == ["kept", "mine", "new"], message="the other way")

    story(tmp_path, tell)


def test_an_original_that_was_removed_while_its_host_was_away_does_not_come_back(tmp_path: Path) -> None:
    async def tell(a: Host, b: Host, store: Datastore) -> None:
        async with b.running():
            async with a.running():
                a.engine.user_creates("client")
                await until(lambda: b.names == ["client"], message="the replica")
            b.engine.user_removes("client")
            await until(lambda: store.get(TABLE + "client") is None, message="no longer declared")
            async with a.running():
                await until(lambda: a.names == [], message="the removal")
                await until(lambda: not store.list("/tortie/v1/docker/").items, message="no mark of removal is left")
            assert b.names == []

    story(tmp_path, tell)


def test_a_foreign_network_of_the_name_is_reported_once_and_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def tell(a: Host, b: Host, store: Datastore) -> None:
        b.engine.user_creates("client", driver="bridge")
        async with a.running(), b.running():
            a.engine.user_creates("client")
            await until(lambda: "driver bridge" in caplog.text, message="the report")
            a.engine.user_creates("other")
            await until(lambda: b.names == ["client", "other"], message="the next network")
            b.engine.user_removes("other")
            await until(lambda: a.names == ["client"], message="removed")
        assert [n.driver for n in b.engine.local.values()] == ["bridge"]
        assert caplog.text.count("driver bridge") == 1

    with caplog.at_level(logging.WARNING):
        story(tmp_path, tell)


def test_an_engine_that_is_away_is_said_once_and_compared_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def tell(a: Host, b: Host, store: Datastore) -> None:
        async with a.running(), b.running():
            a.engine.user_creates("one")
            await until(lambda: b.names == ["one"], message="the replica")
            b.engine.leave()
            await until(lambda: "does not answer" in caplog.text, message="the log line")
            a.engine.user_creates("two")
            await until(lambda: store.get(TABLE + "two"), message="declared")
            tried = b.engine.refusals
            await until(lambda: b.engine.refusals >= tried + 2, message="more attempts")
            b.engine.away = False
            await until(lambda: b.names == ["one", "two"], message="compared again")
        assert caplog.text.count("does not answer") == 1

    with caplog.at_level(logging.INFO):
        story(tmp_path, tell)


def test_a_declaration_that_cannot_be_read_stops_nothing(tmp_path: Path) -> None:
    async def tell(a: Host, b: Host, store: Datastore) -> None:
        from tortie.store.port import Put

        store.commit([Put(TABLE + "broken", b"{")])
        async with a.running(), b.running():
            a.engine.user_creates("client")
            await until(lambda: b.names == ["client"], message="the replica")

    story(tmp_path, tell)
