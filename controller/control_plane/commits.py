"""Declarations on their way: kept in the journal first, then in the store, where everybody sees them."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from controller.store import SERVICE, Persistence
from proto.dockrunner import v1 as pb

R = TypeVar("R")


class Commits:
    """The declarations that were checked and are being kept.

    One service is in one of them at a time, so that each is checked against what the one before has left; those of
    different services are kept together, by one write to the disk.
    """

    def __init__(self, persistence: Persistence) -> None:
        self._persistence = persistence
        self._tasks: dict[asyncio.Task[object], tuple[pb.Service, ...]] = {}
        self._lock = asyncio.Lock()

    @property
    def turn(self) -> asyncio.Lock:
        """Held from the begin of a check to :meth:`begin`: two declarations at once must not overlook each other."""
        return self._lock

    @property
    def on_the_way(self) -> list[pb.Service]:
        """The services as they will be."""
        return [service for services in self._tasks.values() for service in services]

    async def settled(self, names: Collection[str] | None = None) -> None:
        """Returns when none of these services is on its way; without names when none at all is."""
        while busy := [
            task
            for task, services in self._tasks.items()
            if names is None or any(service.metadata.name in names for service in services)
        ]:
            await asyncio.wait(busy)

    def begin(self, services: Sequence[pb.Service], publish: Callable[[], R]) -> "asyncio.Future[R]":
        """Has the services kept and then published; the caller may give up waiting, it happens all the same.

        The answer raises JournalFull or JournalError when they could not be kept; then nothing was published.
        """
        task: asyncio.Task[R] = asyncio.create_task(self._carry(services, publish), name="commit")
        self._tasks[task] = tuple(services)
        task.add_done_callback(self._ended)
        return asyncio.shield(task)

    async def _carry(self, services: Sequence[pb.Service], publish: Callable[[], R]) -> R:
        if not services:
            return publish()
        async with self._persistence.ahead(SERVICE, services):
            return publish()

    def _ended(self, task: "asyncio.Task[R]") -> None:
        del self._tasks[task]
        if not task.cancelled():
            task.exception()  # whoever asked may have gone; asyncio need not say that nobody looked
