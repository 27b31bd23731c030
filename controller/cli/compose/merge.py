"""How two declarations of one service become one, as compose merges them for `extends`."""

import os
from collections.abc import Callable

from .document import NO_NOTE, OVERRIDE, RESET, Items, Section, Text, Value

# What is replaced as a whole.
_REPLACED = {"command", "entrypoint", "test"}
# What may be a list of `NAME=value` or of names, and is a mapping in truth.
MAPPED = {
    "environment", "labels", "annotations", "sysctls", "args", "networks", "depends_on", "additional_contexts",
}  # fmt: skip
# What may be one text, and is a list in truth.
_ONE_OR_MORE = {"tmpfs", "dns", "dns_search", "env_file", "dns_opt", "label_file"}
# Where each item has a place, and a later one at the same place replaces the former.
_PLACED: dict[str, Callable[[Value], str]] = {}


def merged(base: Value, over: Value, key: str = "") -> Value:
    """What ``over`` says, and what ``base`` says beside it."""
    if base is None or key in _REPLACED:
        return base if over is None else over
    if over is None:
        return base
    if key in MAPPED:
        base, over = mapping(base), mapping(over)
    if key in _ONE_OR_MORE:
        base, over = _listed(base), _listed(over)
    if isinstance(base, Section) and isinstance(over, Section):
        return _sections(base, over)
    if isinstance(base, Items) and isinstance(over, Items):
        return _lists(base, over, key)
    return over


def _sections(base: Section, over: Section) -> Section:
    result = Section()
    for key, value in base.items():
        if over.note(key).tag != RESET:
            result.put(key, value, base.note(key))
    for key, value in over.items():
        tag = over.note(key).tag
        if tag == RESET:
            continue
        known = result.get(key) if tag != OVERRIDE else None
        note = over.note(key) if over.note(key) != NO_NOTE else result.note(key)
        result.put(key, merged(known, value, key), note)
    return result


def _lists(base: Items, over: Items, key: str) -> Items:
    place = _PLACED.get(key, str)
    result = Items()
    taken = {place(item) for item in over}
    for item, note in base.noted():
        if place(item) not in taken:
            result.put(item, note)
    for item, note in over.noted():
        result.put(item, note)
    return result


def mapping(value: Value) -> Value:
    """A list of `NAME=value`, `NAME:value` or names as a mapping; anything else as it is."""
    if not isinstance(value, Items) or not all(isinstance(item, Text) for item in value):
        return value
    section = Section()
    for item, note in value.noted():
        assert isinstance(item, Text)  # noqa: S101  # seen above
        name, separator, text = item.partition("=")
        given = Text.written(text, plain=False, line=item.line, unset=item.unset) if separator else None
        section.put(str(name), given, note)
    return section


def _listed(value: Value) -> Value:
    if isinstance(value, Items):
        return value
    items = Items()
    items.put(value)
    return items


def _target(value: Value) -> str:
    """The path inside the container of a mount or a device."""
    if isinstance(value, Section):
        return str(value.get("target") or value.get("source"))
    parts = str(value).split(":")
    return parts[1] if len(parts) > 1 else parts[0]


_PLACED |= {"volumes": _target, "devices": _target}


def moved(service: Section, folder: str) -> Section:
    """A service of a file in another folder, with its relative paths starting from ours. ``folder`` leads there."""
    result = Section()
    for key, value in service.items():
        mover = _MOVERS.get(key)
        result.put(key, mover(value, folder) if mover and folder != "." else value, service.note(key))
    return result


def moved_path(value: Value, folder: str) -> Value:
    """A path that starts from ``folder`` when it is relative."""
    if not isinstance(value, Text) or not value or value.startswith(("/", "~")) or "://" in value:
        return value
    path = os.path.normpath(os.path.join(folder, value))
    return _like(value, path if path.startswith("..") else f"./{path}")


def _like(value: Text, text: str) -> Text:
    return Text.written(text, plain=value.plain, line=value.line, unset=value.unset)


def _volumes(value: Value, folder: str) -> Value:
    if not isinstance(value, Items):
        return value
    items = Items()
    for item, note in value.noted():
        if isinstance(item, Text) and item.startswith("."):
            source, colon, rest = item.partition(":")
            item = _like(item, f"{moved_path(_like(item, source), folder)}{colon}{rest}")
        elif isinstance(item, Section) and item.get("type") == "bind":
            item = with_path(item, "source", folder)
        items.put(item, note)
    return items


def with_path(section: Section, key: str, folder: str) -> Section:
    """A mapping with the path of one key moved."""
    result = Section()
    for name, value in section.items():
        result.put(name, moved_path(value, folder) if name == key else value, section.note(name))
    return result


def _env_files(value: Value, folder: str) -> Value:
    if isinstance(value, Section):
        return with_path(value, "path", folder)
    if not isinstance(value, Items):
        return moved_path(value, folder)
    items = Items()
    for item, note in value.noted():
        items.put(_env_files(item, folder) if not isinstance(item, Items) else item, note)
    return items


def _build(value: Value, folder: str) -> Value:
    return with_path(value, "context", folder) if isinstance(value, Section) else moved_path(value, folder)


_MOVERS: dict[str, Callable[[Value, str], Value]] = {"volumes": _volumes, "env_file": _env_files, "build": _build}
