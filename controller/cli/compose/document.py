"""A compose file as YAML: its values as they were written, and the comments that stand before and behind them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import yaml

from .errors import ComposeError

MAX_SIZE = 1 << 20  # bytes of one file
MAX_VALUES = 50_000  # of one file, its aliases resolved
MAX_DEPTH = 40
RESET, OVERRIDE = "!reset", "!override"

_NULLS = {"", "~", "null", "Null", "NULL"}
_MERGE = "<<"
_LINE_BREAK = re.compile("[\n\r\x85\u2028\u2029]")  # as YAML counts lines
_COMMENT = re.compile(r"^( *)#+ ?(.*)$")
_BEHIND = re.compile(r"^\s+#+ ?(.*)$")
_BEHIND_KEY = re.compile(r"^\s*:(?:\s+[&*!]\S+)*\s+#+ ?(.*)$")


class Text(str):
    """A scalar. Without quotes (``plain``) it may stand for a number or a truth; ``unset`` are the variables in it
    that had no value."""

    __slots__ = ("line", "plain", "unset")

    plain: bool
    line: int
    unset: tuple[str, ...]

    @classmethod
    def written(cls, text: str, *, plain: bool = True, line: int = 0, unset: tuple[str, ...] = ()) -> "Text":
        made = cls(text.encode(errors="replace").decode())  # an escape can stand for half a character
        made.plain, made.line, made.unset = plain, line, unset
        return made


@dataclass(frozen=True)
class Note:
    """What is said about a value: the comments before it, the one behind it, and its tag of YAML."""

    before: tuple[str, ...] = ()
    after: str = ""
    tag: str = ""


NO_NOTE = Note()


class Section(dict[str, "Value"]):
    """A mapping, with a note for each key."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: dict[str, Note] = {}

    def note(self, key: str) -> Note:
        return self.notes.get(key, NO_NOTE)

    def put(self, key: str, value: "Value", note: Note = NO_NOTE) -> None:
        self[key] = value
        self.notes[key] = note


