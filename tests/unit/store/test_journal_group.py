"""Commits that wait together: one transaction, in the order of their calls, and one outcome."""

import asyncio
from collections.abc import Awaitable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from controller.errors import JournalError
from controller.metrics import Metrics
from controller.store.journal import GROUP
from tests.unit.store.journals import a_record, gone, held, kept, make, opened, refuse_objects_named_refused


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.db"


def groups(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("dock_runner_journal_commit_seconds_count")


async def outcomes(waiting: list[asyncio.Task[None]]) -> list[BaseException | None]:
    return list(await asyncio.gather(*waiting, return_exceptions=True))


def begin(*commits: Coroutine[Any, Any, None]) -> Awaitable[list[asyncio.Task[None]]]:
    """Calls the commits in their order; they are on their way when it is awaited."""

    async def started() -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(commit) for commit in commits]
        await asyncio.sleep(0)
        return tasks

    return started()


async def test_what_waits_together_is_one_group(path: Path) -> None:
    metrics = Metrics()
    async with opened(path, metrics) as journal:
        with held(journal):
            tasks = await begin(*(journal.commit([a_record(f"s{number}")]) for number in range(64)))
        assert await outcomes(tasks) == [None] * 64
        assert groups(metrics) == 1
        await journal.commit([a_record()])
        assert groups(metrics) == 2


async def test_a_group_has_a_limit(path: Path) -> None:
    metrics = Metrics()
    async with opened(path, metrics) as journal:
        with held(journal):
            tasks = await begin(*(journal.commit([a_record(f"s{number}")]) for number in range(2 * GROUP + 1)))
        await outcomes(tasks)
        assert groups(metrics) == 3
    assert len(await kept(path)) == 2 * GROUP + 1


async def test_commits_take_effect_in_the_order_of_their_calls(path: Path) -> None:
    async with opened(path) as journal:
        with held(journal):
            tasks = await begin(*(journal.commit([a_record(data=b"%d" % number)]) for number in range(2500)))
        await outcomes(tasks)
    assert await kept(path) == {"web": b"2499"}


async def test_a_failure_fails_its_whole_group_and_keeps_nothing_of_it(path: Path) -> None:
    await make(path, a_record("old"))
    refuse_objects_named_refused(path)
    async with opened(path) as journal:
        with held(journal):
            tasks = await begin(
                journal.commit([a_record("a")]),
                journal.commit([a_record("b"), gone("old"), a_record("refused"), a_record("c")]),
                journal.commit([a_record("d")]),
            )
        failures = await outcomes(tasks)
        assert [type(failure) for failure in failures] == [JournalError] * 3
        assert len(set(map(id, failures))) == 3
        assert str(failures[0]) == f"the journal {path} could not be written: refused"
        assert journal.deleted("Service") == frozenset()
    assert await kept(path) == {"old": b"bytes"}


async def test_it_goes_on_after_a_failure(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await make(path)
    refuse_objects_named_refused(path)
    caplog.set_level("INFO", "dock_runner.journal")
    async with opened(path) as journal:
        for _ in range(3):
            with pytest.raises(JournalError):
                await journal.commit([a_record("refused")])
        await journal.commit([a_record("a")])
    assert await kept(path) == {"a": b"bytes"}
    assert [record.levelname for record in caplog.records if "written" in record.message] == ["ERROR", "INFO"]


async def test_a_caller_that_is_cancelled_harms_neither_its_group_nor_its_own_commit(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(path) as journal:
        with held(journal):
            tasks = await begin(*(journal.commit([a_record(name)]) for name in "abc"))
            tasks[1].cancel()
            await asyncio.wait([tasks[1]])
        assert [type(outcome) for outcome in await outcomes(tasks)] == [type(None), asyncio.CancelledError, type(None)]
    assert set(await kept(path)) == {"a", "b", "c"}
    assert not caplog.records


async def test_closing_waits_for_what_is_queued_and_can_be_repeated(path: Path) -> None:
    async with opened(path) as journal:
        with held(journal):
            tasks = await begin(*(journal.commit([a_record(name)]) for name in "abc"))
            closing = [asyncio.create_task(journal.close()) for _ in range(2)]
            await asyncio.sleep(0)
            with pytest.raises(JournalError, match="is not open"):
                await journal.commit([a_record("late")])
        await asyncio.gather(*closing)
        assert await outcomes(tasks) == [None] * 3
        await journal.close()
    assert set(await kept(path)) == {"a", "b", "c"}


async def test_a_commit_of_nothing_returns_at_once(path: Path) -> None:
    metrics = Metrics()
    async with opened(path, metrics) as journal:
        await journal.commit([])
    assert groups(metrics) == 0
