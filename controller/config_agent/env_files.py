"""``env_file``: a service's variables out of files of their own. Those of ``environment`` come before them."""

from collections.abc import Iterator
from typing import Any

from proto.dockrunner import v1 as pb

from .includes import Includes, no_pair
from .messages import MessageReader
from .problem import ConfigError, NotThatForm, Path
from .scalars import mismatch

KEY = "env_file"
_KEYS = ("path", "required", "format")
_RAW = "raw"


class EnvFiles:
    """Merges the files of one document's services into their environments."""

    def __init__(self, reader: MessageReader, includes: Includes) -> None:
        self._folder = reader.document.folder
        self._reader = reader
        self._includes = includes

    def merge(self, spec: pb.ServiceSpec, value: Any, path: Path, place: str) -> None:
        """Adds what ``environment`` does not have. ``place`` is the spec's as a server names it."""
        merged: dict[str, tuple[str, Path]] = {}
        for here, name, required, form in self._entries(value, path):
            try:
                found = self._read(name, required, raw=form == _RAW)
            except NotThatForm as error:
                self._reader.problem(here, str(error))
            else:
                merged |= {variable: (text, here) for variable, text in found.items()}
        for variable, (text, here) in merged.items():
            if variable not in spec.environment:
                spec.environment[variable] = text
                self._reader.note(f"{place}.environment.{variable}", here)

    def _entries(self, value: Any, path: Path) -> Iterator[tuple[Path, str, bool, str]]:
        entries = value if isinstance(value, list) else [value]
        for index, entry in enumerate(entries):
            here = (*path, index) if isinstance(value, list) else path
            if isinstance(entry, str):
                yield here, entry, True, ""
            elif isinstance(entry, dict):
                yield from self._long(entry, here)
            else:
                self._reader.problem(here, mismatch("a string, a table or a list of them", entry))

    def _long(self, entry: dict[str, Any], path: Path) -> Iterator[tuple[Path, str, bool, str]]:
        for key in entry.keys() - set(_KEYS):
            self._reader.unknown((*path, key), _KEYS)
        name, required, form = entry.get("path"), entry.get("required", True), entry.get("format", "")
        if not isinstance(name, str):
            self._reader.problem((*path, "path"), mismatch("a string", name) if "path" in entry else "is required")
        elif not isinstance(required, bool):
            self._reader.problem((*path, "required"), mismatch("true or false", required))
        elif form not in ("", _RAW):
            self._reader.problem((*path, "format"), f"expected `{_RAW}`; left out, it is read as Compose does")
        else:
            yield path, name, required, form

    def _read(self, name: str, required: bool, *, raw: bool) -> dict[str, str]:
        found: dict[str, str] = {}
        try:
            variables = self._includes.variables(self._folder, name, required=required, raw=raw)
        except ConfigError as error:
            self._reader.problems.include(error)
            return found
        for variable, text, position in variables:
            if text is None:
                self._reader.problems.add(position, no_pair(variable))
            else:
                found[variable] = text
        return found
