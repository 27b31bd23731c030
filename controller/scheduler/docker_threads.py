"""Threads for calls that block.

Not a ThreadPoolExecutor: the interpreter joins its workers at exit, so that one call of an engine that hangs would
keep the program from ending. These are daemon threads, and closing answers whoever still waits for one.
"""

import asyncio
import contextlib
import queue
import threading
import weakref
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class _Job:
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    call: Callable[[], Any]

    def run(self) -> None:
        if self.future.cancelled():
            return
        try:
            result, error = self.call(), None
        except BaseException as raised:  # noqa: BLE001  # it is raised again, where the call is awaited
            result, error = None, raised
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(self._deliver, result, error)

    def _deliver(self, result: Any, error: BaseException | None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(error)


class Threads:
    """At most ``size`` daemon threads, made when needed. ``leave`` is called in each as it ends."""

    def __init__(self, name: str, size: int, leave: Callable[[], None] = lambda: None) -> None:
        self._name = name
        self._size = size
        self._leave = leave
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = threading.Semaphore(0)
        self._waiting: set[asyncio.Future[Any]] = set()
        self._closed: Callable[[], BaseException] | None = None

    async def run(self, call: Callable[[], T]) -> T:
        """Runs ``call`` in a thread. Cancelled, it goes on if it has begun, and its outcome is dropped."""
        if self._closed is not None:
            raise self._closed()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.add(future)
        try:
            if not self._idle.acquire(blocking=False) and len(self._threads) < self._size:
                self._add_thread()
            self._jobs.put(_Job(loop, future, call))
            return await future
        finally:
            self._waiting.discard(future)

    async def close(self, reason: Callable[[], BaseException]) -> None:
        """Raises what ``reason`` makes in all that wait, now and later, and ends the threads that are not stuck."""
        self._closed = reason
        for future in self._waiting:
            if not future.done():
                future.set_exception(reason())
        for _ in self._threads:
            self._jobs.put(None)
        for _ in range(50):
            if not any(thread.is_alive() for thread in self._threads):
                return
            await asyncio.sleep(0.01)

    def _add_thread(self) -> None:
        name = f"{self._name}-{len(self._threads) + 1}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.run()
            del job  # or the last call's arguments would live until the next one
            self._idle.release()
        self._leave()


class Turns:
    """Lets at most ``size`` at a time through for each name, in the order in which they came."""

    def __init__(self, size: int) -> None:
        self._size = size
        # Whoever waits or is through holds it; a name that nobody has to do with is forgotten.
        self._semaphores = weakref.WeakValueDictionary[str, asyncio.Semaphore]()

    @contextlib.asynccontextmanager
    async def of(self, name: str) -> AsyncGenerator[None, None]:
        """Waits for a turn of the name, and gives it back at the end."""
        semaphore = self._semaphores.setdefault(name, asyncio.Semaphore(self._size))
        async with semaphore:
            yield
