"""Calls event handlers: for every change of an object, in order, and not twice for what is already past.

While a handler is at work, further changes of its object wait; of several in a row that only modify it the last one
is told, as it says all that the others did.
"""

import asyncio
import logging
from typing import Any

from controller.store import Change
from proto.dockrunner import v1 as pb

from .attempt import Attempts
from .memory import Memories, Memory

logger = logging.getLogger("dock_runner.framework")


class EventStream:
    """The event handlers of one kind. Their errors are said and not retried: the next change comes anyway.

    A change that a handler of events made itself is not told to it.
    """

    def __init__(self, attempts: Attempts, memories: Memories) -> None:
        self._attempts = attempts
        self._kind = attempts.kind
        self._memories = memories
        self._handlers = attempts.context.registry.of("event", self._kind.name)
        self._waiting: dict[str, list[Change[Any]]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._at_work: dict[asyncio.Task[Any] | None, str] = {}

    def start(self) -> None:
        """Tells of every object there is, as ADDED, and of the changes to come."""
        if not self._handlers:
            return
        store = self._attempts.context.store
        for obj in store.list(self._kind):
            self._changed(Change(pb.ADDED, int(obj.metadata.resource_version), None, obj))
        store.subscribe(self._kind, self._changed)

    async def stop(self) -> None:
        """Cancels what is at work."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _changed(self, change: Change[Any]) -> None:
        if change.new is None:
            return
        name = change.new.metadata.name
        if change.type == pb.MODIFIED and self._at_work.get(asyncio.current_task()) == name:
            return
        waiting = self._waiting.setdefault(name, [])
        if waiting and change.type == pb.MODIFIED and waiting[-1].type == pb.MODIFIED:
            waiting[-1] = Change(pb.MODIFIED, change.version, waiting[-1].old, change.new)
        else:
            waiting.append(change)
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
        self._at_work[task] = name
        try:
            while waiting := self._waiting.get(name):
                change = waiting.pop(0)
                for handler in self._handlers:
                    obj: Any = change.new
                    if not handler.filter.matches_object(obj):
                        continue
                    memory = self._memory_of(obj)
                    facts: dict[str, Any] = {"type": pb.ChangeType.Name(change.type), "old": change.old, "new": obj}
                    await self._attempts.call(handler, obj, memory, within=handler.limits.timeout, **facts)
        finally:
            del self._at_work[task]
            self._waiting.pop(name, None)
            del self._tasks[name]
