"""A journal that is not as it was left: said in one line, and nothing of it is changed."""
# ruff: noqa: ASYNC240 - nothing else runs in these loops

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.errors import JournalDamaged, JournalError, StartError
from controller.metrics import Metrics
from controller.store.journal import SqliteJournal, read_backup
from controller.store.journal_schema import VERSION
from tests.unit.store.journals import a_record, execute, folder_of, gone, make, opened

MARK = b"content-that-is-easily-found"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed journal with objects, some of them over several pages, and a tombstone."""
    path = tmp_path / "state" / "my journal.db"
    records = [a_record(f"s{number}", b"x" * 150 * number) for number in range(60)]
    asyncio.run(make(path, *records, a_record("marked", MARK), gone("deleted-one")))
    return path


def refusal(path: Path) -> str:
    """What is said when the journal is opened; the folder is as it was before."""
    before = folder_of(path)
    with pytest.raises(StartError) as caught:
        SqliteJournal(path, Metrics()).open()
    assert folder_of(path) == before
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"the journal {path} ")
    return text


def damage(path: Path) -> str:
    """What is wrong with it; the same is said of it as a backup."""
    text = refusal(path)
    what, _, remedy = text.removeprefix(f"the journal {path} is damaged: ").partition("; ")
    assert f"(rm -f '{path}'-wal '{path}'-shm; cp BACKUP '{path}')" in remedy
    assert "away to begin with nothing: what runs is then left running, as orphans" in remedy
    before = folder_of(path)
    with pytest.raises(JournalDamaged) as caught:
        read_backup(path)
    assert str(caught.value) == f"cannot read the backup {path}: {what}"
    assert folder_of(path) == before
    return what


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x04
    path.write_bytes(content)


def test_an_empty_file_is_no_new_journal(path: Path) -> None:
    path.write_bytes(b"")
    assert damage(path) == "it is empty"


def test_something_else_is_no_journal(path: Path) -> None:
    path.write_bytes(b"[services.web]\nimage = 'nginx'\n" * 200)
    assert damage(path) == "it is not an SQLite database"


@pytest.mark.parametrize("size", [1, 16, 99, 100, 101, 512, 4095, 4096, 4097, 8192, 0.5, -4096, -4095, -100, -1])
def test_a_file_that_was_cut_off_is_damaged(path: Path, size: float) -> None:
    whole = path.stat().st_size
    os.truncate(path, int(whole * size) if size == 0.5 else int(size) % whole)
    assert damage(path)


def test_a_file_is_cut_off_also_where_nothing_was_kept(path: Path) -> None:
    asyncio.run(make(path, a_record("large", b"x" * 100_000)))
    asyncio.run(make(path, gone("large")))
    os.truncate(path, path.stat().st_size - 1)
    assert damage(path) == f"it is cut off after {path.stat().st_size} bytes"


def test_noise_after_the_header_is_damage(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:100] + bytes((n * 37 + n // 256) % 256 for n in range(len(content) - 100)))
    assert damage(path)


def test_altered_content_is_damage_and_the_row_is_named(path: Path) -> None:
    flip(path, path.read_bytes().index(MARK) + 5)
    assert damage(path) == "the row of Service 'marked' is not as it was written"


def test_an_altered_name_of_a_deleted_service_is_damage(path: Path) -> None:
    execute(path, "UPDATE tombstones SET name = 's1'")
    assert damage(path) == "the row of the deleted Service 's1' is not as it was written"


@pytest.mark.parametrize("search", [bytes.index, bytes.rindex])
def test_a_table_and_its_index_must_agree(path: Path, search: Callable[[bytes, bytes], int]) -> None:
    flip(path, search(path.read_bytes(), b"deleted-one") + 4)
    assert damage(path)


def test_an_altered_epoch_is_damage(path: Path) -> None:
    execute(path, "UPDATE meta SET value = value + 1")
    assert damage(path) == "its epoch is not as it was written"
    execute(path, "DELETE FROM meta")
    assert damage(path) == "its epoch is not as it was written"


def test_whichever_bit_is_altered_it_is_noticed_or_harmless(path: Path) -> None:
    content = path.read_bytes()
    journal = read_backup(path)
    noticed = 0
    places = {*range(0, 4096, 97), *range(0, len(content), 997)}
    for at in sorted(places):
        flip(path, at)
        try:
            assert read_backup(path) == journal
        except JournalError:
            noticed += 1
        path.write_bytes(content)
    assert noticed > len(places) / 2


async def test_what_is_altered_while_it_is_open_is_noticed_by_reading(path: Path) -> None:
    async with opened(path) as journal:
        flip(path, path.read_bytes().index(MARK))
        with pytest.raises(StartError, match="is damaged: the row of Service 'marked' is not as it was written; put"):
            journal.read()


async def test_a_damaged_journal_gives_no_backup(path: Path) -> None:
    target = path.with_name("backup")
    async with opened(path) as journal:
        flip(path, path.read_bytes().index(MARK))
        with pytest.raises(JournalDamaged, match="backup: the row of Service 'marked' is not as it was written"):
            await journal.backup(target)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("table", ["objects", "tombstones", "meta"])
def test_a_missing_table_is_damage(path: Path, table: str) -> None:
    execute(path, f"DROP TABLE {table}")
    assert damage(path) == f"it has no table {table}"


def test_a_missing_column_is_damage(path: Path) -> None:
    execute(path, "ALTER TABLE objects RENAME COLUMN data TO bytes")
    assert damage(path) == "no such column: data"


def test_another_programs_database_is_no_journal(path: Path) -> None:
    path.unlink()
    execute(path, "CREATE TABLE objects (kind, name, uid, data, crc)", f"PRAGMA user_version = {VERSION}")
    assert damage(path) == "it is an SQLite database, but no journal of Dock Runner"


def test_a_version_that_never_was_is_damage(path: Path) -> None:
    execute(path, "PRAGMA user_version = 0")
    assert damage(path) == "it has the version 0, which no release had"


def test_a_log_without_its_journal_is_damage(path: Path) -> None:
    path.rename(path.with_name("my journal.db-wal"))
    text = refusal(path)
    assert "is damaged: it is missing, though my journal.db-wal is there; put a backup in its place" in text


def test_a_newer_version_is_refused_and_both_are_named(path: Path) -> None:
    execute(path, f"PRAGMA user_version = {VERSION + 4}", "DROP TABLE tombstones")
    text = refusal(path)
    assert f"made by a newer Dock Runner: journal version {VERSION + 4}, this one knows {VERSION}; use that" in text
    with pytest.raises(JournalError, match="made by a newer Dock Runner"):
        read_backup(path)


async def test_a_newer_version_that_is_only_in_the_log_is_refused_as_well(path: Path, tmp_path: Path) -> None:
    killed = tmp_path / "killed" / path.name
    killed.parent.mkdir()
    async with opened(path) as journal:
        connection = journal._file._connection
        assert connection is not None
        journal._ask(lambda: connection.execute(f"PRAGMA user_version = {VERSION + 1}")).result()
        for name, content in folder_of(path).items():
            killed.with_name(name).write_bytes(content)
    assert b"-wal" in b" ".join(name.encode() for name in folder_of(killed))
    assert "made by a newer Dock Runner" in refusal(killed)


async def test_a_damaged_journal_with_a_log_is_left_as_it_is(path: Path, tmp_path: Path) -> None:
    killed = tmp_path / "killed" / path.name
    killed.parent.mkdir()
    async with opened(path) as journal:
        await journal.commit([a_record("s59")])  # far from what is altered, which would else be in the log as well
        for name, content in folder_of(path).items():
            killed.with_name(name).write_bytes(content)
    flip(killed, killed.read_bytes().index(MARK))
    assert "is damaged: the row of Service 'marked'" in refusal(killed)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    folder, fifo, link = tmp_path / "folder", tmp_path / "fifo", tmp_path / "link"
    folder.mkdir()
    os.mkfifo(fifo)
    link.symlink_to("nowhere")
    for path in (folder, fifo, link):
        with pytest.raises(StartError, match="cannot be opened: it is not a regular file"):
            SqliteJournal(path, Metrics()).open()


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match=r"journal\.db cannot be opened: not a directory"):
        SqliteJournal(tmp_path / "file" / "journal.db", Metrics()).open()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_a_journal_of_somebody_else_is_one_clear_line(path: Path) -> None:
    open_it = """
import os, sys
from pathlib import Path
from controller.errors import StartError
from controller.metrics import Metrics
from controller.store.journal import SqliteJournal
os.seteuid(65534)
try:
    SqliteJournal(Path(sys.argv[1]), Metrics()).open()
except StartError as error:
    print(error)
"""
    for folder in (path.parent, *path.parents[1:3]):
        folder.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", open_it, path], capture_output=True, text=True, check=True)
    assert done.stdout == f"the journal {path} cannot be opened: permission denied\n"
