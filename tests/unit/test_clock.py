"""The tests' own clock: whoever relies on it may."""

import asyncio
import threading
from datetime import timedelta

import pytest

from controller.testing.threads import CountedThreads
from tests.clock import ManualClock


async def test_sleepers_wake_in_order_at_their_own_times() -> None:
    clock, seen = ManualClock(), []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        seen.append((name, clock.monotonic()))

    async with asyncio.TaskGroup() as group:
        for name, seconds in (("c", 3.0), ("a", 1.0), ("b", 2.0), ("also a", 1.0)):
            group.create_task(sleeper(name, seconds))
        await clock.advance(2.5)
        assert seen == [("a", 1.0), ("also a", 1.0), ("b", 2.0)]
        assert clock.monotonic() == 2.5
        assert clock.sleepers == 1
        assert clock.next_due == 3.0
        await clock.advance(0.5)
    assert seen[-1] == ("c", 3.0)


async def test_a_loop_that_sleeps_again_is_woken_again_within_one_advance() -> None:
    clock, seen = ManualClock(), []

    async def ticker() -> None:
        while True:
            await clock.sleep(10)
            seen.append(clock.monotonic())

    task = asyncio.create_task(ticker())
    await clock.advance(35)
    task.cancel()
    assert seen == [10.0, 20.0, 30.0]


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = ManualClock()
    task = asyncio.create_task(clock.sleep(5))
    await clock.settle()
    task.cancel()
    await clock.settle()
    assert clock.sleepers == 0
    assert clock.next_due is None


def test_a_tick_moves_both_clocks_exactly() -> None:
    clock = ManualClock()
    before = clock.now()
    clock.tick(1.5)
    assert clock.now() - before == timedelta(seconds=1.5)
    assert clock.monotonic() == 1.5


async def test_however_long_a_chain_of_tasks_is_it_has_run_to_its_end() -> None:
    clock, links = ManualClock(), 1000
    ended: list[int] = []

    async def link(number: int) -> None:
        if number < links:
            await asyncio.create_task(link(number + 1))
        ended.append(number)

    task = asyncio.create_task(link(1))
    await clock.settle()
    assert ended == list(range(links, 0, -1))
    await task


async def test_calls_in_threads_are_waited_for_with_all_that_follows() -> None:
    clock, threads, seen = ManualClock(), CountedThreads(), []
    clock.waits_for(threads.under_way)
    loop = asyncio.get_running_loop()

    async def answer() -> str:
        return threading.current_thread().name

    def call() -> tuple[str, str]:
        # It comes back to the loop meanwhile, which must not stand still.
        return threading.current_thread().name, asyncio.run_coroutine_threadsafe(answer(), loop).result()

    async def ask() -> None:
        seen.append(await loop.run_in_executor(threads, call))

    task = asyncio.create_task(ask())
    await clock.settle()
    assert seen == [("tested", threading.current_thread().name)]
    await task


async def test_tasks_that_wake_each_other_without_end_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.testing.clock._MOST_TURNS", 100)
    clock = ManualClock()

    async def restless() -> None:
        while True:
            await clock.sleep(0)

    task = asyncio.create_task(restless())
    with pytest.raises(RuntimeError, match="without end"):
        await clock.settle()
    task.cancel()
