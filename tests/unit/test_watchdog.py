"""What blocks the event loop is logged, once and with the place; everything else is not."""

import asyncio
import functools
import logging
import selectors
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from controller.watchdog import LoopWatchdog
from tests.clock import ManualClock

LIMIT = 0.01  # seconds: how often it looks in real time, and what is too long in the time of the test's clock
SHORT, LONG = LIMIT * 0.9, LIMIT * 1.1


class Warnings(logging.Handler):
    """The warnings of the watchdog; each makes ``react`` be called, which sets ``came``."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []
        self.came = threading.Event()
        self.react: Callable[[], object] = self.came.set

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())
        self.react()


@pytest.fixture
def warnings() -> Iterator[Warnings]:
    handler = Warnings()
    logging.getLogger("dock_runner.watchdog").addHandler(handler)
    yield handler
    logging.getLogger("dock_runner.watchdog").removeHandler(handler)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def watchdog(clock: ManualClock) -> Iterator[LoopWatchdog]:
    watchdog = LoopWatchdog(LIMIT, clock)
    watchdog.start()
    yield watchdog
    watchdog.stop()


def run(watchdog: LoopWatchdog, work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=watchdog.new_loop) as runner:
        runner.run(work)


def test_a_callback_that_sleeps_is_logged_with_its_name(warnings: Warnings) -> None:
    def naps_in_a_callback() -> None:
        while not warnings.came.is_set():
            time.sleep(0.01)

    async def work() -> None:
        asyncio.get_running_loop().call_soon(naps_in_a_callback)
        await asyncio.sleep(0)

    watchdog = LoopWatchdog()
    watchdog.start()
    run(watchdog, work())
    watchdog.stop()
    (text,) = warnings.texts
    assert text.startswith("the event loop has been blocked for over 100 ms:\n")
    assert "in naps_in_a_callback\n    time.sleep(0.01)" in text


def test_a_coroutine_that_blocks_is_logged_with_its_name_and_without_asyncios_frames(
    warnings: Warnings, watchdog: LoopWatchdog, clock: ManualClock
) -> None:
    def waits_in_a_thread_of_many() -> None:
        clock.tick(LONG)
        assert warnings.came.wait(10)

    async def blocks_in_a_coroutine() -> None:
        await asyncio.sleep(0)
        waits_in_a_thread_of_many()

    run(watchdog, blocks_in_a_coroutine())
    (text,) = warnings.texts
    lines = [line for line in text.splitlines() if line.startswith("  File")]
    assert [line.rpartition(" in ")[2] for line in lines[:2]] == ["blocks_in_a_coroutine", "waits_in_a_thread_of_many"]
    assert "asyncio" not in text


def test_a_blocking_function_of_c_is_logged_with_the_whole_stack(warnings: Warnings) -> None:
    lock = threading.Lock()
    lock.acquire()
    warnings.react = lock.release

    async def work() -> None:
        asyncio.get_running_loop().call_soon(lock.acquire)
        await asyncio.sleep(0)

    watchdog = LoopWatchdog()
    watchdog.start()
    run(watchdog, work())
    watchdog.stop()
    (text,) = warnings.texts
    assert "self._context.run(self._callback, *self._args)" in text


def test_one_long_block_is_one_warning(warnings: Warnings, watchdog: LoopWatchdog, clock: ManualClock) -> None:
    async def work() -> None:
        clock.tick(LONG)
        assert warnings.came.wait(10)
        clock.tick(100 * LONG)
        await asyncio.sleep(0)
        clock.tick(SHORT)
        await asyncio.sleep(0)

    run(watchdog, work())
    assert len(warnings.texts) == 1


def test_each_block_has_a_warning_of_its_own(warnings: Warnings, watchdog: LoopWatchdog, clock: ManualClock) -> None:
    async def work() -> None:
        for _ in range(3):
            warnings.came.clear()
            clock.tick(LONG)
            assert warnings.came.wait(10)
            await asyncio.sleep(0)

    run(watchdog, work())
    assert len(warnings.texts) == 3


def test_what_no_thread_could_look_at_is_told_of_afterwards(
    warnings: Warnings, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        clock.tick(0.25)
        await asyncio.sleep(0)

    run(LoopWatchdog(clock=clock), work())  # it has not been started
    (text,) = warnings.texts
    assert text.startswith("the event loop was blocked for 250 ms; where, could not be seen")


def test_short_work_is_not_logged_however_much_of_it_there_is(
    warnings: Warnings, watchdog: LoopWatchdog, clock: ManualClock
) -> None:
    async def work() -> None:
        for _ in range(100):
            clock.tick(SHORT)
            await asyncio.sleep(0)

    run(watchdog, work())
    assert warnings.texts == []


def test_time_that_passes_while_the_loop_waits_is_not_logged(
    warnings: Warnings, watchdog: LoopWatchdog, clock: ManualClock
) -> None:
    loop_thread = threading.get_ident()

    def pass_time_then(wake: Callable[[], object]) -> None:
        while sys._current_frames()[loop_thread].f_code.co_filename != selectors.__file__:
            time.sleep(0.001)
        clock.tick(100 * LONG)
        time.sleep(2 * LIMIT)  # the watchdog looks meanwhile
        wake()

    async def work() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(3):
            woken = asyncio.Event()
            waking = threading.Thread(
                target=pass_time_then, args=(functools.partial(loop.call_soon_threadsafe, woken.set),)
            )
            waking.start()
            await woken.wait()
            clock.tick(SHORT)

    run(watchdog, work())
    assert warnings.texts == []


def test_what_another_loop_does_afterwards_is_not_logged(
    warnings: Warnings, watchdog: LoopWatchdog, clock: ManualClock
) -> None:
    async def nothing() -> None:
        pass

    async def block() -> None:
        clock.tick(LONG)
        assert not warnings.came.wait(5 * LIMIT)

    run(watchdog, nothing())
    asyncio.run(block())


def test_stop_ends_the_thread() -> None:
    before = set(threading.enumerate())
    watchdog = LoopWatchdog()
    watchdog.start()
    assert {thread.name for thread in set(threading.enumerate()) - before} == {"watchdog"}
    watchdog.stop()
    watchdog.stop()
    assert set(threading.enumerate()) == before
