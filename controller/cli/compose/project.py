"""A compose project put together from its files: variables filled in, `include` and `extends` resolved."""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .document import MAX_SIZE, Document, Items, Note, Section, Text, Value, read_document
from .errors import ComposeError
from .interpolation import Variables
from .merge import merged, moved, with_path

RESOURCES = ("networks", "volumes", "secrets", "configs")
_READ = {"services", "include", *RESOURCES}
_SILENT = {"version", "name"}
_OVERRIDES = re.compile(r"(?:docker-)?compose\.ya?ml")
_NOT_CARRIED = {"models": "Dock Runner runs no models; run one as a service"}


@dataclass
class Project:
    """What compose would run. ``folder`` is what its paths start from, absolute; ``resources`` are by kind;
    ``remarks`` is what is to be said at the top."""

    name: str
    file: Path
    folder: Path
    variables: Variables
    header: tuple[str, ...] = ()
    services: Section = field(default_factory=Section)
    resources: dict[str, Section] = field(default_factory=lambda: {kind: Section() for kind in RESOURCES})
    remarks: list[str] = field(default_factory=list)


def read_project(file: Path, environment: Mapping[str, str]) -> Project:
    """Reads a compose file with those that it names.

    Raises:
        ComposeError: compose would not take it.
    """
    return _Reading(file, environment).project()


@dataclass
class _File:
    """One file read: its variables are filled in, its paths start from the project's folder."""

    document: Document
    services: Section


