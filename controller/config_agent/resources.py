"""``[networks]``, ``[volumes]``, ``[secrets]`` and ``[configs]``: each is put into every service that names it.

The API has services alone, so that each of them says all that there is to say about it.
"""

import difflib
import os
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from proto.dockrunner import v1 as pb

from .includes import MAX_CONTENT, Includes
from .messages import MessageReader
from .problem import NotThatForm, Path, show
from .scalars import mismatch

DEFAULT_NETWORK = "default"
_DEFINITIONS: dict[str, type[Message]] = {"networks": pb.NetworkDefinition, "volumes": pb.VolumeDefinition}
_CONTENTS = {"secrets": ("file", "environment"), "configs": ("file", "environment", "content")}
KINDS = (*_DEFINITIONS, *_CONTENTS)


@dataclass
class _Declared:
    """One resource of the file. ``message`` is a definition; of a content, ``source`` says where it is taken from."""

    reader: MessageReader
    path: Path
    message: Message | None = None
    source: tuple[str, str] | None = None


@dataclass
class Resources:
    """What is declared beside the services, by kind and name.

    ``inlined`` maps the place of what was put into a service, as a server names it, to the place of the resource.
    """

    includes: Includes
    inlined: dict[str, str] = field(default_factory=dict)
    _declared: dict[tuple[str, str], _Declared] = field(default_factory=dict)

    def read(self, reader: MessageReader, kind: str, value: Any) -> None:
        """Reads one such table of a document."""
        for name, item in reader.table(value, (kind,)).items():
            path: Path = (kind, name)
            known = self._declared.get((kind, name))
            if known is not None:
                first = known.reader.document.position(known.path)
                reader.problem(path, f"is declared a second time; the first is at {first}")
                continue
            declared = self._declared[kind, name] = _Declared(reader, path)
            reader.note(f"{kind}.{name}", path)
            if kind in _DEFINITIONS:
                declared.message = _DEFINITIONS[kind]()
                reader.fill(declared.message, reader.table(item, path), path, f"{kind}.{name}")
            else:
                declared.source = _source(reader, kind, reader.table(item, path), path)

    def inline(self, service: pb.Service, place: str, reader: MessageReader) -> None:
        """Puts what is declared into a service; ``place`` is its spec's as a server names it."""
        for name, attachment in service.spec.networks.items():
            here = f"{place}.networks.{name}"
            self._define("networks", name, attachment, here, reader)
        for number, mount in enumerate(service.spec.volumes):
            if mount.type in ("", "volume") and mount.source:
                self._define("volumes", mount.source, mount, f"{place}.volumes.{number}", reader)
        if (
            not service.spec.networks
            and not service.spec.network_mode
            and ("networks", DEFAULT_NETWORK) in self._declared
        ):
            attachment = service.spec.networks[DEFAULT_NETWORK]
            self._define("networks", DEFAULT_NETWORK, attachment, f"{place}.networks.default", reader)
        for number, secret in enumerate(service.spec.secrets):
            if not secret.version or ("secrets", secret.source) in self._declared:
                self._fill_in("secrets", secret, f"{place}.secrets.{number}", reader)
        for number, config in enumerate(service.spec.configs):
            self._fill_in("configs", config, f"{place}.configs.{number}", reader)

    def _define(
        self, kind: str, name: str, target: pb.NetworkAttachment | pb.Mount, place: str, reader: MessageReader,
    ) -> None:  # fmt: skip
        declared = self._declared.get((kind, name))
        if declared is not None and declared.message is not None:
            target.definition.CopyFrom(declared.message)  # type: ignore[arg-type]  # the one of its kind
            self.inlined[f"{place}.definition"] = f"{kind}.{name}"
        elif kind == "networks" and name != DEFAULT_NETWORK:
            self._undeclared(kind, name, reader.place(place), reader)

    def _fill_in(self, kind: str, target: pb.Secret | pb.Config, place: str, reader: MessageReader) -> None:
        declared = self._declared.get((kind, target.source))
        if declared is None:
            self._undeclared(kind, target.source, reader.place(place), reader)
            return
        target.content = self._content(declared)
        self.inlined[f"{place}.content"] = f"{kind}.{target.source}"

    def _undeclared(self, kind: str, name: str, path: Path, reader: MessageReader) -> None:
        names = sorted(known for of, known in self._declared if of == kind)
        near = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean `{near[0]}`?" if near else f"declare it as [{kind}.{show(name)}]"
        reader.problem(path, f"there is no {kind.removesuffix('s')} {show(name)}; {hint}")

    def _content(self, declared: _Declared) -> bytes:
        """Looked for when a service names it, and not before."""
        if declared.source is None:
            return b""
        key, value = declared.source
        try:
            return self._taken(declared, key, value) or b""
        except NotThatForm as error:
            declared.reader.problem((*declared.path, key), str(error))
            return b""

    def _taken(self, declared: _Declared, key: str, value: str) -> bytes | None:
        if key == "file":
            return self.includes.content(declared.reader.document.folder, value, MAX_CONTENT)
        if key == "environment":
            if value not in os.environ:
                raise NotThatForm(f"there is no variable {show(value)} in the environment of this program")
            value = os.environ[value]
        content = value.encode(errors="surrogateescape")
        if len(content) > MAX_CONTENT:
            raise NotThatForm(f"larger than {MAX_CONTENT // 1024} KiB")
        return content


def _source(reader: MessageReader, kind: str, table: Any, path: Path) -> tuple[str, str] | None:
    """Where a content is taken from; None after something was wrong."""
    keys = _CONTENTS[kind]
    if "external" in table:
        reader.problem((*path, "external"), f"is not supported for {kind}: name its content by {' or '.join(keys)}")
        return None
    for key in table:
        if key not in keys:
            reader.unknown((*path, key), keys)
    given = [key for key in keys if key in table]
    if len(given) != 1:
        reader.problem(path, f"needs one of {', '.join(keys)}" + (f", and has {len(given)}" if given else ""))
        return None
    value = table[given[0]]
    if not isinstance(value, str):
        reader.problem((*path, given[0]), mismatch("a string", value))
        return None
    return given[0], value
