"""The controller loop: takes keys from the queue and calls the handlers of one kind."""

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Generic

from controller.clock import Clock
from controller.errors import DockRunnerError, NotFound, PermanentError, TemporaryError
from controller.metrics import Metrics
from controller.store import WARNING, Change, Kind, Recorder, Store, reference
from controller.store.kinds import T
from proto.dockrunner import v1 as pb

from .cause import Cause, Reason, detect, essence
from .invocation import invoke
from .memory import Memories, Memory, Progress
from .queue import BACKOFF_MAX, LOW_PRIORITY, ShutDown, WorkQueue, backoff
from .registry import Handler, Registry

FINALIZER = "dock-runner.handlers"

logger = logging.getLogger("dock_runner.framework")


@dataclass
class _Tally:
    """What one pass has come to: when to look again, what to retry, whether anything failed for good."""

    waits: list[float] = field(default_factory=list)
    retries: list[float | None] = field(default_factory=list)
    failed: bool = False
    unfinished: bool = False

    @property
    def backs_off(self) -> bool:
        return None in self.retries

    @property
    def requeue_after(self) -> float | None:
        return min([*self.waits, *(delay for delay in self.retries if delay is not None)], default=None)


class Controller(Generic[T]):
    """Handles the objects of one kind: level-triggered, by ``workers`` at once, never one object twice at once.

    A change of an object, or of one that it owns, puts its key into the queue. In a pass the handlers of the cause
    are called, each until it has succeeded once for that cause, then the reconcile handlers. What an object was is
    remembered only when all handlers of the cause succeeded. Errors are retried by the item's backoff; a
    PermanentError is not, until the object changes.
    """

    def __init__(
        self, kind: Kind[T], registry: Registry, store: Store, recorder: Recorder, clock: Clock, metrics: Metrics,
        threads: Executor, *, workers: int = 8, longest_backoff: float = BACKOFF_MAX, inject: Mapping[str, Any],
    ) -> None:  # fmt: skip
        self.kind: Kind[T] = kind
        self.name = kind.name.lower()
        self.queue = WorkQueue(
            self.name, clock, metrics, limit=lambda failures: min(backoff(failures), longest_backoff)
        )
        self._registry = registry
        self._store = store
        self._recorder = recorder
        self._clock = clock
        self._metrics = metrics
        self._threads = threads
        self._workers = workers
        self._inject = {"store": store, **inject}
        self._memories = Memories()
        self._tasks: list[asyncio.Task[None]] = []
        self._in_hand: dict[asyncio.Task[Any] | None, str] = {}
        metrics.for_controller(self.name, workers)

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
        self._memories.of(obj).remembered = essence(obj)

    def start(self) -> None:
        """Queues every object there is, follows the changes, and starts the workers."""
        self._store.subscribe(self.kind, self._changed)
        for obj in self._store.list(self.kind):
            self.queue.add(obj.metadata.name, priority=LOW_PRIORITY)
        self._tasks = [asyncio.create_task(self._work(), name=f"{self.name}-{n}") for n in range(self._workers)]

    def resync(self) -> None:
        """Queues every object at low priority."""
        for obj in self._store.list(self.kind):
            self.queue.add(obj.metadata.name, priority=LOW_PRIORITY)

    async def stop(self, grace: float) -> None:
        """Hands out nothing more and waits up to ``grace`` seconds for the passes in work, then cancels them."""
        drain = asyncio.create_task(self.queue.drain())
        await asyncio.wait([drain], timeout=grace)
        for task in [drain, *self._tasks]:
            task.cancel()
        await asyncio.gather(drain, *self._tasks, return_exceptions=True)

    def _changed(self, change: Change[T]) -> None:
        if change.new is None:
            return
        name = change.new.metadata.name
        # An echo of a pass's own words about why it fails would cut its backoff short.
        echo = self._in_hand.get(asyncio.current_task()) == name and change.type == pb.MODIFIED and _only_status(change)
        if not echo:
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
            self._in_hand[task] = key
            try:
                await self._process(key, priority)
            finally:
                del self._in_hand[task]
                active.dec()
                self.queue.done(key)

    async def _process(self, key: str, priority: int) -> None:
        """One pass over one object, and what becomes of its queue entry."""
        started = self._clock.monotonic()
        tally = _Tally()
        try:
            await self._pass(key, tally)
        except Exception:
            # Not a handler's but our own defect, or an object that was replaced meanwhile: the worker must live on.
            logger.exception("%s %s: the pass failed", self.name, key)
            self._metrics.reconcile_panics.labels(self.name).inc()
            tally.retries.append(None)
            tally.failed = True
        if tally.failed:
            self._metrics.reconcile_errors.labels(self.name).inc()
        if tally.backs_off:
            self.queue.add_rate_limited(key, priority=priority)
        else:
            if not tally.unfinished:
                self.queue.forget(key)
            if tally.requeue_after is not None:
                self.queue.add(key, after=tally.requeue_after, priority=priority)
        outcome = "error" if tally.failed else "success" if tally.requeue_after is None else "requeue_after"
        self._metrics.reconcile_total.labels(self.name, outcome).inc()
        self._metrics.reconcile_time.labels(self.name).observe(self._clock.monotonic() - started)

    async def _pass(self, key: str, tally: _Tally) -> None:
        """Calls what there is to call for one object."""
        obj = self._store.find(self.kind, key)
        if obj is None:
            self._memories.forget(key)
            return
        memory = self._memories.of(obj)
        if self._registry.needs_finalizer(self.kind.name):
            obj = self._hold(obj)
        now = essence(obj)
        cause = detect(obj.metadata, now, memory.remembered, first=memory.first, finalizer=FINALIZER)
        finished = await self._handle(obj, cause, memory, tally)
        if cause.reason is Reason.DELETE:
            if finished:
                self._release(obj)
        elif cause.reason is not Reason.FREE:
            if finished:
                memory.remembered, memory.first = now, False
            await self._reconcile(obj, cause, memory, tally)

    async def _handle(self, obj: T, cause: Cause, memory: Memory, tally: _Tally) -> bool:
        """Calls the handlers of a cause that have not finished with it yet; whether all have succeeded."""
        about = (cause.reason.value, cause.new)
        if memory.about != about:
            memory.about, memory.progress = about, {}
        handlers = self._registry.for_reason(cause.reason, self.kind.name)
        for handler in handlers:
            progress = memory.progress.setdefault(handler.id, Progress(self._clock.monotonic()))
            if not progress.finished:
                progress.success = await self._call(handler, obj, cause, memory, progress, tally)
        return all(memory.progress[handler.id].success for handler in handlers)

    async def _reconcile(self, obj: T, cause: Cause, memory: Memory, tally: _Tally) -> None:
        """Calls the level-triggered handlers."""
        failures = self.queue.failures(obj.metadata.name)
        for handler in self._registry.of("reconcile", self.kind.name):
            await self._call(handler, obj, cause, memory, Progress(self._clock.monotonic(), failures), tally)

    async def _call(
        self, handler: Handler, obj: T, cause: Cause, memory: Memory, progress: Progress, tally: _Tally
    ) -> bool:
        """Calls one handler; whether it has done its work."""
        try:
            result = await invoke(handler, self._arguments(handler, obj, cause, memory, progress), self._threads)
        except TemporaryError as error:
            tally.retries.append(error.delay)
            tally.failed |= error.delay is None
            logger.info("%s %s: %s: %s", self.name, obj.metadata.name, handler.id, error)
        except PermanentError as error:
            progress.failure = str(error) or "failed"
            self._metrics.terminal_errors.labels(self.name).inc()
            tally.failed = True
            self._complain(obj, handler, str(error))
        except DockRunnerError as error:
            tally.retries.append(None)
            tally.failed = True
            self._complain(obj, handler, str(error))
        except Exception as error:
            tally.retries.append(None)
            tally.failed = True
            self._metrics.reconcile_panics.labels(self.name).inc()
            logger.exception("%s %s: handler %s failed", self.name, obj.metadata.name, handler.id)
            self._complain(obj, handler, f"{type(error).__name__}: {error}")
        else:
            if result.requeue_after is not None:
                tally.waits.append(result.requeue_after)
            tally.unfinished |= not result.done
            return result.done
        progress.retries += 1
        return False

    def _arguments(
        self, handler: Handler, obj: Any, cause: Cause, memory: Memory, progress: Progress
    ) -> dict[str, Any]:
        where = f"{self.name} {obj.metadata.name}"
        return {
            **self._inject,
            "name": obj.metadata.name, "uid": obj.metadata.uid, "body": obj, "spec": obj.spec, "status": obj.status,
            "meta": obj.metadata, "labels": obj.metadata.labels, "annotations": obj.metadata.annotations,
            "old": cause.old, "new": cause.new, "diff": cause.diff, "reason": cause.reason.value,
            "retry": progress.retries, "started": progress.started,
            "runtime": self._clock.monotonic() - progress.started,
            "memo": memory.memo, "param": handler.param, "now": self._clock.now(),
            "logger": logging.LoggerAdapter(logging.getLogger(f"dock_runner.{self.name}"), {"object": where}),
        }  # fmt: skip

    def _complain(self, obj: Any, handler: Handler, text: str) -> None:
        logger.warning("%s %s: %s: %s", self.name, obj.metadata.name, handler.id, text)
        self._recorder.record(f"{self.name}-controller", reference(obj), WARNING, "HandlerFailed", text)

    def _hold(self, obj: T) -> T:
        """Adds our finalizer to an object that stays."""
        if obj.metadata.HasField("delete_time") or FINALIZER in obj.metadata.finalizers:
            return obj

        def add(edited: T) -> None:
            edited.metadata.finalizers.append(FINALIZER)

        return self._store.update(self.kind, obj.metadata.name, add)

    def _release(self, obj: T) -> None:
        def remove(edited: T) -> None:
            if FINALIZER in edited.metadata.finalizers:
                edited.metadata.finalizers.remove(FINALIZER)

        try:
            self._store.update(self.kind, obj.metadata.name, remove, uid=obj.metadata.uid)
        except NotFound:
            return


def _only_status(change: Change[Any]) -> bool:
    """Whether nothing but the status was written."""
    old, new = change.old, change.new
    if old is None or new is None:
        return False
    return bool(old.spec == new.spec and old.metadata.generation == new.metadata.generation)
