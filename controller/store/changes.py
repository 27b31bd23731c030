"""What happened to an object, the history of that, and how a watcher with a selector sees it."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic

from proto.dockrunner import v1 as pb

from .kinds import T

Matches = Callable[[T], bool]


@dataclass(frozen=True)
class Change(Generic[T]):
    """One effective write. ``old`` is None for a creation; for a deletion ``new`` is the last state.

    A bookmark has neither: it says that a watcher has seen everything up to ``version``.
    """

    type: pb.ChangeType.ValueType
    version: int
    old: T | None = None
    new: T | None = None

    def seen_by(self, matches: Matches[T]) -> "Change[T] | None":
        """The change as it looks to who sees only what matches; None when it does not concern them.

        An object that begins to match is ADDED, one that ceases to is DELETED (Kubernetes' watch cache).
        """
        if self.new is None:
            return self
        before = self.old is not None and matches(self.old)
        after = self.type != pb.DELETED and matches(self.new)
        if not before and not after:
            return None
        if before and after:
            return self if self.type == pb.MODIFIED else Change(pb.MODIFIED, self.version, self.old, self.new)
        return Change(pb.ADDED if after else pb.DELETED, self.version, self.old, self.new)


class History(Generic[T]):
    """The newest changes of one kind, so that a watch can be resumed.

    Keeps ``size`` changes; what is older than ``floor`` is forgotten.
    """

    def __init__(self, floor: int, size: int) -> None:
        self.floor = floor
        self._changes: deque[Change[T]] = deque()
        self._size = size

    def add(self, change: Change[T]) -> None:
        self._changes.append(change)
        if len(self._changes) > self._size:
            self.floor = self._changes.popleft().version

    def after(self, version: int) -> Iterator[Change[T]]:
        """Changes later than ``version``, oldest first; the caller has checked it against ``floor``."""
        newer: list[Change[T]] = []
        for change in reversed(self._changes):
            if change.version <= version:
                break
            newer.append(change)
        return reversed(newer)
