"""A clock that stands still until a test moves it."""

import asyncio
import heapq
from datetime import UTC, datetime, timedelta

# How many turns of the event loop whoever was woken gets before the time moves on: enough for chains of tasks that
# wake each other. What waits for a thread or a socket is not covered; such a test waits for its effect.
_TURNS = 50


class ManualClock:
    """A `controller.clock.Clock` in virtual time: both clocks move by ``advance`` and ``tick`` alone, exactly.

    Sleepers wake at their due times in order, those of one time in the order they lay down.
    """

    def __init__(self, now: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = now
        self._elapsed = 0.0
        self._serial = 0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

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

    async def advance(self, seconds: float) -> None:
        """Moves the time due by due; at each, who was woken runs before the time moves on.

        Tasks that were started before the call get to their sleeps first; a sleeper that lies down again within
        the span is woken again.
        """
        target = self._elapsed + seconds
        await self.settle()
        while (due := self.next_due) is not None and due <= target:
            self._elapsed = max(self._elapsed, due)
            self._wake_due()
            await self.settle()
        self._elapsed = target
        await self.settle()

    def tick(self, seconds: float) -> None:
        """Moves the time at one stroke, without letting anybody run: for code that does not sleep."""
        self._elapsed += seconds
        self._wake_due()

    async def settle(self) -> None:
        """Lets every task run that can, without moving the time."""
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    def _wake_due(self) -> None:
        while self._sleepers and self._sleepers[0][0] <= self._elapsed:
            _, _, wake = heapq.heappop(self._sleepers)
            if not wake.done():
                wake.set_result(None)

    def _drop_cancelled(self) -> None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
