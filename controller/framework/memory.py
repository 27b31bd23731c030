"""What the framework remembers of each object between two calls of its handlers, over a restart as well."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from google.protobuf.message import Message

from controller.store import Kind, Record
from proto.dockrunner import v1 as pb

Keep = Callable[[Record], None]

_PREFIX = "Memory/"


@dataclass
class Progress:
    """How far one handler is with one cause. Times are of the wall clock, as they outlive the process."""

    started: datetime
    retries: int = 0
    delayed: datetime | None = None
    """Not to be called before."""
    success: bool = False
    failure: bool = False
    """It has given up; ``delayed`` is when it is tried anew."""
    message: str = ""

    def to_proto(self) -> pb.HandlerProgress:
        message = pb.HandlerProgress(
            retries=self.retries, success=self.success, failure=self.failure, message=self.message
        )
        message.started.FromDatetime(self.started)
        if self.delayed is not None:
            message.delayed.FromDatetime(self.delayed)
        return message

    @classmethod
    def from_proto(cls, message: pb.HandlerProgress) -> "Progress":
        delayed = message.delayed.ToDatetime(UTC) if message.HasField("delayed") else None
        return cls(
            message.started.ToDatetime(UTC), message.retries, delayed, message.success, message.failure, message.message
        )


@dataclass
class Memory:
    """Of one object: what it was when last handled, how far each handler is, and the handlers' own notes."""

    uid: str
    remembered: Message | None = None
    """What people declare of it, as it was when all handlers had succeeded."""
    seen: dict[str, Message] = field(default_factory=dict)
    """The same by handler, of those that have succeeded since, while others have not."""
    about: tuple[str, Message] | None = None
    """What ``progress`` is about: another essence, or deletion, begins anew."""
    progress: dict[str, Progress] = field(default_factory=dict)
    first: bool = True
    """Whether it has yet to be resumed in this run."""
    resuming: dict[str, Progress] = field(default_factory=dict)
    echoes: int = 0
    """How often in a row the handlers of a change have changed themselves what they are told of."""
    braked: datetime | None = None
    """Until when they are not told of it again."""
    released: bool = False
    """Whether somebody said that the deletion shall not wait for handlers of the user's."""
    let_go: "asyncio.Future[None] | None" = None
    """Ends the wait for a handler of the user's that the deletion waits for now."""
    memo: SimpleNamespace = field(default_factory=SimpleNamespace)


class Memories:
    """The memory of every object of one kind, by name; another uid under a name is another object.

    ``keep`` is given what is to outlive the process, under the ``name`` of whose memory it is: for the kinds that the
    journal has.
    """

    def __init__(self, kind: Kind[Any], keep: Keep | None = None, name: str = "") -> None:
        self._kind = kind
        self._records = _PREFIX + (name or kind.name.lower())
        self._keep = keep if kind.journaled else None
        self._memories: dict[str, Memory] = {}
        self._kept: dict[str, bytes] = {}

    def of(self, obj: Any) -> Memory:
        """The memory of an object, empty for a new one."""
        memory = self._memories.get(obj.metadata.name)
        if memory is None or memory.uid != obj.metadata.uid:
            memory = self._memories[obj.metadata.name] = Memory(obj.metadata.uid)
        return memory

    def find(self, name: str, uid: str) -> Memory | None:
        """The memory of an object, if there is any."""
        memory = self._memories.get(name)
        return memory if memory is not None and memory.uid == uid else None

    def forget(self, name: str) -> None:
        """Drops what is known of an object that is gone."""
        memory = self._memories.pop(name, None)
        if self._keep is not None and self._kept.pop(name, None) is not None and memory is not None:
            self._keep(Record(self._records, name, memory.uid, None))

    def save(self, name: str) -> None:
        """Has what is remembered of an object kept, if that has changed."""
        memory = self._memories.get(name)
        if self._keep is None or memory is None:
            return
        data = _to_proto(memory).SerializeToString(deterministic=True)
        if self._kept.get(name) != data:
            self._kept[name] = data
            self._keep(Record(self._records, name, memory.uid, data))

    def load(self, records: Iterable[Record]) -> None:
        """Takes over what an earlier run kept. What had given up is tried anew: its cause may be mended by now."""
        for record in records:
            if record.kind != self._records or record.data is None:
                continue
            message = pb.HandlerMemory.FromString(record.data)
            self._memories[record.name] = self._from_proto(message)
            self._kept[record.name] = record.data

    def _from_proto(self, message: pb.HandlerMemory) -> Memory:
        def essence(data: bytes) -> Message:
            obj: Message = self._kind.message.FromString(data)
            return obj

        progress = {key: Progress.from_proto(kept) for key, kept in message.progress.items() if not kept.failure}
        return Memory(
            message.uid,
            essence(message.remembered) if message.HasField("remembered") else None,
            {key: essence(data) for key, data in message.seen.items()},
            (message.reason, essence(message.about)) if message.reason else None,
            progress,
        )


def _to_proto(memory: Memory) -> pb.HandlerMemory:
    message = pb.HandlerMemory(uid=memory.uid)
    if memory.remembered is not None:
        message.remembered = memory.remembered.SerializeToString(deterministic=True)
    # Progress that is nothing but success for what is remembered says nothing.
    if memory.about is not None and (memory.about[0] == "delete" or memory.about[1] != memory.remembered):
        message.reason, message.about = memory.about[0], memory.about[1].SerializeToString(deterministic=True)
        for key, progress in memory.progress.items():
            message.progress[key].CopyFrom(progress.to_proto())
    for key, seen in memory.seen.items():
        message.seen[key] = seen.SerializeToString(deterministic=True)
    return message
