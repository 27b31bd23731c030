"""The tables of the journal, as the steps by which each version came about."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from .journal_rows import checksum

APPLICATION_ID = 0x444B5231
"""Marks an SQLite file as a journal of ours: the letters DKR1."""

# The step at index n leads from version n to n + 1. Steps that were released never change: files of every version
# exist, and a new journal takes all of the steps as well.
_STEPS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE objects (kind TEXT NOT NULL, name TEXT NOT NULL, uid TEXT NOT NULL, data BLOB NOT NULL,"
        " PRIMARY KEY (kind, name)) WITHOUT ROWID",
        "CREATE TABLE meta (key TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
        "INSERT INTO meta (key, value) VALUES ('epoch', 0)",
    ),
    (
        "CREATE TABLE tombstones (serial INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL,"
        " time INTEGER NOT NULL, UNIQUE (kind, name))",
    ),
    (
        "ALTER TABLE objects ADD COLUMN crc INTEGER NOT NULL DEFAULT 0",
        "UPDATE objects SET crc = checksum(kind, name, uid, data)",
        "ALTER TABLE tombstones ADD COLUMN crc INTEGER NOT NULL DEFAULT 0",
        "UPDATE tombstones SET crc = checksum(kind, name, time)",
        "ALTER TABLE meta ADD COLUMN crc INTEGER NOT NULL DEFAULT 0",
        "UPDATE meta SET crc = checksum(key, value)",
    ),
)

VERSION = len(_STEPS)
"""The version that this program reads and writes."""


def tables(version: int) -> frozenset[str]:
    """The tables that a journal of that version has."""
    return frozenset({"objects", "meta"} if version < 2 else {"objects", "meta", "tombstones"})


def version_of(connection: sqlite3.Connection) -> int:
    """The version of a journal; 0 while it has no tables."""
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return found


def migrate(connection: sqlite3.Connection) -> int:
    """Brings a journal to ``VERSION``, in one transaction, and returns the version that it had."""
    before = version_of(connection)
    if before == VERSION:
        return before
    connection.create_function("checksum", -1, checksum, deterministic=True)
    with transaction(connection):
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        for version, statements in enumerate(_STEPS[before:], before + 1):
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version}")
    return before


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the block is durable at its end, or nothing of it when anything is raised."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # a full disk has rolled back by itself
            connection.execute("ROLLBACK")
        raise
