"""The work queue of a controller: keys, each at most once, with priorities, delays and per-item backoff.

Semantics are those of controller-runtime's priority queue and client-go's rate limiter.
"""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import Gauge

from controller.clock import Clock
from controller.metrics import Metrics

BACKOFF_MIN = 0.005
BACKOFF_MAX = 1000.0
# What an initial list and a periodic resync are added with, so that real changes overtake them.
LOW_PRIORITY = -100


class ShutDown(Exception):  # not an error: the normal end of a worker
    """The queue hands out nothing more."""


def backoff(failures: int) -> float:
    """Seconds to wait after so many failures in a row: 5 ms doubling, at most 1000 s."""
    return min(BACKOFF_MIN * 2.0 ** min(failures - 1, 64), BACKOFF_MAX)


@dataclass(slots=True)
class _Entry:
    key: str
    priority: int
    due: float
    serial: int
    ready: bool
    since: float


class WorkQueue:
    """Keys that wait to be processed.

    A key stands in the queue once, with the highest priority and the earliest time that it was added with. One
    that is being processed is not handed out again: what is added meanwhile waits until :meth:`done`. Ready keys
    come by priority, then in the order in which they became ready. Belongs to one event loop.
    """

    def __init__(self, name: str, clock: Clock, metrics: Metrics, *, limit: Callable[[int], float] = backoff) -> None:
        self._clock = clock
        self._metrics = metrics
        self._labels = (name, name)
        self._adds = metrics.queue_adds.labels(name, name)
        self._retries = metrics.queue_retries.labels(name, name)
        self._waits = metrics.queue_duration.labels(name, name)
        self._works = metrics.work_duration.labels(name, name)
        self._depths: dict[int, Gauge] = {}
        self._limit = limit
        self._entries: dict[str, _Entry] = {}
        self._ready: list[tuple[int, int, _Entry]] = []
        self._waiting: list[tuple[float, int, _Entry]] = []
        self._working: dict[str, float] = {}
        self._dirty: dict[str, tuple[int, float]] = {}
        self._failures: dict[str, int] = {}
        self._serial = itertools.count()
        self._getters: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.Task[None] | None = None
        self._timer_due = 0.0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False
        metrics.unfinished_work.labels(*self._labels).set_function(self._unfinished)
        metrics.longest_running.labels(*self._labels).set_function(self._longest)

    def __len__(self) -> int:
        """How many keys wait, ready or not; not those in work."""
        return len(self._entries)

    def add(self, key: str, *, after: float = 0.0, priority: int = 0) -> None:
        """Has ``key`` processed in ``after`` seconds; harmless when it waits already."""
        if self._closed:
            return
        due = self._clock.monotonic() + after
        if key in self._working:
            known_priority, known_due = self._dirty.get(key, (priority, due))
            self._dirty[key] = (max(priority, known_priority), min(due, known_due))
            return
        self._insert(key, priority, due)

    def add_rate_limited(self, key: str, *, priority: int = 0) -> float:
        """Has ``key`` processed after its backoff, which grows with each call until :meth:`forget`; the seconds."""
        self._failures[key] = failures = self._failures.get(key, 0) + 1
        self._retries.inc()
        delay = self._limit(failures)
        self.add(key, after=delay, priority=priority)
        return delay

    def forget(self, key: str) -> None:
        """Ends the backoff of ``key``; a wait that has begun goes on."""
        self._failures.pop(key, None)

    def failures(self, key: str) -> int:
        """How often ``key`` was added rate-limited since it was last forgotten."""
        return self._failures.get(key, 0)

    async def get(self) -> tuple[str, int]:
        """The next key and its priority; the caller must say :meth:`done`.

        Raises:
            ShutDown: the queue was shut down.
        """
        while True:
            if self._closed:
                raise ShutDown
            self._promote()
            if self._ready:
                return self._hand_out(heapq.heappop(self._ready)[2])
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter.cancelled():
                    self._getters = deque(other for other in self._getters if other is not getter)
                else:
                    self._wake()  # it was woken for a key that another one must take now
                raise

    def done(self, key: str) -> None:
        """Ends the work on ``key``; what was added meanwhile is queued now."""
        started = self._working.pop(key)
        self._works.observe(self._clock.monotonic() - started)
        if again := self._dirty.pop(key, None):
            self._insert(key, *again)
        if not self._working:
            self._idle.set()

    async def drain(self) -> None:
        """Shuts the queue down: nothing more is handed out; returns when no key is in work."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        while self._getters:
            self._wake()
        await self._idle.wait()

    def _insert(self, key: str, priority: int, due: float) -> None:
        if self._closed:
            return
        now = self._clock.monotonic()
        known = self._entries.get(key)
        if known is not None:
            if priority <= known.priority and (known.ready or due >= known.due):
                return
            ready, due = known.ready or due <= now, min(due, known.due)
            priority = max(priority, known.priority)
            since, serial = known.since, known.serial if known.ready else next(self._serial)
            self._depth(known, -1)
        else:
            self._adds.inc()
            ready, since, serial = due <= now, now, next(self._serial)
        entry = _Entry(key, priority, due, serial, ready, since if known and known.ready else max(now, due))
        self._entries[key] = entry
        self._depth(entry, +1)
        if ready:
            heapq.heappush(self._ready, (-priority, serial, entry))
            self._wake()
        else:
            heapq.heappush(self._waiting, (due, serial, entry))
            self._set_timer()

    def _hand_out(self, entry: _Entry) -> tuple[str, int]:
        now = self._clock.monotonic()
        del self._entries[entry.key]
        self._depth(entry, -1)
        self._working[entry.key] = now
        self._idle.clear()
        self._waits.observe(max(0.0, now - entry.since))
        self._skip_stale()
        return entry.key, entry.priority

    def _promote(self) -> None:
        """Moves what has become due to the ready keys."""
        now = self._clock.monotonic()
        while self._waiting and (self._waiting[0][0] <= now or self._stale(self._waiting[0][2])):
            entry = heapq.heappop(self._waiting)[2]
            if not self._stale(entry):
                entry.ready, entry.serial = True, next(self._serial)
                heapq.heappush(self._ready, (-entry.priority, entry.serial, entry))
        self._skip_stale()
        self._set_timer()

    def _skip_stale(self) -> None:
        while self._ready and self._stale(self._ready[0][2]):
            heapq.heappop(self._ready)

    def _stale(self, entry: _Entry) -> bool:
        return self._entries.get(entry.key) is not entry

    def _wake(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    def _set_timer(self) -> None:
        if not self._waiting or self._closed:
            return
        due = self._waiting[0][0]
        if self._timer is not None and not self._timer.done() and self._timer_due <= due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = due
        self._timer = asyncio.get_running_loop().create_task(self._ring(due - self._clock.monotonic()))

    async def _ring(self, delay: float) -> None:
        await self._clock.sleep(max(0.0, delay))
        self._timer = None
        self._promote()
        for _ in range(min(len(self._ready), len(self._getters))):
            self._wake()

    def _depth(self, entry: _Entry, change: int) -> None:
        depth = self._depths.get(entry.priority)
        if depth is None:
            depth = self._depths[entry.priority] = self._metrics.queue_depth.labels(*self._labels, str(entry.priority))
        depth.inc(change)

    def _unfinished(self) -> float:
        now = self._clock.monotonic()
        return sum(now - started for started in self._working.values())

    def _longest(self) -> float:
        now = self._clock.monotonic()
        return max((now - started for started in self._working.values()), default=0.0)
