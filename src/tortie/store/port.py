"""What Tortie needs from a datastore: etcd's model, in our words.

Keys are text, values bytes. Every successful write transaction gets the next revision of the store, a whole number that
only grows. A key's `revision` is that of its last write. All calls block and may be made from any thread; daemons on an
event loop call them through a worker thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import msgspec

from tortie.base.errors import Conflict, Invalid, TortieError


class Compacted(TortieError):
    """The revision asked for is no longer in the change log: list again, then watch from there."""


class KeyValue(msgspec.Struct, frozen=True):
    """One key as it was read. `revision`: of its last write; `created`: of its first since it was last absent."""

    key: str
    value: bytes
    revision: int
    created: int
    lease: int | None = None


class CompareFailed(Conflict):
    """A condition of a transaction did not hold; `key` names the first one (its prefix). Nothing was written.

    `now`: what that key holds instead, None when it is absent; never known for a prefix.
    """

    def __init__(self, key: str, now: KeyValue | None = None) -> None:
        self.key = key
        self.now = now
        super().__init__(f"{key} is at another revision")


class Listing(msgspec.Struct, frozen=True):
    """All keys under a prefix, sorted by key, as of one `revision` of the store."""

    items: Sequence[KeyValue]
    revision: int


class Compare(msgspec.Struct, frozen=True):
    """Holds when `key` is at `revision`; revision 0 means that the key is absent."""

    key: str
    revision: int


class Unchanged(msgspec.Struct, frozen=True):
    """Holds when no key that begins with `prefix` was written after `revision`; one that is gone is not noticed."""

    prefix: str
    revision: int

    @property
    def key(self) -> str:
        return self.prefix


Condition: TypeAlias = Compare | Unchanged


class Put(msgspec.Struct, frozen=True):
    key: str
    value: bytes
    lease: int | None = None


class Drop(msgspec.Struct, frozen=True):
    """Removes a key; removing an absent key is no error and makes no event."""

    key: str


Write: TypeAlias = Put | Drop


class Event(msgspec.Struct, frozen=True):
    """One change of one key. `value` None: the key is gone. `previous`: what it held before, None if absent."""

    key: str
    value: bytes | None
    revision: int
    previous: bytes | None = None


def check_writes(writes: Sequence[Write]) -> None:
    """What every backend refuses before anything is written: a key twice in one transaction, an empty key."""
    keys = [write.key for write in writes]
    twice = sorted({key for key in keys if keys.count(key) > 1}) if len(set(keys)) < len(keys) else []
    problems = [f"key {key} is written twice in one transaction" for key in twice]
    problems += ["a key must not be empty"] if "" in keys else []
    if problems:
        raise Invalid(*problems)


class Watch(Protocol):
    """A stream of changes in order of revision; every event of one transaction arrives in the same batch."""

    def next(self, timeout: float | None = None) -> Sequence[Event]:
        """The next changes, or an empty list once `timeout` seconds have passed or the watch was closed.

        Raises Compacted when changes were lost, Unavailable when the backend is gone for good.
        """
        ...

    def close(self) -> None:
        """Ends the watch; a `next` that waits in another thread returns. Closing twice is fine."""
        ...


class Datastore(Protocol):
    def get(self, key: str) -> KeyValue | None: ...

    def list(self, prefix: str) -> Listing:
        """Every key that begins with `prefix`. End the prefix with `/` to list a directory."""
        ...

    def commit(self, writes: Sequence[Write], compares: Sequence[Condition] = ()) -> int:
        """All writes in one transaction if all compares hold, else CompareFailed. Returns the store's new revision.

        A transaction without writes, or with drops of absent keys only, returns the present revision.
        """
        ...

    def watch(self, prefix: str, after: int) -> Watch:
        """Changes under `prefix` with a revision greater than `after`."""
        ...

    def grant(self, ttl: float) -> int:
        """A new lease that ends `ttl` seconds after its last `keep_alive`; its keys go with it."""
        ...

    def keep_alive(self, lease: int) -> None:
        """Starts the lease's time anew. Raises NotFound when it has ended already."""
        ...

    def revoke(self, lease: int) -> None:
        """Ends the lease now, with its keys. Revoking an ended lease is fine."""
        ...

    def close(self) -> None: ...
