"""Tables into messages, by the messages' own descriptors: what the .proto has, the file has.

Nothing here names a field. A value that does not fit is noted with its place, and reading goes on after it.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from .document import Document, Number
from .problem import ConfigError, Path, Position, Problem, Unreadable, show
from .short_forms import FIELD_FORMS, FINISHED, SHORT_FORMS, NotThatForm

MAX_PROBLEMS = 100  # more are not looked for
MAX_EXPANDED = 65_535  # messages that the short forms of one file may become

_BOOL, _STRING = FieldDescriptor.CPPTYPE_BOOL, FieldDescriptor.CPPTYPE_STRING
_FLOATS = (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE)
_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_TYPES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "true or false"),
    (int, "a whole number"),
    (float, "a number with a fraction"),
    (str, "a string"),
    (dict, "a table"),
    (list, "a list"),
    ((date, datetime, time), "a date or a time"),
)


class Problems:
    """Collects what is wrong, in one file or in several."""

    def __init__(self) -> None:
        self._found: list[Problem] = []
        self._unreadable = False

    def add(self, position: Position, message: str) -> None:
        """Notes one problem.

        Raises:
            ConfigError: it was one too many.
        """
        self._found.append(Problem.at(position, message))
        if len(self._found) >= MAX_PROBLEMS:
            self.check()

    def include(self, error: ConfigError) -> None:
        """Notes what a single file's error says."""
        self._found.extend(error.problems)
        self._unreadable |= isinstance(error, Unreadable)

    def check(self) -> None:
        """Raises ConfigError with every problem when there is any; Unreadable when a file could not be read."""
        if self._found:
            raise (Unreadable if self._unreadable else ConfigError)(self._found)


class MessageReader:
    """Reads the tables of one document into messages.

    ``origins`` maps the place of each field that was set, as a server names it (``services.0.spec.image``), to the
    place in the document that it came from.
    """

    def __init__(self, document: Document, problems: Problems, origins: dict[str, tuple[Document, Path]]) -> None:
        self._document = document
        self._problems = problems
        self._origins = origins
        self._expanded = 0

    def problem(self, path: Path, message: str) -> None:
        """Notes that something is wrong at a place of this document."""
        self._problems.add(self._document.position(path), message)

    def unknown(self, path: Path, known: Iterable[str]) -> None:
        """Notes a key that does not exist, naming the nearest that does."""
        key, names = str(path[-1]), sorted(known)
        near = difflib.get_close_matches(key.lower(), names, 1)
        hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(names) or 'none'}"
        self.problem(path, f"unknown key `{show(key)}`; {hint}")

    def table(self, value: Any, path: Path) -> Mapping[str, Any]:
        """The value if it is a table; else an empty one, after noting the problem."""
        if isinstance(value, dict):
            return value
        self.problem(path, _mismatch("a table", value))
        return {}

    def fill(self, message: Message, table: Mapping[str, Any], path: Path, place: str) -> None:
        """Sets a message's fields from a table; ``place`` is the message's as a server names it."""
        fields = cast(Descriptor, message.DESCRIPTOR).fields_by_name
        for key, value in table.items():
            if key in fields:
                self.set(message, fields[key], value, (*path, key), f"{place}.{key}")
            else:
                self.unknown((*path, key), fields)

    def set(self, message: Message, field: FieldDescriptor, value: Any, path: Path, place: str) -> None:
        """Sets one field from a value, noting what does not fit."""
        self._origins[place] = (self._document, path)
        try:
            if field.full_name in FIELD_FORMS:
                value = FIELD_FORMS[field.full_name](value)
            if field.message_type is not None and field.message_type.GetOptions().map_entry:
                self._set_map(getattr(message, field.name), field.message_type.fields_by_name, value, path, place)
            elif field.is_repeated:
                self._set_list(getattr(message, field.name), field, value, path, place)
            elif field.message_type is not None:
                target = getattr(message, field.name)
                target.SetInParent()
                self._read_into(field.message_type, lambda: target, value, path, lambda: place)
            else:
                setattr(message, field.name, _scalar(field, value))
        except NotThatForm as error:
            self.problem(path, str(error))

    def _set_list(self, target: Any, field: FieldDescriptor, value: Any, path: Path, place: str) -> None:
        if not isinstance(value, list):
            raise NotThatForm(_mismatch("a list", value))
        kind = field.message_type
        for index, element in enumerate(value):
            here = (*path, index)
            if kind is None:
                self._origins[f"{place}.{len(target)}"] = (self._document, here)
            try:
                if kind is None:
                    target.append(_scalar(field, element))
                else:
                    self._read_into(kind, target.add, element, here, lambda: f"{place}.{len(target) - 1}")
            except NotThatForm as error:
                self.problem(here, str(error))

    def _read_into(
        self, kind: Descriptor, new: Callable[[], Message], value: Any, path: Path, place: Callable[[], str]
    ) -> None:
        """Reads a message in either form. ``new`` gives each message to fill, ``place`` then says where it is."""
        if isinstance(value, dict):
            message = new()
            self._origins[place()] = (self._document, path)
            self.fill(message, value, path, place())
            self._finish(message)
            return
        types, short_form = SHORT_FORMS.get(kind.full_name, ((), None))
        if short_form is None or isinstance(value, bool) or not isinstance(value, types):
            raise NotThatForm(_mismatch(" or ".join(["a table", *map(_type_name, types)]), value))
        for read in short_form(value, MAX_EXPANDED - self._expanded):  # which may be many for one value
            self._expanded += 1
            self._finish(read)
            new().CopyFrom(read)
            self._origins[place()] = (self._document, path)

    def _finish(self, message: Message) -> None:
        finish = FINISHED.get(message.DESCRIPTOR.full_name)
        if finish is not None:
            finish(message, self._document.folder)

    def _set_map(self, target: Any, entry: Mapping[str, FieldDescriptor], value: Any, path: Path, place: str) -> None:
        """A map is a table. One with strings may also be a list of `NAME=value`, one with messages a list of names."""
        field = entry["value"]
        if isinstance(value, dict):
            items = [((*path, key), key, item) for key, item in value.items()]
        elif isinstance(value, list):
            items = self._items(field, value, path)
        else:
            raise NotThatForm(_mismatch("a table or a list", value))
        for here, key, item in items:
            self._origins[f"{place}.{key}"] = (self._document, here)
            try:
                if key in target:
                    raise NotThatForm(f"{show(key)} is given a second time")
                if field.message_type is None:
                    target[key] = _as_text(item) if field.cpp_type == _STRING else _scalar(field, item)
                else:
                    self.fill(target[key], self.table(item, here), here, f"{place}.{key}")
            except NotThatForm as error:
                self.problem(here, str(error))

    def _items(self, field: FieldDescriptor, value: list[Any], path: Path) -> list[tuple[Path, str, Any]]:
        items: list[tuple[Path, str, Any]] = []
        for index, element in enumerate(value):
            here = (*path, index)
            if not isinstance(element, str):
                self.problem(here, _mismatch("a string", element))
            elif field.message_type is not None:
                items.append((here, element, {}))
            elif "=" in element:
                name, _, text = element.partition("=")
                items.append((here, name, text))
            else:
                self.problem(here, "expected `NAME=value`")
        return items


