"""What blocks the event loop is said, with its stack."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from controller.watchdog import LoopWatchdog

Run = Callable[[Coroutine[Any, Any, None]], list[str]]


@pytest.fixture
def run(caplog: pytest.LogCaptureFixture) -> Iterator[Run]:
    """Runs a coroutine in a watched loop; what is said of it."""
    watchdog = LoopWatchdog()

    def run(coroutine: Coroutine[Any, Any, None]) -> list[str]:
        with (
            caplog.at_level(logging.WARNING, "dock_runner.watchdog"),
            asyncio.Runner(loop_factory=watchdog.new_loop) as runner,
        ):
            watchdog.start()
            runner.run(coroutine)
        return [record.getMessage() for record in caplog.records if record.name == "dock_runner.watchdog"]

    yield run
    watchdog.stop()


def block(seconds: float) -> None:
    time.sleep(seconds)


def test_what_a_coroutine_blocks_with_is_told_once_with_its_stack(run: Run) -> None:
    async def handler() -> None:
        await asyncio.sleep(0)
        block(0.4)

    (told,) = run(handler())
    assert told.startswith("the event loop has been blocked for ")
    assert "in handler" in told
    assert told.splitlines()[-1].strip() == "time.sleep(seconds)"
    assert "base_events" not in told, "the loop's own frames are left out"


def test_a_callback_that_blocks_is_told(run: Run) -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(block, 0.3)
        await asyncio.sleep(0.01)

    (told,) = run(main())
    assert "in block" in told


def test_each_time_is_told(run: Run) -> None:
    async def main() -> None:
        for _ in range(2):
            block(0.3)
            await asyncio.sleep(0.01)

    assert len(run(main())) == 2


def test_short_work_and_long_waits_are_not_told(run: Run) -> None:
    async def main() -> None:
        for _ in range(20):
            block(0.01)
            await asyncio.sleep(0)
        await asyncio.sleep(0.3)

    assert run(main()) == []


def test_a_thread_that_is_busy_does_not_count(run: Run) -> None:
    async def main() -> None:
        await asyncio.to_thread(block, 0.3)

    assert run(main()) == []


def test_it_ends_with_its_thread() -> None:
    watchdog = LoopWatchdog()
    watchdog.start()
    assert "watchdog" in {thread.name for thread in threading.enumerate()}
    watchdog.stop()
    watchdog.stop()
    assert "watchdog" not in {thread.name for thread in threading.enumerate()}
