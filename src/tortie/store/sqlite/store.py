"""The datastore port on SQLite in WAL mode."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tortie.base.errors import NotFound, Unavailable
from tortie.store.port import Compacted, Compare, CompareFailed, Drop, Event, KeyValue, Listing, Put, Watch, Write

FILE = "store.db"
BELL = "bell"
KEEP_REVISIONS = 20_000
BUSY_SECONDS = 10.0

SCHEMA = """
CREATE TABLE IF NOT EXISTS kv (key TEXT PRIMARY KEY, value BLOB NOT NULL, revision INTEGER NOT NULL,
  created INTEGER NOT NULL, lease INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS log (revision INTEGER NOT NULL, key TEXT NOT NULL, value BLOB, previous BLOB,
  PRIMARY KEY (revision, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lease (id INTEGER PRIMARY KEY AUTOINCREMENT, ttl REAL NOT NULL, ends REAL NOT NULL);
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS kv_lease ON kv (lease) WHERE lease IS NOT NULL;
INSERT OR IGNORE INTO meta VALUES ('revision', 0), ('compacted', 0);
"""


class SqliteStore:
    """A directory with one database. Any number of processes in any namespaces may open it at once."""

    def __init__(self, directory: Path, *, create: bool = True) -> None:
        if create:
            directory.mkdir(parents=True, exist_ok=True)
        elif not (directory / FILE).exists():
            raise Unavailable(f"store {directory}: there is none")
        self.directory = directory
        self._lock = threading.Lock()
        self._db = self._connect()
        self._bell = os.open(directory / BELL, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        with self._write():
            for statement in SCHEMA.split(";\n"):
                self._db.execute(statement)

    def _connect(self) -> sqlite3.Connection:
        try:
            db = sqlite3.connect(
                self.directory / FILE, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
        except sqlite3.Error as error:
            raise Unavailable(f"store {self.directory}: {error}") from error
        return db

    @contextmanager
    def _write(self) -> Iterator[None]:
        """One write transaction; rolled back when the body raises."""
        with self._lock:
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
            os.pwrite(self._bell, b"1", 0)

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

    def get(self, key: str) -> KeyValue | None:
        with self._read():
            row = self._db.execute("SELECT key,value,revision,created,lease FROM kv WHERE key=?", (key,)).fetchone()
        return KeyValue(*row) if row else None

    def list(self, prefix: str) -> Listing:
        with self._read():
            rows = self._db.execute(
                "SELECT key,value,revision,created,lease FROM kv WHERE key>=? AND key<? ORDER BY key",
                (prefix, _after(prefix)),
            ).fetchall()
            revision = self._meta("revision")
        return Listing([KeyValue(*row) for row in rows], revision)

    def commit(self, writes: Sequence[Write], compares: Sequence[Compare] = ()) -> int:
        with self._write():
            self._expire()
            for compare in compares:
                row = self._db.execute("SELECT revision FROM kv WHERE key=?", (compare.key,)).fetchone()
                if (row[0] if row else 0) != compare.revision:
                    raise CompareFailed(compare.key)
            for write in writes:
                if isinstance(write, Put) and write.lease is not None:
                    self._lease_ttl(write.lease)
            return self._apply(writes)

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
        if revision % 1000 == 0 and revision > KEEP_REVISIONS:
            self._db.execute("DELETE FROM log WHERE revision<=?", (revision - KEEP_REVISIONS,))
            self._db.execute("UPDATE meta SET value=? WHERE name='compacted'", (revision - KEEP_REVISIONS,))
        return revision

    def _meta(self, name: str) -> int:
        return int(self._db.execute("SELECT value FROM meta WHERE name=?", (name,)).fetchone()[0])

    def watch(self, prefix: str, after: int) -> Watch:
        return SqliteWatch(self, prefix, after)

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

    def expire(self) -> None:
        """Remove the keys of leases whose time has passed; watchers call this about once a second."""
        with self._read():
            due = self._db.execute("SELECT 1 FROM lease WHERE ends<? LIMIT 1", (time.time(),)).fetchone()
        if due:
            with self._write():
                self._expire()

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

    def close(self) -> None:
        with self._lock:
            self._db.close()
            os.close(self._bell)


class SqliteWatch:
    """Reads the change log whenever a writer has rung the bell."""

    def __init__(self, store: SqliteStore, prefix: str, after: int) -> None:
        self._store = store
        self._prefix = prefix
        self._after = after
        # Imported here: only watchers pay for ctypes, a command line that reads one key does not.
        from tortie.store.sqlite.changes import FileWatch

        self._files = FileWatch(os.fspath(store.directory / BELL))
        self._closed = threading.Event()

    def next(self, timeout: float | None = None) -> Sequence[Event]:
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._closed.is_set():
            events, revision = self._store.changes(self._prefix, self._after)
            self._after = revision
            if events:
                return events
            left = 1.0 if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return []
            if not self._files.wait(min(left, 1.0)):
                self._store.expire()
        return []

    def close(self) -> None:
        self._closed.set()
        self._files.close()


def _after(prefix: str) -> str:
    """The first text that sorts behind every text with this prefix."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else chr(0x10FFFF)
