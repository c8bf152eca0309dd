"""A host's own clean-up of its addresses and blocks, on both stores (calico-model.md 6.4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
from tests.support import stores
from tests.support.stores import BACKENDS, Url
from tests.support.waiting import until

from tortie.base.errors import Unavailable
from tortie.ipam.allocator import Allocator
from tortie.ipam.audit import Audit, Source
from tortie.ipam.check import Living
from tortie.ipam.collector import Collector
from tortie.ipam.settings import leak_grace
from tortie.model.codec import to_json
from tortie.model.ipam import Affinity, affinity_key
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.kube_controllers_configuration import (
    KUBE_CONTROLLERS_CONFIGURATION,
    Controllers,
    KubeControllersConfigurationSpec,
    NodeController,
)
from tortie.model.kinds.node import NODE, NodeSpec
from tortie.model.resource import Metadata, Resource, encode
from tortie.node.collect import collect_addresses
from tortie.plugins.docker.holdings import Holdings
from tortie.plugins.docker.source import docker_source
from tortie.store.client import Client
from tortie.store.open import open_store
from tortie.store.port import Datastore, Put

NOW = 1_800_000_000.0


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Url]:
    with stores.backend(request.param, tmp_path_factory.mktemp("etcd")) as url:
        yield url


@pytest.fixture
def store(backend: Url, tmp_path: Path) -> Iterator[Datastore]:
    found = open_store(backend(tmp_path))
    client = Client(found)
    for name in ("host-a", "host-b"):
        client.create(Resource(kind=NODE, metadata=Metadata(name=name), spec=NodeSpec()))
    spec = IPPoolSpec(cidr="10.65.0.0/24", block_size=28)
    client.create(Resource(kind=IP_POOL, metadata=Metadata(name="pool"), spec=spec))
    yield found
    found.close()


class Docker:
    """An engine on one host."""

    def __init__(self) -> None:
        self.alive: list[str] = []
        self.away = False

    def endpoint_ids(self) -> Sequence[str]:
        if self.away:
            raise Unavailable("the engine does not answer")
        return self.alive


def handles(store: Datastore) -> set[str]:
    return {allocation.attribute.handle_id or "" for allocation in Audit(store).books().allocations()}


def grace(store: Datastore, text: str) -> None:
    """As another program writes it: ours refuses what is no duration."""
    spec = KubeControllersConfigurationSpec(controllers=Controllers(node=NodeController(leak_grace_period=text)))
    made = Resource(kind=KUBE_CONTROLLERS_CONFIGURATION, metadata=Metadata(name="default"), spec=spec)
    store.commit([Put(made.key, encode(made))])


def test_6_4_a_host_frees_what_leaked_on_it_and_nothing_of_another(store: Datastore) -> None:
    now = NOW
    docker, a, b = Docker(), Allocator(store, "host-a"), Allocator(store, "host-b")
    collector = Collector(
        store, "host-a", [docker_source(store, docker.endpoint_ids, node="host-a")], clock=lambda: now
    )
    for name in ("leaked", "running"):
        a.auto_assign(f"libnetwork.{name}", {}, now=NOW - 9000)
    a.auto_assign("cni.of-another-plug-in", {}, now=NOW - 9000)
    recorded = Holdings(store, "host-a").open(NOW)
    a.auto_assign(recorded.holding.handle, {}, now=NOW - 9000)
    b.auto_assign("libnetwork.of-b", {}, now=NOW - 9000)
    a.auto_assign("libnetwork.of-both", {}, now=NOW - 9000)
    b.auto_assign("libnetwork.of-both", {}, now=NOW - 9000)
    docker.alive = ["running"]
    everything = handles(store)
    for later, away in ((0, False), (899, False), (900, True)):
        now, docker.away = NOW + later, away
        assert not collector.collect_once(pause=0).mended
    assert handles(store) == everything
    # While the engine was away nothing was suspect: the grace begins anew.
    docker.away = False
    for later, freed in ((900, []), (1799, []), (1800, ["libnetwork.leaked"]), (9000, [])):
        now = NOW + later
        assert [finding.subject for finding in collector.collect_once(pause=0).mended] == freed
    assert handles(store) == everything - {"libnetwork.leaked"}


def test_6_4_an_empty_block_is_given_up_after_two_rounds_and_never_the_last(store: Datastore) -> None:
    a, b = Allocator(store, "host-a"), Allocator(store, "host-b")
    for number in range(33):
        a.auto_assign(f"cni.{number}", {}, now=NOW)
    b.auto_assign("cni.b", {}, now=NOW)
    b.release_by_handle("cni.b", now=NOW)
    collector = Collector(store, "host-a", [], clock=lambda: NOW)
    first, second, third = sorted(cidr for node, cidr in Audit(store).books().claims if node == "host-a")
    for number in range(33):
        a.release_by_handle(f"cni.{number}", now=NOW)
    assert collector.collect_once().given_up == []
    used = a.auto_assign("cni.again", {}, now=NOW)
    spare = {first, second, third} - {cidr for cidr in (first, second, third) if used in cidr}
    given_up = set(collector.collect_once().given_up)
    assert given_up
    assert given_up <= spare
    a.release_by_handle("cni.again", now=NOW)
    for _ in range(4):
        collector.collect_once()
    left = Audit(store).books().claims
    assert sorted(node for node, _ in left) == ["host-a", "host-b"]
    assert Audit(store).look().findings == ()
    # A process that knew a block which is gone finds another one.
    a.auto_assign("cni.new", {}, now=NOW)
    assert Audit(store).look().findings == ()


def test_a_claim_left_half_made_is_mended_by_its_own_host_alone(store: Datastore) -> None:
    for name in ("host-a", "host-b"):
        Allocator(store, name).auto_assign("cni.1", {}, now=NOW)
    for node, cidr in Audit(store).books().claims:
        store.commit([Put(affinity_key(node, cidr), to_json(Affinity(state="pending")))])
    done = Collector(store, "host-a", []).collect_once(pause=0)
    assert [(finding.kind, finding.node) for finding in done.mended] == [("claim", "host-a")]
    assert {node: kept.value.confirmed for (node, _), kept in Audit(store).books().claims.items()} == {
        "host-a": True,
        "host-b": False,
    }


def test_3_5_the_grace_is_a_setting_of_the_cluster(store: Datastore) -> None:
    assert leak_grace(store) == 900
    for text, seconds in (("5m", 300.0), ("0s", None)):
        grace(store, text)
        assert leak_grace(store) == seconds
    key = KUBE_CONTROLLERS_CONFIGURATION.key("default")
    kv = store.get(key)
    assert kv is not None
    # What another program wrote and nobody can read must not stop the clean-up, nor hasten it.
    for value in (kv.value.replace(b'"0s"', b'"nonsense"'), b"\xff"):
        store.commit([Put(key, value)])
        assert leak_grace(store) == 900


class Flaky:
    """A store that is away at the first listing."""

    def __init__(self, store: Datastore) -> None:
        self._store = store
        self.failed = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def list(self, prefix: str) -> object:
        if not self.failed:
            self.failed = True
            raise Unavailable("store: away")
        return self._store.list(prefix)


def test_the_rounds_of_an_agent_go_on_and_ask_its_event_loop(store: Datastore) -> None:
    grace(store, "1ms")
    a = Allocator(store, "host-a")
    for name in ("leaked", "running"):
        a.auto_assign(f"libnetwork.{name}", {}, now=NOW)
    flaky = Flaky(store)

    async def engine() -> Sequence[str]:
        return ["running"]

    async def freed() -> bool:
        return await anyio.to_thread.run_sync(handles, store) == {"libnetwork.running"}

    async def main() -> None:
        living = docker_source(store, lambda: anyio.from_thread.run(engine), node="host-a")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(rounds, living)
            await until(freed)
            tasks.cancel_scope.cancel()

    async def rounds(living: Source) -> None:
        await collect_addresses(cast(Datastore, flaky), "host-a", [living], every=0.01)

    anyio.run(main)
    assert flaky.failed


def test_a_source_of_one_node_says_nothing_of_another(store: Datastore) -> None:
    a = Allocator(store, "host-a")
    a.auto_assign("p.1", {}, now=NOW)
    nobody = Source("p", "p.", lambda: Living(()), "host-b")
    assert Audit(store, [nobody], clock=lambda: NOW + 9000).look().findings == ()
    silent = Source("p", "p.", silence, "host-a")
    assert Audit(store, [silent], clock=lambda: NOW + 9000).look().silent == ("p",)


def silence() -> Living:
    raise Unavailable("no answer")
