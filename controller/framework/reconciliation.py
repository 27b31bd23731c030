"""One pass over one object: which handlers are to be called for what has become of it, and what that came to."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from .attempt import SECOND_THOUGHTS, Attempts, Outcome, give_up, pause_before
from .cause import Cause, Reason, cause_of_change, detect, essence, narrowed
from .finalizers import hold, release, say_blocked
from .memory import Memories, Memory, Progress
from .registry import Handler

# So often handlers may change what they are told of without a pause.
ECHOES = 5
# Seconds after which a call of a handler of the user's is said to take long.
SLOW = 60.0


class Attendants(Protocol):
    """What runs beside an object as long as it is there: its timers and daemons."""

    def halt(self, obj: Any) -> bool:
        """Asks what runs for an object that is to go to end; whether nothing does any more."""


@dataclass
class Tally:
    """What one pass has come to: when to look again, what to retry, whether anything failed for good."""

    waits: list[float] = field(default_factory=list)
    backs_off: bool = False
    failed: bool = False
    unfinished: bool = False

    @property
    def requeue_after(self) -> float | None:
        return min(self.waits, default=None)


class Reconciliation:
    """The passes over the objects of one kind.

    All handlers of a cause are called, each until it has succeeded once for that cause, then the reconcile handlers.
    What an object was is remembered only when all handlers of the cause succeeded. ``failures`` tells how often in a
    row a reconcile handler of an object has failed. ``in_hand`` are the tasks at work, with the names of their objects.
    """

    def __init__(
        self, attempts: Attempts, memories: Memories, *, finalizer: str, longest_backoff: float,
        failures: Callable[[str], int],
    ) -> None:  # fmt: skip
        self.in_hand: dict[asyncio.Task[Any] | None, str] = {}
        self.attendants: Attendants | None = None
        """An object goes only when nothing of these runs for it any more."""
        context = attempts.context
        self._kind = attempts.kind
        self._name = self._kind.name.lower()
        self._attempts = attempts
        self._memories = memories
        self._context = context
        self._registry = context.registry
        self._store = context.store
        self._clock = context.clock
        self._metrics = context.metrics
        self._finalizer = finalizer
        self._longest_backoff = longest_backoff
        self._failures = failures

    async def run(self, key: str, tally: Tally) -> None:
        """Calls what there is to call for one object."""
        obj = self._store.find(self._kind, key)
        if obj is None:
            self._memories.forget(key)
            return
        memory = self._memories.of(obj)
        obj = hold(self._store, self._kind, obj, self._registry.holding(self._kind.name), self._finalizer)
        now = essence(obj)
        cause = detect(obj.metadata, now, memory.remembered, first=memory.first, finalizer=self._finalizer)
        if cause.reason is Reason.DELETE:
            await self._delete(obj, cause, memory, tally)
        elif cause.reason is not Reason.FREE:
            if await self._tell(obj, cause, memory, tally):
                memory.remembered, memory.seen = now, {}
            await self._reconcile(obj, cause, memory, tally)
        self._memories.save(key)

    def _matching(self, obj: Any, reason: Reason) -> list[Handler]:
        handlers = self._registry.for_reason(reason, self._kind.name)
        return [handler for handler in handlers if handler.filter.matches_object(obj)]

    async def _tell(self, obj: Any, cause: Cause, memory: Memory, tally: Tally) -> bool:
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
        now = self._clock.now()
        if concerned and memory.braked is not None and memory.braked > now:
            tally.waits.append((memory.braked - now).total_seconds())
            return False
        done = await self._run(obj, concerned, Cause(reason, cause.old, cause.new), memory, tally)
        if concerned:
            self._brake(obj, cause, concerned, memory)
        return done

    def _brake(self, obj: Any, cause: Cause, concerned: list[tuple[Handler, Cause]], memory: Memory) -> None:
        """Handlers that change what they are told of are told of it again: with growing pauses, if they go on so."""
        current = self._store.find(self._kind, obj.metadata.name)
        if current is None or current.metadata.uid != obj.metadata.uid or essence(current) == cause.new:
            memory.echoes, memory.braked = 0, None
            return
        memory.echoes += 1
        if memory.echoes > ECHOES:
            pause = min(0.1 * 2.0 ** min(memory.echoes - ECHOES, 32), SLOW)
            memory.braked = self._clock.now() + timedelta(seconds=pause)
        if memory.echoes == 2 * ECHOES:
            text = f"changes in each call what it is told of; it is called again after {pause:.0f} s and more"
            self._context.complain(self._kind, obj, concerned[0][0], text, "HandlerLoop")

    def _concerned(self, obj: Any, cause: Cause, memory: Memory) -> Iterator[tuple[Handler, Cause]]:
        """Which handlers have yet to hear of what the object is now, each with what has changed for it."""
        for handler in self._registry.for_change(self._kind.name):
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

    async def _delete(self, obj: Any, cause: Cause, memory: Memory, tally: Tally) -> None:
        """Lets the object go when its daemons have ended and its delete handlers are done."""
        gone = self.attendants is None or self.attendants.halt(obj)
        handlers = self._matching(obj, Reason.DELETE)
        if memory.released:
            handlers = [handler for handler in handlers if not handler.source]
        done = await self._run(obj, [(handler, cause) for handler in handlers], cause, memory, tally)
        if done and (gone or memory.released):
            release(self._store, self._kind, obj, self._finalizer)
        elif not memory.released:
            say_blocked(self._context, self._kind, obj, handlers, memory)

    async def _run(
        self, obj: Any, todo: list[tuple[Handler, Cause]], cause: Cause, memory: Memory, tally: Tally
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
            current = self._store.find(self._kind, obj.metadata.name)
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
                self._memories.save(obj.metadata.name)
        return all(kept[handler.key].success for handler, _ in todo)

    async def _try(
        self, handler: Handler, obj: Any, cause: Cause, memory: Memory, progress: Progress, tally: Tally
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
            self._context.complain(self._kind, obj, handler, outcome.message)
        else:
            outcome = await self._call(handler, obj, memory, left, facts)
        self._note(handler, obj, outcome, progress, tally)

    async def _call(
        self, handler: Handler, obj: Any, memory: Memory, within: float | None, facts: dict[str, Any]
    ) -> Outcome:
        """One call; one of a handler of the user's can be cut short by a release, and is said to take long."""
        call = self._attempts.call(handler, obj, memory, within=within, **facts)
        if not handler.source:
            return await call
        task: asyncio.Task[Outcome] = asyncio.create_task(call, name=f"{handler} of {obj.metadata.name}")
        memory.let_go = asyncio.get_running_loop().create_future()
        slow = asyncio.ensure_future(self._clock.sleep(SLOW))
        self.in_hand[task] = obj.metadata.name
        try:
            # Not awaited once it is let go: it may ignore that it is cancelled.
            await asyncio.wait((task, memory.let_go, slow), return_when=asyncio.FIRST_COMPLETED)
            if slow.done() and not task.done():
                text = f"has been at work for {SLOW:g} s; nothing else of yours is called for this object meanwhile"
                self._context.complain(self._kind, obj, handler, text, "HandlerSlow")
                await asyncio.wait((task, memory.let_go), return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else Outcome(final=True, message="it was released")
        finally:
            slow.cancel()
            task.cancel()
            memory.let_go = None
            del self.in_hand[task]

    def _note(self, handler: Handler, obj: Any, outcome: Outcome, progress: Progress, tally: Tally) -> None:
        if outcome.panic:
            self._metrics.reconcile_panics.labels(self._name).inc()
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
            self._metrics.terminal_errors.labels(self._name).inc()
            if not outcome.final:
                self._context.complain(self._kind, obj, handler, why)
        tally.failed |= bool(why) or not outcome.expected
        tally.waits.append(pause)
        progress.delayed = now + timedelta(seconds=pause)

    async def _reconcile(self, obj: Any, cause: Cause, memory: Memory, tally: Tally) -> None:
        """Calls the level-triggered handlers."""
        failures = self._failures(obj.metadata.name)
        facts: dict[str, Any] = {
            "old": cause.old, "new": cause.new, "diff": cause.diff, "reason": cause.reason.value, "retry": failures,
        }  # fmt: skip
        for handler in self._registry.of("reconcile", self._kind.name):
            current = self._store.find(self._kind, obj.metadata.name)
            if current is None or current.metadata.uid != obj.metadata.uid:
                return
            obj = current
            if not handler.filter.matches_object(obj):
                continue
            outcome = await self._call(handler, obj, memory, handler.limits.timeout, facts)
            if outcome.panic:
                self._metrics.reconcile_panics.labels(self._name).inc()
            if outcome.result is not None:
                tally.unfinished |= not outcome.result.done
                if outcome.result.requeue_after is not None:
                    tally.waits.append(outcome.result.requeue_after)
                continue
            retries = handler.limits.retries
            final = outcome.final or (retries is not None and failures + 1 >= retries)
            if final:
                self._metrics.terminal_errors.labels(self._name).inc()
            elif outcome.delay is not None:
                tally.waits.append(outcome.delay)
            else:
                tally.backs_off = True
            tally.failed |= final or not outcome.expected