class Items(list["Value"]):
    """A sequence, with a note for each item."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[Note] = []

    def put(self, value: "Value", note: Note = NO_NOTE) -> None:
        self.append(value)
        self.notes.append(note)

    def noted(self) -> Iterator[tuple["Value", Note]]:
        return zip(self, self.notes, strict=True)


Value: TypeAlias = Text | Section | Items | None


@dataclass(frozen=True)
class Document:
    """One file: its top-level mapping, and the comments at its very top."""

    file: Path
    top: Section
    header: tuple[str, ...]


def read_document(file: Path, content: bytes) -> Document:
    """Reads the content of a file.

    Raises:
        ComposeError: it is not YAML, or not a mapping.
    """
    if len(content) > MAX_SIZE:
        raise ComposeError(f"{file}: larger than {MAX_SIZE >> 10} KiB: is it a compose file?")
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError:
        raise ComposeError(f"{file}: is not text in UTF-8: save it as such") from None
    except (ValueError, OverflowError):
        raise ComposeError(f"{file}: is not YAML: an escape names no character") from None
    except RecursionError:
        raise ComposeError(f"{file}: is deeper than {MAX_DEPTH} levels: is it a compose file?") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ComposeError(f"{file}:{line}: is not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ComposeError(f"{file}: is not YAML: {str(error).splitlines()[0]}") from None
    builder = _Builder(file, _LINE_BREAK.split(text))
    top = builder.value(node, 0) if node is not None else None
    if not isinstance(top, Section):
        raise ComposeError(f"{file}: is not a compose file: a mapping with `services:` is expected")
    return Document(file, top, builder.header())


class _Builder:
    """Makes values of YAML's nodes, aliases and merge keys resolved."""

    def __init__(self, file: Path, lines: list[str]) -> None:
        self._file = file
        self._lines = lines
        self._count = 0

    def header(self) -> tuple[str, ...]:
        """The comments above everything else."""
        found: list[str] = []
        for line in self._lines:
            comment = _COMMENT.match(line)
            if comment:
                found.append(comment[2])
            elif line.strip() not in ("", "---"):
                break
        return tuple(found)

    def value(self, node: yaml.Node, depth: int) -> Value:
        self._count += 1
        if self._count > MAX_VALUES:
            raise self._error(node, f"more than {MAX_VALUES} values: does an alias repeat itself?")
        if depth > MAX_DEPTH:
            raise self._error(node, f"deeper than {MAX_DEPTH} levels: does an alias contain itself?")
        if isinstance(node, yaml.MappingNode):
            return self._section(node, depth)
        if isinstance(node, yaml.SequenceNode):
            return self._items(node, depth)
        plain = getattr(node, "style", "") is None and _untagged(node)
        if plain and node.value in _NULLS:
            return None
        return Text.written(node.value, plain=plain, line=node.start_mark.line + 1)

    def _section(self, node: yaml.MappingNode, depth: int) -> Section:
        section = Section()
        own: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._error(key, "a key is a list or a mapping: write a name")
            if key.value == _MERGE and key.style is None:
                self._merge(section, value, depth)
                continue
            if key.value in own:
                raise self._error(key, f"`{key.value}` is there a second time: remove one")
            own.add(key.value)
            note = Note(self._before(key), self._after(key, value), value.tag if value.tag.startswith("!") else "")
            section.put(str(Text.written(key.value)), self.value(value, depth + 1), note)
        return section

    def _merge(self, section: Section, node: yaml.Node, depth: int) -> None:
        """What stands in the mapping itself counts before what is merged, and of several the first that has it."""
        for one in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            merged = self.value(one, depth + 1)
            if not isinstance(merged, Section):
                raise self._error(one, "`<<` needs a mapping, or a list of mappings")
            for key, value in merged.items():
                if key not in section:
                    section.put(key, value, merged.note(key))

    def _items(self, node: yaml.SequenceNode, depth: int) -> Items:
        items = Items()
        for item in node.value:
            first = item.value[0] if isinstance(item, yaml.MappingNode) and item.value else None
            after = "" if first else self._behind(item)
            # The comments before an item that is a mapping are before its first key as well.
            items.put(self.value(item, depth + 1), Note(() if first else self._before(item), after))
        return items

    def _before(self, node: yaml.Node) -> tuple[str, ...]:
        """The comment lines right above, unless they are indented deeper: those belong to what ends there."""
        found: list[str] = []
        line = node.start_mark.line - 1
        while line >= 0:
            comment = _COMMENT.match(self._lines[line])
            if comment is None:
                line = -1 if self._lines[line] == "---" else line
                break
            if len(comment[1]) <= node.start_mark.column:
                found.insert(0, comment[2])
            line -= 1
        # What reaches up to the first line is the header.
        return () if line < 0 else tuple(found)

    def _after(self, key: yaml.Node, value: yaml.Node) -> str:
        if isinstance(value, yaml.ScalarNode) and value.start_mark.line >= key.start_mark.line:
            return self._behind(value)
        if value.end_mark.line == key.end_mark.line and value.start_mark.line == key.end_mark.line:
            return self._behind(value)
        behind = _BEHIND_KEY.match(self._lines[key.end_mark.line][key.end_mark.column :])
        return behind[1] if behind else ""

    def _behind(self, node: yaml.Node) -> str:
        if getattr(node, "style", None) in ("|", ">") or node.end_mark.line >= len(self._lines):
            return ""
        behind = _BEHIND.match(self._lines[node.end_mark.line][node.end_mark.column :])
        return behind[1] if behind else ""

    def _error(self, node: yaml.Node, problem: str) -> ComposeError:
        return ComposeError(f"{self._file}:{node.start_mark.line + 1}: {problem}")


def _untagged(node: yaml.Node) -> bool:
    """Whether a scalar is text because of its form, not because of a tag: `!!str 5` has one."""
    return node.start_mark.buffer is None or node.start_mark.buffer[node.start_mark.pointer] != "!"
