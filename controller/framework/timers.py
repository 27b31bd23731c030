"""Calls timer handlers: one task per timer and object, as long as the object is there."""

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any

from controller.clock import Clock
from controller.errors import DockRunnerError, PermanentError
from controller.store import WARNING, Change, Kind, Recorder, Store, reference

from .invocation import invoke
from .registry import Handler, Registry

logger = logging.getLogger("dock_runner.framework")


class Timers:
    """The timers of one kind.

    The interval counts from the end of a call, so that calls of one timer for one object never overlap. An error is
    said and the next call comes as usual; after a PermanentError there is none until the object's spec changes.
    """

    def __init__(
        self, kind: Kind[Any], registry: Registry, store: Store, recorder: Recorder, clock: Clock,
        threads: Executor, inject: Mapping[str, Any],
    ) -> None:  # fmt: skip
        self._kind = kind
        self._handlers = list(registry.of("timer", kind.name))
        self._store = store
        self._recorder = recorder
        self._clock = clock
        self._threads = threads
        self._inject = {"store": store, **inject}
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}

    def start(self) -> None:
        """Starts a timer for every object there is, and for those to come."""
        if not self._handlers:
            return
        self._store.subscribe(self._kind, self._changed)
        for obj in self._store.list(self._kind):
            self._begin(obj)

    async def stop(self) -> None:
        """Cancels all of them."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _changed(self, change: Change[Any]) -> None:
        if change.old is not None and (change.new is None or change.new.metadata.HasField("delete_time")):
            self._end(change.old.metadata.uid)
        elif change.new is not None:
            self._begin(change.new)

    def _begin(self, obj: Any) -> None:
        for handler in self._handlers:
            key = (obj.metadata.uid, handler.id)
            running = self._tasks.get(key)
            if running is None or (running.done() and self._respecified(running, obj)):
                self._tasks[key] = asyncio.create_task(self._run(handler, obj.metadata.name, obj.metadata.uid))
                self._tasks[key].set_name(f"timer-{handler.id}-{obj.metadata.generation}")

    @staticmethod
    def _respecified(task: asyncio.Task[None], obj: Any) -> bool:
        return not task.get_name().endswith(f"-{obj.metadata.generation}")

    def _end(self, uid: str) -> None:
        for key in [key for key in self._tasks if key[0] == uid]:
            self._tasks.pop(key).cancel()

    async def _run(self, handler: Handler, name: str, uid: str) -> None:
        await self._clock.sleep(handler.initial_delay or handler.interval)
        while True:
            obj = self._store.find(self._kind, name)
            if obj is None or obj.metadata.uid != uid:
                return
            try:
                await invoke(handler, self._arguments(handler, obj), self._threads)
            except PermanentError as error:
                self._complain(obj, handler, str(error))
                return
            except DockRunnerError as error:
                self._complain(obj, handler, str(error))
            except Exception as error:
                logger.exception("%s %s: timer %s failed", self._kind.name, name, handler.id)
                self._complain(obj, handler, f"{type(error).__name__}: {error}")
            await self._clock.sleep(handler.interval)

    def _arguments(self, handler: Handler, obj: Any) -> dict[str, Any]:
        return {
            **self._inject,
            "name": obj.metadata.name, "uid": obj.metadata.uid, "body": obj, "spec": obj.spec, "status": obj.status,
            "meta": obj.metadata, "labels": obj.metadata.labels, "annotations": obj.metadata.annotations,
            "param": handler.param, "now": self._clock.now(),
            "logger": logging.LoggerAdapter(logger, {"object": f"{self._kind.name} {obj.metadata.name}"}),
        }  # fmt: skip

    def _complain(self, obj: Any, handler: Handler, text: str) -> None:
        self._recorder.record("timers", reference(obj), WARNING, "HandlerFailed", f"{handler.id}: {text}")
