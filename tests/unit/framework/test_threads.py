"""The threads that plain handlers run in."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from typing import Any

import pytest

from controller.framework.threads import MOST_GIVEN_UP, HandlerThreads, LoopThreads

# Seconds after which a thread that ought to answer is given up.
PATIENCE = 10.0


def test_it_answers_and_raises_what_the_function_does() -> None:
    threads = HandlerThreads(2)
    assert threads.submit(divmod, 7, 2).result(PATIENCE) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        threads.submit(divmod, 1, 0).result(PATIENCE)
    threads.shutdown()


def test_there_are_never_more_threads_than_allowed_and_what_is_too_much_waits() -> None:
    threads, go_on, names = HandlerThreads(2), threading.Event(), set[str]()

    def work() -> None:
        names.add(threading.current_thread().name)
        go_on.wait(PATIENCE)

    futures = [threads.submit(work) for _ in range(5)]
    assert not futures[-1].running()
    go_on.set()
    for future in futures:
        future.result(PATIENCE)
    assert len(names) <= 2
    threads.shutdown()


def test_a_thread_that_is_free_is_taken_before_a_new_one_is_made() -> None:
    threads, names = HandlerThreads(8), set[str]()
    for _ in range(20):
        threads.submit(lambda: names.add(threading.current_thread().name)).result(PATIENCE)
    assert len(names) <= 3, "at most a few, as a thread that has just answered may not be free yet"
    threads.shutdown()


def test_what_waits_at_the_end_is_called_off() -> None:
    threads, begun, go_on = HandlerThreads(1), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait(PATIENCE)

    first, second = threads.submit(work), threads.submit(work)
    begun.wait(PATIENCE)
    threads.shutdown(cancel_futures=True)
    go_on.set()
    assert first.result(PATIENCE) is None
    with pytest.raises(CancelledError):
        second.result(PATIENCE)


def test_a_handler_that_hangs_does_not_keep_the_program_from_ending() -> None:
    program = (
        "import threading, time\n"
        "from controller.framework.threads import HandlerThreads\n"
        "threads, begun = HandlerThreads(1), threading.Event()\n"
        "threads.submit(lambda: (begun.set(), time.sleep(3600)))\n"
        "begun.wait()\n"
        "threads.shutdown(wait=False, cancel_futures=True)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], timeout=60, check=False)
    assert ended.returncode == 0


@contextmanager
def hanging(threads: HandlerThreads) -> Iterator[Callable[[], "Future[Any]"]]:
    """Something that hands in a call and returns as it hangs, until the end of the block."""
    end = threading.Event()

    def hang() -> "Future[Any]":
        begun = threading.Event()

        def work() -> None:
            begun.set()
            end.wait(10 * PATIENCE)

        call = threads.submit(work)
        assert begun.wait(PATIENCE)
        return call

    try:
        yield hang
    finally:
        end.set()


def test_a_call_that_was_given_up_keeps_no_thread_from_the_others() -> None:
    threads = HandlerThreads(2)
    with hanging(threads) as hang:
        calls = [hang(), hang()]
        waiting = threads.submit(divmod, 7, 2)
        assert not calls[0].cancel(), "a thread cannot be cancelled"
        assert waiting.result(PATIENCE) == (3, 1), "what waits already has the place at once"
        calls[1].cancel()
        for _ in range(5):
            assert threads.submit(divmod, 7, 2).result(PATIENCE) == (3, 1)
    threads.shutdown()


def test_there_are_no_more_threads_than_allowed_once_what_was_given_up_has_ended() -> None:
    threads = HandlerThreads(1)
    with hanging(threads) as hang:
        given_up = hang()
        given_up.cancel()
        hang().cancel()
    given_up.result(PATIENCE)
    with hanging(threads) as hang:
        hang()
        assert not threads.submit(divmod, 7, 2).running()
    threads.shutdown()


def test_as_many_as_are_replaced_are_bounded_and_that_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    threads = HandlerThreads(2)
    with hanging(threads) as hang:
        for _ in range(MOST_GIVEN_UP):
            hang().cancel()
        calls = [hang(), hang()]
        waiting = threads.submit(divmod, 7, 2)
        assert not caplog.messages
        for call in calls:
            call.cancel()
        assert caplog.messages == [
            "over 64 plain functions that were given up do not end; from now on they keep others waiting"
        ]
        assert not waiting.running()
    assert waiting.result(PATIENCE) == (3, 1)
    threads.shutdown()


def test_nothing_is_taken_any_more_after_the_end() -> None:
    threads = HandlerThreads(1)
    threads.shutdown()
    with pytest.raises(RuntimeError, match="the threads were shut down"):
        threads.submit(divmod, 7, 2)


async def test_a_loop_takes_them_for_its_own_and_does_not_wait_for_one_that_hangs_at_its_end() -> None:
    loop, begun, end = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    loop.set_default_executor(LoopThreads())

    def hang() -> None:
        loop.call_soon_threadsafe(begun.set)
        end.wait(PATIENCE)

    assert await asyncio.to_thread(divmod, 7, 2) == (3, 1)
    hanging = asyncio.create_task(asyncio.to_thread(hang))
    await begun.wait()
    await loop.shutdown_default_executor()
    assert not hanging.done()
    end.set()
    await hanging
