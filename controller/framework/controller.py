"""The controller loop: takes keys from the queue and calls the handlers of one kind."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, Protocol

from controller.store import Change, Kind
from controller.store.kinds import T
from proto.dockrunner import v1 as pb

from .attempt import SECOND_THOUGHTS, Attempts, Outcome, give_up, pause_before
from .cause import Cause, Reason, cause_of_change, detect, essence, narrowed
from .context import Context
from .finalizers import FINALIZER, hold, release, say_blocked
from .memory import Keep, Memories, Memory, Progress
from .queue import BACKOFF_MAX, LOW_PRIORITY, ShutDown, WorkQueue, backoff
from .registry import Handler

logger = logging.getLogger("dock_runner.framework")


class Attendants(Protocol):
    """What runs beside an object as long as it is there: its timers and daemons."""

    def halt(self, obj: Any) -> bool:
        """Asks what runs for an object that is to go to end; whether nothing does any more."""


@dataclass
class _Tally:
    """What one pass has come to: when to look again, what to retry, whether anything failed for good."""

    waits: list[float] = field(default_factory=list)
    backs_off: bool = False
    failed: bool = False
    unfinished: bool = False

    @property
    def requeue_after(self) -> float | None:
        return min(self.waits, default=None)


class Controller(Generic[T]):
    """Handles the objects of one kind: level-triggered, by ``workers`` at once, never one object twice at once.

    A change of an object, or of one that it owns, puts its key into the queue. In a pass all handlers of the cause
    are called, each until it has succeeded once for that cause, then the reconcile handlers. What an object was is
    remembered only when all handlers of the cause succeeded. A handler of a cause that fails has a pause of its own
    before it is called again; a reconcile handler that fails backs off by the queue, as in controller-runtime.
    """

    def __init__(
        self, attempts: Attempts, *, workers: int = 8, longest_backoff: float = BACKOFF_MAX, keep: Keep | None = None
    ) -> None:
        context: Context = attempts.context
        self.kind: Kind[T] = attempts.kind
        self.name = self.kind.name.lower()
        self.queue = WorkQueue(
            self.name, context.clock, context.metrics, limit=lambda failures: min(backoff(failures), longest_backoff)
        )
        self.memories = Memories(self.kind, keep)
        self._attempts = attempts
        self._attendants: Attendants | None = None
        self._context = context
        self._registry = context.registry
        self._store = context.store
        self._clock = context.clock
        self._metrics = context.metrics
        self._workers = workers
        self._longest_backoff = longest_backoff
        self._tasks: list[asyncio.Task[None]] = []
        self._in_hand: dict[asyncio.Task[Any] | None, str] = {}
        context.metrics.for_controller(self.name, workers)

    def attended_by(self, attendants: Attendants) -> None:
        """An object goes only when nothing of these runs for it any more."""
        self._attendants = attendants

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
        if not (self._in_hand.get(asyncio.current_task()) == name and _only_bookkeeping(change)):
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
            # Thousands of keys may be ready, and their handlers need not wait for anything: others get their turn.
            await asyncio.sleep(0)

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

    async def _pass(self, key: str, tally: _Tally) -> None:
        """Calls what there is to call for one object."""
        obj = self._store.find(self.kind, key)
        if obj is None:
            self.memories.forget(key)
            return
        memory = self.memories.of(obj)
        obj = hold(self._store, self.kind, obj, self._registry.holding(self.kind.name))
        now = essence(obj)
        cause = detect(obj.metadata, now, memory.remembered, first=memory.first, finalizer=FINALIZER)
        if cause.reason is Reason.DELETE:
            await self._delete(obj, cause, memory, tally)
        elif cause.reason is not Reason.FREE:
            if await self._tell(obj, cause, memory, tally):
                memory.remembered, memory.seen = now, {}
            await self._reconcile(obj, cause, memory, tally)
        self.memories.save(key)

    def _matching(self, obj: T, reason: Reason) -> list[Handler]:
        handlers = self._registry.for_reason(reason, self.kind.name)
        return [handler for handler in handlers if handler.filter.matches_object(obj)]

    async def _tell(self, obj: T, cause: Cause, memory: Memory, tally: _Tally) -> bool:
        """Tells of a creation or change to whom it concerns, and of the new run; whether all have succeeded.

        Each handler is told of the change since what it has seen itself, which may be later than what all have.
        """
        if memory.remembered is None and not memory.seen:
            memory.first = False  # there is no earlier run to resume from
        elif memory.first:
            resumed = Cause(Reason.RESUME, memory.remembered, cause.new)
            todo = [(handler, resumed) for handler in self._matching(obj, Reason.RESUME)]
            memory.first = not await self._run(obj, todo, resumed, memory, tally)
        reason = Reason.CREATE if cause.reason is Reason.CREATE else Reason.UPDATE
        concerned = list(self._concerned(obj, cause, memory))
        return await self._run(obj, concerned, Cause(reason, cause.old, cause.new), memory, tally)

    def _concerned(self, obj: T, cause: Cause, memory: Memory) -> Iterator[tuple[Handler, Cause]]:
        """Which handlers have yet to hear of what the object is now, each with what has changed for it."""
        for handler in self._registry.for_change(self.kind.name):
            since = memory.seen.get(handler.key, memory.remembered)
            if since is None and handler.activity == "update":
                memory.seen[handler.key] = cause.new  # told of what changes from now on, also while a creation fails
            elif since is None:
                if handler.filter.matches_object(obj) and handler.filter.matches_change(None, cause.new):
                    yield handler, cause
            elif since != cause.new and handler.activity != "create" and handler.filter.matches_labels(obj):
                own = cause_of_change(since, cause.new)
                if handler.filter.matches_change(own.old, own.new):
                    yield handler, own

    async def _delete(self, obj: T, cause: Cause, memory: Memory, tally: _Tally) -> None:
        """Lets the object go when its daemons have ended and its delete handlers are done."""
        gone = self._attendants is None or self._attendants.halt(obj)
        handlers = self._matching(obj, Reason.DELETE)
        if memory.released:
            handlers = [handler for handler in handlers if not handler.source]
        done = await self._run(obj, [(handler, cause) for handler in handlers], cause, memory, tally)
        if done and (gone or memory.released):
            release(self._store, self.kind, obj)
        else:
            say_blocked(self._context, self.kind, obj, handlers, memory)

    async def _run(
        self, obj: T, todo: list[tuple[Handler, Cause]], cause: Cause, memory: Memory, tally: _Tally
    ) -> bool:
        """Calls the handlers that have not finished with their cause yet; whether all have succeeded."""
        if cause.reason is Reason.RESUME:
            kept = memory.resuming
        else:
            # A deletion is one and the same, whatever becomes of the object meanwhile.
            about = (cause.reason.value, cause.new if cause.reason is not Reason.DELETE else type(cause.new)())
            if memory.about != about:
                memory.about, memory.progress = about, {}
            kept = memory.progress
        for handler, own in todo:
            current = self._store.find(self.kind, obj.metadata.name)
            if current is None or current.metadata.uid != obj.metadata.uid:
                return False  # gone meanwhile: its next cause is another one
            if cause.reason is Reason.DELETE and memory.released and handler.source:
                return False  # it was released while another one was at work
            obj = current
            progress = kept.setdefault(handler.key, Progress(self._clock.now()))
            if not progress.success:
                await self._try(handler, obj, own, memory, progress, tally)
                if progress.success and cause.reason in (Reason.CREATE, Reason.UPDATE):
                    memory.seen[handler.key] = cause.new
                self.memories.save(obj.metadata.name)
        return all(kept[handler.key].success for handler, _ in todo)

    async def _try(
        self, handler: Handler, obj: T, cause: Cause, memory: Memory, progress: Progress, tally: _Tally
    ) -> None:
        """Calls a handler of a cause, unless it has to wait, and notes how far it is."""
        now = self._clock.now()
        if progress.delayed is not None and progress.delayed > now:
            tally.waits.append((progress.delayed - now).total_seconds())
            return
        if progress.failure:
            progress.failure, progress.retries, progress.started = False, 0, now
        old, new, diff = (
            narrowed(handler.filter.path, cause) if handler.filter.path else (cause.old, cause.new, cause.diff)
        )
        facts: dict[str, Any] = {
            "old": old, "new": new, "diff": diff, "reason": cause.reason.value, "retry": progress.retries,
            "started": progress.started, "runtime": (now - progress.started).total_seconds(),
        }  # fmt: skip
        timeout = handler.limits.timeout
        left = None if timeout is None else timeout - facts["runtime"]
        if left is not None and left <= 0:
            outcome = Outcome(final=True, message=f"its time of {timeout:g} s is up")
            self._context.complain(self.kind, obj, handler, outcome.message)
        else:
            outcome = await self._call(handler, obj, memory, left, facts)
        self._note(handler, obj, outcome, progress, tally)

    async def _call(
        self, handler: Handler, obj: T, memory: Memory, within: float | None, facts: dict[str, Any]
    ) -> Outcome:
        """One call; what a deletion waits for can be cut short by :meth:`release`."""
        call = self._attempts.call(handler, obj, memory, within=within, **facts)
        if facts["reason"] != Reason.DELETE.value or not handler.source:
            return await call
        task: asyncio.Task[Outcome] = asyncio.create_task(call, name=f"{handler} of {obj.metadata.name}")
        memory.let_go = asyncio.get_running_loop().create_future()
        self._in_hand[task] = obj.metadata.name
        try:
            # Not awaited once it is let go: it may ignore that it is cancelled.
            await asyncio.wait((task, memory.let_go), return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else Outcome(final=True, message="it was released")
        finally:
            task.cancel()
            memory.let_go = None
            del self._in_hand[task]

    def _note(self, handler: Handler, obj: T, outcome: Outcome, progress: Progress, tally: _Tally) -> None:
        if outcome.panic:
            self._metrics.reconcile_panics.labels(self.name).inc()
        if outcome.result is not None:
            tally.unfinished |= not outcome.result.done
            if outcome.result.requeue_after is not None:
                tally.waits.append(outcome.result.requeue_after)
            if not outcome.result.done and handler.limits.timeout is not None:
                since = (self._clock.now() - progress.started).total_seconds()
                tally.waits.append(max(0.0, handler.limits.timeout - since))
            progress.success, progress.delayed, progress.message = outcome.result.done, None, ""
            return
        progress.retries += 1
        progress.message = outcome.message
        pause = outcome.delay
        if pause is None:
            pause = pause_before(handler, progress.retries, self._context, self._longest_backoff)
        now = self._clock.now()
        why = give_up(handler, progress, outcome, pause, now)
        if why:
            progress.failure, progress.message, pause = True, why, SECOND_THOUGHTS
            self._metrics.terminal_errors.labels(self.name).inc()
            if not outcome.final:
                self._context.complain(self.kind, obj, handler, why)
        tally.failed |= bool(why) or not outcome.expected
        tally.waits.append(pause)
        progress.delayed = now + timedelta(seconds=pause)

    async def _reconcile(self, obj: T, cause: Cause, memory: Memory, tally: _Tally) -> None:
        """Calls the level-triggered handlers."""
        failures = self.queue.failures(obj.metadata.name)
        facts: dict[str, Any] = {
            "old": cause.old, "new": cause.new, "diff": cause.diff, "reason": cause.reason.value, "retry": failures,
        }  # fmt: skip
        for handler in self._registry.of("reconcile", self.kind.name):
            current = self._store.find(self.kind, obj.metadata.name)
            if current is None or current.metadata.uid != obj.metadata.uid:
                return
            obj = current
            if not handler.filter.matches_object(obj):
                continue
            outcome = await self._attempts.call(handler, obj, memory, within=handler.limits.timeout, **facts)
            if outcome.panic:
                self._metrics.reconcile_panics.labels(self.name).inc()
            if outcome.result is not None:
                tally.unfinished |= not outcome.result.done
                if outcome.result.requeue_after is not None:
                    tally.waits.append(outcome.result.requeue_after)
                continue
            retries = handler.limits.retries
            final = outcome.final or (retries is not None and failures + 1 >= retries)
            if final:
                self._metrics.terminal_errors.labels(self.name).inc()
            elif outcome.delay is not None:
                tally.waits.append(outcome.delay)
            else:
                tally.backs_off = True
            tally.failed |= final or not outcome.expected


def _only_bookkeeping(change: Change[Any]) -> bool:
    """Whether the status was written, or a finalizer, and nothing that anybody declares."""
    old, new = change.old, change.new
    if change.type != pb.MODIFIED or old is None or new is None:
        return False
    return bool(old.metadata.generation == new.metadata.generation) and essence(old) == essence(new)
