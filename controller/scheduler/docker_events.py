"""Docker's event stream, read by a thread that does nothing but hand on: a slow reader loses events silently."""

import asyncio
import contextlib
import threading
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from typing import Any, Protocol

from controller.scheduler.engine import EngineEvent

SUBSCRIBED = EngineEvent("subscribed", "")
# What can change a container's status. Those of `exec` are left out: they carry command lines with their secrets.
ACTIONS = (
    "create", "start", "restart", "die", "oom", "kill", "stop", "pause", "unpause", "update", "rename", "destroy",
    "health_status",
)  # fmt: skip
_OURS = "dock-runner."


class EventStream(Protocol):
    """An open subscription to Docker's events, as decoded JSON."""

    def __iter__(self) -> Iterator[Any]:
        """Blocks until the next event; ends when the connection does."""

    def hang_up(self) -> None:
        """Closes the connection, from any thread and at any time."""


Key = tuple[int, str, str]
"""What tells one event from another: its time in nanoseconds, the container, and Docker's full word for it."""


def event_of(data: Mapping[str, Any]) -> tuple[Key, EngineEvent] | None:
    """The event in Docker's JSON; None for one that can't change a container's status."""
    word = str(data.get("Action", ""))
    action = word.partition(":")[0]
    if action not in ACTIONS:
        return None
    actor = data.get("Actor") or {}
    container_id = str(actor.get("ID", ""))
    labels = {name: value for name, value in (actor.get("Attributes") or {}).items() if name.startswith(_OURS)}
    return (int(data.get("timeNano", 0)), container_id, word), EngineEvent(action, container_id, labels)


class Seen:
    """Tells repeated events: a subscription begins a moment in the past, so that two of them overlap."""

    def __init__(self, size: int = 1024) -> None:
        self._size = size
        self._keys: OrderedDict[Key, None] = OrderedDict()

    def is_new(self, key: Key) -> bool:
        """Whether this event was not asked about before, among the last ``size``."""
        if key in self._keys:
            return False
        self._keys[key] = None
        if len(self._keys) > self._size:
            self._keys.popitem(last=False)
        return True


_Item = EngineEvent | tuple[Key, EngineEvent] | BaseException | None


class Subscription:
    """One subscription with its thread. ``failure`` turns what broke the stream into an error for the consumer."""

    def __init__(
        self, connect: Callable[[], EventStream], seen: Seen, failure: Callable[[Exception], BaseException]
    ) -> None:
        self._connect = connect
        self._seen = seen
        self._failure = failure
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[_Item] = asyncio.Queue()
        self._lock = threading.Lock()
        self._stream: EventStream | None = None
        self._closed = False
        self.thread = threading.Thread(target=self._read, name="docker-events", daemon=True)

    async def events(self) -> AsyncGenerator[EngineEvent, None]:
        """Starts the thread and yields what it reads, beginning with ``SUBSCRIBED``."""
        self.thread.start()
        try:
            while (item := await self._queue.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                if isinstance(item, EngineEvent):
                    yield item
                elif self._seen.is_new(item[0]):
                    yield item[1]
        finally:
            self.close()

    def close(self) -> None:
        """Ends the stream, and with it the thread and the consumer."""
        with self._lock:
            self._closed = True
            if self._stream is not None:
                self._stream.hang_up()
        self._queue.put_nowait(None)

    def _read(self) -> None:
        end: BaseException | None = None
        try:
            self._hand_on(self._connect())
        except Exception as error:  # noqa: BLE001  # raised again for the consumer, defects of ours included
            end = None if self._closed else self._failure(error)
        self._emit(end)

    def _hand_on(self, stream: EventStream) -> None:
        with self._lock:
            self._stream = stream
            if self._closed:
                stream.hang_up()
        self._emit(SUBSCRIBED)
        for data in stream:
            if event := event_of(data):
                self._emit(event)

    def _emit(self, item: _Item) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)
