"""``describe``: all that is known of a service, and first of all why it is not as declared."""

from collections.abc import Iterable, Sequence

import click

from controller.cli import VERBS
from controller.settings import Address
from proto.dockrunner import v1 as pb

from . import rows
from .ages import age
from .client import connect, get_service
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
        service = get_service(client, name)
        of_service = pb.ListContainersRequest(service=name)
        containers = [item for page in client.pages(client.stub.ListContainers, of_service) for item in page.containers]
        kept = client.call(client.stub.ListRevisions, pb.ListRevisionsRequest(name=name)).revisions
        pages = client.pages(client.stub.ListEvents, pb.ListEventsRequest(service=name))
        events = [item for page in pages for item in page.events]
    _head(service)
    _conditions(service)
    _containers(containers)
    _revisions(reversed(kept), service)
    _spec(service)
    _events(events[-_EVENTS:])


def _name(words: Sequence[str]) -> str:
    if len(words) == 1:
        return service_name(words[0])
    if len(words) == 2 and words[0] in ("service", "services", "svc"):
        return words[1]
    raise click.UsageError("one service at a time: describe [service] NAME")


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
        lines.insert(2, ("Rollout:", _rollout(service)))
    Table().print(lines)


def _rollout(service: pb.Service) -> str:
    """What it is and how it is done: ``in progress, 1 of 3 updated …: …; stop-first, fixed port, since 5s``."""
    rollout = service.status.rollout
    how = ", ".join(part for part in (rollout.order, rollout.reason) if part)
    began = f"since {age(rollout.start_time)}" if rollout.HasField("start_time") else ""
    parts = (rows.rollout(service), ", ".join(part for part in (how, began) if part))
    return "; ".join(part for part in parts if part)


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


def _revisions(kept: Iterable[pb.Revision], service: pb.Service) -> None:
    _section("Revisions", rows.REVISION_HEADS, [rows.revision_row(item, service) for item in kept])


def _spec(service: pb.Service) -> None:
    click.echo("Spec:")
    for line in services_toml([service]).splitlines():
        click.echo(f"{_INDENT}{line}" if line else "")


def _events(events: Sequence[pb.Event]) -> None:
    _section("Events", rows.EVENT_HEADS, [rows.event_row(item) for item in events])
