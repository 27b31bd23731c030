"""Why an object is handled now: a pure function of what it is and what was remembered of it."""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from proto.dockrunner import v1 as pb

from .fields import Path, is_map, value_at


class Reason(enum.Enum):
    """What happened to the object since it was last handled."""

    CREATE = "create"
    UPDATE = "update"
    RESUME = "resume"
    DELETE = "delete"
    # Deletion was asked for, and nothing of ours holds the object.
    FREE = "free"
    NOOP = "noop"


@dataclass(frozen=True)
class Difference:
    """One changed field: its path such as ``("spec", "image")``, and its values; None for one that is not there."""

    path: tuple[str, ...]
    old: Any
    new: Any


@dataclass(frozen=True)
class Cause:
    """The reason, with the object before and after; ``old`` is None unless there is something remembered."""

    reason: Reason
    old: Message | None
    new: Message
    diff: tuple[Difference, ...] = ()


def essence(obj: Any) -> Message:
    """What people declare of an object: its spec, labels and annotations; all else is bookkeeping."""
    reduced: Any = type(obj)()
    reduced.metadata.labels.update(obj.metadata.labels)
    reduced.metadata.annotations.update(obj.metadata.annotations)
    reduced.spec.CopyFrom(obj.spec)
    result: Message = reduced
    return result


def cause_of_change(remembered: Message, now: Message) -> Cause:
    """The cause of a handler that has seen ``remembered``."""
    return Cause(Reason.UPDATE, remembered, now, tuple(differences(remembered, now)))


def detect(metadata: pb.Metadata, now: Message, remembered: Message | None, *, first: bool, finalizer: str) -> Cause:
    """The cause for an object whose essence is ``now``.

    Args:
        remembered: its essence when it was last handled with success; None if it never was.
        first: whether this is the first look at it in this run of the program.
        finalizer: the name of our finalizer.
    """
    if metadata.HasField("delete_time"):
        return Cause(Reason.DELETE if finalizer in metadata.finalizers else Reason.FREE, remembered, now)
    if remembered is None:
        return Cause(Reason.CREATE, None, now)
    if remembered == now:
        return Cause(Reason.RESUME if first else Reason.NOOP, remembered, now)
    return cause_of_change(remembered, now)


def narrowed(path: Path, cause: Cause) -> tuple[Any, Any, tuple[Difference, ...]]:
    """What a handler of one field is told: its value before and after, and what changed within it."""
    old, new = value_at(cause.old, path), value_at(cause.new, path)
    inside = tuple(
        Difference(difference.path[len(path) :], difference.old, difference.new)
        for difference in cause.diff
        if difference.path[: len(path)] == path
    )
    return old, new, inside or ((Difference((), old, new),) if old != new else ())


def differences(old: Message, new: Message, path: tuple[str, ...] = ()) -> Iterator[Difference]:
    """Every field that differs between two messages of one type, down to single fields and map entries."""
    for field in old.DESCRIPTOR.fields:
        before, after = getattr(old, field.name), getattr(new, field.name)
        if before == after and _presence(old, field) == _presence(new, field):
            continue
        here = (*path, field.name)
        if is_map(field):
            for key in sorted({*before, *after}):
                left, right = (side.get(key) for side in (before, after))
                if left != right:
                    yield Difference((*here, str(key)), left, right)
        elif field.message_type is not None and not field.is_repeated:
            yield from differences(before, after, here)
        elif field.is_repeated:
            yield Difference(here, list(before), list(after))
        else:
            left, right = (value if _presence(side, field) else None for side, value in ((old, before), (new, after)))
            yield Difference(here, left, right)


def _presence(message: Message, field: Any) -> bool:
    return message.HasField(field.name) if field.has_presence else True
