"""Journals for the tests, and what they are seen to keep from outside."""

import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from controller.metrics import Metrics
from controller.store.journal import Record, SqliteJournal


def a_record(name: str = "web", data: bytes = b"bytes", kind: str = "Service", uid: str = "uid") -> Record:
    return Record(kind, name, uid, data)


def gone(name: str = "web", kind: str = "Service") -> Record:
    return Record(kind, name, "uid", None)


@asynccontextmanager
async def opened(path: Path, metrics: Metrics | None = None) -> AsyncIterator[SqliteJournal]:
    """The journal at ``path``, open; closed at the end."""
    journal = SqliteJournal(path, metrics or Metrics())
    journal.open()
    try:
        yield journal
    finally:
        await journal.close()


async def kept(path: Path) -> dict[str, bytes | None]:
    """Names and data of what the closed journal at ``path`` keeps."""
    async with opened(path) as journal:
        return {record.name: record.data for record in journal.read()}


async def make(path: Path, *records: Record) -> None:
    """A closed journal that keeps the records."""
    async with opened(path) as journal:
        await journal.commit(records)


@contextmanager
def held(journal: SqliteJournal) -> Iterator[None]:
    """The journal's thread waits until the end, so that what is committed within becomes one group."""
    let_go = threading.Event()
    journal._ask(let_go.wait)
    try:
        yield
    finally:
        let_go.set()


def refuse_objects_named_refused(path: Path) -> None:
    """Makes each commit fail that has such an object, as a disk might that has one bad place."""
    execute(
        path,
        "CREATE TRIGGER refusal BEFORE INSERT ON objects WHEN NEW.name = 'refused' "
        "BEGIN SELECT RAISE(ABORT, 'refused'); END",
    )


def execute(path: Path, *statements: str) -> None:
    """Changes a closed journal, or another database, by other means than the journal's own."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def folder_of(path: Path) -> dict[str, bytes]:
    """Each file of the folder in which ``path`` lies, byte for byte."""
    return {file.name: file.read_bytes() for file in path.parent.iterdir()}
