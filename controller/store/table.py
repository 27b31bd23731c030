"""The objects of one kind: by name, by index, with their history and those who follow them."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Generic

from proto.dockrunner import v1 as pb

from .changes import Change, History
from .kinds import Kind, T
from .watch import Watch

Subscriber = Callable[[Change[T]], None]


class Table(Generic[T]):
    """The objects of one kind, with everything that must stay in step with them.

    Each index has for a key the objects that it was given for, by name. Beside those of the kind there are ``uid`` and
    ``owner``, which may give several keys for one object.
    """

    def __init__(self, kind: Kind[T], floor: int, history: int) -> None:
        self.kind: Kind[T] = kind
        self.objects: dict[str, T] = {}
        self._keys: dict[str, Callable[[T], Iterable[str]]] = {
            "uid": lambda obj: (obj.metadata.uid,),
            "owner": lambda obj: {owner.uid: None for owner in obj.metadata.owners},
            **{name: _alone(key) for name, key in kind.indices.items()},
        }
        self.indices: dict[str, dict[str, dict[str, T]]] = {name: defaultdict(dict) for name in self._keys}
        self.history: History[T] = History(floor, history)
        self.watches: list[Watch[T]] = []
        self.subscribers: list[Subscriber[T]] = []

    def record(self, change: Change[T]) -> None:
        """Takes a change in and offers it to the watches; the subscribers are the store's to tell."""
        if change.old is not None:
            self._unindex(change.old)
            del self.objects[change.old.metadata.name]
        if change.new is not None and change.type != pb.DELETED:
            self.objects[change.new.metadata.name] = change.new
            for name, keys in self._keys.items():
                for key in keys(change.new):
                    self.indices[name][key][change.new.metadata.name] = change.new
        self.history.add(change)
        for watch in tuple(self.watches):  # before the subscribers: one that fails leaves no gap in a watch
            watch.offer(change)

    def _unindex(self, obj: T) -> None:
        for name, keys in self._keys.items():
            entries = self.indices[name]
            for key in keys(obj):
                entries[key].pop(obj.metadata.name, None)
                if not entries[key]:
                    del entries[key]


def _alone(key: Callable[[T], str]) -> Callable[[T], Iterable[str]]:
    return lambda obj: (key(obj),)
