"""``${VAR}`` and its kin, as compose fills them in."""

import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from dotenv.parser import parse_stream

from .document import Items, Section, Text, Value
from .errors import ComposeError

_MAX_DEPTH = 20
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":-|:\?|:\+|-|\?|\+")


class Variables:
    """The variables of one folder: the environment first, then its ``.env``, then those of ``outer``.

    ``used`` are the names of all that were filled in.
    """

    def __init__(self, environment: Mapping[str, str], outer: Mapping[str, str] | None = None) -> None:
        self._environment = environment
        self.values = {**(outer or {}), **environment}
        self.used: dict[str, None] = {}

    def read(self, file: Path) -> None:
        """Adds those of a file that are not in the environment.

        Raises:
            ComposeError: it cannot be read.
        """
        try:
            text = file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ComposeError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from None
        for binding in parse_stream(StringIO(text)):
            if binding.error or binding.key is None or binding.value is None:
                continue
            quoted = re.search(r"=\s*'", binding.original.string) is not None
            value = binding.value if quoted else self._filled(file, binding.value)
            if binding.key not in self._environment:
                self.values[binding.key] = value

    def _filled(self, file: Path, text: str) -> str:
        """A value of ``.env``; other than in the compose file a `$` that names nothing stands for itself."""
        try:
            return _Filling(self.values, str(file)).text(text)
        except ComposeError:
            return text

    def fill(self, file: Path, value: Value) -> Value:
        """The value with all variables in it filled in.

        Raises:
            ComposeError: a required one has no value, or `$` stands before something else.
        """
        if isinstance(value, Section):
            filled = Section()
            for key, item in value.items():
                filled.put(key, self.fill(file, item), value.note(key))
            return filled
        if isinstance(value, Items):
            items = Items()
            for item, note in value.noted():
                items.put(self.fill(file, item), note)
            return items
        if value is None or "$" not in value:
            return value
        filling = _Filling(self.values, f"{file}:{value.line}")
        text = filling.text(value)
        self.used |= dict.fromkeys(filling.used)
        return Text.written(text, plain=value.plain, line=value.line, unset=tuple(dict.fromkeys(filling.unset)))


class _Filling:
    """Fills in one text."""

    def __init__(self, values: Mapping[str, str], place: str) -> None:
        self._values = values
        self._place = place
        self._depth = 0
        self.used: list[str] = []
        self.unset: list[str] = []

    def text(self, text: str) -> str:
        if self._depth > _MAX_DEPTH:
            raise self._error(f"more than {_MAX_DEPTH} variables stand inside of each other")
        self._depth += 1
        done, at = [], 0
        while (dollar := text.find("$", at)) >= 0:
            done.append(text[at:dollar])
            filled, at = self._one(text, dollar + 1)
            done.append(filled)
        self._depth -= 1
        return "".join(done) + text[at:]

    def _one(self, text: str, at: int) -> tuple[str, int]:
        """What stands for the dollar sign before ``at``, and where to go on."""
        if text[at : at + 1] == "$":
            return "$", at + 1
        braced = text[at : at + 1] == "{"
        name = _NAME.match(text, at + braced)
        if name is None:
            raise self._error(f"`{text[at - 1 : at + 20]}` is no variable: write $$ for a dollar sign")
        if not braced:
            return self._value(name[0]), name.end()
        end = _closing(text, name.end())
        if end is None:
            raise self._error(f"`{text[at - 1 : at + 20]}` has no closing brace")
        return self._braced(name[0], text[name.end() : end]), end + 1

    def _braced(self, name: str, rest: str) -> str:
        operator = _OPERATOR.match(rest)
        if not rest:
            return self._value(name)
        if operator is None:
            raise self._error(f"`${{{name}{rest}}}` is not of the form ${{NAME:-default}}")
        word, value = rest[operator.end() :], self._values.get(name)
        given = bool(value) if operator[0].startswith(":") else value is not None
        match operator[0][-1]:
            case "+":
                return self.text(word) if given else ""
            case "-" if not given:
                return self.text(word)
            case "?" if not given:
                why = self.text(word) or "it is required"
                raise self._error(f"the variable {name} has no value: {why}; set it in the environment or in .env")
        return self._value(name)

    def _value(self, name: str) -> str:
        if name not in self._values:
            self.unset.append(name)
            return ""
        self.used.append(name)
        return self._values[name]

    def _error(self, problem: str) -> ComposeError:
        return ComposeError(f"{self._place}: {problem}")


def _closing(text: str, at: int) -> int | None:
    """The place of the brace that closes, with pairs of them in between."""
    depth = 0
    while at < len(text):
        if text.startswith("${", at):
            depth += 1
        elif text[at] == "}":
            if not depth:
                return at
            depth -= 1
        at += 1
    return None
