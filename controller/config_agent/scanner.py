"""Where each key and each element of a list stands in a TOML text, which parsers do not say.

The scanner knows TOML's structure (keys, tables, lists, strings, comments) and leaves values to ``tomllib``. It is
also what keeps hostile text away from it: one pass, linear time, and an end at the first place that is nested too
deeply, comes after too many others, or whose structure it does not understand.
"""

import re
import tomllib
from bisect import bisect_right

from .problem import Path

MAX_DEPTH = 16  # keys and indices from the root to any value
MAX_PLACES = 50_000  # keys and elements of one text
MAX_WORD = 128  # characters of a number, a date, true or false

_SPACE = re.compile(r"[ \t]*+")
_BLANK = re.compile(r"(?:[ \t\n]++|#[^\n]*+)*+")
_COMMENT = re.compile(r"(?:#[^\n]*+)?+")
_KEY = re.compile(r"""[A-Za-z0-9_-]++|"(?:[^"\\\n]++|\\.)*+"|'[^'\n]*+'""")
# The closing quotes of a multi-line string may be preceded by two that belong to it.
_STRING = re.compile(
    r'''"""(?:[^"\\]++|\\[\s\S]|"(?!""))*+"""(?:"{0,2})|'''
    r"""'''(?:[^']++|'(?!''))*+'''(?:'{0,2})|"""
    r""""(?!"")(?:[^"\\\n]++|\\.)*+"|'(?!'')[^'\n]*+'"""
)
_WORD = re.compile(r"[A-Za-z0-9_+.:-]++(?: [0-9]{2}:[A-Za-z0-9+.:-]++)?+")
_LETTERS = {"true", "false", "inf", "nan"}


class Malformed(Exception):  # not an error of its own: it becomes a Problem
    """The text is no TOML, or is nested too deeply, from ``offset`` on."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset


class Scanner:
    """Walks one text, in which each line ends with a single newline character.

    ``offsets`` maps the path of every key and list element to where it begins; a table's path is where its name is
    written first. ``path`` is what was being read when ``scan`` returned or raised.
    """

    def __init__(self, text: str) -> None:
        self.offsets: dict[Path, int] = {}
        self.path: Path = ()
        self._text = text
        self._at = 0
        self._key_at = 0  # where the last part of the key that was read last begins
        self._given: dict[Path, int] = {}
        self._elements: dict[Path, int] = {}
        self._lines = [0, *(match.end() for match in re.finditer("\n", text))]

    def line_and_column(self, offset: int) -> tuple[int, int]:
        """Both from 1, counted in characters."""
        line = bisect_right(self._lines, offset)
        return line, offset - self._lines[line - 1] + 1

    def offset(self, line: int, column: int) -> int:
        """The reverse of ``line_and_column``."""
        return self._lines[line - 1] + column - 1

    def path_at(self, offset: int) -> Path:
        """The last key or element that begins at or before an offset."""
        before = [(start, path) for path, start in self.offsets.items() if start <= offset]
        return max(before, key=lambda item: (item[0], len(item[1])))[1] if before else ()

    def scan(self) -> None:
        """Fills ``offsets``.

        Raises:
            Malformed: at the first place that cannot be read on from.
        """
        table: Path = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            self.path = ()
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip(_SPACE)
            self._skip(_COMMENT)
            if self._at < len(self._text) and self._text[self._at] != "\n":
                raise Malformed(self._at, "expected the end of the line")
            self._skip(_BLANK)

    def _header(self) -> Path:
        brackets = 2 if self._text.startswith("[[", self._at) else 1
        self._at += brackets
        path = self._key(())
        if brackets == 2:
            index = self._elements.get(path, 0)
            self._elements[path] = index + 1
            path = self._element(path, index, self._key_at)
        else:
            self._give(path)
        self._expect("]" * brackets)
        return path

    def _pair(self, table: Path) -> None:
        path = self._key(table)
        self._give(path)
        self._expect("=")
        self._skip(_SPACE)
        self._value(path)

    def _key(self, path: Path) -> Path:
        """Reads a dotted key below ``path``; a list of tables on its way stands for its last element."""
        while True:
            if path in self._elements:
                path = (*path, self._elements[path] - 1)
            self._skip(_SPACE)
            self._key_at = self._at
            match = _KEY.match(self._text, self._at)
            if match is None:
                raise Malformed(self._at, "expected a key")
            self._at = match.end()
            path = (*path, _unquoted(match[0]))
            self._enter(path, self._key_at)
            self._skip(_SPACE)
            if not self._take("."):
                return path

    def _value(self, path: Path) -> None:
        start = self._at
        if self._take("["):
            self._list(path)
        elif self._take("{"):
            self._inline_table(path)
        elif self._text.startswith(('"', "'"), start):
            string = _STRING.match(self._text, start)
            if string is None:
                raise Malformed(start, "this string does not end")
            self._at = string.end()
        else:
            self._word(start)

    def _word(self, start: int) -> None:
        word = _WORD.match(self._text, start)
        if word is None:
            raise Malformed(start, "expected a value")
        if word[0][0].isalpha() and word[0] not in _LETTERS:
            raise Malformed(start, "expected a value; text stands in quotes")
        if len(word[0]) > MAX_WORD:
            raise Malformed(start, f"this number is longer than {MAX_WORD} characters")
        self._at = word.end()

    def _list(self, path: Path) -> None:
        index = 0
        self._skip(_BLANK)
        while not self._take("]"):
            element = self._element(path, index, self._at)
            self._value(element)
            index += 1
            self._separator("]")

    def _inline_table(self, path: Path) -> None:
        self._skip(_BLANK)
        while not self._take("}"):
            self._pair(path)
            self._separator("}")

    def _separator(self, closing: str) -> None:
        self._skip(_BLANK)
        if self._take(","):
            self._skip(_BLANK)
        elif not self._text.startswith(closing, self._at):
            raise Malformed(self._at, f"expected `,` or `{closing}`")

    def _element(self, path: Path, index: int, offset: int) -> Path:
        path = (*path, index)
        self._enter(path, offset)
        return path

    def _enter(self, path: Path, offset: int) -> None:
        if len(path) > MAX_DEPTH:
            raise Malformed(offset, f"nested more than {MAX_DEPTH} deep")
        if len(self.offsets) >= MAX_PLACES:
            raise Malformed(offset, f"more than {MAX_PLACES} keys and elements")
        self.path = path
        self.offsets.setdefault(path, offset)

    def _give(self, path: Path) -> None:
        """Notes that the key just read is given a value, or its table a header: once only."""
        first = self._given.setdefault(path, self._key_at)
        if first != self._key_at:
            line, column = self.line_and_column(first)
            raise Malformed(self._key_at, f"given a second time; the first is at line {line}, column {column}")

    def _expect(self, token: str) -> None:
        self._skip(_SPACE)
        if not self._text.startswith(token, self._at):
            raise Malformed(self._at, f"expected `{token}`")
        self._at += len(token)

    def _take(self, token: str) -> bool:
        taken = self._text.startswith(token, self._at)
        self._at += len(token) * taken
        return taken

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self._text, self._at)
        if match is not None:
            self._at = match.end()


def _unquoted(key: str) -> str:
    if key[0] not in "\"'":
        return key
    if "\\" not in key:
        return key[1:-1]
    try:
        return str(tomllib.loads(f"k={key}")["k"])
    except tomllib.TOMLDecodeError:  # the whole text is parsed later, and says so then
        return key
