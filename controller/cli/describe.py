"""``describe``: all that is known of a service, and first of all why it is not as declared."""

from collections.abc import Iterable, Sequence

import click
import grpc

from controller.cli import VERBS
from controller.errors import DockRunnerError
from controller.settings import Address
from proto.dockrunner import v1 as pb

from . import rows
from .ages import age
from .client import Client, Refused, connect, not_found
from .options import server_option, service_name
from .tables import BAD, BUSY, GOOD, Cell, Row, Table
from .toml_text import services_toml
from .waiting import why

_EVENTS = 20  # the last so many
_INDENT = "  "
# What stands behind the finalizers of the framework.
_FINALIZERS = {
    "dock-runner.handlers": "its containers",
    "dock-runner.user-handlers": "handlers of yours (delete it with --force to pass over them)",
}


@click.command(help=VERBS["describe"][1])
@click.argument("words", metavar="[service] NAME", nargs=-1, required=True)
@server_option
def describe(words: tuple[str, ...], server: Address) -> None:
    name = _name(words)
    with connect(server) as client:
        service = _get(client, name)
        of_service = pb.ListContainersRequest(service=name)
        containers = [item for page in client.pages(client.stub.ListContainers, of_service) for item in page.containers]
        pages = client.pages(client.stub.ListEvents, pb.ListEventsRequest(service=name))
        events = [item for page in pages for item in page.events]
    _head(service)
    _conditions(service)
    _containers(containers)
    _spec(service)
    _events(events[-_EVENTS:])


def _name(words: Sequence[str]) -> str:
    if len(words) == 1:
        return service_name(words[0])
    if len(words) == 2 and words[0] in ("service", "services", "svc"):
        return words[1]
    raise click.UsageError("one service at a time: describe [service] NAME")


def _get(client: Client, name: str) -> pb.Service:
    try:
        return client.call(client.stub.Get, pb.GetRequest(name=name))
    except Refused as error:
        if error.code is grpc.StatusCode.NOT_FOUND:
            raise DockRunnerError(not_found("service", name)) from error
        raise


def _head(service: pb.Service) -> None:
    metadata, status = service.metadata, service.status
    if rows.is_converged(service):
        colour, standing = GOOD, f"as declared, {rows.ready(service)} ready"
    else:
        telling = rows.telling_condition(service)
        colour = BAD if telling.type == "Degraded" else BUSY
        standing = f"not as declared, {rows.ready(service)} ready: {why(service)}"
    lines: list[tuple[str, str | Cell]] = [
        ("Name:", metadata.name),
        ("Status:", Cell(standing, colour)),
        ("Manager:", metadata.manager or rows.NONE),
        ("Replicas:", f"{service.spec.replicas} wanted, {status.replicas} there, {status.updated_replicas} updated"),
        ("Restarts:", str(status.restarts)),
        ("Revision:", status.revision or rows.NONE),
        ("Generation:", f"{metadata.generation} (observed {status.observed_generation})"),
        ("Age:", age(metadata.create_time)),
        ("Labels:", ", ".join(f"{key}={value}" for key, value in sorted(metadata.labels.items())) or rows.NONE),
    ]
    if metadata.HasField("delete_time"):
        waits_for = ", ".join(_FINALIZERS.get(name, name) for name in metadata.finalizers) or "nothing"
        lines.insert(2, ("Deleting:", f"since {age(metadata.delete_time)}, waits for {waits_for}"))
    if service.status.HasField("rollout"):
        rollout = status.rollout
        reason = f", {rollout.reason}" if rollout.reason else ""
        lines.insert(2, ("Rollout:", f"{rollout.order}{reason}, since {age(rollout.start_time)}"))
    Table().print(lines)


def _section(title: str, heads: Sequence[str], lines: Sequence[Row]) -> None:
    if lines:
        click.echo(f"{title}:")
        Table(heads, indent=_INDENT).print(lines)
    else:
        click.echo(f"{title}: {rows.NONE}")


def _conditions(service: pb.Service) -> None:
    found = service.status.conditions
    lines = [(item.type, item.status, item.reason, age(item.last_transition_time), item.message) for item in found]
    _section("Conditions", ("TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"), lines)


def _containers(containers: Iterable[pb.Container]) -> None:
    _section("Containers", rows.CONTAINER_HEADS_WIDE, [rows.container_row(item, wide=True) for item in containers])


def _spec(service: pb.Service) -> None:
    click.echo("Spec:")
    for line in services_toml([service]).splitlines():
        click.echo(f"{_INDENT}{line}" if line else "")


def _events(events: Sequence[pb.Event]) -> None:
    _section("Events", rows.EVENT_HEADS, [rows.event_row(item) for item in events])
