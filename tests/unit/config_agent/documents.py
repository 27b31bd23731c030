"""Strategies for TOML texts that know where each of their keys and elements begins."""

import json
from dataclasses import dataclass, field
from random import Random

from hypothesis import strategies as st

from controller.config_agent.problem import Path

_LETTERS = "aZ é語\"'\\#.=[]{},\u2028\ufeff"
_MULTILINE_PARTS = ["a", "é", "\n", "#", "[", "=", "{ x", " ", '\\"', "\\\\", "''", "'", '""', '"', "\\n", "\\\n  "]


_DAMAGE = [*'[]{}"=.,#\n\\ ', "", "'", "'''", '"""', "[[", "a", "\0", "\r", "é"]


@dataclass
class Writer:
    """A text in the making, and the offsets of what was written."""

    random: Random
    text: str = ""
    offsets: dict[Path, int] = field(default_factory=dict)
    serial: int = 0

    def put(self, text: str) -> None:
        self.text += text

    def choose(self, *options: str) -> str:
        return self.random.choice(options)

    def letters(self) -> str:
        return "".join(self.random.choices(_LETTERS, k=self.random.randint(0, 4)))

    def space(self) -> None:
        self.put(self.choose("", " ", "\t "))

    def blank(self) -> None:
        self.put(self.choose("", " ", "\n", " # [x] = \"'\n", "\n\n  "))

    def new_name(self) -> str:
        """A key that no other key of the text is like."""
        self.serial += 1
        if self.random.random() < 0.5:
            return f"{self.choose('a', 'B-', '_0')}{self.serial}"
        return f"{self.serial}{self.letters()}"

    def key(self, path: Path) -> None:
        self.offsets.setdefault(path, len(self.text))
        name = str(path[-1])
        forms = [json.dumps(name)]
        if name.isascii() and name.replace("_", "").replace("-", "").isalnum():
            forms.append(name)
        if "'" not in name:
            forms.append(f"'{name}'")
        self.put(self.choose(*forms))

    def pair(self, table: Path, depth: int) -> None:
        path = (*table, self.new_name())
        self.key(path)
        while len(path) - len(table) < 3 and self.random.randint(0, 3) == 0:
            self.space()
            self.put(".")
            self.space()
            path = (*path, self.new_name())
            self.key(path)
        self.space()
        self.put("=")
        self.space()
        self.value(path, depth)

    def value(self, path: Path, depth: int) -> None:
        kind = self.choose("scalar", "string", "multiline", *(["list", "table"] if depth else []))
        getattr(self, kind)(path, depth)

    def scalar(self, path: Path, depth: int) -> None:
        self.put(self.choose("1", "-1_0", "+1.5e-3", "0xFf", "true", "false", "inf", "-nan", "1979-05-27 07:32:00Z"))
        self.put(self.choose("", " "))

    def string(self, path: Path, depth: int) -> None:
        text = self.letters()
        self.put(self.choose(json.dumps(text), "'" + text.replace("'", "") + "'", '""', "''", '"\\\\"', "'\\'"))

    def multiline(self, path: Path, depth: int) -> None:
        body = "".join(self.random.choices(_MULTILINE_PARTS, k=self.random.randint(0, 6)))
        quotes = self.choose('"""', "'''")
        end = self.choose("", " " + quotes[0], " " + quotes[:2])
        self.put(quotes + ("" if quotes in body or body.endswith(quotes[0]) else body) + end + quotes)

    def list(self, path: Path, depth: int) -> None:
        self.put("[")
        count = self.random.randint(0, 3)
        for index in range(count):
            self.blank()
            self.offsets[*path, index] = len(self.text)
            self.value((*path, index), depth - 1)
            self.blank()
            self.put("," if index < count - 1 else self.choose(",", ""))
        self.blank()
        self.put("]")

    def table(self, path: Path, depth: int) -> None:
        self.put("{")
        count = self.random.randint(0, 2)
        for index in range(count):
            self.space()
            self.pair(path, depth - 1)
            self.space()
            self.put("," if index < count - 1 else "")
        self.put("}")

    def header(self) -> Path:
        """A table or an element of a list of tables, some below earlier ones."""
        path: Path = (self.new_name(),)
        double = self.random.random() < 0.5
        again = self.random.randint(1, 3) if double else 1
        for index in range(again):
            self.put("[[" if double else "[")
            self.space()
            self.key(path)
            if double:
                self.offsets[*path, index] = len(self.text) - len(self._last_key(path))
            self.space()
            self.put("]]" if double else "]")
            self.end_of_line()
            inside = (*path, index) if double else path
            self.lines(inside)
            if self.random.random() < 0.5:
                self._below(path, inside)
        return path

    def _last_key(self, path: Path) -> str:
        name = str(path[-1])
        return next(f for f in (f"'{name}'", json.dumps(name), name) if self.text.endswith(f))

    def _below(self, path: Path, inside: Path) -> None:
        self.put("[")
        self.key(path)
        self.put(" . ")
        below = (*inside, self.new_name())
        self.key(below)
        self.put("]")
        self.end_of_line()
        self.lines(below)

    def end_of_line(self) -> None:
        self.space()
        self.put(self.choose("\n", "# é [ ' \"\n", "\n \n"))

    def lines(self, table: Path) -> None:
        for _ in range(self.random.randint(0, 3)):
            self.space()
            self.pair(table, 3)
            self.end_of_line()


def _document(random: Random) -> Writer:
    writer = Writer(random)
    writer.blank()
    writer.lines(())
    for _ in range(random.randint(0, 3)):
        writer.header()
    return writer


def _damaged(random: Random) -> str:
    text = _document(random).text
    for _ in range(random.randint(1, 4)):
        start = random.randint(0, len(text))
        text = text[:start] + random.choice(_DAMAGE) + text[start + random.randint(0, 4) :]
    return text


# A seed per document, not a draw per choice: ten times as many documents in the same time.
_randoms = st.integers(0, 2**64 - 1).map(Random)

# Valid TOML texts, with the offset of each key and each element of a list in them.
documents = _randoms.map(_document)
# TOML texts after a few random edits: most are no TOML any more, some mean something else.
damaged_documents = _randoms.map(_damaged)
