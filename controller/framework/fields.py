"""Paths into objects, such as ``spec.image`` or ``metadata.labels.tier``, and what stands there."""

import difflib
from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

Path = tuple[str, ...]


def parse_path(text: str | Sequence[str], descriptor: Descriptor) -> Path:
    """The path that a handler's ``field`` names, checked against the kind's message.

    In a text the parts are separated by dots; after the name of a map of plain values the rest is one key, dots and
    all.

    Raises:
        ValueError: there is no such field; names the nearest one.
    """
    parts = text.split(".") if isinstance(text, str) else list(text)
    path: list[str] = []
    here: Descriptor | None = descriptor
    while parts:
        known = here.fields_by_name.get(parts[0]) if here is not None else None
        if known is None:
            raise ValueError(f"there is no field {'.'.join([*path, parts[0]])!r}{_nearest(parts[0], here)}")
        path.append(parts.pop(0))
        inner = known.message_type
        here = None if known.is_repeated else inner
        if inner is not None and is_map(known) and parts:
            here = inner.fields_by_name["value"].message_type
            key = parts.pop(0) if here is not None else ".".join(parts)
            parts = parts if here is not None else []
            path.append(key)
    return tuple(path)


def value_at(obj: Message | None, path: Path) -> Any:
    """What stands at a path: a scalar, a message, a list, a dict for a map; None where nothing was set."""
    here: Any = obj
    for name in path:
        if here is None:
            return None
        here = here.get(name) if isinstance(here, dict) else _value(here, here.DESCRIPTOR.fields_by_name[name])
    return here


def is_map(field: Any) -> bool:
    """Whether a field is a map."""
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _value(message: Message, field: Any) -> Any:
    if field.has_presence and not message.HasField(field.name):
        return None
    value = getattr(message, field.name)
    if is_map(field):
        return dict(value) or None
    if field.is_repeated:
        return list(value) or None
    return None if value == "" and not field.has_presence else value


def _nearest(name: str, descriptor: Descriptor | None) -> str:
    known = list(descriptor.fields_by_name) if descriptor is not None else []
    close = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}" if known else ""
