"""The journal of desired state: what was acknowledged is on disk, and is read back at the next start."""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol, TypeVar

from controller.errors import JournalDamaged, JournalError, StartError
from controller.metrics import Metrics

from .journal_check import read_backup
from .journal_file import JournalFile, remedy
from .journal_jobs import Call, Commit, outcome
from .journal_rows import Record

__all__ = ["Journal", "NoJournal", "Record", "SqliteJournal", "read_backup"]

T = TypeVar("T")

logger = logging.getLogger("dock_runner.journal")

GROUP = 1000
"""How many commits share one transaction, and so one fsync, at most."""

QUIET = 1.0
"""Seconds without a commit after which the log is moved into the file."""


class Journal(Protocol):
    """Where desired state is kept."""

    @property
    def epoch(self) -> int | None:
        """Milliseconds since 1970, or more, that versions begin at: greater in every run than in those before it."""

    def read(self) -> list[Record]:
        """All that is kept.

        Raises:
            StartError: something is not as it was written.
        """

    def deleted(self, kind: str) -> frozenset[str]:
        """Names of objects of the kind that were deleted and not made again since."""

    async def backup(self, target: Path) -> None:
        """Makes ``target`` one file with all that is committed.

        Raises:
            JournalFull, JournalError: it could not be made.
        """

    async def commit(self, records: Sequence[Record]) -> None:
        """Returns when all of the records are durable.

        Commits take effect in the order of the calls. A caller that is cancelled does not learn the outcome: its
        commit goes on all the same.

        Raises:
            JournalFull: there is no room on the disk; nothing was kept.
            JournalError: they could not be kept, and nothing of them was.
        """

    async def close(self) -> None:
        """Returns when all that was to be committed has been; harmless when repeated."""


class NoJournal:
    """Keeps nothing: for ``--state-dir none``."""

    epoch: int | None = None

    def read(self) -> list[Record]:
        return []

    def deleted(self, kind: str) -> frozenset[str]:  # noqa: ARG002  # of any kind
        return frozenset()

    async def backup(self, target: Path) -> None:  # noqa: ARG002  # there is nothing to be put there
        """Always refuses.

        Raises:
            JournalError: nothing is kept.
        """
        raise JournalError("nothing is kept that could be backed up: the server runs with --state-dir none")

    async def commit(self, records: Sequence[Record]) -> None:
        """Returns at once."""

    async def close(self) -> None:
        """Returns at once."""


