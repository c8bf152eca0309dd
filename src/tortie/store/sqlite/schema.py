"""The tables of the embedded store."""

from __future__ import annotations

VERSION = 1

STATEMENTS = (
    "CREATE TABLE IF NOT EXISTS kv (key TEXT PRIMARY KEY, value BLOB NOT NULL, revision INTEGER NOT NULL,"
    " created INTEGER NOT NULL, lease INTEGER) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS log (revision INTEGER NOT NULL, key TEXT NOT NULL, value BLOB, previous BLOB,"
    " PRIMARY KEY (revision, key)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS lease (id INTEGER PRIMARY KEY AUTOINCREMENT, ttl REAL NOT NULL, ends REAL NOT NULL)",
    "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS kv_lease ON kv (lease) WHERE lease IS NOT NULL",
    "INSERT OR IGNORE INTO meta VALUES ('revision', 0), ('compacted', 0)",
    f"PRAGMA user_version={VERSION}",
)
