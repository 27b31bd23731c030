"""``watch``: the stream of changes as the API sends it."""

import click

from controller.cli import VERBS
from controller.errors import DockRunnerError
from controller.settings import Address
from proto.dockrunner import v1 as pb

from . import rows
from .client import connect
from .documents import echo_line
from .options import output_option, server_option, service_name
from .tables import Table


@click.command(
    help=f"""{VERBS["watch"][1]}

It begins with what is there, as ADDED, and a BOOKMARK; with --since, with the first change after that version."""
)
@click.argument("name", required=False, default="")
@click.option("--since", default="", metavar="RESOURCE_VERSION", help="Go on after this version.")
@output_option("table", "json")
@server_option
def watch(name: str, since: str, output: str, server: Address) -> None:
    table = Table(("TYPE", "NAME", "READY", "UPDATED", "STATUS", "RESOURCE-VERSION"))
    request = pb.WatchRequest(name=service_name(name), resource_version=since, send_initial_events=not since)
    version = since
    with connect(server) as client:
        for change in client.stub.Watch(request):
            version = change.resource_version or version
            _print(change, output, table)
    again = f"; go on with --since {version}" if version else ""
    raise DockRunnerError(f"the server ended the watch{again}")


def _print(change: pb.WatchResponse, output: str, table: Table) -> None:
    type_, service = pb.ChangeType.Name(change.type), change.service
    is_bookmark = change.type == pb.BOOKMARK
    if output == "json":
        echo_line(type_, change.resource_version, "service", None if is_bookmark else service)
    elif is_bookmark:
        table.print([(type_, "", "", "", "", change.resource_version)])
    else:
        state = rows.status(service, gone=change.type == pb.DELETED)
        updated = str(service.status.updated_replicas)
        table.print([(type_, service.metadata.name, rows.ready(service), updated, state, change.resource_version)])
