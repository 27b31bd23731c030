"""``scale``: sets how many containers of a service run, and nothing else."""

import click

from controller.cli import VERBS
from controller.settings import Address
from proto.dockrunner import v1 as pb

from .changes import each, report
from .client import connect
from .options import output_option, server_option, service_name


@click.command(help=VERBS["scale"][1])
@click.argument("targets", metavar="NAME=N…", nargs=-1, required=True)
@click.option("--force", is_flag=True, help="Also where another manager, such as the server's file, set the number.")
@output_option("table", "json", "name")
@server_option
def scale(targets: tuple[str, ...], force: bool, output: str, server: Address) -> None:
    requests = [_request(target, force) for target in targets]
    with connect(server) as client:
        scaled, well = each(
            requests, lambda request: request.name, lambda request: client.call(client.stub.Scale, request)
        )
        report(scaled, "scaled", output)
    if not well:
        raise click.exceptions.Exit(1)


def _request(target: str, force: bool) -> pb.ScaleRequest:
    name, _, number = target.partition("=")
    if not name or not (number.isascii() and number.isdigit() and len(number) < 10):
        raise click.UsageError(f"{target!r} is not NAME=N, such as web=3")
    return pb.ScaleRequest(name=service_name(name), replicas=int(number), force=force)
