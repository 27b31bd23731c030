"""Scalars of YAML as what a field needs, with a reason where they do not fit."""

import json
import re
from collections.abc import Callable
from typing import TypeAlias

from controller.config_agent.field_forms import size as parsed_size
from controller.config_agent.problem import NotThatForm
from controller.config_agent.short_forms import durations

from .document import Items, Section, Text, Value
from .errors import Misfit
from .layout import Array, Entry, TomlValue, Verbatim, clean

_TRUE, _FALSE = {"true", "yes", "y", "on", "1"}, {"false", "no", "n", "off", "0"}
_INTEGER = re.compile(r"[-+]?[0-9][0-9_]{0,18}|0x[0-9a-fA-F]{1,15}|0o[0-7]{1,20}")
_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?|\.[0-9]{1,9}")
_DAYS = re.compile(r"([0-9]{1,4})(w|d)")
_MODE = re.compile(r"(?:0o)?([0-7]{1,7})")
_SWARM_TEMPLATES = {"{{.Service.Name}}": "{service}", "{{.Task.Slot}}": "{slot}"}
_SHOWN = 70  # characters of a value in a comment

# Reads one item of a list, or raises Misfit.
Reader: TypeAlias = Callable[[Value], TomlValue]


def text(value: Value) -> str:
    """Any scalar."""
    if not isinstance(value, Text):
        raise Misfit("a text was expected")
    if "\0" in value:
        raise Misfit("it has a NUL")
    return str(value)


def placed(value: Value) -> str:
    """A text whose placeholders of Swarm become ours."""
    found = text(value)
    for theirs, ours in _SWARM_TEMPLATES.items():
        found = found.replace(theirs, ours)
    return found


def truth(value: Value) -> bool:
    word = text(value).lower()
    if word not in _TRUE | _FALSE:
        raise Misfit("true or false was expected")
    return word in _TRUE


def integer(value: Value, lowest: int = 0, highest: int = 2**31 - 1) -> int:
    written = text(value)
    if not _INTEGER.fullmatch(written):
        raise Misfit("a whole number was expected")
    number = int(written.replace("_", ""), 0 if written[:2] in ("0x", "0o") else 10)
    if not lowest <= number <= highest:
        raise Misfit(f"it is not within {lowest} and {highest}")
    return number


def number(value: Value) -> int | float:
    written = text(value)
    if not _NUMBER.fullmatch(written):
        raise Misfit("a number was expected")
    return float(written) if "." in written else int(written)


def size(value: Value) -> str | int:
    """``512m``, or bytes."""
    written = text(value)
    try:
        amount = parsed_size(written)
    except NotThatForm as error:
        raise Misfit(str(error)) from None
    if amount >= 2**63:
        raise Misfit("it is more than there can be")
    return int(written) if re.fullmatch("0|[1-9][0-9]*", written) else written


def duration(value: Value) -> str:
    """``1m30s``; days and weeks become hours, a bare number is of seconds."""
    written = text(value)
    written = _DAYS.sub(lambda found: f"{int(found[1]) * (168 if found[2] == 'w' else 24)}h", written)
    written = f"{written}s" if written.isascii() and written.isdigit() else written
    try:
        durations(written, 1)
    except NotThatForm as error:
        raise Misfit(str(error)) from None
    return written


def whole_seconds(value: Value) -> str:
    """A duration of whole seconds, at most an hour, as a grace period has to be."""
    written = duration(value)
    found = durations(written, 1)[0]
    if found.nanos or not 0 <= found.seconds <= 3600:
        raise Misfit("it must be whole seconds up to 1h")
    return written


def mode(value: Value) -> Verbatim:
    """Permissions in octal, as YAML has them with a leading 0; other numbers are decimal."""
    written = text(value)
    match = _MODE.fullmatch(written)
    octal = not (isinstance(value, Text) and value.plain) or written.startswith("0")
    if match is None or not (octal or written.isdigit()):
        raise Misfit("permissions such as 0440 were expected")
    return Verbatim(f"0o{int(match[1], 8 if octal else 10):03o}")


def texts(value: Value) -> Array:
    """A list of texts, its comments kept; what does not fit is a comment at its place."""
    if isinstance(value, (Section, type(None))):
        raise Misfit("a list was expected")
    return each(value, text)


def each(value: Value, read: Reader) -> Array:
    """A list, or the one that alone would be in it, each item read by itself."""
    array = Array()
    items = list(value.noted()) if isinstance(value, Items) else []
    for item, note in items:
        before = [*note.before, *unset(item)]
        try:
            array.append(Entry(read(item), before, note.after))
        except Misfit as error:
            array.append(Entry(None, [*before, left_out("", item, str(error))]))
    if isinstance(value, Text):
        array.append(Entry(read(value), []))
    return array


def unset(value: Value) -> list[str]:
    """What is to be said of the variables that had no value in it."""
    names = dict.fromkeys(_unset(value))
    if not names:
        return []
    return [f"{', '.join(names)} {'was' if len(names) == 1 else 'were'} not set, and so empty here"]


def _unset(value: Value) -> list[str]:
    if isinstance(value, Text):
        return list(value.unset)
    below = value.values() if isinstance(value, Section) else value if isinstance(value, Items) else []
    return [name for item in below for name in _unset(item)]


def left_out(key: str, value: Value, why: str) -> str:
    """The comment for what has no counterpart."""
    return f"not carried over: {': '.join(part for part in (key, shown(value)) if part)} ({why})"


def shown(value: Value) -> str:
    """A value on one line, as YAML has it, cut where it is long."""
    line = clean(_flow(value))
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"


def _flow(value: Value, depth: int = 0) -> str:
    if depth > 3:
        return "…"
    match value:
        case None:
            return "" if not depth else "null"
        case Text():
            return str(value) if value and (not depth or value.isascii()) else json.dumps(value, ensure_ascii=False)
        case Section():
            return f"{{{', '.join(f'{key}: {_flow(item, depth + 1)}' for key, item in value.items())}}}"
    return f"[{', '.join(_flow(item, depth + 1) for item in value)}]"
