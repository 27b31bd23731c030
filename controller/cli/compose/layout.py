"""TOML as a person would write it: inline what is short, tables for what is long, comments at their place."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

WIDTH = 120

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]+")


class Verbatim(str):
    """Written as it is, such as `0o440`."""

    __slots__ = ()


@dataclass
class Entry:
    """A value with its comments; comments alone when there is no value."""

    value: "TomlValue | None" = None
    before: list[str] = field(default_factory=list)
    after: str = ""


class Array(list[Entry]):
    """A list; one that is commented or long is written line by line, one that is ``tall`` always."""

    tall: bool = False


@dataclass
class Table:
    """A table, written on one line where that is short enough, unless it is to be a table of its own (``apart``)."""

    apart: bool = False
    entries: list[tuple[str, Entry]] = field(default_factory=list)

    def set(self, key: str, value: "TomlValue", *, before: list[str] | None = None, after: str = "") -> None:
        self.entries.append((key, Entry(value, list(before or ()), after)))

    def comment(self, text: str) -> None:
        self.entries.append(("", Entry(None, [text])))

    def get(self, key: str) -> "TomlValue | None":
        return next((entry.value for name, entry in self.entries if name == key and entry.value is not None), None)

    @property
    def commented(self) -> bool:
        return any(entry.before or entry.after for _, entry in self.entries)


TomlValue: TypeAlias = str | bool | int | float | Array | Table


def array(*values: TomlValue) -> Array:
    """A list without comments."""
    return Array(Entry(value) for value in values)


def toml(header: list[str], tables: Table) -> str:
    """The text of a file. Each of ``tables`` has only tables in it, as `services` has."""
    blocks = ["\n".join(map(_comment, header))] if header else []
    for kind, entry in tables.entries:
        if isinstance(entry.value, Table):
            for name, below in entry.value.entries:
                blocks += _blocks((kind, name), below)
    return "\n\n".join(blocks) + "\n"


def lines(table: Table) -> list[str]:
    """The lines of a table without its header."""
    return [line for key, entry in table.entries for line in _lines(key, entry)]


def _blocks(path: tuple[str, ...], entry: Entry) -> Iterator[str]:
    """A table and those below it, each with its header."""
    block = list(map(_comment, entry.before))
    if not isinstance(entry.value, Table):  # only a comment, where a table would be
        yield "\n".join(block)
        return
    later: list[tuple[str, Entry]] = []
    block.append(f"[{'.'.join(map(_key, path))}]" + _behind(entry.after))
    for key, below in entry.value.entries:
        if isinstance(below.value, Table) and not _fits(key, below):
            later.append((key, below))
        else:
            block += _lines(key, below)
    yield "\n".join(block)
    for key, below in later:
        yield from _blocks((*path, key), below)


def _lines(key: str, entry: Entry) -> Iterator[str]:
    yield from map(_comment, entry.before)
    if entry.value is None:
        return
    line = f"{_key(key)} = {_inline(entry.value)}"
    if isinstance(entry.value, Array) and (entry.value.tall or len(line) > WIDTH or _commented(entry.value)):
        yield f"{_key(key)} = [" + _behind(entry.after)
        for item in entry.value:
            yield from (f"    {_comment(text)}" for text in item.before)
            if item.value is not None:
                yield f"    {_inline(item.value)}," + _behind(item.after)
        yield "]"
    else:
        yield line + _behind(entry.after)


def _fits(key: str, entry: Entry) -> bool:
    value = entry.value
    if not isinstance(value, Table) or value.apart or value.commented:
        return False
    return all(_is_small(below.value) for _, below in value.entries) and len(f"{key} = {_inline(value)}") <= WIDTH


def _is_small(value: TomlValue | None) -> bool:
    """Whether a value is fit to stand in a table of one line."""
    if isinstance(value, Table):
        return not value.commented
    return not (isinstance(value, Array) and _commented(value)) and not (isinstance(value, str) and "\n" in value)


def _commented(items: Array) -> bool:
    return any(item.before or item.after for item in items)


def _comment(text: str) -> str:
    return f"# {_CONTROL.sub(' ', text)}".rstrip()


def _behind(text: str) -> str:
    return f"  {_comment(text)}" if text else ""


def clean(text: str) -> str:
    """A text on one line, without what TOML does not allow in a comment."""
    return _CONTROL.sub(" ", text).strip()


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _string(key, multiline=False)


def _inline(value: TomlValue) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case Verbatim() | int() | float():
            return str(value)
        case str():
            return _string(value)
        case Array():
            return f"[{', '.join(_inline(item.value) for item in value if item.value is not None)}]"
    pairs = [f"{_key(key)} = {_one_line(below.value)}" for key, below in value.entries if below.value is not None]
    return f"{{ {', '.join(pairs)} }}" if pairs else "{}"


def _one_line(value: TomlValue) -> str:
    return _string(value, multiline=False) if isinstance(value, str) and type(value) is not Verbatim else _inline(value)


def _string(text: str, *, multiline: bool = True) -> str:
    """In single quotes where a backslash or a double quote would have to be escaped, else in double ones."""
    if multiline and "\n" in text.rstrip("\n"):
        return _multiline(text)
    if ("\\" in text or '"' in text) and "'" not in text and not _CONTROL.search(text):
        return f"'{text}'"
    return _escaped(text)


def _multiline(text: str) -> str:
    if "\\" in text and "'''" not in text and not text.endswith("'") and not _CONTROL.search(text.replace("\n", "")):
        return f"'''\n{text}'''"
    bare = '""' not in text and not text.endswith('"')
    lines = [_escaped(line)[1:-1] for line in text.split("\n")]
    content = "\n".join(line.replace('\\"', '"') if bare else line for line in lines)
    return f'"""\n{content}"""'


def _escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
