"""One file of the configuration: read safely, parsed, and with the position of everything in it.

What is too large or too deep never reaches the parser, what is not a regular file is never opened, and reading
never waits for a writer.
"""

import os
import re
import stat
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from .problem import ConfigError, Path, Position, Problem, Unreadable, dotted
from .scanner import Malformed, Scanner

MAX_SIZE = 256 * 1024  # bytes of one file

_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


class Number(float):
    """A number with a fraction that remembers how it was written: as an environment variable `1.10` is not `1.1`."""

    text: str

    @classmethod
    def written(cls, text: str) -> "Number":
        number = cls(text)
        number.text = text.replace("_", "")
        return number


@dataclass(frozen=True)
class Document:
    """The values of one TOML file. ``folder`` is absolute, and what relative host paths in the file start from."""

    file: str
    folder: FilePath
    values: dict[str, Any]
    scanner: Scanner

    def position(self, path: Path) -> Position:
        """Where a key or element stands; for one that the text does not spell out, what encloses it."""
        known = path
        while known and known not in self.scanner.offsets:
            known = known[:-1]
        line, column = self.scanner.line_and_column(self.scanner.offsets[known]) if known else (1, 1)
        return Position(self.file, line, column, dotted(path))


def toml_files(folder: FilePath) -> Sequence[FilePath]:
    """What a shell means by `*.toml`, by name: hidden files are editors' business. Raises OSError for no folder."""
    return sorted(file for file in folder.iterdir() if file.suffix == ".toml" and not file.name.startswith("."))


def read_document(path: FilePath, folder: FilePath | None = None) -> Document:
    """Reads and parses one file; ``folder`` takes the place of the one that it lies in.

    Raises:
        Unreadable: it is not there, no regular file, too large, or must not be read.
        ConfigError: it is not TOML in UTF-8, or too deep.
    """
    text = decoded(str(path), content_of(path, MAX_SIZE)).replace("\r\n", "\n")
    scanner = Scanner(text)
    try:
        scanner.scan()
    except Malformed as error:
        raise _malformed(str(path), scanner, error.offset, str(error)) from None
    try:
        values = tomllib.loads(text, parse_float=Number.written)
    except tomllib.TOMLDecodeError as error:
        raise _refused(str(path), scanner, text, str(error)) from None
    return Document(str(path), folder or FilePath(os.path.abspath(path)).parent, values, scanner)


def content_of(path: FilePath, limit: int) -> bytes:
    """What a regular file of at most ``limit`` bytes holds.

    It looks before it opens, since opening alone blocks on a pipe and can act on a device.

    Raises:
        Unreadable: it is not there, no regular file, too large, or must not be read.
    """
    try:
        _require_regular(path, os.stat(path).st_mode)
        # Without waiting, for what may have taken the file's place since.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            _require_regular(path, os.fstat(descriptor).st_mode)
            content = file.read(limit + 1)
    except OSError as error:
        raise _unreadable(path, f"cannot be read: {error.strerror or error}") from None
    except ValueError:  # a NUL in the path
        raise _unreadable(path, "is no file name") from None
    if len(content) > limit:
        raise _unreadable(path, f"larger than {limit // 1024} KiB")
    return content


def _require_regular(path: FilePath, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise _unreadable(path, "a folder, where a file is expected")
    if not stat.S_ISREG(mode):
        raise _unreadable(path, "not a regular file")


def _unreadable(path: FilePath, message: str) -> Unreadable:
    return Unreadable([Problem(str(path), 0, 0, "", message)])


def decoded(file: str, content: bytes) -> str:
    """The content of a file as text.

    Raises:
        ConfigError: it is not UTF-8.
    """
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise ConfigError([Problem(file, line, column, "", "not UTF-8")]) from None


def _malformed(file: str, scanner: Scanner, offset: int, message: str) -> ConfigError:
    line, column = scanner.line_and_column(offset)
    return ConfigError([Problem(file, line, column, dotted(scanner.path), message)])


def _refused(file: str, scanner: Scanner, text: str, message: str) -> ConfigError:
    """What tomllib says has its place at the end, in words."""
    place = _PLACE.search(message)
    offset = scanner.offset(int(place[1]), int(place[2])) if place and place[1] else len(text)
    line, column = scanner.line_and_column(offset)
    message = message[: place.start()] if place else message
    return ConfigError([Problem(file, line, column, dotted(scanner.path_at(offset)), message)])
