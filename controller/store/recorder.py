"""Writes Events: identical ones are counted up, and only so many are kept."""

import logging
from collections import OrderedDict
from dataclasses import dataclass

from controller.clock import Clock
from proto.dockrunner import v1 as pb

from .kinds import CONTAINER, EVENT, SERVICE
from .store import Store

NORMAL = "Normal"
WARNING = "Warning"

_MESSAGE_LIMIT = 1024
# client-go, tools/record: defaultSpamBurst, and 1 / defaultSpamQPS in seconds.
BURST = 25.0
REFILL = 300.0
# Of so many objects, sources and reasons it is known what was said; client-go's maxLruCacheEntries.
_BUCKETS = 4096

logger = logging.getLogger("dock_runner.events")


def reference(obj: pb.Service | pb.Container) -> pb.ObjectReference:
    """Points at an object from an Event."""
    if isinstance(obj, pb.Service):
        kind, service = SERVICE.name, obj.metadata.name
    else:
        kind, service = CONTAINER.name, obj.spec.service
    return pb.ObjectReference(kind=kind, name=obj.metadata.name, uid=obj.metadata.uid, service=service)


@dataclass
class _Bucket:
    """What one source may still say of one object for one reason."""

    tokens: float
    filled: float


class Recorder:
    """Keeps the ``limit`` events that were seen last; an identical one raises ``count`` and moves ``last_time``.

    Of one object each source may give 25 different messages for one reason in a row, then one more every 5 minutes;
    what is over that is dropped. That is client-go's spam filter, but for each reason by itself: the many steps of an
    update are not to drown that it failed. An identical event makes no new object, so it is counted always.
    """

    def __init__(self, store: Store, clock: Clock, *, limit: int = 1000) -> None:
        self._store = store
        self._clock = clock
        self._limit = limit
        self._names: OrderedDict[tuple[str, ...], str] = OrderedDict()
        self._buckets: OrderedDict[tuple[str, ...], _Bucket] = OrderedDict()
        self._serial = 0

    def record(self, source: str, regarding: pb.ObjectReference, type_: str, reason: str, message: str) -> None:
        """Says that ``reason`` happened to ``regarding``; ``type_`` is ``NORMAL`` or ``WARNING``."""
        message = message[:_MESSAGE_LIMIT]
        key = (regarding.kind, regarding.name, regarding.uid, type_, reason, message, source)
        name = self._names.get(key)
        if name is not None:
            self._names.move_to_end(key)
            self._store.update_status(EVENT, name, self._again)
            return
        if not self._may_speak((source, regarding.kind, regarding.name, regarding.uid, reason)):
            logger.debug(
                "%s: %s %s: one event too many: %s: %s", source, regarding.kind, regarding.name, reason, message
            )
            return
        self._serial += 1
        name = f"{regarding.name or regarding.kind.lower()}.{self._serial:08x}"
        event = pb.Event(
            metadata=pb.Metadata(name=name), regarding=regarding, type=type_, reason=reason, message=message,
            count=1, source=source,
        )  # fmt: skip
        event.first_time.FromDatetime(self._clock.now())
        event.last_time.CopyFrom(event.first_time)
        self._store.create(EVENT, event)
        self._names[key] = name
        if len(self._names) > self._limit:
            _, oldest = self._names.popitem(last=False)
            self._store.delete(EVENT, oldest)

    def _may_speak(self, key: tuple[str, ...]) -> bool:
        now = self._clock.monotonic()
        bucket = self._buckets.setdefault(key, _Bucket(BURST, now))
        self._buckets.move_to_end(key)
        if len(self._buckets) > _BUCKETS:
            self._buckets.popitem(last=False)
        bucket.tokens = min(BURST, bucket.tokens + (now - bucket.filled) / REFILL)
        bucket.filled = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def _again(self, event: pb.Event) -> None:
        event.count += 1
        event.last_time.FromDatetime(self._clock.now())
