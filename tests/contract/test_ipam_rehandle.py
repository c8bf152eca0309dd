"""A handle under a new name keeps every address, and nothing else changes."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tortie.base.errors import Unavailable
from tortie.ipam.allocator import Allocator
from tortie.ipam.rehandle import rename_handle
from tortie.model.ipam import HANDLES
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.node import NODE, NodeSpec
from tortie.model.resource import Metadata, Resource
from tortie.store.client import Client
from tortie.store.open import open_store
from tortie.store.port import Datastore


@pytest.fixture
def store(tmp_path: Path) -> Datastore:
    opened = open_store(f"sqlite://{tmp_path}/store")
    client = Client(opened)
    client.create(Resource(kind=IP_POOL, metadata=Metadata(name="p"), spec=IPPoolSpec(cidr="10.65.0.0/24")))
    client.create(Resource(kind=NODE, metadata=Metadata(name="a"), spec=NodeSpec()))
    return opened


def handles(store: Datastore) -> list[str]:
    return [kv.key.removeprefix(HANDLES) for kv in store.list(HANDLES).items]


def test_the_address_belongs_to_the_new_name_only(store: Datastore) -> None:
    allocator = Allocator(store, "a")
    kept = allocator.auto_assign("other", {}, now=1000.0)
    address = allocator.auto_assign("old", {}, now=1000.0)
    assert rename_handle(store, "old", "new")
    assert handles(store) == ["new", "other"]
    assert allocator.release_by_handle("old", now=1001.0) == ()
    assert allocator.release_by_handle("new", now=1001.0) == (address,)
    assert allocator.release_by_handle("other", now=1001.0) == (kept,)
    assert handles(store) == []


def test_a_handle_that_holds_nothing_stays_so(store: Datastore) -> None:
    assert not rename_handle(store, "old", "new")
    assert handles(store) == []


def test_a_name_in_use_is_never_taken_over(store: Datastore) -> None:
    allocator = Allocator(store, "a")
    for handle in ("old", "new"):
        allocator.auto_assign(handle, {}, now=1000.0)
    with pytest.raises(Unavailable):
        rename_handle(store, "old", "new")
    assert handles(store) == ["new", "old"]


def test_renaming_amid_other_changes_of_the_block_loses_none(store: Datastore) -> None:
    def one(number: int) -> None:
        Allocator(store, "a").auto_assign(f"old{number}", {}, now=1000.0)
        assert rename_handle(store, f"old{number}", f"new{number}")

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert handles(store) == [f"new{number}" for number in range(8)]
    released = [Allocator(store, "a").release_by_handle(f"new{number}", now=1001.0) for number in range(8)]
    assert len({address for addresses in released for address in addresses}) == 8
