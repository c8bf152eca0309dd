"""Leadership over a store: one at a time, and no write of a former leader."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.support.waiting import until

from tortie.framework.leader import Leadership, LeadershipLost
from tortie.marathon.world import KEYS, LEADER, PREFIX
from tortie.store.open import open_store
from tortie.store.port import Drop, Put


def test_only_the_latest_leader_can_write(tmp_path: Path) -> None:
    async def story() -> None:
        store = open_store(f"sqlite://{tmp_path}/store")
        first, second = Leadership(store, "h:1", KEYS), Leadership(store, "h:2", KEYS)
        assert await first.win() == []
        await first.commit([Put(PREFIX + "x", b"1")])
        waiting = asyncio.ensure_future(second.win())
        await first.commit([Put(PREFIX + "y", b"1")])
        assert not waiting.done()
        store.commit([Drop(LEADER), Drop(PREFIX + "y")])
        assert await waiting == [(PREFIX + "x", b"1")]
        with pytest.raises(LeadershipLost):
            await first.commit([Put(PREFIX + "x", b"2")])
        await second.commit([Put(PREFIX + "x", b"3")])
        found = store.get(PREFIX + "x")
        assert found is not None
        assert found.value == b"3"
        await second.resign()
        assert store.get(LEADER) is None
        store.close()

    asyncio.run(story())


def test_the_same_address_takes_over_what_it_left_behind(tmp_path: Path) -> None:
    async def story() -> None:
        store = open_store(f"sqlite://{tmp_path}/store")
        dead, again = Leadership(store, "h:1", KEYS), Leadership(store, "h:1", KEYS)
        await dead.win()
        await again.win()
        await again.commit([Put(PREFIX + "x", b"1")])
        with pytest.raises(LeadershipLost):
            await dead.commit([Put(PREFIX + "x", b"2")])
        store.close()

    asyncio.run(story())


def test_a_lease_that_ran_out_is_taken_again_unless_another_has_led(tmp_path: Path) -> None:
    async def story() -> None:
        store = open_store(f"sqlite://{tmp_path}/store")
        slow, other = Leadership(store, "h:1", KEYS, ttl=4), Leadership(store, "h:2", KEYS)
        await slow.win()
        keeping = asyncio.ensure_future(slow.keep())
        store.revoke(slow.lease)
        await until(lambda: store.get(LEADER) is not None)
        await slow.commit([Put(PREFIX + "x", b"1")])
        keeping.cancel()
        store.revoke(slow.lease)
        await other.win()
        with pytest.raises(LeadershipLost):
            await slow.keep()
        store.close()

    asyncio.run(story())
