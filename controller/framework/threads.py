"""The threads that plain handlers run in."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class HandlerThreads(Executor):
    """At most so many threads, each made when there is need of it.

    Unlike those of a ThreadPoolExecutor they do not keep the program from ending: a handler of the user's may hang.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._work: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._count = 0

    def submit(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        """Has a function called in a thread. Belongs to one event loop, as all of the framework."""
        future: Future[T] = Future()
        self._work.put((future, partial(function, *args, **kwargs)))
        if not self._idle.acquire(blocking=False) and self._count < self._most:
            self._count += 1
            threading.Thread(target=self._run, name=f"handler_{self._count}", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002  # see below
        """Lets the threads end after what is waiting, or at once; nobody waits for them, whatever ``wait`` says."""
        while cancel_futures:
            try:
                work = self._work.get_nowait()
            except Empty:
                break
            if work is not None:
                work[0].cancel()
        self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            future, call = work
            if future.set_running_or_notify_cancel():
                try:
                    answer = call()
                except BaseException as error:  # noqa: BLE001  # whatever it is, the waiting side gets it
                    future.set_exception(error)
                else:
                    future.set_result(answer)
            del future, call, work
            self._idle.release()
        self._work.put(None)  # for the next thread
