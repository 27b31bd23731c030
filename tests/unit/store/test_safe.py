"""The safe: what is kept is on the disk, nobody else can read it, and it is known by names that say nothing."""
# ruff: noqa: ASYNC240 - nothing else runs in these loops

import asyncio
import os
from pathlib import Path

import pytest

from controller.errors import SafeError, StartError
from controller.store import Safe


async def opened(folder: Path | None, key_file: Path | None = None) -> Safe:
    safe = Safe(folder, key_file)
    await safe.open()
    return safe


async def kept(safe: Safe, content: bytes) -> str:
    version = safe.version_of(content)
    await safe.keep({version: content})
    return version


async def test_what_is_kept_is_there_after_a_restart_under_the_same_version(tmp_path: Path) -> None:
    version = await kept(await opened(tmp_path / "s"), b"hunter2")
    again = await opened(tmp_path / "s")
    assert version in again
    assert await again.read(version) == b"hunter2"
    assert again.version_of(b"hunter2") == version


async def test_a_version_says_nothing_to_who_does_not_have_the_key(tmp_path: Path) -> None:
    one, other = await opened(tmp_path / "one"), await opened(tmp_path / "other")
    assert one.version_of(b"hunter2") != other.version_of(b"hunter2")
    assert one.version_of(b"hunter2") != one.version_of(b"hunter3")
    assert len(one.version_of(b"")) == 32


async def test_nobody_but_the_owner_can_read_it_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        version = await kept(await opened(tmp_path / "secrets" / "default"), b"hunter2")
    finally:
        os.umask(before)
    folder = tmp_path / "secrets" / "default"
    modes = {path.name: path.stat().st_mode & 0o777 for path in (folder, *folder.iterdir())}
    assert modes == {"default": 0o700, "key": 0o600, version: 0o600}


async def test_what_is_not_wanted_any_more_is_removed_and_the_key_stays(tmp_path: Path) -> None:
    safe = await opened(tmp_path)
    stays, goes = await kept(safe, b"stays"), await kept(safe, b"goes")
    await safe.retain({stays})
    assert (stays in safe, goes in safe) == (True, False)
    assert {path.name for path in tmp_path.iterdir()} == {"key", stays}
    with pytest.raises(SafeError, match="not there any more"):
        await safe.read(goes)


async def test_what_was_begun_and_not_ended_is_removed_at_the_next_start(tmp_path: Path) -> None:
    await opened(tmp_path)
    (tmp_path / "0123.new").write_bytes(b"half")
    safe = await opened(tmp_path)
    assert "0123.new" not in safe
    assert {path.name for path in tmp_path.iterdir()} == {"key"}


async def test_a_content_whose_file_is_gone_is_kept_again_when_it_is_given_again(tmp_path: Path) -> None:
    safe = await opened(tmp_path)
    version = await kept(safe, b"hunter2")
    (tmp_path / version).unlink()
    with pytest.raises(SafeError, match="declare it again"):
        await safe.read(version)
    await kept(safe, b"hunter2")
    assert await safe.read(version) == b"hunter2"


async def test_a_damaged_key_stops_the_start_as_every_secret_would_have_changed(tmp_path: Path) -> None:
    await opened(tmp_path)
    (tmp_path / "key").write_bytes(b"short")
    with pytest.raises(StartError, match="bring it back or remove it"):
        await opened(tmp_path)


async def test_a_folder_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("a file")
    with pytest.raises(StartError, match="cannot be read"):
        await opened(tmp_path / "s")


async def test_without_a_folder_contents_are_in_memory_alone_and_only_the_key_stays(tmp_path: Path) -> None:
    safe = await opened(None, tmp_path / "run" / "key")
    version = await kept(safe, b"hunter2")
    assert await safe.read(version) == b"hunter2"
    again = await opened(None, tmp_path / "run" / "key")
    assert (again.version_of(b"hunter2"), version in again) == (version, False)
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "key"]


async def test_it_is_kept_though_nobody_waits_for_it_any_more(tmp_path: Path) -> None:
    safe = await opened(tmp_path)
    version = safe.version_of(b"hunter2")
    keeping = asyncio.create_task(safe.keep({version: b"hunter2"}))
    await asyncio.sleep(0)
    keeping.cancel()
    assert await safe.read(version) == b"hunter2"  # comes after it
