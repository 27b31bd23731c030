"""The tests' own clock: whoever relies on it may."""

import asyncio
from datetime import timedelta

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
