"""Look-ups that handlers keep: what each ``@on.index`` function says of every object, always up to date."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from controller.store import Change, Kind, Store
from proto.dockrunner import v1 as pb

from .parameters import chosen
from .registry import Handler

logger = logging.getLogger("dock_runner.framework")


class Index(Mapping[Any, Sequence[Any]]):
    """From a key to the values that objects have under it, by the name of the object."""

    def __init__(self) -> None:
        self._values: dict[Any, dict[str, Any]] = {}
        self._keys: dict[str, tuple[Any, ...]] = {}

    def __getitem__(self, key: Any) -> Sequence[Any]:
        found = self._values[key]
        return [found[name] for name in sorted(found)]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def put(self, name: str, entries: Mapping[Any, Any]) -> None:
        """What one object has to say now, instead of what it said before."""
        for key in self._keys.pop(name, ()):
            del self._values[key][name]
            if not self._values[key]:
                del self._values[key]
        for key, value in entries.items():
            self._values.setdefault(key, {})[name] = value
        if entries:
            self._keys[name] = tuple(entries)


class Indices(Mapping[str, Index]):
    """The indices by their ids."""

    def __init__(self) -> None:
        self._indices: dict[str, Index] = {}

    def __getitem__(self, name: str) -> Index:
        return self._indices[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._indices)

    def __len__(self) -> int:
        return len(self._indices)

    def follow(
        self, kind: Kind[Any], handlers: Sequence[Handler], store: Store, arguments: Callable[[Handler, Any], Any]
    ) -> None:
        """Keeps the indices of a kind true from now on, within each write: no reader ever sees an old one."""
        if not handlers:
            return
        for handler in handlers:
            self._indices.setdefault(handler.id, Index())

        def changed(change: Change[Any]) -> None:
            obj = change.new
            if obj is None:
                return
            for handler in handlers:
                gone = change.type == pb.DELETED or not handler.filter.matches_object(obj)
                entries = {} if gone else self._ask(handler, obj, arguments(handler, obj))
                self._indices[handler.id].put(f"{kind.name}/{obj.metadata.name}", entries)

        for obj in store.list(kind):
            changed(Change(pb.ADDED, int(obj.metadata.resource_version), None, obj))
        store.subscribe(kind, changed)

    @staticmethod
    def _ask(handler: Handler, obj: Any, arguments: Mapping[str, Any]) -> Mapping[Any, Any]:
        try:
            if not handler.filter.agrees(arguments):
                return {}
            answer = handler.function(**chosen(handler.function, arguments))
        except Exception:
            logger.exception("%s: index %s failed; it is left out there", obj.metadata.name, handler)
            return {}
        if answer is None:
            return {}
        return answer if isinstance(answer, Mapping) else {None: answer}
