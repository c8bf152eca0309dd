"""Policies under the names of every era (calico-model.md 5.3 and trap 24), through the typed client on both stores."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support import stores
from tests.support.stores import BACKENDS, Url

from tortie.base.errors import Conflict, Invalid, NotFound
from tortie.model.eras import ANNOTATION, Era, written
from tortie.model.kinds.cluster_information import CLUSTER_INFORMATION, ClusterInformationSpec
from tortie.model.kinds.global_network_policy import GLOBAL_NETWORK_POLICY, GlobalNetworkPolicySpec
from tortie.model.kinds.network_policy import NETWORK_POLICY, NetworkPolicySpec
from tortie.model.kinds.tier import TIER, TierSpec
from tortie.model.resource import Metadata, Resource, encode
from tortie.store.client import Client
from tortie.store.open import open_store
from tortie.store.policies import ERA_KEY, name_faults, recorded_era
from tortie.store.port import Put


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Url]:
    with stores.backend(request.param, tmp_path_factory.mktemp("etcd")) as url:
        yield url


@pytest.fixture
def client(backend: Url, tmp_path: Path) -> Iterator[Client]:
    found = open_store(backend(tmp_path))
    yield Client(found)
    found.close()


def policy(name: str, tier: str = "default", order: int = 1) -> Resource[GlobalNetworkPolicySpec]:
    spec = GlobalNetworkPolicySpec(tier=tier, order=order, types=("Ingress",))
    return Resource(kind=GLOBAL_NETWORK_POLICY, metadata=Metadata(name=name), spec=spec)


def put(client: Client, resource: Resource[Any], era: Era) -> str:
    """As a program of that era writes it; the key."""
    stored = written(resource, era)
    client.datastore.commit([Put(stored.key, encode(stored))])
    return stored.key


def keys(client: Client) -> list[str]:
    return [
        kv.key.removeprefix(GLOBAL_NETWORK_POLICY.prefix)
        for kv in client.datastore.list(GLOBAL_NETWORK_POLICY.prefix).items
    ]


def spec_of(client: Client, name: str) -> GlobalNetworkPolicySpec:
    return client.get(GLOBAL_NETWORK_POLICY, name).spec


@pytest.mark.parametrize("era", ["prefixed", "annotated", "plain"])
def test_each_era_is_read_replaced_and_deleted_where_it_lies(client: Client, era: Era) -> None:
    key = put(client, policy("db"), era)
    found = client.get(GLOBAL_NETWORK_POLICY, "db")
    assert (found.name, found.metadata.annotations) == ("db", {})
    assert [item.name for item in client.list(GLOBAL_NETWORK_POLICY).items] == ["db"]
    changed = client.update(replace(found, spec=msgspec.structs.replace(found.spec, order=7)))
    assert (spec_of(client, "db").order, changed.revision) == (7, client.get(GLOBAL_NETWORK_POLICY, "db").revision)
    with pytest.raises(Conflict, match="another revision"):
        client.update(found)
    with pytest.raises(Conflict, match="already exists"):
        client.create(policy("db"))
    client.apply(policy("db", order=9))
    # One era is written: that of what was there when the first policy was written.
    assert [f"{GLOBAL_NETWORK_POLICY.prefix}{name}" for name in keys(client)] == [key]
    assert name_faults(client.datastore) == []
    client.delete(GLOBAL_NETWORK_POLICY, "db")
    assert keys(client) == []
    with pytest.raises(NotFound):
        client.delete(GLOBAL_NETWORK_POLICY, "db")


def test_an_empty_store_is_written_in_the_newest_era(client: Client) -> None:
    """5.3 `>= v3.32: key and metadata.name are the user's name; the annotation is still written`."""
    made = client.create(policy("db"))
    assert recorded_era(client.datastore) == "plain"
    kv = client.datastore.get(made.key)
    assert kv is not None
    metadata = json.loads(kv.value)["metadata"]
    assert (metadata["name"], metadata["annotations"]) == ("db", {ANNOTATION: '{"name":"db"}'})
    assert made.metadata.annotations == {}


@pytest.mark.parametrize(
    ("version", "key"),
    [("v3.29.1", "default.db"), ("v3.30.0", "default.db"), ("v3.31.7", "default.db"), ("v3.32.1", "db")],
)
def test_the_version_that_shares_the_store_decides(client: Client, version: str, key: str) -> None:
    """5.3: to share an etcd pick the era of the oldest peer."""
    spec = ClusterInformationSpec(cluster_guid="a" * 32, calico_version=version, datastore_ready=True)
    client.create(Resource(kind=CLUSTER_INFORMATION, metadata=Metadata(name="default"), spec=spec))
    client.create(policy("db"))
    assert keys(client) == [key]
    assert spec_of(client, "db").order == 1


def test_the_record_is_for_every_client(client: Client) -> None:
    client.datastore.commit([Put(ERA_KEY, b'{"era":"annotated"}')])
    Client(client.datastore).create(policy("db"))
    assert keys(client) == ["default.db"]
    client.datastore.commit([Put(ERA_KEY, b'{"era":"latest"}')])
    with pytest.raises(Invalid, match="policy-names"):
        Client(client.datastore).create(policy("web"))
    assert keys(client) == ["default.db"]


def test_a_write_takes_a_policy_of_another_era_along(client: Client) -> None:
    client.create(policy("first"))
    put(client, policy("db"), "prefixed")
    assert name_faults(client.datastore) == [
        "names of the era prefixed, while the era plain is written: GlobalNetworkPolicy db",
    ]
    client.apply(policy("db", order=2))
    assert keys(client) == ["db", "first"]
    assert name_faults(client.datastore) == []


def test_a_policy_that_is_stored_twice_is_one(client: Client) -> None:
    put(client, policy("db", order=1), "prefixed")
    put(client, policy("db", order=2), "plain")
    assert [(item.name, item.spec.order) for item in client.list(GLOBAL_NETWORK_POLICY).items] == [("db", 2)]
    assert spec_of(client, "db").order == 2
    assert "GlobalNetworkPolicy db is stored 2 times: db, default.db" in name_faults(client.datastore)
    client.delete(GLOBAL_NETWORK_POLICY, "db")
    assert keys(client) == []


def test_a_name_that_looks_like_a_prefix_is_a_name(client: Client) -> None:
    """A plain `default.db` is another policy than `db`, where the era can tell them apart."""
    client.create(policy("db", order=1))
    client.create(policy("default.db", order=2))
    assert keys(client) == ["db", "default.db"]
    assert (spec_of(client, "db").order, spec_of(client, "default.db").order) == (1, 2)
    client.delete(GLOBAL_NETWORK_POLICY, "db")
    assert keys(client) == ["default.db"]
    client.datastore.commit([Put(ERA_KEY, b'{"era":"prefixed"}')])
    with pytest.raises(Conflict, match="holds another policy"):
        Client(client.datastore).create(policy("db"))
    assert spec_of(client, "default.db").order == 2


def test_a_policy_of_another_tier_is_found_by_the_name_people_gave_it(client: Client) -> None:
    """5.3, v3.30-v3.31: the key is tier-prefixed, the annotation has the name."""
    client.create(Resource(kind=TIER, metadata=Metadata(name="security"), spec=TierSpec(order=1)))
    client.create(Resource(kind=TIER, metadata=Metadata(name="other"), spec=TierSpec(order=2)))
    put(client, policy("db", "security"), "annotated")
    assert keys(client) == ["security.db"]
    found = client.get(GLOBAL_NETWORK_POLICY, "db")
    client.update(replace(found, spec=msgspec.structs.replace(found.spec, tier="other")))
    assert keys(client) == ["other.db"]
    client.delete(GLOBAL_NETWORK_POLICY, "db")
    assert keys(client) == []


def test_namespaced_policies_keep_to_their_namespace(client: Client) -> None:
    for namespace in ("a", "b"):
        metadata = Metadata(name="x", namespace=namespace)
        stored = written(
            Resource(kind=NETWORK_POLICY, metadata=metadata, spec=NetworkPolicySpec(tier="default")), "prefixed"
        )
        client.datastore.commit([Put(stored.key, encode(stored))])
    client.delete(NETWORK_POLICY, "x", "a")
    assert [(item.metadata.namespace, item.name) for item in client.list(NETWORK_POLICY).items] == [("b", "x")]
    with pytest.raises(NotFound):
        client.get(NETWORK_POLICY, "x", "a")


def test_a_damaged_policy_is_named_replaced_and_deleted(client: Client) -> None:
    client.create(policy("web"))
    client.datastore.commit([Put(GLOBAL_NETWORK_POLICY.key("db"), b"{")])
    with pytest.raises(Invalid, match="GlobalNetworkPolicy"):
        client.get(GLOBAL_NETWORK_POLICY, "db")
    client.apply(policy("db", order=3))
    assert spec_of(client, "db").order == 3
    client.datastore.commit([Put(GLOBAL_NETWORK_POLICY.key("db"), b"{")])
    client.delete(GLOBAL_NETWORK_POLICY, "db")
    assert keys(client) == ["web"]


def test_every_policy_is_put_under_the_names_of_one_era(client: Client) -> None:
    """5.3: `calicoctl datastore migrate-policy-names`"""
    client.create(Resource(kind=TIER, metadata=Metadata(name="security"), spec=TierSpec(order=1)))
    put(client, policy("a"), "prefixed")
    put(client, policy("b"), "annotated")
    put(client, policy("c"), "plain")
    put(client, policy("twice", order=1), "prefixed")
    put(client, policy("twice", order=2), "plain")
    put(client, policy("security.d", "security"), "prefixed")
    assert client.era() == "prefixed"
    assert client.rename_policies("plain") == 4
    assert keys(client) == ["a", "b", "c", "security.d", "twice"]
    assert (spec_of(client, "twice").order, name_faults(client.datastore), recorded_era(client.datastore)) == (
        2,
        [],
        "plain",
    )
    before = client.datastore.list("").revision
    assert client.rename_policies("plain") == 0
    client.rename_policies("prefixed")
    assert keys(client) == ["default.a", "default.b", "default.c", "default.twice", "security.d"]
    assert [item.name for item in client.list(GLOBAL_NETWORK_POLICY).items] == ["a", "b", "c", "security.d", "twice"]
    assert client.datastore.list("").revision > before