class _Reading:
    def __init__(self, file: Path, environment: Mapping[str, str]) -> None:
        self._path = file
        self._environment = environment
        self._folder = Path(os.path.abspath(file)).parent
        variables = Variables(environment)
        if (self._folder / ".env").is_file():
            variables.read(self._folder / ".env")
        self._project = Project(_project_name(self._folder.name), file, self._folder, variables)
        self._files: dict[Path, _File] = {}
        self._included: list[Path] = []

    def project(self) -> Project:
        project = self._project
        main = self._file(self._path, project.variables, self._folder)
        project.header = main.document.header
        name = main.document.top.get("name") or project.variables.values.get("COMPOSE_PROJECT_NAME")
        if isinstance(name, str):
            filled = project.variables.fill(self._path, Text.written(name))
            project.name = _project_name(str(filled))
        self._take(main, project.variables, self._folder)
        if not project.services:
            raise ComposeError(f"{self._path}: declares no service: is it the file that you meant?")
        self._say_unread(main.document.top)
        return project

    def _file(self, path: Path, variables: Variables, folder: Path) -> _File:
        where = Path(os.path.abspath(path))
        if where not in self._files:
            document = read_document(path, _content(path))
            _check_version(document)
            services = document.top.get("services")
            if services is not None and not isinstance(services, Section):
                raise ComposeError(f"{path}: `services` is not a mapping: write each service below its name")
            lead = os.path.relpath(folder, self._folder)
            kept = Section()
            for name, service in (services or {}).items():
                filled = variables.fill(path, service)
                if not isinstance(filled, Section):
                    raise ComposeError(f"{path}: the service `{name}` is not a mapping: give it at least an `image`")
                kept.put(name, moved(filled, lead), services.note(name) if services is not None else Note())
            self._files[where] = _File(document, kept)
        return self._files[where]

    def _take(self, file: _File, variables: Variables, folder: Path) -> None:
        """Adds what one file declares to the project, and what it includes."""
        for name in file.services:
            if name in self._project.services:
                raise ComposeError(f"{file.document.file}: the service `{name}` is declared in two files: rename one")
            service = self._extended(file, name, variables, folder, ())
            self._project.services.put(name, service, file.services.note(name))
        lead = os.path.relpath(folder, self._folder)
        for kind in RESOURCES:
            declared = variables.fill(file.document.file, file.document.top.get(kind))
            if declared is None:
                continue
            if not isinstance(declared, Section):
                raise ComposeError(f"{file.document.file}: `{kind}` is not a mapping: write each below its name")
            for name, resource in declared.items():
                if lead != "." and isinstance(resource, Section):
                    resource = with_path(resource, "file", lead)
                self._project.resources[kind].put(name, resource, declared.note(name))
        self._include(file.document, variables)

    def _include(self, document: Document, variables: Variables) -> None:
        entries = variables.fill(document.file, document.top.get("include"))
        for entry in entries if isinstance(entries, Items) else [entries] if entries else []:
            section = entry if isinstance(entry, Section) else Section()
            paths = section.get("path") if isinstance(entry, Section) else entry
            own = Path(os.path.abspath(document.file)).parent
            given = section.get("project_directory")
            for path in paths if isinstance(paths, Items) else [paths]:
                if not isinstance(path, Text):
                    raise ComposeError(f"{document.file}: an entry of `include` has no path")
                self._include_one(own / path, own / given if isinstance(given, Text) else None, section, variables)

    def _include_one(self, path: Path, folder: Path | None, entry: Section, outer: Variables) -> None:
        if path in self._included:
            raise ComposeError(f"{path}: is included twice, or includes itself: remove one")
        self._included.append(path)
        folder = Path(os.path.normpath(folder or path.parent))
        variables = Variables(self._environment, outer.values)
        given = entry.get("env_file")
        files = [
            path.parent / item for item in (given if isinstance(given, Items) else [given]) if isinstance(item, Text)
        ]
        for file in files or [folder / ".env"]:
            if files or file.is_file():
                variables.read(file)
        variables.used = self._project.variables.used
        self._take(self._file(path, variables, folder), variables, folder)

    def _extended(
        self, file: _File, name: str, variables: Variables, folder: Path, before: tuple[tuple[Path, str], ...]
    ) -> Section:
        service = file.services[name]
        assert isinstance(service, Section)  # noqa: S101  # seen when the file was read
        if "extends" not in service:
            return service
        here = (file.document.file, name)
        if here in before:
            raise ComposeError(f"{file.document.file}: the service `{name}` extends itself")
        base_name, base_file = _extends(file, name, service["extends"])
        other = file
        if base_file is not None:
            path = folder / base_file
            folder = Path(os.path.normpath(path)).parent
            other = self._file(path, variables, folder)
        if base_name not in other.services:
            known = ", ".join(other.services) or "none"
            raise ComposeError(
                f"{file.document.file}: `{name}` extends `{base_name}`, which is not there; there is {known}"
            )
        base = self._extended(other, base_name, variables, folder, (*before, here))
        own = Section()
        for key, value in service.items():
            if key != "extends":
                own.put(key, value, service.note(key))
        result = merged(base, own)
        assert isinstance(result, Section)  # noqa: S101  # as both are
        return result

    def _say_unread(self, top: Section) -> None:
        remarks = self._project.remarks
        for key in top:
            if key not in _READ | _SILENT and not key.startswith("x-"):
                remarks.append(
                    f"not carried over: {key} ({_NOT_CARRIED.get(key, 'not a key of the Compose specification')})"
                )
        if _OVERRIDES.fullmatch(self._path.name):
            override = self._path.with_name(f"{self._path.stem}.override{self._path.suffix}")
            if override.is_file():
                remarks.append(
                    f"not read: {override.name}, which compose merges into this; `docker compose config` does it"
                )


def _content(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ComposeError(f"{path} is not a file: name the compose file itself")
        with open(path, "rb") as file:
            return file.read(MAX_SIZE + 1)
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise ComposeError(f"{path} cannot be read: {reason}") from None


def _check_version(document: Document) -> None:
    top = document.top
    if _READ & top.keys():
        return
    if top and all(isinstance(value, Section) and ("image" in value or "build" in value) for value in top.values()):
        raise ComposeError(
            f"{document.file}: is of version 1, which compose no longer reads: put all of it below `services:`"
        )
    raise ComposeError(f"{document.file}: is not a compose file: it has no `services:`")


def _extends(file: _File, name: str, value: Value) -> tuple[str, str | None]:
    """Service and file that a service extends."""
    if isinstance(value, Text):
        return str(value), None
    if isinstance(value, Section):
        service, other = value.get("service"), value.get("file")
        if isinstance(service, Text) and (other is None or isinstance(other, Text)):
            return str(service), other and str(other)
    raise ComposeError(f"{file.document.file}: `{name}` has an `extends` without a `service`")


def _project_name(text: str) -> str:
    """As compose makes a name of a folder's."""
    return re.sub(r"[^-_a-z0-9]", "", text.lower()).lstrip("_-") or "project"
