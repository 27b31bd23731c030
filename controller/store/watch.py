"""One watcher: a bounded buffer between the store and whoever reads."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Generic

from controller.errors import SlowWatcher
from proto.dockrunner import v1 as pb

from .changes import Change, Matches
from .kinds import T


class Watch(AsyncIterator[Change[T]], Generic[T]):
    """An endless, gap-free stream of changes that match.

    Never skips: when ``limit`` changes wait unread it is closed, and the reader gets :class:`SlowWatcher`. The
    writer never waits. What the watch began with (initial objects, resumed history) does not count against the
    limit, as it is as bounded as the store itself. Close it by ``close()`` or by leaving ``with``.
    """

    def __init__(self, matches: Matches[T], limit: int, on_close: Callable[["Watch[T]"], None]) -> None:
        self._matches: Matches[T] = matches
        self._limit = limit
        self._begun = 0  # how much of what it began with waits still: that comes first
        self._on_close: Callable[[Watch[T]], None] = on_close
        self._buffer: deque[Change[T]] = deque()
        self._wake = asyncio.Event()
        self._closed = False
        self._overflowed = False

    def begin(self, change: Change[T]) -> None:
        """Puts something at the stream's start; only before the store offers changes."""
        self._buffer.append(change)
        self._begun += 1
        self._wake.set()

    def offer(self, change: Change[T]) -> None:
        """Takes a change of the store, when it concerns this watcher."""
        seen = change.seen_by(self._matches)
        if seen is None or self._closed:
            return
        if len(self._buffer) - self._begun >= self._limit:
            self._overflowed = True
            self._buffer.clear()
            self.close()
            return
        self._buffer.append(seen)
        self._wake.set()

    async def __anext__(self) -> Change[T]:
        while not self._buffer:
            if self._overflowed:
                raise SlowWatcher("the watcher read too slowly and was closed: list again")
            if self._closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        self._begun = max(0, self._begun - 1)
        return self._buffer.popleft()

    def bookmark(self, version: int) -> Change[T] | None:
        """A bookmark at ``version``, or None while changes wait that come before it."""
        return None if self._buffer else Change(pb.BOOKMARK, version)

    def close(self) -> None:
        """Ends the stream after what is buffered; harmless when repeated."""
        if not self._closed:
            self._closed = True
            self._on_close(self)
        self._wake.set()

    def __enter__(self) -> "Watch[T]":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
