"""A clock that stands still until a test moves it."""

import asyncio
import heapq
from collections.abc import Callable, Collection
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

# Turns of the event loop after which something is taken to be ready for ever, such as a handler that asks to be called
# again at once. A thousand containers come up in 250.
_MOST_TURNS = 5_000
# Turns that are taken on a loop that does not say what is ready.
_BLIND_TURNS = 100
# Real seconds that a call in a thread is waited for: the time of the test stands still meanwhile.
PATIENCE = 10.0

Calls = Callable[[], Collection["Future[Any]"]]
"""The calls that are under way in threads."""


class ManualClock:
    """A `controller.clock.Clock` in virtual time: both clocks move by ``advance`` and ``tick`` alone, exactly.

    Sleepers wake at their due times in order, those of one time in the order they lay down.
    """

    def __init__(self, now: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = now
        self._elapsed = 0.0
        self._serial = 0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._threads: list[Calls] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        wake = asyncio.get_running_loop().create_future()
        self._serial += 1
        heapq.heappush(self._sleepers, (self._elapsed + seconds, self._serial, wake))
        await wake

    @property
    def sleepers(self) -> int:
        """How many tasks sleep."""
        return sum(not wake.done() for _, _, wake in self._sleepers)

    @property
    def next_due(self) -> float | None:
        """When, on the monotonic clock, the first sleeper wakes; None while nobody sleeps."""
        self._drop_cancelled()
        return self._sleepers[0][0] if self._sleepers else None

    def waits_for(self, calls: Calls) -> None:
        """Has :meth:`settle` wait for the end of these calls as well: they run in threads, and so in real time."""
        self._threads.append(calls)

    async def advance(self, seconds: float) -> None:
        """Moves the time due by due; at each, who was woken runs before the time moves on.

        Tasks that were started before the call get to their sleeps first; a sleeper that lies down again within
        the span is woken again.

        Raises:
            TimeoutError, RuntimeError: as :meth:`settle`.
        """
        target = self._elapsed + seconds
        await self.settle()
        while (due := self.next_due) is not None and due <= target:
            self._elapsed = max(self._elapsed, due)
            self._wake_due()
            await self.settle()
        if self._elapsed != target:
            self._elapsed = target
            await self.settle()

    def tick(self, seconds: float) -> None:
        """Moves the time at one stroke, without letting anybody run: for code that does not sleep."""
        self._elapsed += seconds
        self._wake_due()

    async def settle(self) -> None:
        """Lets every task run that can, without moving the time, until all wait for something.

        What waits for a socket or for another process is not waited for: such a test waits for its effect.

        Raises:
            TimeoutError: no call in a thread has ended within PATIENCE real seconds.
            RuntimeError: tasks wake each other without end.
        """
        while True:
            await _rest()
            calls = [call for under_way in self._threads for call in under_way()]
            if calls:
                await _ended(calls)
            elif _is_quiet():  # a call may have ended between the two looks
                return

    def _wake_due(self) -> None:
        while self._sleepers and self._sleepers[0][0] <= self._elapsed:
            _, _, wake = heapq.heappop(self._sleepers)
            if not wake.done():
                wake.set_result(None)

    def _drop_cancelled(self) -> None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)


def _is_quiet() -> bool:
    """Whether nothing but the task that asks can run.

    asyncio has no way to ask for this. Its loops, however, have always kept what is ready in ``_ready``, and whoever
    runs has been taken out of it: when it is empty, everybody else waits. The alternative, a fixed number of turns,
    is too few for a long chain of tasks that wake each other and too many for all others.
    """
    return not getattr(asyncio.get_running_loop(), "_ready", ())


async def _rest() -> None:
    """Turns the loop until everybody else waits."""
    knows = hasattr(asyncio.get_running_loop(), "_ready")
    for turn in range(_MOST_TURNS):
        await asyncio.sleep(0)
        if _is_quiet() and (knows or turn >= _BLIND_TURNS):
            return
    raise RuntimeError("tasks wake each other without end: does a handler ask to be called again in no time?")


async def _ended(calls: Collection["Future[Any]"]) -> None:
    """Returns when one of the calls has ended, in real time."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def tell(_: "Future[Any]") -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(ended.set)

    for call in calls:
        call.add_done_callback(tell)
    try:
        await asyncio.wait_for(ended.wait(), PATIENCE)
    except TimeoutError:
        text = f"{len(calls)} calls of plain functions do not end; waited {PATIENCE:g} real seconds"
        raise TimeoutError(text) from None
