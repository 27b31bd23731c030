"""What is wrong with a configuration, and where."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from controller.errors import DockRunnerError

# A place inside a document: names of tables and keys, and indices of lists.
Path = tuple[str | int, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SHOWN = 60  # characters of a key or value that a message repeats


@dataclass(frozen=True, order=True)
class Position:
    """A place in a file; ``line`` and ``column`` count characters from 1, ``path`` is dotted: ``services.web.image``.

    ``line`` 0 stands for the file as a whole.
    """

    file: str
    line: int
    column: int
    path: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong, and where; the fields before ``message`` are those of a Position."""

    file: str
    line: int
    column: int
    path: str
    message: str

    @classmethod
    def at(cls, position: Position, message: str) -> "Problem":
        return cls(position.file, position.line, position.column, position.path, message)

    def __str__(self) -> str:
        place = Position(self.file, self.line, self.column, self.path)
        return ": ".join(part for part in (str(place), self.path, self.message) if part)


class ConfigError(DockRunnerError):
    """The configuration cannot be used; ``problems`` are all that is known to be wrong, in the order of the text.

    ``included`` are the paths of the further files that it names, as far as it could be read.
    """

    included: frozenset[str] = frozenset()

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = sorted(problems)
        super().__init__("\n".join(map(str, self.problems)))


class NotThatForm(ValueError):
    """A value that cannot be read; the message says what is expected. It becomes a Problem where the place is known."""


class Unreadable(ConfigError):
    """The file or the folder, or one file in it, is not there or cannot be read: nothing is known of what it says."""


def show(text: str, limit: int = _SHOWN) -> str:
    """A key or value of the file as a message repeats it: short, on one line, in quotes unless it is a plain word."""
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    if _BARE.fullmatch(text):
        return text
    escaped = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in text.replace("\\", "\\\\").replace('"', '\\"')
    )
    return f'"{escaped}"'


def dotted(path: Path) -> str:
    """``("services", "web", "ports", 1)`` as ``services.web.ports[1]``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{show(part)}" for part in path)
    return text.removeprefix(".")
