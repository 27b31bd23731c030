"""What the journal keeps, row by row: objects, the names of deleted ones, and the epoch. Each row carries a CRC."""

import sqlite3
import threading
import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from controller.errors import JournalDamaged

TOMBSTONE_KINDS = frozenset({"Service"})
"""Kinds whose deletions are remembered: a container that is found running may still name a service that is gone."""

TOMBSTONES = 10_000
"""How many deletions are remembered, the newest of them."""


@dataclass(frozen=True)
class Record:
    """What is kept of one object: its bytes, or that it is gone (``data`` is None)."""

    kind: str
    name: str
    uid: str
    data: bytes | None


def checksum(*parts: str | bytes | int | None) -> int:
    """CRC-32 over the values of a row; each with its length, so that none can move into its neighbour."""
    crc = 0
    for part in parts:
        encoded = part if isinstance(part, bytes) else str(part).encode()
        crc = zlib.crc32(encoded, zlib.crc32(len(encoded).to_bytes(4, "big"), crc))
    return crc


class Tombstones:
    """The names of deleted objects, as their table has them, for whoever asks from any thread."""

    def __init__(self, entries: Iterable[tuple[str, str]] = ()) -> None:
        """``entries`` are kinds and names, the oldest deletion first."""
        self._entries = dict.fromkeys(entries)
        self._lock = threading.Lock()

    def names(self, kind: str) -> frozenset[str]:
        """The names of that kind."""
        with self._lock:
            return frozenset(name for of, name in self._entries if of == kind)

    def follow(self, records: Iterable[Record]) -> None:
        """Learns what ``write_records`` did with the same records."""
        with self._lock:
            for record in records:
                if record.kind in TOMBSTONE_KINDS:
                    self._entries.pop((record.kind, record.name), None)
                    if record.data is None:
                        self._entries[record.kind, record.name] = None
            while len(self._entries) > TOMBSTONES:
                del self._entries[next(iter(self._entries))]


def write_records(connection: sqlite3.Connection, records: Sequence[Record]) -> None:
    """Writes the records in their order, within the transaction of the caller."""
    now = time.time_ns() // 1_000_000
    for record in records:
        kind, name, uid, data = record.kind, record.name, record.uid, record.data
        if data is None:
            connection.execute("DELETE FROM objects WHERE kind = ? AND name = ?", (kind, name))
        else:
            row = (kind, name, uid, data, checksum(kind, name, uid, data))
            connection.execute(
                "INSERT OR REPLACE INTO objects (kind, name, uid, data, crc) VALUES (?, ?, ?, ?, ?)", row
            )
        if kind not in TOMBSTONE_KINDS:
            continue
        # Deleted first also when it is written anew: so it gets a new serial, and counts as the newest.
        connection.execute("DELETE FROM tombstones WHERE kind = ? AND name = ?", (kind, name))
        if data is None:
            tombstone = (kind, name, now, checksum(kind, name, now))
            connection.execute("INSERT INTO tombstones (kind, name, time, crc) VALUES (?, ?, ?, ?)", tombstone)
    if any(record.data is None and record.kind in TOMBSTONE_KINDS for record in records):
        connection.execute(
            "DELETE FROM tombstones WHERE serial <="
            " (SELECT serial FROM tombstones ORDER BY serial DESC LIMIT 1 OFFSET ?)",
            (TOMBSTONES,),
        )


def read_records(connection: sqlite3.Connection) -> list[Record]:
    """All objects that are kept, by kind and name.

    Raises:
        JournalDamaged: a row is not as it was written.
    """
    records = []
    for kind, name, uid, data, crc in connection.execute("SELECT kind, name, uid, data, crc FROM objects"):
        if not isinstance(data, bytes) or crc != checksum(kind, name, uid, data):
            raise JournalDamaged(f"the row of {kind} {name!r} is not as it was written")
        records.append(Record(kind, name, uid, data))
    return records


def read_tombstones(connection: sqlite3.Connection) -> Tombstones:
    """The deletions that are remembered.

    Raises:
        JournalDamaged: a row is not as it was written.
    """
    entries = []
    for kind, name, when, crc in connection.execute("SELECT kind, name, time, crc FROM tombstones ORDER BY serial"):
        if crc != checksum(kind, name, when):
            raise JournalDamaged(f"the row of the deleted {kind} {name!r} is not as it was written")
        entries.append((kind, name))
    return Tombstones(entries)


def read_epoch(connection: sqlite3.Connection) -> int:
    """The epoch of the run that wrote last, in milliseconds; 0 in a new journal.

    Raises:
        JournalDamaged: there is none, or it is not as it was written.
    """
    row = connection.execute("SELECT value, crc FROM meta WHERE key = 'epoch'").fetchone()
    if row is None or not isinstance(row[0], int) or row[1] != checksum("epoch", row[0]):
        raise JournalDamaged("its epoch is not as it was written")
    return row[0]


def write_epoch(connection: sqlite3.Connection, epoch: int) -> None:
    """Replaces the epoch."""
    row = (epoch, checksum("epoch", epoch))
    connection.execute("UPDATE meta SET value = ?, crc = ? WHERE key = 'epoch'", row)
