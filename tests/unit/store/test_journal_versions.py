"""Journals of earlier releases, and backups."""
# ruff: noqa: ASYNC240 - nothing else runs in these loops

from pathlib import Path

import pytest

from controller.errors import JournalDamaged, JournalError, StartError
from controller.metrics import Metrics
from controller.store.journal import Record, SqliteJournal, read_backup
from controller.store.journal_schema import VERSION
from tests.unit.store.journals import a_record, execute, folder_of, gone, kept, make, opened

MARKED = "PRAGMA application_id = 1145786929"

# As these releases made them.
VERSION_1 = (
    MARKED,
    "CREATE TABLE objects (kind TEXT NOT NULL, name TEXT NOT NULL, uid TEXT NOT NULL, data BLOB NOT NULL,"
    " PRIMARY KEY (kind, name)) WITHOUT ROWID",
    "CREATE TABLE meta (key TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "INSERT INTO meta VALUES ('epoch', 9000000000000)",
    "INSERT INTO objects VALUES ('Service', 'web', 'u1', x'00ff10')",
    "INSERT INTO objects VALUES ('Memory', 'grün', '', x'')",
    "PRAGMA user_version = 1",
)
VERSION_2 = (
    *VERSION_1,
    "CREATE TABLE tombstones (serial INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL,"
    " time INTEGER NOT NULL, UNIQUE (kind, name))",
    "INSERT INTO tombstones (kind, name, time) VALUES ('Service', 'old', 1700000000000)",
    "PRAGMA user_version = 2",
)
RECORDS = [Record("Memory", "grün", "", b""), Record("Service", "web", "u1", b"\x00\xff\x10")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.mark.parametrize(("statements", "deleted"), [(VERSION_1, set()), (VERSION_2, {"old"})])
async def test_an_older_journal_is_brought_up_to_date(
    path: Path, statements: tuple[str, ...], deleted: set[str]
) -> None:
    execute(path, *statements)
    for _ in range(2):
        async with opened(path) as journal:
            assert journal.read() == RECORDS
            assert journal.deleted("Service") == deleted
            assert journal.epoch > 9_000_000_000_000
            await journal.commit([a_record("new"), gone("new")])
        deleted = deleted | {"new"}
    assert int.from_bytes(path.read_bytes()[60:64], "big") == VERSION  # where SQLite has the user_version


async def test_an_older_journal_that_cannot_be_brought_up_to_date_stays_what_it_was(path: Path) -> None:
    execute(path, *VERSION_2, "ALTER TABLE meta ADD COLUMN crc INTEGER")
    with pytest.raises(StartError, match="duplicate column name: crc"):
        SqliteJournal(path, Metrics()).open()
    execute(path, "ALTER TABLE meta DROP COLUMN crc")
    assert read_backup(path) == RECORDS
    assert int.from_bytes(path.read_bytes()[60:64], "big") == 2


async def test_a_backup_of_an_older_release_is_read_and_stays_what_it_was(path: Path) -> None:
    execute(path, *VERSION_1)
    before = folder_of(path)
    assert read_backup(path) == RECORDS
    assert folder_of(path) == before


async def test_a_backup_is_one_file_with_all_that_was_committed(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere" / "backup.db"
    target.parent.mkdir()
    async with opened(path) as journal:
        await journal.commit([a_record("a"), a_record("b", b"x" * 100_000)])
        await journal.backup(target)
        await journal.commit([a_record("later")])
        records = read_backup(target)
    assert [record.name for record in records] == ["a", "b"]
    assert records[0] == a_record("a")
    assert [file.name for file in target.parent.iterdir()] == ["backup.db"]
    assert target.stat().st_mode & 0o777 == 0o600


async def test_a_backup_takes_the_place_of_a_journal(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "backup.db"
    async with opened(path) as journal:
        await journal.commit([a_record("a"), gone("b")])
        await journal.backup(target)
        epoch = journal.epoch
    path.write_bytes(target.read_bytes())
    async with opened(path) as journal:
        assert journal.read() == [a_record("a")]
        assert journal.deleted("Service") == {"b"}
        assert journal.epoch > epoch


async def test_a_backup_has_what_was_committed_before_it_and_replaces_an_earlier_one(
    path: Path, tmp_path: Path
) -> None:
    target = tmp_path / "backup.db"
    target.write_bytes(b"an earlier one")
    async with opened(path) as journal:
        for name in "abc":
            await journal.commit([a_record(name)])
        await journal.backup(target)
    assert [record.name for record in read_backup(target)] == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["journal.db", "journal.db-wal", "link/../journal.db"])
async def test_a_journal_is_not_its_own_backup(path: Path, name: str) -> None:
    (path.parent / "link").mkdir()
    async with opened(path) as journal:
        await journal.commit([a_record()])
        with pytest.raises(JournalError, match=r"cannot make the backup .*: that is the journal itself"):
            await journal.backup(path.parent / name)
        await journal.commit([a_record("a")])
    assert set(await kept(path)) == {"web", "a"}


async def test_a_backup_that_cannot_be_made_leaves_nothing_and_harms_nothing(path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "occupied").mkdir(parents=True)
    async with opened(path) as journal:
        with pytest.raises(JournalError, match=r"cannot make the backup .*: no such file or directory"):
            await journal.backup(folder / "missing" / "backup.db")
        with pytest.raises(JournalError, match=r"cannot make the backup .*: is a directory"):
            await journal.backup(folder / "occupied")
        await journal.commit([a_record()])
    assert [file.name for file in folder.iterdir()] == ["occupied"]


async def test_a_journal_in_use_is_no_backup(path: Path) -> None:
    async with opened(path) as journal:
        await journal.commit([a_record()])
        with pytest.raises(JournalError, match=r"journal\.db-wal lies beside it: that is a journal in use"):
            read_backup(path)


async def test_a_backup_that_is_missing_or_damaged_says_so(path: Path, tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"cannot read the backup .*/journal.db: no such file or directory"):
        read_backup(path)
    await make(path, a_record(data=b"content"))
    path.write_bytes(path.read_bytes().replace(b"content", b"altered"))
    with pytest.raises(JournalDamaged, match="the row of Service 'web' is not as it was written"):
        read_backup(path)
