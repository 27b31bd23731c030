"""``get``: lists of objects, as tables or for programs."""

from collections.abc import Sequence
from typing import Any

import click

from controller.cli import VERBS
from controller.errors import DockRunnerError
from controller.settings import Address
from proto.dockrunner import v1 as pb

from .client import connect, not_found
from .documents import echo_json, echo_line, fields
from .options import output_option, server_option, service_name
from .resources import BY_NAME, SERVICES, Resource
from .tables import Table


@click.command(
    help=f"""{VERBS["get"][1]}

RESOURCE is services (svc), containers (c) or events (ev). A NAME of a service also finds its containers and its events.
With -w and -o json each change is one line: type, resource_version and the object."""
)
@click.argument("resource", metavar="RESOURCE")
@click.argument("names", metavar="[NAME]…", nargs=-1)
@click.option("-l", "--selector", default="", metavar="SELECTOR", help="By labels: a=b,c!=d,e in (x,y),f,!g")
@click.option("-w", "--watch", is_flag=True, help="Then go on with each change.")
@output_option("table", "wide", "json", "toml", "name")
@server_option
def get(resource: str, names: tuple[str, ...], selector: str, watch: bool, output: str, server: Address) -> None:
    kind, names = _target(resource, names)
    if selector and not kind.has_labels:
        raise click.UsageError(f"{kind.kind}s have no labels to select by")
    if output == "toml" and (kind is not SERVICES or watch):
        raise click.UsageError("-o toml is for services, without -w")
    with connect(server) as client:
        objects, version = kind.find(client, names, selector)
        missing = [] if watch else kind.missing(objects, names)
        single = len(names) == 1 and kind is SERVICES
        printer = _Printer(kind, output)
        if not (missing and not objects):
            printer.first(objects, version, single=single, watch=watch)
        for name in missing:
            click.echo(f"error: {not_found(kind.kind, name)}", err=True)
        if missing:
            raise click.exceptions.Exit(1)
        if watch:
            for change in kind.stream(client, names, selector, version):
                printer.change(change)
            raise DockRunnerError("the server ended the watch")


def _target(resource: str, names: Sequence[str]) -> tuple[Resource, tuple[str, ...]]:
    """Also kubectl's ``get service/web``."""
    word, slash, name = resource.partition("/")
    if word not in BY_NAME:
        raise click.UsageError(f"there is no resource {word!r}; there are services, containers and events")
    return BY_NAME[word], (*((name,) if slash else ()), *map(service_name, names))


class _Printer:
    """Prints objects of one kind in one form."""

    def __init__(self, kind: Resource, output: str) -> None:
        self._kind = kind
        self._output = output
        self._wide = output == "wide"
        self._table = Table(kind.heads_wide if self._wide else kind.heads)

    def first(self, objects: Sequence[Any], version: str, *, single: bool, watch: bool) -> None:
        """The list that everything begins with."""
        if self._output == "json" and watch:
            for obj in objects:
                echo_line("ADDED", obj.metadata.resource_version, self._kind.kind, obj)
        elif self._output == "json" and single:
            echo_json(fields(objects[0]))
        elif self._output == "json":
            echo_json({"items": [fields(obj) for obj in objects], "resource_version": version})
        elif self._output == "toml":
            from .toml_text import services_toml

            click.echo(services_toml(objects), nl=False)
        elif self._output == "name":
            self._names(objects)
        elif objects:
            self._table.print([self._kind.row(obj, wide=self._wide) for obj in objects])
        elif not watch:
            click.echo(f"No {self._kind.kind}s found.", err=True)

    def change(self, change: Any) -> None:
        """One change of a watch."""
        obj = getattr(change, self._kind.kind)
        if self._output == "json":
            echo_line(pb.ChangeType.Name(change.type), change.resource_version, self._kind.kind, obj)
        elif self._output == "name":
            self._names([obj])
        else:
            self._table.print([self._kind.row(obj, wide=self._wide, gone=change.type == pb.DELETED)])

    def _names(self, objects: Sequence[Any]) -> None:
        for obj in objects:
            click.echo(f"{self._kind.kind}/{obj.metadata.name}")
