"""The controller loop: takes keys from the queue and calls the handlers of one kind."""

import asyncio
import logging
from collections.abc import Collection
from typing import Any, Generic

from controller.store import Change, Kind
from controller.store.kinds import T
from proto.dockrunner import v1 as pb

from .attempt import Attempts
from .cause import essence
from .context import Context
from .finalizers import FINALIZER, USERS_FINALIZER, release
from .memory import Keep, Memories
from .queue import BACKOFF_MAX, LOW_PRIORITY, ShutDown, WorkQueue, backoff
from .reconciliation import Attendants, Reconciliation, Tally

# Seconds that cancelled tasks are waited for; a handler may ignore that it is cancelled, and is left to itself then.
CANCELLATION_GRACE = 0.3

logger = logging.getLogger("dock_runner.framework")


class Controller(Generic[T]):
    """Handles the objects of one kind: level-triggered, by ``workers`` at once, never one object twice at once.

    A change of an object, or of one that it owns, puts its key into the queue; what a worker does with it is a pass
    of :class:`Reconciliation`. A handler of a cause that fails has a pause of its own before it is called again; a
    reconcile handler that fails backs off by the queue, as in controller-runtime.
    """

    def __init__(
        self, attempts: Attempts, *, workers: int = 8, longest_backoff: float = BACKOFF_MAX, keep: Keep | None = None,
        finalizer: str = FINALIZER,
    ) -> None:  # fmt: skip
        context: Context = attempts.context
        self.kind: Kind[T] = attempts.kind
        self.name = self.kind.name.lower() + ("-handlers" if finalizer == USERS_FINALIZER else "")
        self._finalizer = finalizer
        self.queue = WorkQueue(
            self.name, context.clock, context.metrics, limit=lambda failures: min(backoff(failures), longest_backoff)
        )
        self.memories = Memories(self.kind, keep, self.name)
        self._passes = Reconciliation(
            attempts,
            self.memories,
            finalizer=finalizer,
            longest_backoff=longest_backoff,
            failures=self.queue.failures,
        )
        self._store = context.store
        self._clock = context.clock
        self._metrics = context.metrics
        self._workers = workers
        self._tasks: list[asyncio.Task[None]] = []
        context.metrics.for_controller(self.name, workers)

    def attended_by(self, attendants: Attendants) -> None:
        """An object goes only when nothing of these runs for it any more."""
        self._passes.attendants = attendants

    def owns(self, child: Kind[Any]) -> None:
        """Also handles an object when one of ``child`` that it owns, or has ceased to own, changes."""

        def enqueue(change: Change[Any]) -> None:
            if change.type == pb.MODIFIED and not child.concerns_owner(change.old, change.new):
                return
            for obj in (change.old, change.new):
                if obj is not None and (owner := child.owner(obj)):
                    self.queue.add(owner)

        self._store.subscribe(child, enqueue)

    def follows(self, owner: Kind[Any], index: str) -> None:
        """Also handles the objects of a new ``owner``, found by ``index``: they may have waited for it."""

        def enqueue(change: Change[Any]) -> None:
            if change.type == pb.ADDED and change.new is not None:
                for obj in self._store.list(self.kind, index=index, value=change.new.metadata.name):
                    self.queue.add(obj.metadata.name)

        self._store.subscribe(owner, enqueue)

    def remember(self, obj: T) -> None:
        """Takes the object as one that was handled before, so that its first cause is to resume."""
        self.memories.of(obj).remembered = essence(obj)

    def release(self, obj: T) -> None:
        """The deletion of an object shall not wait any more for handlers of the user's, nor for daemons."""
        memory = self.memories.of(obj)
        memory.released = True
        if memory.let_go is not None and not memory.let_go.done():
            memory.let_go.set_result(None)
        release(self._store, self.kind, obj, self._finalizer)
        self.queue.add(obj.metadata.name)

    def start(self) -> None:
        """Queues every object there is, follows the changes, and starts the workers."""
        self._store.subscribe(self.kind, self._changed)
        self.resync()
        self._tasks = [asyncio.create_task(self._work(), name=f"{self.name}-{n}") for n in range(self._workers)]

    def resync(self) -> None:
        """Queues every object at low priority."""
        for obj in self._store.list(self.kind):
            self.queue.add(obj.metadata.name, priority=LOW_PRIORITY)

    async def stop(self, grace: float) -> None:
        """Hands out nothing more and waits up to ``grace`` seconds for the passes in work, then cancels them.

        One that goes on all the same is left to itself.
        """
        drain = asyncio.create_task(self.queue.drain())
        await asyncio.wait([drain], timeout=grace)
        for key in dict.fromkeys(self._passes.in_hand.values()):
            logger.warning("%s %s: its handlers have not ended within %g s; they are cancelled", self.name, key, grace)
        for task in await cancelled([drain, *self._tasks]):
            key = self._passes.in_hand.get(task, "")
            task.set_name(f"a handler of {self.name} {key}")  # whoever finds it later is to know what it is

    def _changed(self, change: Change[T]) -> None:
        if change.new is None:
            return
        name = change.new.metadata.name
        # An echo of a pass's own words about why it fails would cut its backoff short.
        if not (self._passes.in_hand.get(asyncio.current_task()) == name and _only_bookkeeping(change)):
            self.queue.add(name)

    async def _work(self) -> None:
        active = self._metrics.active_workers.labels(self.name)
        while True:
            try:
                key, priority = await self.queue.get()
            except ShutDown:
                return
            active.inc()
            task = asyncio.current_task()
            self._passes.in_hand[task] = key
            try:
                await self._process(key, priority)
            finally:
                del self._passes.in_hand[task]
                active.dec()
                self.queue.done(key)
            # Thousands of keys may be ready, and their handlers need not wait for anything: others get their turn.
            await asyncio.sleep(0)

    async def _process(self, key: str, priority: int) -> None:
        """One pass over one object, and what becomes of its queue entry."""
        started = self._clock.monotonic()
        tally = Tally()
        try:
            await self._passes.run(key, tally)
        except Exception:
            # Not a handler's but our own defect, or an object that was replaced meanwhile: the worker must live on.
            logger.exception("%s %s: the pass failed", self.name, key)
            self._metrics.reconcile_panics.labels(self.name).inc()
            tally.backs_off = tally.failed = True
        if tally.failed:
            self._metrics.reconcile_errors.labels(self.name).inc()
        if tally.backs_off:
            self.queue.add_rate_limited(key, priority=priority)
        elif not tally.unfinished:
            self.queue.forget(key)
        if tally.requeue_after is not None:
            self.queue.add(key, after=tally.requeue_after, priority=priority)
        outcome = "error" if tally.failed else "success" if tally.requeue_after is None else "requeue_after"
        self._metrics.reconcile_total.labels(self.name, outcome).inc()
        self._metrics.reconcile_time.labels(self.name).observe(self._clock.monotonic() - started)


async def cancelled(tasks: Collection["asyncio.Task[Any]"]) -> Collection["asyncio.Task[Any]"]:
    """Cancels tasks and waits for their end, though not for long; those that go on all the same."""
    for task in tasks:
        task.cancel()
    if not tasks:
        return ()
    done, left = await asyncio.wait(tasks, timeout=CANCELLATION_GRACE)
    for task in done:
        if not task.cancelled():
            task.exception()  # asyncio is told that what it may be interests nobody
    return left


def _only_bookkeeping(change: Change[Any]) -> bool:
    """Whether the status was written, or a finalizer, and nothing that anybody declares."""
    old, new = change.old, change.new
    if change.type != pb.MODIFIED or old is None or new is None:
        return False
    return bool(old.metadata.generation == new.metadata.generation) and essence(old) == essence(new)
