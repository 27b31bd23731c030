"""What the journal's thread is asked for, and how its answer comes back to the event loop."""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from controller.errors import JournalError

from .journal_rows import Record

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Commit:
    """Records that wait to be kept, and who waits for it."""

    records: tuple[Record, ...]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[None]

    def settle(self, error: JournalError | None) -> None:
        """Tells the caller, from the thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(self._deliver, error)

    def _deliver(self, error: JournalError | None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(None)
        else:  # one of its own for each caller, as an error collects where it was raised
            own = type(error)(str(error))
            own.__cause__ = error
            self.future.set_exception(own)


@dataclass(frozen=True, eq=False)
class Call:
    """Something else that the thread is to do, in its turn; who waits has ``outcome``."""

    work: Callable[[], Any]
    outcome: "Future[Any]"

    def run(self) -> None:
        """Does it, in the thread."""
        try:
            result = self.work()
        except BaseException as error:  # noqa: BLE001  # it is raised again, where the outcome is awaited
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(result)


async def outcome(future: "Future[T]") -> T:
    """What the thread answers; who waits for it can be cancelled, what it waits for can't."""
    return await asyncio.shield(asyncio.wrap_future(future))
