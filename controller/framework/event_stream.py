"""Calls event handlers: for every change of an object, in order, and not twice for what is already past.

While a handler is at work, further changes of its object wait; of several in a row that only modify it the last one
is told, as it says all that the others did.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from controller.store import Change
from proto.dockrunner import v1 as pb

from .attempt import Attempts
from .controller import cancelled
from .memory import Memories, Memory
from .registry import Handler

logger = logging.getLogger("dock_runner.framework")


@dataclass
class _Waiting:
    """A change that has yet to be told, and the handler that made it itself, if one did."""

    change: Change[Any]
    author: Handler | None


class EventStream:
    """The event handlers of one kind. Their errors are said and not retried: the next change comes anyway.

    A change that a handler of events made itself is told to the others alone.
    """

    def __init__(self, attempts: Attempts, memories: Memories) -> None:
        self._attempts = attempts
        self._kind = attempts.kind
        self._memories = memories
        self._handlers = attempts.context.registry.of("event", self._kind.name)
        self._waiting: dict[str, list[_Waiting]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._at_work: dict[asyncio.Task[Any] | None, Handler] = {}

    def start(self) -> None:
        """Tells of every object there is, as ADDED, and of the changes to come."""
        if not self._handlers:
            return
        store = self._attempts.context.store
        for obj in store.list(self._kind):
            self._changed(Change(pb.ADDED, int(obj.metadata.resource_version), None, obj))
        store.subscribe(self._kind, self._changed)

    async def stop(self) -> None:
        """Cancels what is at work; what goes on all the same is left to itself."""
        await cancelled(list(self._tasks.values()))

    def _changed(self, change: Change[Any]) -> None:
        if change.new is None:
            return
        name = change.new.metadata.name
        author = None
        if change.type == pb.MODIFIED and asyncio.current_task() is self._tasks.get(name):
            author = self._at_work.get(asyncio.current_task())
        waiting = self._waiting.setdefault(name, [])
        last = waiting[-1] if waiting else None
        if last is not None and change.type == pb.MODIFIED and last.change.type == pb.MODIFIED:
            last.change = Change(pb.MODIFIED, change.version, last.change.old, change.new)
            last.author = author if author is last.author else None
        else:
            waiting.append(_Waiting(change, author))
        if name not in self._tasks:
            self._tasks[name] = asyncio.create_task(self._tell(name), name=f"events of {name}")

    def _memory_of(self, obj: Any) -> Memory:
        """The memory that its other handlers have; of one that is gone there is nothing to remember."""
        name, uid = obj.metadata.name, obj.metadata.uid
        current = self._attempts.context.store.find(self._kind, name)
        if current is not None and current.metadata.uid == uid:
            return self._memories.of(obj)
        return self._memories.find(name, uid) or Memory(uid)

    async def _tell(self, name: str) -> None:
        task = asyncio.current_task()
        try:
            while waiting := self._waiting.get(name):
                told = waiting.pop(0)
                change = told.change
                for handler in self._handlers:
                    obj: Any = change.new
                    if handler is told.author or not handler.filter.matches_object(obj):
                        continue
                    self._at_work[task] = handler
                    memory = self._memory_of(obj)
                    facts: dict[str, Any] = {"type": pb.ChangeType.Name(change.type), "old": change.old, "new": obj}
                    await self._attempts.call(handler, obj, memory, within=handler.limits.timeout, **facts)
                self._at_work.pop(task, None)
                await asyncio.sleep(0)  # two handlers that answer each other for ever must not stop everything else
        finally:
            self._at_work.pop(task, None)
            self._waiting.pop(name, None)
            del self._tasks[name]
