"""Calls of the engine that may take long, carried on beside the workers.

A pull takes minutes and a stop as long as its grace period. A worker that waited for one would keep other containers
from being looked after, so a handler starts the call, answers that it is not done, and is called again at its end.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

Call = Callable[[], Coroutine[Any, Any, None]]


@dataclass
class _Running:
    task: asyncio.Task[None]
    waiters: set[str] = field(default_factory=set)


class InFlight:
    """Calls by key, each once at a time, and who waits for which; ``requeue`` has a waiter called again."""

    def __init__(self, requeue: Callable[[str], None]) -> None:
        self._requeue = requeue
        self._running: dict[str, _Running] = {}
        self._outcomes: dict[tuple[str, str], BaseException | None] = {}

    def ended(self, key: str, waiter: str, call: Call) -> bool:
        """Whether the call that ``waiter`` waits for has ended well; begins it, or joins the one under this key.

        Raises:
            Exception: what the call raised; the next time it begins anew.
        """
        if (key, waiter) in self._outcomes:
            error = self._outcomes.pop((key, waiter))
            if error is not None:
                raise error
            return True
        running = self._running.get(key)
        if running is None:
            task = asyncio.create_task(call(), name=key)
            running = self._running[key] = _Running(task)
            task.add_done_callback(lambda _: self._end(key))
        running.waiters.add(waiter)
        return False

    def knows(self, key: str, waiter: str) -> bool:
        """Whether the call is on its way, or its outcome waits to be asked for by ``waiter``."""
        return key in self._running or (key, waiter) in self._outcomes

    def waits(self, key: str, waiter: str) -> bool:
        """Whether ``waiter`` waits for a call that has not ended."""
        running = self._running.get(key)
        return running is not None and waiter in running.waiters

    def forget(self, waiter: str) -> None:
        """The waiter is gone; the calls go on for others."""
        for running in self._running.values():
            running.waiters.discard(waiter)
        for key in [known for known in self._outcomes if known[1] == waiter]:
            del self._outcomes[key]

    async def close(self) -> None:
        """Cancels every call."""
        tasks = [running.task for running in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _end(self, key: str) -> None:
        running = self._running.pop(key)
        if running.task.cancelled():
            return
        error = running.task.exception()
        for waiter in running.waiters:
            self._outcomes[key, waiter] = error
            self._requeue(waiter)
