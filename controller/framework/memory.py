"""What the framework remembers of each object between two calls of its handlers."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from google.protobuf.message import Message


@dataclass
class Progress:
    """How far one handler is with one cause."""

    started: float
    retries: int = 0
    success: bool = False
    failure: str = ""

    @property
    def finished(self) -> bool:
        return self.success or bool(self.failure)


@dataclass
class Memory:
    """Of one object: what it was when last handled, how far each handler is, and the handlers' own notes."""

    uid: str
    remembered: Message | None = None
    first: bool = True
    # What `progress` is about: another essence, or deletion, begins anew.
    about: tuple[str, Message] | None = None
    progress: dict[str, Progress] = field(default_factory=dict)
    memo: SimpleNamespace = field(default_factory=SimpleNamespace)


class Memories:
    """The memory of every object of one kind, by name; another uid under a name is another object."""

    def __init__(self) -> None:
        self._memories: dict[str, Memory] = {}

    def of(self, obj: Any) -> Memory:
        """The memory of an object, empty for a new one."""
        memory = self._memories.get(obj.metadata.name)
        if memory is None or memory.uid != obj.metadata.uid:
            memory = self._memories[obj.metadata.name] = Memory(obj.metadata.uid)
        return memory

    def forget(self, name: str) -> None:
        """Drops what is known of an object that is gone."""
        self._memories.pop(name, None)
