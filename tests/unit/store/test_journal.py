"""The journal: what was acknowledged is there at the next start, in groups, in order, all or nothing."""
# ruff: noqa: ASYNC240 - nothing else runs in these loops

import asyncio
import errno
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from controller.errors import JournalError, StartError
from controller.metrics import Metrics
from controller.store import journal as journal_module
from controller.store import journal_rows
from controller.store.journal import NoJournal, Record, SqliteJournal
from controller.store.journal_file import JournalFile
from tests.unit.store.journals import a_record, gone, kept, make, opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.db"


async def test_what_was_committed_is_read_back_by_the_next_open(path: Path) -> None:
    records = [Record("Service", "web", "u1", b"\0bytes"), Record("Container", "web", "", b""), a_record("ä b")]
    async with opened(path) as journal:
        await journal.commit(records[:2])
        await journal.commit(records[2:])
    async with opened(path) as journal:
        assert sorted(journal.read(), key=str) == sorted(records, key=str)


async def test_a_later_commit_replaces_and_a_record_without_data_removes(path: Path) -> None:
    async with opened(path) as journal:
        await journal.commit([a_record("a", b"1"), a_record("b", b"1"), a_record("c", b"1")])
        await journal.commit([a_record("a", b"2"), gone("b"), gone("never there"), gone("c"), a_record("c", b"2")])
    assert await kept(path) == {"a": b"2", "c": b"2"}


async def test_without_a_clean_end_nothing_that_was_acknowledged_is_lost(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    async with opened(path) as journal:
        await journal.commit([a_record()])
        for suffix in ("", "-wal"):
            copy.with_name(copy.name + suffix).write_bytes(path.with_name(path.name + suffix).read_bytes())
    assert await kept(copy) == {"web": b"bytes"}


async def test_in_a_quiet_moment_all_is_moved_into_the_file(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = threading.Event()

    def empty_log(file: JournalFile) -> None:
        original(file)
        moved.set()

    original = JournalFile.empty_log
    monkeypatch.setattr(JournalFile, "empty_log", empty_log)
    monkeypatch.setattr(journal_module, "QUIET", 0.01)
    async with opened(path) as journal:
        await journal.commit([a_record()])
        assert await asyncio.to_thread(moved.wait, 10)
        assert path.with_name("journal.db-wal").stat().st_size == 0
        (tmp_path / "copy.db").write_bytes(path.read_bytes())
        await journal.commit([a_record("a")])
    assert await kept(tmp_path / "copy.db") == {"web": b"bytes"}
    assert await kept(path) == {"web": b"bytes", "a": b"bytes"}


async def test_files_and_folder_are_the_owners_alone_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        async with opened(path) as journal:
            await journal.commit([a_record()])
            files = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert files == {"journal.db": 0o600, "journal.db-wal": 0o600}
    assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_a_backup_that_was_copied_into_its_place_is_made_the_owners_alone(path: Path) -> None:
    await make(path, a_record())
    path.chmod(0o644)
    assert await kept(path) == {"web": b"bytes"}
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_clean_end_leaves_one_file(path: Path) -> None:
    await make(path, a_record())
    assert [file.name for file in path.parent.iterdir()] == ["journal.db"]


async def test_a_new_journal_shows_under_its_name_only_when_it_is_complete(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", fail)
        with pytest.raises(StartError, match="input/output error"):
            SqliteJournal(path, Metrics()).open()
    assert list(path.parent.iterdir()) == []
    path.with_name("journal.db.new").write_bytes(b"of one that was interrupted")
    await make(path, a_record())
    assert [file.name for file in path.parent.iterdir()] == ["journal.db"]


async def test_a_connection_that_no_longer_works_is_opened_anew(path: Path) -> None:
    async with opened(path) as journal:
        await journal.commit([a_record("a")])
        connection = journal._file._connection
        assert connection is not None
        journal._ask(connection.close)
        with pytest.raises(JournalError, match="closed database"):
            await journal.commit([a_record("b")])
        await journal.commit([a_record("c")])
        assert [record.name for record in journal.read()] == ["a", "c"]


async def test_a_defect_reaches_the_callers_and_does_not_end_the_thread(path: Path) -> None:
    async with opened(path) as journal:
        with pytest.raises(JournalError, match="UnicodeEncodeError"):
            await journal.commit([a_record("a"), a_record("\udcff")])
        await journal.commit([a_record("b")])
    assert await kept(path) == {"b": b"bytes"}


async def test_a_journal_that_was_never_opened_can_be_closed_and_takes_nothing(path: Path) -> None:
    journal = SqliteJournal(path, Metrics())
    await journal.close()
    with pytest.raises(JournalError, match="is not open"):
        await journal.commit([a_record()])


async def test_a_journal_that_is_moved_away_while_in_use_acknowledges_nothing(path: Path) -> None:
    async with opened(path) as journal:
        aside = path.rename(path.with_name("aside"))
        with pytest.raises(JournalError, match="moved, removed or replaced"):
            await journal.commit([a_record("a")])
        aside.rename(path)
        await journal.commit([a_record("b")])
    assert await kept(path) == {"b": b"bytes"}


async def test_no_other_connection_can_be_made_while_it_is_open(path: Path) -> None:
    async with opened(path):
        other = sqlite3.connect(path, timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("SELECT * FROM objects")
        other.close()


async def test_the_epoch_is_the_time_and_rises_though_the_clock_goes_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs = []
    for seconds in (1000, 2000, 500, 2000.001, 3000):
        monkeypatch.setattr("time.time_ns", lambda now=seconds: int(now * 1_000_000_000))
        async with opened(path) as journal:
            epochs.append(journal.epoch)
    assert epochs == [1_000_000, 2_000_000, 2_000_001, 2_000_002, 3_000_000]


async def test_deleted_services_are_remembered_until_they_are_made_again(path: Path) -> None:
    async with opened(path) as journal:
        await journal.commit([a_record("a"), a_record("b"), a_record("c", kind="Container")])
        await journal.commit([gone("a"), gone("b"), gone("c", "Container"), gone("never there")])
        assert journal.deleted("Service") == {"a", "b", "never there"}
        await journal.commit([a_record("b")])
        assert journal.deleted("Service") == {"a", "never there"}
    async with opened(path) as journal:
        assert journal.deleted("Service") == {"a", "never there"}
        assert journal.deleted("Container") == frozenset()


async def test_only_the_newest_deletions_are_remembered(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_rows, "TOMBSTONES", 3)
    async with opened(path) as journal:
        await journal.commit([gone("a"), gone("b"), gone("c")])
        await journal.commit([gone("a")])
        await journal.commit([gone("d")])
        assert journal.deleted("Service") == {"c", "a", "d"}
    async with opened(path) as journal:
        assert journal.deleted("Service") == {"c", "a", "d"}


async def test_no_journal_keeps_nothing_and_refuses_nothing() -> None:
    journal = NoJournal()
    await journal.commit([a_record()])
    await journal.close()
    await journal.commit([a_record()])
