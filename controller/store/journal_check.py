"""Looks at a journal or a backup of one without changing a byte of it, and says what is wrong with it."""

import errno
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from controller.errors import JournalDamaged, JournalError, JournalFull

from .journal_rows import Record, read_epoch, read_records, read_tombstones
from .journal_schema import APPLICATION_ID, VERSION, migrate, tables, version_of

_MAGIC = b"SQLite format 3\0"
_HEADER = 100  # bytes, as SQLite's file format has it
_ROOM = 64 * 1024  # bytes; a disk with less is called full when a write fails for a reason that is not told

# What SQLite answers when it can't make sense of what it read. Errors of the module itself, such as of a text that
# is no UTF-8, have no name.
_DAMAGE = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_IOERR_SHORT_READ", "SQLITE_ERROR", "SQLITE_FORMAT")

FAILURES = (sqlite3.Error, OSError, UnicodeDecodeError)
"""What reading and writing a journal raises; the last for names in a damaged one that are no text."""


def beside(path: Path, suffix: str) -> Path:
    """The file that belongs to ``path``: its log (``-wal``), the index of that (``-shm``)."""
    return path.with_name(path.name + suffix)


def failure(path: Path, error: sqlite3.Error | OSError | UnicodeDecodeError) -> JournalError:
    """What one of ``FAILURES`` means for the journal at ``path``, to be raised."""
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return JournalFull("the disk is full")
        return JournalError((error.strerror or str(error)).lower())
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_FULL" or (name.startswith("SQLITE_IOERR") and not _has_room(path)):
        return JournalFull("the disk is full")
    text = " ".join(str(error).split())
    if not name or name.startswith(_DAMAGE):
        return JournalDamaged(text)
    return JournalError(text)


def _has_room(path: Path) -> bool:
    """SQLite keeps the system's reason to itself: so the file system is asked."""
    try:
        status = os.statvfs(path.parent)
    except OSError:
        return True
    return status.f_bavail * status.f_frsize >= _ROOM


def check(path: Path) -> None:
    """Returns when ``path`` is a journal of a version that is known, whole, and each row as it was written.

    Raises:
        JournalDamaged: it is cut off or altered, or something else.
        JournalError: it cannot be opened, or a newer program made it.
    """
    try:
        _check_file(path)
        with _reader(path) as connection:
            _check_content(connection)
    except FAILURES as error:
        raise failure(path, error) from error


def read_backup(path: Path) -> list[Record]:
    """What a backup keeps, whatever version made it; the file is only read.

    Raises:
        JournalDamaged: it is cut off or altered, or no backup of a journal.
        JournalError: it cannot be opened, a newer program made it, or it is a journal in use.
    """
    try:
        if _has_log(path):
            raise JournalError(f"{beside(path, '-wal').name} lies beside it: that is a journal in use, and no backup")
        check(path)
        with _reader(path) as source, closing(sqlite3.connect(":memory:", isolation_level=None)) as copy:
            source.backup(copy)
            migrate(copy)
            return read_records(copy)
    except JournalError as error:
        raise type(error)(f"cannot read the backup {path}: {error}") from error
    except FAILURES as error:
        reason = failure(path, error)
        raise type(reason)(f"cannot read the backup {path}: {reason}") from error


def _check_file(path: Path) -> None:
    """What can be seen from outside. SQLite would take an empty file for a new database."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise JournalError("it is not a regular file")
    if status.st_size == 0:
        raise JournalDamaged("it is empty")
    with path.open("rb") as file:
        header = file.read(_HEADER)
    if not header.startswith(_MAGIC):
        raise JournalDamaged("it is not an SQLite database")
    page = int.from_bytes(header[16:18], "big")
    page = 65536 if page == 1 else page
    # A log still has the pages that it was about to write when it was interrupted; without one, all must be there.
    if len(header) < _HEADER or (page and status.st_size % page and not _has_log(path)):
        raise JournalDamaged(f"it is cut off after {status.st_size} bytes")


def _check_content(connection: sqlite3.Connection) -> None:
    application: int = connection.execute("PRAGMA application_id").fetchone()[0]
    if application != APPLICATION_ID:
        raise JournalDamaged("it is an SQLite database, but no journal of Dock Runner")
    version = version_of(connection)
    if version > VERSION:
        raise JournalError(
            f"it was made by a newer Dock Runner: journal version {version}, this one knows {VERSION}; "
            "use that release, or a backup that this one made"
        )
    if version < 1:
        raise JournalDamaged(f"it has the version {version}, which no release had")
    found: str = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise JournalDamaged(" ".join(found.split()))
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if missing := tables(version) - names:
        raise JournalDamaged(f"it has no table {', '.join(sorted(missing))}")
    if version == VERSION:  # an older one has fewer checks; migrating gives it the rest
        read_epoch(connection)
        read_tombstones(connection)
        read_records(connection)


@contextmanager
def _reader(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that can't change anything, be it by SQLite's own tidying up.

    With a log beside it SQLite needs an index of that, and leaves it behind; without one it is told that nobody
    writes, or it would begin a log.
    """
    index = beside(path, "-shm")
    had_index = index.exists()
    options = "mode=ro" if _has_log(path) else "mode=ro&immutable=1"
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?{options}", uri=True, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()
        if not had_index:
            index.unlink(missing_ok=True)


def _has_log(path: Path) -> bool:
    """Whether there is something in a log that is not in the file yet."""
    try:
        return beside(path, "-wal").stat().st_size > 0
    except FileNotFoundError:
        return False
