"""One service on its way from compose to TOML, and what all services share on that way."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from .document import Items, Section, Text, Value
from .errors import Misfit
from .layout import Table, TomlValue
from .needs import Needs
from .project import Project
from .scalars import left_out

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?")
_LONGEST = 42
_ALIAS = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


@dataclass
class Shared:
    """What all services of a project share."""

    project: Project
    names: Mapping[str, str]
    """Ours for each name of a service in the compose file."""
    aliases: Mapping[str, list[str]]
    """Further DNS names, by the service's name in the compose file."""
    awaited: frozenset[str]
    """Services whose end another one waits for."""
    needs: dict[str, Needs] = field(default_factory=dict)
    """What each service needs of a policy, by our names."""
    relative: bool = False
    """Whether anything starts from the folder of the file."""
    undeclared: dict[str, None] = field(default_factory=dict)
    """Networks that are named and not declared."""


@dataclass
class Draft:
    """One service: as compose has it (``raw``), and the table that it becomes."""

    source: str
    raw: Section
    shared: Shared
    table: Table = field(default_factory=Table)

    @property
    def needs(self) -> Needs:
        name = self.shared.names[self.source]
        return self.shared.needs.setdefault(name, Needs(str(self.shared.project.folder)))

    @property
    def aliases(self) -> list[str]:
        return self.shared.aliases.get(self.source, [])

    def set(self, key: str, value: TomlValue, after: str = "") -> None:
        """Sets a field of ours; one that is there already stays.

        Raises:
            Misfit: it is.
        """
        if self.table.get(key) is not None:
            raise Misfit(f"{key} is there already")
        self.table.set(key, value, after=after)

    def comment(self, text: str) -> None:
        self.table.comment(text)

    def left_out(self, key: str, value: Value, why: str) -> None:
        self.comment(left_out(key, value, why))


Converter: TypeAlias = Callable[[Draft, str, Value], None]
"""Takes the draft, the key in the compose file and its value; raises Misfit to leave it out."""


def new_names(services: Iterable[str]) -> dict[str, str]:
    """A name that fits for each service: its own where that does."""
    services = list(services)
    taken = {name for name in services if _NAME.fullmatch(name)}
    names: dict[str, str] = {}
    for service in services:
        name = service
        if not _NAME.fullmatch(service):
            base = re.sub("[^a-z0-9]+", "-", service.lower()).strip("-")[:_LONGEST].strip("-") or "service"
            name, count = base, 1
            while name in taken:
                count += 1
                name = f"{base[: _LONGEST - 4].strip('-')}-{count}"
            taken.add(name)
        names[service] = name
    return names


def is_alias(name: str) -> bool:
    """Whether a service can be reached by that name beside its own."""
    return _ALIAS.fullmatch(name) is not None


def further_names(services: Section, names: Mapping[str, str]) -> dict[str, list[str]]:
    """DNS names that others may know a service by: its name before, its container's, and those of links."""
    found: dict[str, dict[str, None]] = {}
    for service, value in services.items():
        assert isinstance(value, Section)  # noqa: S101  # seen when it was read
        candidates = [(service, service), (service, value.get("container_name"))]
        links = value.get("links")
        for link in links if isinstance(links, Items) else []:
            other, _, alias = link.partition(":") if isinstance(link, Text) else ("", "", "")
            candidates.append((other, alias))
        for owner, alias_ in candidates:
            if owner in names and isinstance(alias_, str) and is_alias(alias_) and alias_ != names[owner]:
                found.setdefault(owner, {})[str(alias_)] = None
    return {service: list(aliases) for service, aliases in found.items()}


def awaited(services: Section) -> frozenset[str]:
    """The services whose end another one waits for."""
    found: set[str] = set()
    for value in services.values():
        waits = value.get("depends_on") if isinstance(value, Section) else None
        for name, how in waits.items() if isinstance(waits, Section) else ():
            if isinstance(how, Section) and how.get("condition") == "service_completed_successfully":
                found.add(name)
    return frozenset(found)
