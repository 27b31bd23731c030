"""Tables into messages, by the messages' own descriptors: what the .proto has, the file has.

Nothing here names a field. A value that does not fit is noted with its place, and reading goes on after it.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from .document import Document
from .field_forms import ELEMENT_FORMS, FIELD_FORMS, LIST_FORMS, elements
from .problem import ConfigError, NotThatForm, Path, Position, Problem, Unreadable, show
from .scalars import STRING, as_text, mismatch, scalar, type_name
from .short_forms import ELSEWHERE, FINISHED, NAMED, SHORT_FORMS

MAX_PROBLEMS = 100  # more are not looked for
MAX_EXPANDED = 65_535  # messages that the short forms of one file may become


class Problems:
    """Collects what is wrong, in one file or in several; what is found several times counts once."""

    def __init__(self) -> None:
        self._found: dict[Problem, None] = {}
        self._unreadable = False

    def add(self, position: Position, message: str) -> None:
        """Notes one problem.

        Raises:
            ConfigError: it was one too many.
        """
        self._found[Problem.at(position, message)] = None
        if len(self._found) >= MAX_PROBLEMS:
            self.check()

    def include(self, error: ConfigError) -> None:
        """Notes what a single file's error says."""
        self._found |= dict.fromkeys(error.problems)
        self._unreadable |= isinstance(error, Unreadable)

    def check(self) -> None:
        """Raises ConfigError with every problem when there is any; Unreadable when a file could not be read."""
        if self._found:
            raise (Unreadable if self._unreadable else ConfigError)(list(self._found))


class MessageReader:
    """Reads the tables of one document into messages.

    ``origins`` maps the place of each field that was set, as a server names it (``services.0.spec.image``), to the
    place in the document that it came from.
    """

    def __init__(self, document: Document, problems: Problems, origins: dict[str, tuple[Document, Path]]) -> None:
        self.document = document
        self.problems = problems
        self._origins = origins
        self._expanded = 0

    def note(self, place: str, path: Path) -> None:
        """Notes where in this document something stands that a server knows by its ``place``."""
        self._origins[place] = (self.document, path)

    def place(self, place: str) -> Path:
        """What was noted of a place."""
        return self._origins[place][1]

    def problem(self, path: Path, message: str) -> None:
        """Notes that something is wrong at a place of this document."""
        self.problems.add(self.document.position(path), message)

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
        self.problem(path, mismatch("a table", value))
        return {}

    def fill(self, message: Message, table: Mapping[str, Any], path: Path, place: str) -> None:
        """Sets a message's fields from a table; ``place`` is the message's as a server names it."""
        known = cast(Descriptor, message.DESCRIPTOR).fields_by_name
        fields = {name: field for name, field in known.items() if field.full_name not in ELSEWHERE}
        for key, value in table.items():
            if key in fields:
                self.set(message, fields[key], value, (*path, key), f"{place}.{key}")
            else:
                self.unknown((*path, key), fields)

    def set(self, message: Message, field: FieldDescriptor, value: Any, path: Path, place: str) -> None:
        """Sets one field from a value, noting what does not fit."""
        self.note(place, path)
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
                setattr(message, field.name, scalar(field, value))
        except NotThatForm as error:
            self.problem(path, str(error))

    def _set_list(self, target: Any, field: FieldDescriptor, value: Any, path: Path, place: str) -> None:
        kind = field.message_type
        read = ELEMENT_FORMS.get(field.full_name, _as_it_is)
        for inside, element in LIST_FORMS.get(field.full_name, elements)(value):
            here = (*path, *inside)
            if kind is None:
                self.note(f"{place}.{len(target)}", here)
            try:
                if kind is None:
                    target.append(scalar(field, read(element)))
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
            self.note(place(), path)
            self.fill(message, value, path, place())
            self._finish(message)
            return
        types, short_form = SHORT_FORMS.get(kind.full_name, ((), None))
        if short_form is None or isinstance(value, bool) or not isinstance(value, types):
            raise NotThatForm(mismatch(" or ".join(["a table", *map(type_name, types)]), value))
        for read in short_form(value, MAX_EXPANDED - self._expanded):  # which may be many for one value
            self._expanded += 1
            self._finish(read)
            new().CopyFrom(read)
            self.note(place(), path)

    def _finish(self, message: Message) -> None:
        finish = FINISHED.get(message.DESCRIPTOR.full_name)
        if finish is not None:
            finish(message, self.document.folder)

    def _set_map(self, target: Any, entry: Mapping[str, FieldDescriptor], value: Any, path: Path, place: str) -> None:
        """A map is a table. One with strings may also be a list of `NAME=value`, one with messages a list of names."""
        field = entry["value"]
        if isinstance(value, dict):
            items = [((*path, key), key, item) for key, item in value.items()]
        elif field.message_type is not None and field.message_type.full_name not in NAMED:
            raise NotThatForm(mismatch("a table", value))
        elif isinstance(value, list):
            items = self._items(field, value, path)
        else:
            raise NotThatForm(mismatch("a table or a list", value))
        for here, key, item in items:
            self.note(f"{place}.{key}", here)
            try:
                if key in target:
                    raise NotThatForm(f"{show(key)} is given a second time")
                if field.message_type is None:
                    target[key] = as_text(item) if field.cpp_type == STRING else scalar(field, item)
                else:
                    message = target[key]
                    self._read_into(field.message_type, lambda: message, item, here, lambda: f"{place}.{key}")  # noqa: B023  # called at once
            except NotThatForm as error:
                self.problem(here, str(error))

    def _items(self, field: FieldDescriptor, value: list[Any], path: Path) -> list[tuple[Path, str, Any]]:
        items: list[tuple[Path, str, Any]] = []
        for index, element in enumerate(value):
            here = (*path, index)
            if not isinstance(element, str):
                self.problem(here, mismatch("a string", element))
            elif field.message_type is not None:
                items.append((here, element, {}))
            elif "=" in element:
                name, _, text = element.partition("=")
                items.append((here, name, text))
            else:
                self.problem(here, "expected `NAME=value`")
        return items


def _as_it_is(value: Any) -> Any:
    return value
