"""The further files that a configuration names: environments, and the contents of secrets and configs.

What is in them may be secret: no message repeats any of it.
"""

import io
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path as FilePath

from dotenv.parser import parse_stream

from .document import content_of, decoded
from .problem import ConfigError, NotThatForm, Position, show

MAX_ENV_FILE = 256 * 1024  # bytes
MAX_CONTENT = 500 * 1024  # bytes of a secret or a config, as in Swarm

_MAX_PATH = 500  # characters that a message shows
_BLANKS = re.compile(r"(?<!\s)[^\S\n]{200}")
_NO_PAIR = "expected `NAME=value`; the environment of Dock Runner itself is not handed on"


# Name, value and place; None for the value of a line that is none.
Variable = tuple[str, str | None, Position]


class Includes:
    """Reads such files, each once in a life. ``paths`` are all that were asked for, whether they are there or not."""

    def __init__(self) -> None:
        self.paths: set[str] = set()
        self._contents: dict[tuple[str, int], bytes | str] = {}
        self._variables: dict[tuple[str, bool], Sequence[Variable]] = {}

    def content(self, folder: FilePath, name: str, limit: int, *, required: bool = True) -> bytes | None:
        """What a file holds that is named in a document of a folder; None when it need not be there and is not.

        Raises:
            NotThatForm: it cannot be read, or has more than ``limit`` bytes.
        """
        path = path_of(folder, name)
        self.paths.add(path)
        if not required and not os.path.lexists(path):
            return None
        key = (path, limit)
        if key not in self._contents:
            try:
                self._contents[key] = content_of(FilePath(path), limit)
            except ConfigError as error:
                self._contents[key] = error.problems[0].message
        found = self._contents[key]
        if isinstance(found, str):
            raise NotThatForm(f"{show(path, _MAX_PATH)} {found}")
        return found

    def variables(self, folder: FilePath, name: str, *, required: bool, raw: bool) -> Sequence[Variable]:
        """The variables of an environment file; none of one that need not be there and is not.

        Comments, quotes and ``export`` are read as Compose reads them; `$` stands for itself. A ``raw`` file is taken
        line by line as it is.

        Raises:
            NotThatForm: it cannot be read.
            ConfigError: it is no text in UTF-8.
        """
        content = self.content(folder, name, MAX_ENV_FILE, required=required)
        if content is None:
            return ()
        path = path_of(folder, name)
        if (path, raw) not in self._variables:
            text = decoded(path, content).replace("\r\n", "\n")
            self._variables[path, raw] = list(_raw(path, text) if raw else _quoted(path, text))
        return self._variables[path, raw]


def path_of(folder: FilePath, name: str) -> str:
    """The absolute path of a file that a document names: ``~`` is the home folder, others start from the document's.

    Raises:
        NotThatForm: it names none.
    """
    if not name or "\0" in name:
        raise NotThatForm(f"{show(name)} is no file name")
    expanded = os.path.expanduser(name)
    if expanded.startswith("~"):
        raise NotThatForm(f"there is no home folder {show(expanded)}")
    return os.path.normpath(os.path.join(folder, expanded))


def _raw(path: str, text: str) -> Iterator[Variable]:
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        line = line.lstrip()
        if line and not line.startswith("#"):
            name, separator, value = line.partition("=")
            yield name, value if separator and name else None, Position(path, number, 1, "")


def _quoted(path: str, text: str) -> Iterator[Variable]:
    blanks = _BLANKS.search(text)
    if blanks is not None:  # which the parser would take minutes for
        yield "", None, Position(path, text.count("\n", 0, blanks.start()) + 1, 1, "")
        return
    for binding in parse_stream(io.StringIO(text)):
        # What it calls the original begins with the empty lines before.
        skipped = len(binding.original.string) - len(binding.original.string.lstrip())
        line = binding.original.line + binding.original.string.count("\n", 0, skipped)
        if binding.key is not None and not binding.error:
            yield binding.key, binding.value, Position(path, line, 1, "")
        elif binding.error:
            yield "", None, Position(path, line, 1, "")


def no_pair(name: str) -> str:
    """What is said of a line without a variable; its name alone is no secret."""
    return f"{show(name)}: {_NO_PAIR}" if re.fullmatch("[A-Za-z_][A-Za-z0-9_]{0,40}", name) else _NO_PAIR
