"""A file, or a folder of files, as the services that it declares."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath

from proto.dockrunner import v1 as pb

from .document import Document, read_document, toml_files
from .messages import MessageReader, Problems
from .problem import ConfigError, Path, Position, Problem, Unreadable

_SERVICES = "services"
_LATER = ("networks", "volumes", "secrets", "configs")
# Of a service's metadata; everything else in its table is its spec.
_METADATA = ("annotations",)

_INDEX = re.compile("[0-9]{1,9}")
_FIELD_PART = re.compile(r"""\[(?:"([^"]*)"|'([^']*)'|([^\]]*))\]|([^.\[\]]+)""")


@dataclass
class Config:
    """What was read. ``services`` are in the order of the text, the files of a folder by name.

    ``origins`` maps the place of each field as a server names it, dotted (``services.2.spec.ports.0``), to where it
    was written.
    """

    services: list[pb.Service] = field(default_factory=list)
    origins: dict[str, tuple[Document, Path]] = field(default_factory=dict)

    def position(self, field: str) -> Position | None:
        """Where a field that a server names, such as ``services[2].spec.ports[0].published``, was written.

        The position is that of the nearest thing around it that the text spells out, the dotted path is the field's
        own. None when the field is in no service.
        """
        name = ".".join("".join(parts) for parts in _FIELD_PART.findall(field))
        known = name
        while known and known not in self.origins:
            known = known.rpartition(".")[0]
        if not known:
            return None
        document, path = self.origins[known]
        rest = name[len(known) + 1 :].split(".") if known != name else []
        return document.position((*path, *(int(part) if _INDEX.fullmatch(part) else part for part in rest)))


def read_config(path: FilePath | str) -> Config:
    """Reads a TOML file, or all `*.toml` of a folder as one.

    It may take some tenths of a second: not for an event loop.

    Raises:
        ConfigError: with all problems of all files; an ``Unreadable`` when a file could not be read.
    """
    problems = Problems()
    documents: list[Document] = []
    for file in _files(FilePath(path)):
        try:
            documents.append(read_document(file))
        except ConfigError as error:
            problems.include(error)
    config = Config()
    declared: dict[str, Position] = {}
    for document in documents:
        reader = MessageReader(document, problems, config.origins)
        _read_top(reader, document, config, declared)
    problems.check()
    return config


def _files(path: FilePath) -> Sequence[FilePath]:
    try:
        return toml_files(path) if path.is_dir() else [path]
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Unreadable([Problem(str(path), 0, 0, "", f"cannot be read: {reason}")]) from None


def _read_top(reader: MessageReader, document: Document, config: Config, declared: dict[str, Position]) -> None:
    for key, value in document.values.items():
        if key == _SERVICES:
            for name, table in reader.table(value, (key,)).items():
                _read_service(reader, document, config, declared, name, table)
        elif key in _LATER:
            reader.problem((key,), f"[{key}] is not supported yet")
        else:
            reader.unknown((key,), [_SERVICES, *_LATER])


def _read_service(
    reader: MessageReader, document: Document, config: Config, declared: dict[str, Position], name: str, value: object
) -> None:
    path: Path = (_SERVICES, name)
    here = document.position(path)
    if name in declared:
        reader.problem(path, f"the service is declared a second time; the first is at {declared[name]}")
    declared.setdefault(name, here)
    service = pb.Service(metadata=pb.Metadata(name=name))
    place = f"{_SERVICES}.{len(config.services)}"
    for part in ("", ".spec", ".metadata", ".metadata.name"):
        config.origins[place + part] = (document, path)
    spec, metadata = service.spec.DESCRIPTOR.fields_by_name, service.metadata.DESCRIPTOR.fields_by_name
    for key, item in reader.table(value, path).items():
        if key in _METADATA:
            reader.set(service.metadata, metadata[key], item, (*path, key), f"{place}.metadata.{key}")
        elif key in spec:
            reader.set(service.spec, spec[key], item, (*path, key), f"{place}.spec.{key}")
        else:
            reader.unknown((*path, key), [*spec, *_METADATA])
    config.services.append(service)