def _scalar(field: FieldDescriptor, value: Any) -> bool | int | float | str | bytes:
    kind = field.cpp_type
    if kind in _INTEGERS:
        return _integer(value, *_INTEGERS[kind])
    if kind == _BOOL and isinstance(value, bool):
        return value
    if kind in _FLOATS and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if kind == _STRING and isinstance(value, str):
        return value.encode() if field.type == FieldDescriptor.TYPE_BYTES else value
    if field.enum_type is not None:
        return _enum_number(field.enum_type, value)
    raise NotThatForm(_mismatch(_scalar_name(kind), value))


def _scalar_name(kind: int) -> str:
    if kind == _BOOL:
        return "true or false"
    return "a string" if kind == _STRING else "a number"


def _integer(value: Any, lowest: int, highest: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise NotThatForm(_mismatch("a whole number", value))
    if not lowest <= value <= highest:
        raise NotThatForm(f"expected a whole number from {lowest} to {highest}")
    return value


def _enum_number(enum: EnumDescriptor, value: Any) -> int:
    if not isinstance(value, str):
        raise NotThatForm(_mismatch("a string", value))
    numbers = {item.name.lower().replace("_", "-"): item.number for item in enum.values}
    if value not in numbers:
        raise NotThatForm(f"expected one of {', '.join(numbers)}, got {show(value)}")
    return numbers[value]


def _as_text(value: Any) -> str:
    """A scalar as the text of a variable or a label."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Number):
        return value.text
    if isinstance(value, (str, int)):
        return str(value)
    raise NotThatForm(_mismatch("a string, a number, true or false", value))


def _type_name(kind: type) -> str:
    return next((name for types, name in _TYPES if issubclass(kind, types)), kind.__name__)


def _mismatch(expected: str, value: Any) -> str:
    return f"expected {expected}, got {_type_name(type(value))}"
