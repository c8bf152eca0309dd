"""Moving what a store holds: out to a file, in from one, from one store to another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tortie.base.errors import Conflict, TortieError, Unavailable
from tortie.store.port import Compare, CompareFailed, Datastore, Drop, Put
from tortie.store.transfer_file import READY_KEY, Entry

PREFIXES = ("/calico/", "/tortie/v1/")
"""What is moved: Calico's keys and ours. A cluster's etcd may hold those of others, which are none of our business."""
BATCH_KEYS = 100
BATCH_BYTES = 500_000
"""Below what etcd takes in one transaction (128 operations, 1.5 MB)."""
TRIES = 20


def snapshot(store: Datastore) -> tuple[list[Entry], int]:
    """Everything that is moved, as it was at one revision. Keys with a lease stay: who holds them writes them anew.

    Raises Unavailable when the store changes so fast that no two looks agree.
    """
    for _ in range(TRIES):
        # One listing is of one revision. The first prefix's is of the second's as well when it reads the same after it.
        first = store.list(PREFIXES[0])
        second = store.list(PREFIXES[1])
        if second.revision == first.revision or store.list(PREFIXES[0]).items == first.items:
            found = [*first.items, *second.items]
            return [Entry(kv.key, kv.value) for kv in found if kv.lease is None], second.revision
    raise Unavailable("the store changes too fast to be read as of one revision; stop its writers first")


def load(store: Datastore, entries: Sequence[Entry], *, overwrite: bool = False) -> int:
    """Write the entries to a store that has nothing of the kind, and say how many keys were written.

    Raises Conflict when it has, unless `overwrite`: then it holds just these entries afterwards. When an empty store
    cannot be filled, what was written is taken back. The key that tells Calico's programs that the store is ready goes
    out first and comes in last: they do not act on half of it.
    """
    there = {kv.key: kv for prefix in PREFIXES for kv in store.list(prefix).items}
    if there and not overwrite:
        raise Conflict(f"the target holds {len(there)} keys already (the first: {min(there)}); nothing was written")
    if there:
        return _overwrite(store, entries, {key: kv.value for key, kv in there.items() if kv.lease is None})
    written: list[str] = []
    try:
        for batch in batches(_ready_last(entries)):
            store.commit([Put(e.key, e.value) for e in batch], [Compare(e.key, 0) for e in batch])
            written += [entry.key for entry in batch]
    except TortieError as error:
        _take_back(store, written, error)
        if isinstance(error, CompareFailed):
            raise Conflict(f"somebody else writes to the target ({error.key}); what was written was removed") from error
        raise
    return len(written)


def same(one: Datastore, other: Datastore) -> bool:
    """Whether two addresses lead to one store: it holds the same under the same revisions."""
    held = [[store.list(prefix).items for prefix in PREFIXES] for store in (one, other)]
    return held[0] == held[1] and any(held[0])


def remove_unchanged(store: Datastore, entries: Iterable[Entry]) -> None:
    """Take what was copied out of its source. Conflict, and nothing is removed, when the source holds other by now."""
    copied = {entry.key: entry.value for entry in entries}
    there = [kv for prefix in PREFIXES for kv in store.list(prefix).items if kv.lease is None]
    changed = [kv.key for kv in there if copied.get(kv.key) != kv.value]
    if changed:
        raise Conflict(f"the source was written to meanwhile ({changed[0]}); nothing was removed from it")
    for start in range(0, len(there), BATCH_KEYS):
        part = there[start : start + BATCH_KEYS]
        store.commit([Drop(kv.key) for kv in part], [Compare(kv.key, kv.revision) for kv in part])


def _drop(store: Datastore, keys: Sequence[str]) -> None:
    for start in range(0, len(keys), BATCH_KEYS):
        store.commit([Drop(key) for key in keys[start : start + BATCH_KEYS]])


def batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """In order, as many at once as every backend takes; one that is larger than that alone."""
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        more = len(entry.key) + len(entry.value)
        if batch and (len(batch) == BATCH_KEYS or size + more > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += more
    if batch:
        yield batch


def _overwrite(store: Datastore, entries: Sequence[Entry], there: dict[str, bytes]) -> int:
    wanted = {entry.key for entry in entries}
    changed = [entry for entry in entries if there.get(entry.key) != entry.value]
    gone = sorted(there.keys() - wanted)
    if READY_KEY in there and (changed or gone):
        store.commit([Drop(READY_KEY)])
        changed = [entry for entry in entries if entry.key == READY_KEY or there.get(entry.key) != entry.value]
    _drop(store, gone)
    for batch in batches(_ready_last(changed)):
        store.commit([Put(entry.key, entry.value) for entry in batch])
    return len(changed)


def _ready_last(entries: Sequence[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: entry.key == READY_KEY)


def _take_back(store: Datastore, written: Sequence[str], error: TortieError) -> None:
    try:
        _drop(store, written)
    except TortieError as second:
        left = f"{error}; {len(written)} keys that were written could not be removed again ({second})"
        raise Unavailable(left) from error