class SqliteJournal:
    """The journal in one SQLite file, in WAL mode with synchronous=FULL.

    One thread has the one connection. What waits when it gets to it is written as one group, in one transaction
    with one fsync: many callers cost little more than one. When a group fails, nothing of it is kept, all of its
    callers are told, and the next one is tried anew: so it works again as soon as there is room.

    ``commit``, ``backup`` and ``close`` belong to one event loop; ``open`` and ``read`` block, and come before.
    """

    def __init__(self, path: Path, metrics: Metrics) -> None:
        self._path = path
        self._file = JournalFile(path)
        self._seconds = metrics.journal_commit
        self._jobs: queue.SimpleQueue[Commit | Call] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._ended: Future[None] | None = None
        self._end_of_thread = False
        self._failing = False
        self._in_log = False

    def open(self) -> None:
        """Opens the journal, and makes a new one when there is no file. Nothing that is damaged is ever replaced.

        Raises:
            StartError: it cannot be opened, or is not as it was left; says what to do.
        """
        # A daemon, as a disk that hangs must not keep the program from ending.
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self._thread.start()
        try:
            self._ask(self._file.open).result()
        except JournalError as error:
            self._end().result()
            raise self._cannot_start(error) from error

    def read(self) -> list[Record]:
        """All that is kept, by kind and name.

        Raises:
            StartError: something is not as it was written, or cannot be read; says what to do.
        """
        try:
            records: list[Record] = self._ask(self._file.read).result()
        except JournalError as error:
            raise self._cannot_start(error) from error
        return records

    @property
    def epoch(self) -> int:
        """Milliseconds since 1970, or more: greater in every run than in all before it, wherever the clock went."""
        return self._file.epoch

    def deleted(self, kind: str) -> frozenset[str]:
        """Names of objects of the kind that were deleted and not made again since.

        Of Services only, and of these the newest 10,000.
        """
        return self._file.tombstones.names(kind)

    async def commit(self, records: Sequence[Record]) -> None:
        """Returns when all of the records are durable; see ``Journal``.

        Raises:
            JournalFull: there is no room on the disk; nothing was kept.
            JournalError: they could not be kept, and nothing of them was.
        """
        self._check_open()
        if records:
            loop = asyncio.get_running_loop()
            commit = Commit(tuple(records), loop, loop.create_future())
            self._jobs.put(commit)
            await commit.future

    async def backup(self, target: Path) -> None:
        """Makes ``target`` one plain file with all that is committed so far, replacing what is there; durable.

        Commits wait meanwhile. The file can take the place of a journal, and be read by ``read_backup``.

        Raises:
            JournalFull: there is no room for it.
            JournalError: it could not be made. What was there before is still there.
        """
        self._check_open()
        try:
            await outcome(self._ask(lambda: self._file.copy_to(target)))
        except JournalError as error:
            raise type(error)(f"cannot make the backup {target}: {error}") from error

    async def close(self) -> None:
        """Returns when all that was to be committed has been, and the file is closed; harmless when repeated."""
        if self._thread is not None:
            await outcome(self._end())

    def _check_open(self) -> None:
        if self._thread is None or self._ended is not None:
            raise JournalError(f"the journal {self._path} is not open")

    def _cannot_start(self, error: JournalError) -> StartError:
        if isinstance(error, JournalDamaged):
            return StartError(f"the journal {self._path} is damaged: {error}; {remedy(self._path)}")
        return StartError(f"the journal {self._path} cannot be opened: {error}")

    def _ask(self, work: Callable[[], T]) -> "Future[T]":
        call = Call(work, Future())
        self._jobs.put(call)
        return call.outcome

    def _end(self) -> "Future[None]":
        """Has the thread close the file and end, after all that waits."""

        def end() -> None:
            self._end_of_thread = True
            self._file.close()

        if self._ended is None:
            self._ended = self._ask(end)
        return self._ended

    # In the thread.

    def _work(self) -> None:
        while not self._end_of_thread:
            try:
                job = self._jobs.get(timeout=QUIET if self._in_log else None)
            except queue.Empty:
                self._in_log = False
                self._file.empty_log()
                continue
            if isinstance(job, Commit):
                group, following = self._group(job)
                self._write(group)
                del group, job  # or the last group's bytes would live until the next one
                if following is not None:
                    following.run()
            else:
                job.run()

    def _group(self, first: Commit) -> tuple[list[Commit], Call | None]:
        """All commits that wait, and the call that stopped the search for more."""
        group = [first]
        while len(group) < GROUP:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if isinstance(job, Call):
                return group, job
            group.append(job)
        return group, None

    def _write(self, group: Sequence[Commit]) -> None:
        begun = time.perf_counter()
        error: JournalError | None = None
        try:
            self._file.write([record for commit in group for record in commit.records])
        except JournalError as failed:
            error = type(failed)(f"the journal {self._path} could not be written: {failed}")
            error.__cause__ = failed
        except Exception as defect:  # noqa: BLE001  # callers must learn of it, and the thread live on
            error = JournalError(f"the journal {self._path} could not be written: {defect!r}")
            error.__cause__ = defect
        self._seconds.observe(time.perf_counter() - begun)
        self._in_log |= error is None
        self._report(error)
        for commit in group:
            commit.settle(error)

    def _report(self, error: JournalError | None) -> None:
        """Says once that it fails, and once that it works again."""
        if error is not None and not self._failing:
            logger.error("%s", error)
        elif error is None and self._failing:
            logger.info("the journal %s can be written again", self._path)
        self._failing = error is not None
