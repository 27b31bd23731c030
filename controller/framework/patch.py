"""What a handler wants changed of its object, and how that is carried over to the object as it is by then."""

import logging
from typing import Any

from google.protobuf.message import Message

from controller.errors import BeingDeleted, Conflict, NotFound, PermanentError
from controller.store import CONTAINER, Kind, Store

from .fields import is_map

logger = logging.getLogger("dock_runner.framework")


class Patch:
    """A copy of the object for a handler to change: ``spec``, ``labels``, ``annotations`` and ``status``.

    Only what the handler changed is written, onto whatever the object is by then: what others changed meanwhile
    stays. Nothing is written when nothing was changed.
    """

    def __init__(self, obj: Any, edited: Any = None) -> None:
        self._before = obj
        self._copy = edited

    @property
    def metadata(self) -> Any:
        """Of it, ``labels`` and ``annotations`` may be changed."""
        return self._edited.metadata

    @property
    def labels(self) -> Any:
        """The labels of the object itself, for selectors."""
        return self._edited.metadata.labels

    @property
    def annotations(self) -> Any:
        return self._edited.metadata.annotations

    @property
    def spec(self) -> Any:
        """What is wanted. A change of it is a change like anybody's: it is validated, and handlers are told."""
        return self._edited.spec

    @property
    def status(self) -> Any:
        """What is. No handler is told of a change of it."""
        return self._edited.status

    @property
    def changes_spec(self) -> bool:
        return self._copy is not None and bool(self._copy.spec != self._before.spec)

    def onto(self, obj: Any) -> Any:
        """A copy of ``obj`` with the changes."""
        result = type(obj)()
        result.CopyFrom(obj)
        if self._copy is not None:
            merge(self._before, self._copy, result)
        return result

    def write(self, kind: Kind[Any], store: Store) -> None:
        """Writes the changes; what is not there any more needs none.

        Raises:
            PermanentError: something was changed that is somebody else's to say.
        """
        if self._copy is None or self._copy == self._before:
            return
        before, edited = self._before, self._copy
        name, uid = before.metadata.name, before.metadata.uid
        if kind is CONTAINER and edited.metadata.labels != before.metadata.labels:
            raise PermanentError("the labels of a container are those of its service; use its annotations")
        try:
            if edited.status != before.status:
                store.update_status(kind, name, lambda current: merge(before, edited, current), uid=uid)
            if edited.spec != before.spec or edited.metadata != before.metadata:
                store.update(kind, name, lambda current: merge(before, edited, current), uid=uid)
        except (NotFound, Conflict):
            logger.debug("%s %s is gone: what a handler wanted changed is dropped", kind, name)
        except BeingDeleted as error:
            logger.warning("%s: what a handler wanted changed of its spec is dropped", error)

    @property
    def _edited(self) -> Any:
        if self._copy is None:
            self._copy = type(self._before)()
            self._copy.CopyFrom(self._before)
        return self._copy


def merge(before: Message, after: Message, target: Any) -> None:
    """Carries what differs between ``before`` and ``after`` over to ``target``: all three of one type.

    Messages are merged field by field, maps key by key, conditions by their type; other lists are replaced whole.
    """
    for field in before.DESCRIPTOR.fields:
        old, new = getattr(before, field.name), getattr(after, field.name)
        if old == new and _has(before, field) == _has(after, field):
            continue
        if is_map(field):
            _merge_map(old, new, getattr(target, field.name))
        elif field.is_repeated:
            _merge_list(old, new, getattr(target, field.name))
        elif field.message_type is not None:
            inner = getattr(target, field.name)
            merge(old, new, inner)
            if _has(after, field):
                inner.SetInParent()
            elif not inner.ByteSize():  # others may have written into what was taken away
                target.ClearField(field.name)
        elif not _has(after, field):
            target.ClearField(field.name)
        else:
            setattr(target, field.name, new)


def _merge_map(old: Any, new: Any, target: Any) -> None:
    for key in {**old, **new}:
        if key not in new:
            target.pop(key, None)
        elif key not in old or old[key] != new[key]:
            if isinstance(new[key], Message):
                target[key].CopyFrom(new[key])
            else:
                target[key] = new[key]


def _merge_list(old: Any, new: Any, target: Any) -> None:
    items = [*old, *new]
    if not items or not hasattr(items[0], "last_transition_time"):
        del target[:]
        target.extend(new)
        return
    before, after = ({item.type: item for item in side} for side in (old, new))
    kept = {item.type: item for item in target}
    for type_ in {**before, **after}:
        if type_ not in after:
            kept.pop(type_, None)
        elif before.get(type_) != after[type_]:
            kept[type_] = after[type_]
    merged = [type(item).FromString(item.SerializeToString()) for item in kept.values()]
    del target[:]
    target.extend(merged)


def _has(message: Message, field: Any) -> bool:
    return message.HasField(field.name) if field.has_presence else True
