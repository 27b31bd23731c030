"""Threads for plain functions that say which calls are under way, so that a test can wait for them."""

import threading
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class CountedThreads(ThreadPoolExecutor):
    """Calls each function in a thread of its own, and knows which have not ended.

    A pool by its type alone, as asyncio asks for: Python waits at its end for the threads of every pool, so that one
    function that never ends would keep the tests from ending. Calls are handed in by one event loop, which also asks
    for them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._calls: set[Future[Any]] = set()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Has the function called; see :class:`concurrent.futures.Executor`."""
        answer: Future[T] = Future()
        call: Future[None] = Future()

        def work() -> None:
            try:
                if answer.set_running_or_notify_cancel():
                    answer.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001  # whoever asked gets it
                answer.set_exception(error)
            finally:
                call.set_result(None)

        # A future is done before it has told whoever waits for it. The call is under way for longer than that: when
        # it has ended, the event loop has been told of the answer for certain.
        self._calls.add(call)
        threading.Thread(target=work, name="tested", daemon=True).start()
        return answer

    def under_way(self) -> Collection["Future[Any]"]:
        """The calls that have not ended."""
        self._calls = {call for call in self._calls if not call.done()}
        return self._calls
