"""The threads that plain handlers run in, and what coroutines hand to ``asyncio.to_thread``."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

# So many calls that nobody waits for any more have their threads replaced; what hangs for ever is not to grow for ever.
MOST_GIVEN_UP = 64
# As many as asyncio's own pool has at most.
_LOOP_THREADS = 32

logger = logging.getLogger("dock_runner.framework")


class _Call(Future[T]):
    """A call that tells when it is given up: cancelled, by its time or by the end, while it is at work."""

    def __init__(self, function: Callable[[], T], given_up: "Callable[[_Call[Any]], None]") -> None:
        super().__init__()
        self._function = function
        self._given_up = given_up

    def cancel(self) -> bool:
        cancelled = super().cancel()
        if not cancelled:
            self._given_up(self)
        return cancelled

    def run(self) -> None:
        """Does it, in the thread."""
        if not self.set_running_or_notify_cancel():
            return
        function = self._function
        del self._function  # or its arguments would live as long as the answer
        try:
            answer = function()
        except BaseException as error:  # noqa: BLE001  # whatever it is, the waiting side gets it
            self.set_exception(error)
        else:
            self.set_result(answer)


class HandlerThreads(Executor):
    """At most so many threads, each made when there is need of it.

    Unlike those of a ThreadPoolExecutor they do not keep the program from ending: a handler of the user's may hang.
    Nor does one that hangs take a thread from the others for ever: a call that was given up no longer counts.
    """

    def __init__(self, most: int, name: str = "handler") -> None:
        self._most = most
        self._name = name
        self._work: SimpleQueue[_Call[Any] | None] = SimpleQueue()
        # Guards all below.
        self._lock = threading.Lock()
        self._given_up: set[_Call[Any]] = set()
        self._count = 0
        self._made = 0
        # Threads that no call in the queue is meant for yet, and calls in the queue that no thread is meant for yet.
        self._free = 0
        self._waiting = 0
        self._ended = self._warned = False

    def submit(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        """Has a function called in a thread.

        Raises:
            RuntimeError: it was shut down.
        """
        call = _Call(partial(function, *args, **kwargs), self._give_up)
        with self._lock:
            if self._ended:
                raise RuntimeError("the threads were shut down")
            self._work.put(call)
            if self._free:
                self._free -= 1
                return call
            self._waiting += 1
        self._provide()
        return call

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002  # see below
        """Lets the threads end after what is waiting, or at once; nobody waits for them, whatever ``wait`` says."""
        with self._lock:
            self._ended = True
        while cancel_futures:
            try:
                call = self._work.get_nowait()
            except Empty:
                break
            if call is not None:
                call.cancel()
        self._work.put(None)

    @property
    def _allowed(self) -> int:
        return self._most + min(len(self._given_up), MOST_GIVEN_UP)

    def _provide(self) -> None:
        """Makes a thread for a call that waits, if there may be one more."""
        with self._lock:
            if not self._waiting or self._count >= self._allowed:
                return
            self._waiting -= 1
            self._count += 1
            self._made += 1
            name = f"{self._name}_{self._made}"
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _give_up(self, call: _Call[Any]) -> None:
        warn = False
        with self._lock:
            if not call.running():
                return
            self._given_up.add(call)
            if len(self._given_up) > MOST_GIVEN_UP:
                warn, self._warned = not self._warned, True
        self._provide()
        if warn:
            text = "over %d plain functions that were given up do not end; from now on they keep others waiting"
            logger.warning(text, MOST_GIVEN_UP)

    def _run(self) -> None:
        while (call := self._work.get()) is not None:
            call.run()
            with self._lock:
                self._given_up.discard(call)
                if self._count > self._allowed:  # it was given up, and another one has its place
                    self._count -= 1
                    return
                if self._waiting:
                    self._waiting -= 1
                else:
                    self._free += 1
            del call  # or its arguments would live until the next one
        self._work.put(None)  # for the next thread


class LoopThreads(ThreadPoolExecutor):
    """What an event loop calls blocking functions in; one that hangs does not keep the program from ending.

    A pool by its type alone, as asyncio asks for: Python waits at its end for the threads of every pool.
    """

    def __init__(self) -> None:
        super().__init__()
        self._daemons = HandlerThreads(_LOOP_THREADS, "thread")

    def submit(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        """Has a function called in a thread; see :class:`concurrent.futures.Executor`."""
        return self._daemons.submit(function, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Lets the threads end; nobody waits for them."""
        self._daemons.shutdown(wait, cancel_futures=cancel_futures)
