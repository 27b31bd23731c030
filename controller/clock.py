"""The time, as something that is passed in: code that waits takes a clock, and tests move it."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the program asks of time."""

    def now(self) -> datetime:
        """The wall clock, in UTC: for time stamps, never for durations."""

    def monotonic(self) -> float:
        """Seconds since some moment, never going back: for durations."""

    async def sleep(self, seconds: float) -> None:
        """Returns when ``seconds`` have passed on the monotonic clock."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
