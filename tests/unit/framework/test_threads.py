"""The threads that plain handlers run in."""

import subprocess
import sys
import threading
from concurrent.futures import CancelledError

import pytest

from controller.framework.threads import HandlerThreads

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
