"""The journal on a disk that is really full: told to the caller, nothing lost, and well again when there is room."""
# ruff: noqa: ASYNC240 - nothing else runs in these loops

import asyncio
import shutil
from pathlib import Path

import pytest

from controller.errors import JournalFull, StartError
from controller.metrics import Metrics
from controller.store.journal import Record, SqliteJournal
from tests.faults.conftest import fill
from tests.unit.store.journals import a_record, kept, make, opened

COMMITS = 1000  # of 4 kB each: more than the disk holds


def numbered(number: int) -> Record:
    return a_record(f"s{number:04}", b"%d" % number * 1000)


async def commit_until_full(journal: SqliteJournal, begin: int = 0) -> list[Record]:
    """What was acknowledged before there was no room."""
    acknowledged: list[Record] = []
    for number in range(begin, begin + COMMITS):
        try:
            await journal.commit([numbered(number)])
        except JournalFull:
            return acknowledged
        acknowledged.append(numbered(number))
    raise AssertionError("the disk never was full")


async def test_a_full_disk_is_told_and_when_there_is_room_it_works_again(disk: Path) -> None:
    path = disk / "journal.db"
    async with opened(path) as journal:
        await journal.commit([a_record("first")])
        ballast = fill(disk)
        acknowledged = await commit_until_full(journal)
        assert journal.read() == [a_record("first"), *acknowledged]
        for _ in range(3):
            with pytest.raises(JournalFull, match=r"journal\.db could not be written: the disk is full"):
                await journal.commit([a_record("refused", b"x" * 20_000)])
        ballast.unlink()
        await journal.commit([a_record("last")])
    async with opened(path) as journal:
        assert journal.read() == [a_record("first"), a_record("last"), *acknowledged]


async def test_it_recovers_as_often_as_the_disk_does(disk: Path) -> None:
    path = disk / "journal.db"
    acknowledged: list[Record] = []
    async with opened(path) as journal:
        for round_ in range(3):
            ballast = fill(disk)
            acknowledged += await commit_until_full(journal, round_ * COMMITS)
            ballast.unlink()
            await journal.commit([numbered((round_ + 1) * COMMITS - 1)])
            acknowledged.append(numbered((round_ + 1) * COMMITS - 1))
        assert journal.read() == acknowledged


async def test_each_of_many_callers_is_told_whether_its_own_was_kept(disk: Path) -> None:
    path = disk / "journal.db"
    async with opened(path) as journal:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(300 * 1024))
        commits = [journal.commit([numbered(number), numbered(number + COMMITS)]) for number in range(200)]
        outcomes = await asyncio.gather(*commits, return_exceptions=True)
        ballast.unlink()
    assert {type(outcome) for outcome in outcomes} >= {JournalFull}
    numbers = [number for number, outcome in enumerate(outcomes) if outcome is None]
    assert set(await kept(path)) == {numbered(n + more).name for n in numbers for more in (0, COMMITS)}


async def test_a_program_that_dies_on_a_full_disk_finds_what_it_acknowledged_and_no_more(
    disk: Path, tmp_path: Path
) -> None:
    path, elsewhere = disk / "journal.db", tmp_path / "elsewhere"
    elsewhere.mkdir()
    async with opened(path) as journal:
        fill(disk)
        acknowledged = await commit_until_full(journal)
        for name in ("journal.db", "journal.db-wal"):
            shutil.copy(disk / name, elsewhere)
    assert set(await kept(elsewhere / "journal.db")) == {record.name for record in acknowledged}


async def test_on_a_full_disk_it_ends_and_starts_again_with_all_that_was_kept(disk: Path) -> None:
    path = disk / "journal.db"
    async with opened(path) as journal:
        ballast = fill(disk)
        acknowledged = await commit_until_full(journal)
    assert path.exists()
    ballast.unlink()
    assert set(await kept(path)) == {record.name for record in acknowledged}


async def test_after_a_crash_it_does_not_start_before_there_is_room(disk: Path) -> None:
    path = disk / "journal.db"
    async with opened(disk / "before.db") as journal:
        await journal.commit([numbered(0)])
        for suffix in ("", "-wal"):
            shutil.copy(disk / f"before.db{suffix}", disk / f"journal.db{suffix}")
    ballast = fill(disk)
    with pytest.raises(StartError, match=r"journal\.db cannot be opened: the disk is full"):
        SqliteJournal(path, Metrics()).open()
    ballast.unlink()
    assert set(await kept(path)) == {numbered(0).name}


async def test_a_journal_is_not_begun_on_a_full_disk(disk: Path) -> None:
    ballast = fill(disk)
    with pytest.raises(StartError, match=r"journal\.db cannot be opened: the disk is full"):
        SqliteJournal(disk / "journal.db", Metrics()).open()
    assert list(disk.iterdir()) == [ballast]


async def test_a_backup_onto_a_full_disk_leaves_the_earlier_one_and_no_remains(disk: Path, tmp_path: Path) -> None:
    path, target = tmp_path / "journal.db", disk / "backup.db"
    await make(path, a_record())
    async with opened(path) as journal:
        await journal.backup(target)
        before = target.read_bytes()
        ballast = fill(disk)
        await journal.commit([a_record("a")])
        with pytest.raises(JournalFull, match=r"cannot make the backup .*: the disk is full"):
            await journal.backup(target)
    assert set(disk.iterdir()) == {target, ballast}
    assert target.read_bytes() == before
