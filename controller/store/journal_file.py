"""The journal as a file: made, opened, written, copied. All of it blocks, and belongs to one thread."""

import logging
import os
import shlex
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from controller.errors import JournalDamaged, JournalError

from .journal_check import FAILURES, beside, check, failure
from .journal_rows import Record, Tombstones, read_epoch, read_records, read_tombstones, write_epoch, write_records
from .journal_schema import VERSION, migrate, transaction

T = TypeVar("T")

logger = logging.getLogger("dock_runner.journal")


def remedy(path: Path) -> str:
    """What to do about a damaged journal, in half a sentence."""
    name = shlex.quote(str(path))
    return (
        f"put a backup in its place (rm -f {name}-wal {name}-shm; cp BACKUP {name}), or move {name} and what begins "
        "with its name away to begin with nothing: what runs is then left running, as orphans"
    )


class JournalFile:
    """The one connection to the journal.

    No other can be opened meanwhile, also by another program: SQLite locks the file, and keeps the index of its log
    in memory. SQLite 3.40 can damage a file in WAL mode that two connections use.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.epoch = 0
        """Milliseconds; greater in every run than in all before. 0 until it is open."""
        self.tombstones = Tombstones()
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    def open(self) -> None:
        """Makes the journal if there is none, brings an old one up to date, and begins a new epoch.

        Raises:
            JournalDamaged: it is not what it was; nothing of it was changed.
            JournalFull, JournalError: it cannot be opened or made; or a newer program made it.
        """
        self._translated(self._open)

    def read(self) -> list[Record]:
        """All that is kept.

        Raises:
            JournalDamaged: something is not as it was written.
            JournalError: it cannot be read.
        """
        return self._translated(lambda: read_records(self._live()))

    def write(self, records: Sequence[Record]) -> None:
        """Keeps all of the records, durable when it returns.

        Raises:
            JournalFull, JournalError: nothing was kept.
        """

        def write() -> None:
            connection = self._live()
            with transaction(connection):
                write_records(connection, records)

        try:
            self._translated(write)
        except JournalError:
            self._recover()
            raise
        self.tombstones.follow(records)

    def copy_to(self, target: Path) -> None:
        """Makes ``target`` a journal with the same content, replacing what is there; checked, and durable.

        Raises:
            JournalFull, JournalError: it could not be made; what was there is still there.
        """
        own = self.path.resolve()
        if target.resolve() in {own, beside(own, "-wal"), beside(own, "-shm")}:
            raise JournalError("that is the journal itself")
        try:
            handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
            os.close(handle)
            self._fill(Path(name), target)
        except FAILURES as error:
            raise failure(target, error) from error

    def empty_log(self) -> None:
        """Moves the log into the file; what can't be moved stays where it is as safe as before.

        So a log that gets lost, or that the disk garbles, takes hardly anything with it: SQLite reads a log up to
        where it makes sense, as it can't tell damage from what was being written when the power failed.
        """
        if self._connection is None:
            return
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            logger.warning("%s keeps its log: %s", self.path, error)

    def close(self) -> None:
        """Moves the log into the file and closes it; harmless when repeated."""
        self.empty_log()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _open(self) -> None:
        if not _exists(self.path):
            if _exists(beside(self.path, "-wal")):
                raise JournalDamaged(f"it is missing, though {beside(self.path, '-wal').name} is there")
            _make(self.path)
            logger.info("made a new journal, %s", self.path)
        check(self.path)
        for path in (self.path, beside(self.path, "-wal")):
            if _exists(path):
                path.chmod(0o600)  # a backup that was copied into its place has the mode that cp gave it
        connection = self._connection = _connect(self.path)
        self._identity = _identity(self.path)
        before = migrate(connection)
        if before != VERSION:
            logger.info("brought the journal %s from version %d to %d", self.path, before, VERSION)
        self.tombstones = read_tombstones(connection)
        epoch = max(time.time_ns() // 1_000_000, read_epoch(connection) + 1)
        with transaction(connection):
            write_epoch(connection, epoch)
        self.epoch = epoch

    def _translated(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except FAILURES as error:
            raise failure(self.path, error) from error

    def _live(self) -> sqlite3.Connection:
        """The connection; a new one when the last was given up.

        Writing to a file that was moved away would lose what is acknowledged, and reopening would find another one.
        """
        if _identity(self.path) != self._identity:
            raise JournalError("it was moved, removed or replaced while in use; put it back, or restart Dock Runner")
        if self._connection is None:
            self._connection = _connect(self.path)
        return self._connection

    def _recover(self) -> None:
        """Sees to it that what was refused stays refused, and that the connection can still be used.

        A commit that fails in its fsync alone stands in the log as if it were valid, and would be read after a crash.
        The next write takes its place, so one is attempted at once: a greater epoch, which is harmless, as SQLite
        writes nothing when nothing changes. On a full disk it may fail; but then the commit was not written either.
        """
        connection = self._connection
        if connection is None:
            return
        try:
            stored = read_epoch(connection)
            with suppress(sqlite3.Error):
                write_epoch(connection, stored + 1)
            read_epoch(connection)
        except (sqlite3.Error, JournalError) as error:
            logger.warning("opening %s anew: %s", self.path, error)
            self._connection = None
            with suppress(sqlite3.Error):
                connection.close()

    def _fill(self, new: Path, target: Path) -> None:
        try:
            copy = sqlite3.connect(new, isolation_level=None)
            try:
                copy.execute("PRAGMA journal_mode = OFF")  # an incomplete copy is thrown away
                copy.execute("PRAGMA synchronous = OFF")
                (self._connection or self._live()).backup(copy)
            finally:
                copy.close()
            check(new)
            _sync(new)
            new.replace(target)
        finally:
            new.unlink(missing_ok=True)
        _sync(target.parent)


def _make(path: Path) -> None:
    """A new journal, which appears under its name only when it is complete.

    So an empty file, or half a one, was never a journal that had just been begun.
    """
    _make_folder(path.parent)
    new = beside(path, ".new")
    for leftover in (new, beside(new, "-wal"), beside(new, "-shm")):
        leftover.unlink(missing_ok=True)
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        connection = _connect(new)
        try:
            migrate(connection)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            connection.close()
        _sync(new)
        new.rename(path)
    except BaseException:
        for leftover in (new, beside(new, "-wal")):
            leftover.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _make_folder(folder: Path) -> None:
    """The folder and those above it that are missing, for the owner alone, durable."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(mode=0o700)
    folder.chmod(0o700)  # whatever the umask
    _sync(folder.parent)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # before anything is read, or the log has a shared index
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise JournalError(f"it cannot be put into WAL mode, and stays in mode {mode}")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA cell_size_check = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _exists(path: Path) -> bool:
    """Not Path.exists, for which also what cannot be looked at is not there: that would begin a new journal."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file it is; None when there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _sync(path: Path) -> None:
    """Makes the content of a file, or the names in a folder, durable."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
