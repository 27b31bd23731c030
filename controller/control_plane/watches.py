"""The open watches of the API: how many there may be, their bookmarks, and their end at shutdown."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from controller.clock import Clock
from controller.metrics import Metrics
from controller.store import KINDS, Kind, Store, Watch
from controller.store.changes import Matches
from controller.store.kinds import T

from .codes import Code, Refusal

MAX_WATCHES = 1000
BOOKMARK_INTERVAL = 60.0  # seconds


class Watches:
    """Every watch that a client has open.

    A minute apart each one that has nothing left to send gets a bookmark, so that an idle client can resume even
    when the history has moved on without it.
    """

    def __init__(self, store: Store, metrics: Metrics, clock: Clock, *, limit: int = MAX_WATCHES) -> None:
        self._store = store
        self._clock = clock
        self._limit = limit
        self._gauge = metrics.watchers
        self._open: set[Watch[Any]] = set()
        self._ticker: asyncio.Task[None] | None = None
        self._closing = False
        for kind in KINDS:
            self._gauge.labels(kind.name).set(0)

    @contextmanager
    def open(self, kind: Kind[T], matches: Matches[T], *, version: str, initial: bool) -> Iterator[Watch[T]]:
        """A watch of the store that counts as open until the context is left.

        Raises:
            Expired: the version is not, or no longer, in the history.
            Refusal: there are too many watches, or the server is shutting down.
        """
        if self._closing:
            raise Refusal(Code.UNAVAILABLE, "the server is shutting down: try again")
        if len(self._open) >= self._limit:
            raise Refusal(Code.RESOURCE_EXHAUSTED, f"{self._limit} watches are open, and there may be no more")
        with self._store.watch(kind, matches, version=version, initial=initial) as watch:
            self._open.add(watch)
            self._gauge.labels(kind.name).inc()
            if self._ticker is None:
                self._ticker = asyncio.create_task(self._tick(), name="bookmarks")
            try:
                yield watch
            finally:
                self._open.discard(watch)
                self._gauge.labels(kind.name).dec()
                if not self._open:
                    self._stop_ticker()

    def close(self) -> None:
        """Ends every watch after what it has left to send, and lets none be opened any more."""
        self._closing = True
        self._stop_ticker()
        for watch in tuple(self._open):
            watch.close()

    async def _tick(self) -> None:
        while True:
            await self._clock.sleep(BOOKMARK_INTERVAL)
            version = int(self._store.version)
            for watch in tuple(self._open):
                bookmark = watch.bookmark(version)
                if bookmark is not None:
                    watch.offer(bookmark)

    def _stop_ticker(self) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None
