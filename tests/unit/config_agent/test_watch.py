"""When the watch says that something may have changed."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from controller.clock import SystemClock
from controller.config_agent import watch
from controller.config_agent.watch import FileWatch, fingerprint, folders

from .conftest import until


class Ticks(SystemClock):
    """Time stands still until ``tick``."""

    def __init__(self) -> None:
        self.tick = asyncio.Event()
        self.asked: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        await self.tick.wait()
        self.tick.clear()


@contextlib.asynccontextmanager
async def watching(path: Path, clock: SystemClock, *included: Path) -> AsyncIterator[asyncio.Event]:
    changed = asyncio.Event()
    with ThreadPoolExecutor(1) as executor:
        watch = FileWatch(path, clock, executor, changed.set)
        watch.include(set(map(str, included)))
        task = asyncio.create_task(watch.run())
        try:
            await seen(changed)
            yield changed
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def seen(changed: asyncio.Event) -> None:
    await asyncio.wait_for(changed.wait(), 10)
    changed.clear()


def test_a_fingerprint_tells_contents_names_and_permissions_apart(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    prints = [fingerprint(file), fingerprint(tmp_path)]
    file.write_text("a")
    prints += [fingerprint(file), fingerprint(tmp_path)]
    file.write_text("ab")
    prints += [fingerprint(file), fingerprint(tmp_path)]
    file.chmod(0o600)
    prints += [fingerprint(file), fingerprint(tmp_path)]
    assert all(prints.count(one) == 1 for one in prints)
    assert fingerprint(file) == fingerprint(file)
    assert prints[0].newest is None
    assert prints[2].newest == pytest.approx(file.stat().st_mtime)


def test_reading_leaves_the_fingerprint_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("a")
    before = fingerprint(file)
    file.read_text()
    assert fingerprint(file) == before


def test_the_folders_of_all_links_on_the_way_are_watched(tmp_path: Path) -> None:
    (tmp_path / "mount/..1").mkdir(parents=True)
    (tmp_path / "mount/..1/a.toml").touch()
    (tmp_path / "mount/..data").symlink_to("..1")
    (tmp_path / "mount/a.toml").symlink_to("..data/a.toml")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/a.toml").symlink_to(tmp_path / "mount/a.toml")
    found = {Path(place).resolve() for place in folders(tmp_path / "etc/a.toml")}
    assert found == {tmp_path / "etc", tmp_path / "mount", tmp_path / "mount/..1"}


def test_without_the_folder_the_nearest_above_is_watched_and_loops_end(tmp_path: Path) -> None:
    assert [*folders(tmp_path / "a/b/c.toml")] == [str(tmp_path)]
    (tmp_path / "loop").symlink_to("loop")
    assert [*folders(tmp_path / "loop")] == [str(tmp_path)]


def test_a_folder_is_watched_itself_and_where_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/conf").symlink_to("../real")
    assert {tmp_path / "etc", tmp_path / "real"} <= {Path(place) for place in folders(tmp_path / "etc/conf")}


async def test_without_events_a_look_every_five_seconds_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def no_events(*_: object, **__: object) -> AsyncIterator[None]:
        raise OSError("OS file watch limit reached")
        yield

    monkeypatch.setattr(watch, "awatch", no_events)
    file, clock = tmp_path / "a.toml", Ticks()
    async with watching(file, clock) as changed:
        await until(lambda: bool(clock.asked))
        file.write_text("a")
        assert not changed.is_set()
        clock.tick.set()
        await seen(changed)
        file.unlink()
        clock.tick.set()
        await seen(changed)
    assert set(clock.asked) == {5.0}
    assert caplog.messages == [f"no events for {file}, looking every 5 s instead: OS file watch limit reached"]


async def test_a_look_that_finds_nothing_new_is_silent(tmp_path: Path) -> None:
    clock = Ticks()
    async with watching(tmp_path / "a.toml", clock) as changed:
        for _ in range(3):
            asked = len(clock.asked)
            clock.tick.set()
            await until(lambda before=asked: len(clock.asked) > before)  # type: ignore[misc]  # a default for a lambda
        (tmp_path / "other.txt").touch()
        (tmp_path / "a.toml").touch()
        await seen(changed)


async def test_a_folder_that_is_made_anew_is_watched_again(tmp_path: Path) -> None:
    """By events alone: the clock stands still."""
    folder = tmp_path / "conf"
    async with watching(folder / "a.toml", Ticks()) as changed:
        for _ in range(3):
            folder.mkdir()
            (folder / "a.toml").write_text("a")
            await seen(changed)
            (folder / "a.toml").write_text("abc")
            await seen(changed)
            shutil.rmtree(folder)
            await seen(changed)


async def test_files_that_are_included_are_watched_wherever_they_are(tmp_path: Path) -> None:
    """By events alone: the clock stands still."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/key").touch()
    (tmp_path / "run/key").symlink_to(tmp_path / "data/key")
    included = [tmp_path / "run/key", tmp_path / "gone/a.env"]
    async with watching(tmp_path / "etc/a.toml", Ticks(), *included) as changed:
        (tmp_path / "data/key").write_text("a")
        await seen(changed)
        (tmp_path / "run/key").unlink()
        await seen(changed)
        (tmp_path / "gone").mkdir()
        (tmp_path / "gone/a.env").touch()
        await seen(changed)


async def test_what_is_included_later_is_watched_from_then_on(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "etc").mkdir()
    changed = asyncio.Event()
    with ThreadPoolExecutor(1) as executor:
        watch = FileWatch(tmp_path / "etc/a.toml", Ticks(), executor, changed.set)
        task = asyncio.create_task(watch.run())
        await seen(changed)
        (tmp_path / "run/key").touch()
        watch.include({str(tmp_path / "run/key")})
        await seen(changed)
        (tmp_path / "run/key").write_text("a")
        await seen(changed)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
