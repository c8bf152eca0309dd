"""The typed client: what it refuses, what it keeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tortie.base.errors import Conflict, Invalid, NotFound
from tortie.model.kinds.node import NODE, NodeBgp, NodeSpec
from tortie.model.kinds.profile import PROFILE
from tortie.model.resource import Metadata, Resource
from tortie.store.client import Client
from tortie.store.open import open_store
from tortie.store.port import Put


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(open_store(f"sqlite://{tmp_path}/store"))


def node(name: str = "host-a", **bgp: str) -> Resource[NodeSpec]:
    return Resource(kind=NODE, metadata=Metadata(name=name), spec=NodeSpec(bgp=NodeBgp(**bgp) if bgp else None))  # type: ignore[arg-type]


def test_create_read_update_delete(client: Client) -> None:
    made = client.create(node())
    assert made.metadata.uid
    assert client.get(NODE, "host-a") == made
    with pytest.raises(Conflict, match="Node host-a already exists"):
        client.create(node())
    changed = client.update(replace(made, spec=node(ipv4_address="192.0.2.1/24").spec))
    assert changed.revision > made.revision
    with pytest.raises(Conflict, match="Node host-a is at another revision"):
        client.update(made)
    client.delete(NODE, "host-a")
    for call in (
        lambda: client.update(changed),
        lambda: client.delete(NODE, "host-a"),
        lambda: client.get(NODE, "host-a"),
    ):
        with pytest.raises(NotFound, match="Node host-a does not exist"):
            call()
    assert client.find(NODE, "host-a") is None


def test_apply_keeps_the_identity_of_what_is_there(client: Client) -> None:
    first = client.apply(node())
    second = client.apply(node(ipv4_address="192.0.2.1/24"))
    assert second.metadata == first.metadata
    client.datastore.commit([Put(NODE.key("host-a"), b"damaged")])
    assert client.apply(node()).metadata.uid != first.metadata.uid


def test_a_resource_with_faults_is_refused_whole(client: Client) -> None:
    bad = node("Host A", ipv4_address="x")
    for call in (client.create, client.apply):
        with pytest.raises(Invalid) as caught:
            call(bad)
        assert [problem.split(": ")[1] for problem in caught.value.problems] == [
            "metadata.name",
            "spec.bgp.ipv4Address",
        ]
    assert not client.datastore.list("/").items


def test_a_listing_names_what_it_cannot_read(client: Client) -> None:
    client.create(node())
    client.datastore.commit([Put(NODE.key("broken"), b"{"), Put(PROFILE.key("p"), b"{")])
    listing = client.list(NODE)
    assert [item.name for item in listing.items] == ["host-a"]
    assert listing.unreadable == [NODE.key("broken")]
    assert listing.revision == client.datastore.list("").revision
    with pytest.raises(Invalid, match=r"^Node: "):
        client.get(NODE, "broken")
