"""How editors save: in pieces, by way of other files, from another time."""

import asyncio
import itertools
import os
import time
from pathlib import Path

import pytest

from .conftest import DB, Api, Follow, names, remove, write


async def test_half_a_file_is_never_applied_although_it_is_valid(
    api: Api, follow: Follow, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than a busy machine holds the writer up.
    monkeypatch.setattr("controller.config_agent.agent.DEBOUNCE", 0.5)
    text = "".join(f'[services.s{number}]\nimage = "a"\n' for number in range(20))
    write(file, text)
    follow(file)
    assert len((await api.next()).services) == 20
    with file.open("w") as writing:
        for number in range(20):
            writing.write(f'[services.s{number}]\nimage = "b"\n')
            writing.flush()
            await asyncio.sleep(0.03)  # the writer's own pace
    assert len((await api.next()).services) == 20
    assert api.requests.empty()


async def test_a_file_written_to_without_end_is_applied_when_that_ends(
    api: Api, follow: Follow, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.config_agent.agent._SETTLE_ROUNDS", 3)
    monkeypatch.setattr("controller.config_agent.agent.DEBOUNCE", 0.5)  # longer than a busy machine holds the writer up

    async def write() -> None:
        while True:
            os.utime(file)
            await asyncio.sleep(0.01)

    writer = asyncio.create_task(write())
    running = follow(file)
    message = f"nothing is changed or deleted: {file}: is being written to all the time"
    assert await running.report() == ("Warning", "ConfigUnreadable", message)
    assert api.requests.empty()
    writer.cancel()
    await api.next()


async def test_what_else_happens_in_a_folder_does_not_matter(api: Api, follow: Follow, file: Path) -> None:
    async def write() -> None:
        for number in itertools.count():
            (file.parent / f"{number}.log").touch()
            await asyncio.sleep(0.01)

    writer = asyncio.create_task(write())
    follow(file.parent)
    await api.next()
    writer.cancel()


async def test_an_editor_that_deletes_before_it_saves_deletes_no_service(
    api: Api, follow: Follow, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.config_agent.agent.DEBOUNCE", 0.5)
    other = file.with_name("other.toml")
    write(other, DB)
    running = follow(file.parent)
    await api.next()
    await running.report()
    remove(other)
    reload = asyncio.create_task(running.agent.reload())
    await asyncio.sleep(0.2)  # the editor's own pace
    write(other, DB + "replicas = 2\n")
    await reload
    assert sorted(names(await api.next())) == ["db", "web"]


async def test_a_file_from_the_future_is_read_at_once(api: Api, follow: Follow, file: Path) -> None:
    os.utime(file, (time.time() + 3600, time.time() + 3600))
    follow(file)
    await api.next()
