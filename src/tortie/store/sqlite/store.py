"""The datastore port on SQLite in WAL mode."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from tortie.base.errors import Invalid, NotFound, Unavailable
from tortie.store.port import (
    Compacted,
    CompareFailed,
    Condition,
    Drop,
    Event,
    KeyValue,
    Listing,
    Put,
    Unchanged,
    Watch,
    Write,
    check_writes,
)
from tortie.store.sqlite import schema
from tortie.store.sqlite.place import network_file_system

if TYPE_CHECKING:
    from tortie.store.sqlite.bell import Bell


FILE = "store.db"
BELL = "bell"
KEEP_REVISIONS = 10_000
COMPACT_EVERY = 500
BUSY_SECONDS = 10.0
_ONE = "SELECT key,value,revision,created,lease FROM kv WHERE key=?"


class SqliteStore:
    """A directory with one database. Any number of processes in any namespaces may open it at once."""

    def __init__(self, directory: str | os.PathLike[str], *, create: bool = True) -> None:
        """Unavailable says why the directory cannot be used; with `create` false also that there is no store in it."""
        self.directory = os.fspath(directory)
        self._lock = threading.Lock()
        self._bell: Bell | None = None
        self._rung = False
        self._open(create)
        if self._read_one("PRAGMA user_version")[0] != schema.VERSION:
            self._create()

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def _open(self, create: bool) -> None:
        try:
            if create:
                os.makedirs(self.directory, exist_ok=True)
            elif not os.path.exists(self._path(FILE)):
                raise Unavailable(f"store {self.directory}: there is none")
            with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
                kind = network_file_system(os.path.realpath(self.directory), mounts.read())
            if kind is not None:
                raise Unavailable(f"store {self.directory}: lies on a network file system ({kind}); use a local one")
            self._rope = os.open(self._path(BELL), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise Unavailable(f"store {self.directory}: {error.strerror}") from error
        try:
            self._db = self._connect()
        except BaseException:
            os.close(self._rope)
            raise

    def _connect(self) -> sqlite3.Connection:
        until = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                db = sqlite3.connect(
                    self._path(FILE), timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
                )
                db.execute("PRAGMA journal_mode=WAL")
                db.execute("PRAGMA synchronous=NORMAL")
            except sqlite3.OperationalError as error:
                # The first change to WAL mode does not wait for another process that is at it: come again.
                if "locked" not in str(error) or time.monotonic() > until:
                    raise Unavailable(f"store {self.directory}: {error}") from error
                time.sleep(0.01)
            except sqlite3.Error as error:
                raise Unavailable(f"store {self.directory}: {error}") from error
            else:
                return db

    def _create(self) -> None:
        with self._write():
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version > schema.VERSION:
                raise Unavailable(f"store {self.directory}: was made by a newer version ({version})")
            for statement in schema.STATEMENTS:
                self._db.execute(statement)

    @contextmanager
    def _write(self) -> Iterator[None]:
        """One write transaction; rolled back when the body raises."""
        with self._lock:
            self._rung = False
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield
                except BaseException:
                    self._db.execute("ROLLBACK")
                    raise
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                raise Unavailable(f"store {self.directory}: {error}") from error
            if self._rung:
                os.pwrite(self._rope, b"1", 0)

    @contextmanager
    def _read(self) -> Iterator[None]:
        with self._lock:
            try:
                self._db.execute("BEGIN")
                try:
                    yield
                finally:
                    self._db.execute("COMMIT")
            except sqlite3.Error as error:
                raise Unavailable(f"store {self.directory}: {error}") from error

    def _read_one(self, statement: str, parameters: Sequence[object] = ()) -> Any:
        """One row of one statement, which is a transaction by itself; None when there is none."""
        with self._lock:
            try:
                return self._db.execute(statement, parameters).fetchone()
            except sqlite3.Error as error:
                raise Unavailable(f"store {self.directory}: {error}") from error

    def get(self, key: str) -> KeyValue | None:
        row = self._read_one(_ONE, (key,))
        if row and row[4] is not None and self.expire():
            row = self._read_one(_ONE, (key,))
        return KeyValue(*row) if row else None

    def list(self, prefix: str) -> Listing:
        listing = self._list(prefix)
        if any(entry.lease is not None for entry in listing.items) and self.expire():
            return self._list(prefix)
        return listing

    def _list(self, prefix: str) -> Listing:
        with self._read():
            rows = self._db.execute(
                "SELECT key,value,revision,created,lease FROM kv WHERE key>=? AND key<? ORDER BY key",
                (prefix, _after(prefix)),
            ).fetchall()
            revision = self._meta("revision")
        return Listing([KeyValue(*row) for row in rows], revision)

    def commit(self, writes: Sequence[Write], compares: Sequence[Condition] = ()) -> int:
        check_writes(writes)
        with self._write():
            self._expire()
            for compare in compares:
                self._check(compare)
            for write in writes:
                if isinstance(write, Put) and write.lease is not None:
                    self._lease_ttl(write.lease)
            return self._apply(writes)

    def _check(self, condition: Condition) -> None:
        if isinstance(condition, Unchanged):
            bounds = (condition.prefix, _after(condition.prefix), condition.revision)
            later = "SELECT 1 FROM kv WHERE key>=? AND key<? AND revision>? LIMIT 1"
            if self._db.execute(later, bounds).fetchone():
                raise CompareFailed(condition.key)
            return
        row = self._db.execute("SELECT revision FROM kv WHERE key=?", (condition.key,)).fetchone()
        if (row[0] if row else 0) != condition.revision:
            row = self._db.execute(_ONE, (condition.key,)).fetchone()
            raise CompareFailed(condition.key, KeyValue(*row) if row else None)

    def _apply(self, writes: Sequence[Write]) -> int:
        """Write under the next revision and log it; called inside a write transaction."""
        revision = self._meta("revision") + 1
        changed = False
        for write in writes:
            row = self._db.execute("SELECT value,created FROM kv WHERE key=?", (write.key,)).fetchone()
            previous, created = row or (None, revision)
            if isinstance(write, Drop):
                if row is None:
                    continue
                self._db.execute("DELETE FROM kv WHERE key=?", (write.key,))
                value = None
            else:
                value = write.value
                self._db.execute(
                    "INSERT OR REPLACE INTO kv VALUES (?,?,?,?,?)", (write.key, value, revision, created, write.lease)
                )
            self._db.execute("INSERT OR REPLACE INTO log VALUES (?,?,?,?)", (revision, write.key, value, previous))
            changed = True
        if not changed:
            return revision - 1
        self._db.execute("UPDATE meta SET value=? WHERE name='revision'", (revision,))
        self._rung = True
        if revision % COMPACT_EVERY == 0 and revision > KEEP_REVISIONS:
            self._db.execute("DELETE FROM log WHERE revision<=?", (revision - KEEP_REVISIONS,))
            self._db.execute("UPDATE meta SET value=? WHERE name='compacted'", (revision - KEEP_REVISIONS,))
        return revision

    def _meta(self, name: str) -> int:
        return int(self._db.execute("SELECT value FROM meta WHERE name=?", (name,)).fetchone()[0])

    def watch(self, prefix: str, after: int) -> Watch:
        from tortie.store.sqlite.watch import SqliteWatch

        return SqliteWatch(self.directory, self.bell(), partial(self.changes, prefix), after)

    def changes(self, prefix: str, after: int) -> tuple[Sequence[Event], int]:
        """Every logged change under `prefix` after a revision, and the store's revision. Raises Compacted."""
        with self._read():
            if after < self._meta("compacted"):
                raise Compacted(f"store {self.directory}: revision {after} is no longer in the change log")
            rows = self._db.execute(
                "SELECT key,value,revision,previous FROM log WHERE revision>? AND key>=? AND key<?"
                " ORDER BY revision,key",
                (after, prefix, _after(prefix)),
            ).fetchall()
            revision = self._meta("revision")
        return [Event(*row) for row in rows], revision

    def grant(self, ttl: float) -> int:
        if not ttl > 0:
            raise Invalid(f"lease: a time of {ttl} seconds")
        with self._write():
            cursor = self._db.execute("INSERT INTO lease (ttl,ends) VALUES (?,?)", (ttl, time.time() + ttl))
            return int(cursor.lastrowid or 0)

    def keep_alive(self, lease: int) -> None:
        with self._write():
            self._expire()
            ttl = self._lease_ttl(lease)
            self._db.execute("UPDATE lease SET ends=? WHERE id=?", (time.time() + ttl, lease))

    def revoke(self, lease: int) -> None:
        with self._write():
            self._end_lease(lease)

    def expire(self) -> bool:
        """Remove the keys of leases whose time has passed, and say whether there were any.

        Watchers call this about once a second; whoever reads a key with a lease does, too.
        """
        with self._read():
            due = self._db.execute("SELECT 1 FROM lease WHERE ends<? LIMIT 1", (time.time(),)).fetchone()
        if due:
            with self._write():
                self._expire()
        return due is not None

    def _expire(self) -> None:
        for (lease,) in self._db.execute("SELECT id FROM lease WHERE ends<?", (time.time(),)).fetchall():
            self._end_lease(lease)

    def _end_lease(self, lease: int) -> None:
        keys = self._db.execute("SELECT key FROM kv WHERE lease=?", (lease,)).fetchall()
        self._apply([Drop(key) for (key,) in keys])
        self._db.execute("DELETE FROM lease WHERE id=?", (lease,))

    def _lease_ttl(self, lease: int) -> float:
        row = self._db.execute("SELECT ttl FROM lease WHERE id=?", (lease,)).fetchone()
        if row is None:
            raise NotFound(f"lease {lease} has ended")
        return float(row[0])

    def bell(self) -> Bell:
        """The one that wakes this process's watchers; made for the first of them."""
        # Imported late, like the watch: a command line that reads one key does not pay for ctypes.
        from tortie.store.sqlite.bell import Bell

        with self._lock:
            if self._bell is None:
                self._bell = Bell(self._path(BELL), self.expire)
            return self._bell

    def close(self) -> None:
        """Ends every watch as well. Closing twice is fine."""
        with self._lock:
            bell, self._bell = self._bell, None
        if bell is not None:
            bell.close()
        with self._lock:
            self._db.close()
            if self._rope >= 0:
                os.close(self._rope)
                self._rope = -1


def _after(prefix: str) -> str:
    """The first text that sorts behind every text with this prefix."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else chr(0x10FFFF)
