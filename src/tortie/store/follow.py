"""A datastore's changes on an event loop: the blocking watch runs in a worker thread."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import anyio
import anyio.to_thread

from tortie.store.port import Compacted, Datastore, Event


async def follow(datastore: Datastore, prefix: str) -> AsyncIterator[tuple[bool, Sequence[Event]]]:
    """First (True, everything under the prefix as events), then (False, changes) as they come.

    After lost changes it starts again with (True, …): whoever follows drops what is not in it. A cancelled consumer
    ends the watch, and with it the thread that waits.
    """
    # A limiter of its own: the waiting thread must not use up the pool that everybody's short calls share.
    waiting = anyio.CapacityLimiter(1)
    while True:
        listing = await anyio.to_thread.run_sync(datastore.list, prefix)
        yield True, [Event(kv.key, kv.value, kv.revision) for kv in listing.items]
        watch = datastore.watch(prefix, listing.revision)
        try:
            while True:
                events = await anyio.to_thread.run_sync(watch.next, 5.0, abandon_on_cancel=True, limiter=waiting)
                if events:
                    yield False, events
        except Compacted:
            continue
        finally:
            watch.close()
