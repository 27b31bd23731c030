"""Timers and daemons: what runs beside an object as long as it is there, one task for each of them."""

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from controller.clock import Clock
from controller.store import Change
from proto.dockrunner import v1 as pb

from .attempt import Attempts, Outcome, pause_before
from .cause import essence
from .memory import Memories
from .registry import Handler

logger = logging.getLogger("dock_runner.framework")


class StoppedInThread:
    """Tells a daemon that is a plain function that it shall end; true once it shall."""

    def __init__(self) -> None:
        self._flag = threading.Event()

    def set(self) -> None:
        self._flag.set()

    def is_set(self) -> bool:
        return self._flag.is_set()

    def wait(self, seconds: float | None = None) -> bool:
        """Waits until it shall end, at most so long; whether it shall."""
        return self._flag.wait(seconds)

    __bool__ = is_set


class Stopped:
    """Tells a daemon that is a coroutine that it shall end; true once it shall."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._flag = asyncio.Event()
        self.in_thread = StoppedInThread()

    def set(self) -> None:
        self._flag.set()
        self.in_thread.set()

    def is_set(self) -> bool:
        return self._flag.is_set()

    async def wait(self, seconds: float | None = None) -> bool:
        """Waits until it shall end, at most so long; whether it shall."""
        if seconds is None:
            return await self._flag.wait()
        flagged = asyncio.create_task(self._flag.wait())
        try:
            await wait_for(flagged, self._clock.sleep(seconds))
        finally:
            flagged.cancel()
        return self.is_set()

    __bool__ = is_set


@dataclass
class _Attendant:
    """One timer or daemon at work for one object."""

    handler: Handler
    name: str
    generation: int
    stopped: Stopped
    task: asyncio.Task[None]
    ending: asyncio.Task[None] | None = None


class Attendants:
    """The timers and daemons of one kind.

    Each begins when an object comes to match its filters and ends when it no longer does, or goes. One that has
    ended by itself, or by a PermanentError, begins again when the spec changes. Any other error is followed by the
    next call: of a timer after its interval or its backoff, whichever is longer, of a daemon after its backoff.
    ``ended`` is told the name of an object to be deleted when nothing runs for it any more.
    """

    def __init__(self, attempts: Attempts, memories: Memories, ended: Callable[[str], None]) -> None:
        self._attempts = attempts
        self._context = attempts.context
        self._kind = attempts.kind
        self._memories = memories
        self._ended = ended
        registry = attempts.context.registry
        self._handlers = [*registry.of("timer", self._kind.name), *registry.of("daemon", self._kind.name)]
        # By the object's uid, then by the handler's key: a look at one object is not to cost more with many others.
        self._running: dict[str, dict[str, _Attendant]] = {}
        self._touched: dict[str, float] = {}
        self._stopping = False

    def start(self) -> None:
        """Begins with every object there is, and follows those to come."""
        if self._handlers:
            self._context.store.subscribe(self._kind, self._changed)
            for obj in self._context.store.list(self._kind):
                self._attend(obj)

    async def stop(self) -> None:
        """Ends all of them: each is told, and cancelled when it has had its time."""
        self._stopping = True
        endings = [self._end((uid, key)) for uid, ours in self._running.items() for key in ours]
        try:
            await asyncio.gather(*endings, return_exceptions=True)
        finally:
            for ours in self._running.values():
                for attendant in ours.values():
                    attendant.task.cancel()

    def halt(self, obj: Any) -> bool:
        """Asks what runs for an object to end; whether nothing does any more."""
        uid = obj.metadata.uid
        for key in self._running.get(uid, ()):
            self._end((uid, key))
        return uid not in self._running

    def _changed(self, change: Change[Any]) -> None:
        old, new = change.old, change.new
        if new is None:
            return
        if change.type == pb.DELETED or new.metadata.HasField("delete_time"):
            self.halt(new)
            self._touched.pop(new.metadata.uid, None)
            return
        if old is None or essence(old) != essence(new):
            self._touched[new.metadata.uid] = self._context.clock.monotonic()
        self._attend(new)  # a filter may be about the status

    def _attend(self, obj: Any) -> None:
        if self._stopping:
            return
        for handler in self._handlers:
            key = (obj.metadata.uid, handler.key)
            running = self._find(key)
            if not handler.filter.matches_object(obj) or obj.metadata.HasField("delete_time"):
                if running is not None:
                    self._end(key)
            elif running is None or (running.task.done() and running.generation != obj.metadata.generation):
                self._begin(handler, obj)

    def _begin(self, handler: Handler, obj: Any) -> None:
        metadata, stopped = obj.metadata, Stopped(self._context.clock)
        title = f"{handler.activity} {handler} of {metadata.name}"
        task = asyncio.create_task(self._run(handler, metadata.name, metadata.uid, stopped), name=title)
        key = (metadata.uid, handler.key)
        attendant = _Attendant(handler, metadata.name, metadata.generation, stopped, task)
        self._running.setdefault(metadata.uid, {})[handler.key] = attendant
        task.add_done_callback(lambda _: self._ended_by_itself(key))

    def _find(self, key: tuple[str, str]) -> _Attendant | None:
        return self._running.get(key[0], {}).get(key[1])

    def _ended_by_itself(self, key: tuple[str, str]) -> None:
        """Begins one again whose object changed while its last call was under way."""
        attendant = self._find(key)
        if attendant is None or attendant.ending is not None:
            return
        obj = self._context.store.find(self._kind, attendant.name)
        if obj is not None and obj.metadata.uid == key[0]:
            self._attend(obj)

    def _end(self, key: tuple[str, str]) -> "asyncio.Task[None]":
        attendant = self._running[key[0]][key[1]]
        if attendant.ending is None:
            attendant.stopped.set()
            title = f"end of {attendant.task.get_name()}"
            attendant.ending = asyncio.create_task(self._see_off(key, attendant), name=title)
        return attendant.ending

    async def _see_off(self, key: tuple[str, str], attendant: _Attendant) -> None:
        schedule, clock = attendant.handler.schedule, self._context.clock
        in_thread = attendant.handler.activity == "daemon" and not attendant.handler.is_async
        if attendant.handler.activity == "daemon" and schedule.cancellation_backoff:
            await wait_for(attendant.task, clock.sleep(schedule.cancellation_backoff))
        if not in_thread:  # a thread cannot be cancelled: what would end is the wait for it
            attendant.task.cancel()
        await wait_for(attendant.task, clock.sleep(schedule.cancellation_timeout))
        if not attendant.task.done():
            told = "told" if in_thread else "cancelled"
            logger.warning("%s does not end though it was %s; it is left to itself", attendant.task.get_name(), told)
            attendant.task.cancel()
        if self._find(key) is attendant:
            del self._running[key[0]][key[1]]
            if not self._running[key[0]]:
                del self._running[key[0]]
        obj = self._context.store.find(self._kind, attendant.name)
        if obj is None or obj.metadata.uid != key[0] or self._stopping:
            return
        if obj.metadata.HasField("delete_time"):
            self._ended(attendant.name)
        else:
            self._attend(obj)  # it may match again by now

    async def _run(self, handler: Handler, name: str, uid: str, stopped: Stopped) -> None:
        """Calls a timer or daemon again and again."""
        clock, schedule, is_timer = self._context.clock, handler.schedule, handler.activity == "timer"
        pause = schedule.initial_delay or (schedule.interval if is_timer else 0.0)
        started, retries = clock.now(), 0
        while True:
            await clock.sleep(pause)
            await self._idle(handler, uid)
            current = self._context.store.find(self._kind, name)
            if current is None or current.metadata.uid != uid:
                return
            attendant = self._find((uid, handler.key))
            if stopped or attendant is None or attendant.stopped is not stopped:
                return  # its last call ignored that it was cancelled
            attendant.generation = current.metadata.generation
            began = clock.monotonic()
            runtime = (clock.now() - started).total_seconds()
            facts: dict[str, Any] = {"retry": retries, "started": started, "runtime": runtime, "stopped": stopped}
            outcome = await self._call(handler, current, facts)
            retries = 0 if outcome.result is not None else retries + 1
            limit = handler.limits.retries
            if outcome.final or (outcome.result is None and limit is not None and retries >= limit):
                if not outcome.final:
                    text = f"gave up after {retries} tries: {outcome.message}"
                    self._context.complain(self._kind, current, handler, text)
                return
            if outcome.result is not None and not is_timer and outcome.result.requeue_after is None:
                return
            pause = self._pause(handler, outcome, retries, clock.monotonic() - began)

    async def _call(self, handler: Handler, obj: Any, facts: dict[str, Any]) -> Outcome:
        memory = self._memories.of(obj)
        own_thread = handler.activity == "daemon" and not handler.is_async
        if not handler.is_async:
            facts = {**facts, "stopped": facts["stopped"].in_thread}
        within = handler.limits.timeout
        return await self._attempts.call(handler, obj, memory, within=within, own_thread=own_thread, **facts)

    async def _idle(self, handler: Handler, uid: str) -> None:
        """Waits until what people declare of the object has been left alone for as long as a timer wants."""
        clock, idle = self._context.clock, handler.schedule.idle
        while idle and (left := self._touched.get(uid, float("-inf")) + idle - clock.monotonic()) > 0:
            await clock.sleep(left)

    def _pause(self, handler: Handler, outcome: Outcome, retries: int, took: float) -> float:
        schedule = handler.schedule
        if outcome.result is not None and outcome.result.requeue_after is not None:
            return outcome.result.requeue_after
        if outcome.delay is not None:
            return outcome.delay
        if outcome.result is None:
            return max(schedule.interval, pause_before(handler, retries, self._context))
        if schedule.sharp:
            return schedule.interval - took % schedule.interval
        return schedule.interval


async def wait_for(task: "asyncio.Task[Any]", patience: Any) -> None:
    """Waits for the end of a task, as long as ``patience`` lasts."""
    limit = asyncio.ensure_future(patience)
    try:
        await asyncio.wait((task, limit), return_when=asyncio.FIRST_COMPLETED)
    finally:
        limit.cancel()
