"""A file, or a folder of files, as the services that it declares."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath

from proto.dockrunner import v1 as pb

from . import env_files
from .document import Document, read_document, toml_files
from .env_files import EnvFiles
from .includes import Includes
from .messages import MessageReader, Problems
from .problem import ConfigError, Path, Position, Problem, Unreadable
from .resources import KINDS, Resources

_SERVICES = "services"
# Of a service's metadata; everything else in its table is its spec.
_METADATA = ("annotations",)
# The API takes messages of 4 MiB; what is left is for the rest of the request.
MAX_SET = (4 << 20) - (64 << 10)
_TOO_LARGE = (
    f"all services with their environments, secrets and configs take more than {MAX_SET >> 10} KiB: make some smaller, "
    "or mount large files from the host"
)

_INDEX = re.compile("[0-9]{1,9}")
_FIELD_PART = re.compile(r"""\[(?:"([^"]*)"|'([^']*)'|([^\]]*))\]|([^.\[\]]+)""")


@dataclass
class Config:
    """What was read. ``services`` are in the order of the text, the files of a folder by name.

    ``origins`` maps the place of each field as a server names it, dotted (``services.2.spec.ports.0``), to where it
    was written, and ``inlined`` the place of what a service has from elsewhere, such as
    ``services.2.spec.networks.a.definition``, to its place there, ``networks.a``. ``included`` are the paths of all
    further files that were looked for.
    """

    services: list[pb.Service] = field(default_factory=list)
    origins: dict[str, tuple[Document, Path]] = field(default_factory=dict)
    inlined: dict[str, str] = field(default_factory=dict)
    included: frozenset[str] = frozenset()

    def position(self, field: str) -> Position | None:
        """Where a field that a server names, such as ``services[2].spec.ports[0].published``, was written.

        The position is that of the nearest thing around it that the text spells out, the dotted path is the field's
        own. None when the field is in no service.
        """
        name = ".".join("".join(parts) for parts in _FIELD_PART.findall(field))
        known = name
        while known and known not in self.origins:
            if known in self.inlined:
                return self.position(self.inlined[known] + name[len(known) :])
            known = known.rpartition(".")[0]
        if not known:
            return None
        document, path = self.origins[known]
        rest = name[len(known) + 1 :].split(".") if known != name else []
        return document.position((*path, *(int(part) if _INDEX.fullmatch(part) else part for part in rest)))


def read_config(path: FilePath | str, folder: FilePath | None = None) -> Config:
    """Reads a TOML file, or all `*.toml` of a folder as one, with the further files that they name.

    What is relative in them starts from the folder that each lies in, or from ``folder``. It may take some tenths of a
    second: not for an event loop.

    Raises:
        ConfigError: with all problems of all files; an ``Unreadable`` when a file could not be read.
    """
    includes = Includes()
    try:
        return _Reading(includes).config(FilePath(path), folder)
    except ConfigError as error:
        error.included = frozenset(includes.paths)
        raise


def _files(path: FilePath) -> Sequence[FilePath]:
    try:
        return toml_files(path) if path.is_dir() else [path]
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Unreadable([Problem(str(path), 0, 0, "", f"cannot be read: {reason}")]) from None


class _Reading:
    """One pass over all documents of a configuration."""

    def __init__(self, includes: Includes) -> None:
        self._problems = Problems()
        self._includes = includes
        self._resources = Resources(includes)
        self._config = Config(inlined=self._resources.inlined)
        self._readers: list[MessageReader] = []  # of each service's document
        self._declared: dict[str, Position] = {}
        self._size = 0  # bytes of all services

    def config(self, path: FilePath, folder: FilePath | None) -> Config:
        documents: list[Document] = []
        files = _files(path)
        for file in files:
            try:
                documents.append(read_document(file, folder))
            except ConfigError as error:
                self._problems.include(error)
        for document in documents:
            self._read_top(MessageReader(document, self._problems, self._config.origins))
        if len(documents) == len(files):  # else what is named may be declared where nobody could look
            self._inline()
        self._problems.check()
        self._config.included = frozenset(self._includes.paths)
        if self._size > MAX_SET:
            raise ConfigError([Problem(str(path), 0, 0, "", _TOO_LARGE)])
        return self._config

    def _inline(self) -> None:
        """As far as there is room: one content in thousands of services could fill the memory."""
        for index, (service, reader) in enumerate(zip(self._config.services, self._readers, strict=True)):
            if self._size > MAX_SET:
                return
            before = service.ByteSize()
            self._resources.inline(service, f"{_SERVICES}.{index}.spec", reader)
            self._size += service.ByteSize() - before

    def _read_top(self, reader: MessageReader) -> None:
        for key, value in reader.document.values.items():
            if key == _SERVICES:
                for name, table in reader.table(value, (key,)).items():
                    self._read_service(reader, name, table)
            elif key in KINDS:
                self._resources.read(reader, key, value)
            else:
                reader.unknown((key,), [_SERVICES, *KINDS])

    def _read_service(self, reader: MessageReader, name: str, value: object) -> None:
        path: Path = (_SERVICES, name)
        here = reader.document.position(path)
        if name in self._declared:
            reader.problem(path, f"the service is declared a second time; the first is at {self._declared[name]}")
        self._declared.setdefault(name, here)
        service = pb.Service(metadata=pb.Metadata(name=name))
        place = f"{_SERVICES}.{len(self._config.services)}"
        for part in ("", ".spec", ".metadata", ".metadata.name"):
            reader.note(place + part, path)
        spec, metadata = service.spec.DESCRIPTOR.fields_by_name, service.metadata.DESCRIPTOR.fields_by_name
        table = reader.table(value, path)
        for key, item in table.items():
            if key in _METADATA:
                reader.set(service.metadata, metadata[key], item, (*path, key), f"{place}.metadata.{key}")
            elif key in spec:
                reader.set(service.spec, spec[key], item, (*path, key), f"{place}.spec.{key}")
            elif key != env_files.KEY:
                reader.unknown((*path, key), [*spec, *_METADATA, env_files.KEY])
        if env_files.KEY in table and self._size <= MAX_SET:
            files = EnvFiles(reader, self._includes)
            files.merge(service.spec, table[env_files.KEY], (*path, env_files.KEY), f"{place}.spec")
        self._size += service.ByteSize()
        self._config.services.append(service)
        self._readers.append(reader)
