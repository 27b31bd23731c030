"""``delete``: marks services for deletion, which takes their containers along."""

from collections.abc import Sequence
from pathlib import Path

import click

from controller.cli import VERBS
from controller.settings import Address, DurationType
from proto.dockrunner import v1 as pb

from . import waiting
from .changes import each, report
from .client import MANAGER, connect
from .options import files_option, output_option, server_option, service_name


@click.command(
    help=f"""{VERBS["delete"][1]}

Either each NAME, or each service that FILE declares."""
)
@click.argument("names", metavar="[NAME]…", nargs=-1)
@files_option
@click.option("--wait", is_flag=True, help="Return when they and their containers are gone.")
@click.option("--timeout", type=DurationType(), default="5m", show_default=True, help="How long --wait may take.")
@click.option(
    "--force",
    is_flag=True,
    help="Also services of another manager, such as the server's own file. One that is being deleted already waits for "
    "its containers alone from then on, and no longer for handlers of yours.",
)
@click.option(
    "--volumes",
    is_flag=True,
    help="Remove their named volumes as well, unless they are external or another service has them.",
)
@output_option("table", "json", "name")
@server_option
def delete(
    names: tuple[str, ...],
    files: tuple[Path, ...],
    wait: bool,
    timeout: float,
    force: bool,
    volumes: bool,
    output: str,
    server: Address,
) -> None:
    if bool(names) == bool(files):
        raise click.UsageError("either NAMEs or -f FILE: what is to be deleted?")
    wanted = _declared(files) if files else [service_name(name) for name in names]
    with connect(server) as client:
        deleted, well = each(
            dict.fromkeys(wanted),
            str,
            lambda name: client.call(
                client.stub.Delete, pb.DeleteRequest(name=name, manager=MANAGER, force=force, volumes=volumes)
            ),
        )
        report(deleted, "deleted", output)
        if wait and deleted:
            uids = {service.metadata.name: service.metadata.uid for service in deleted}
            waiting.wait_gone(client, uids, timeout)
    if not well:
        raise click.exceptions.Exit(1)


def _declared(files: Sequence[Path]) -> list[str]:
    # Reading files takes more modules than all the rest.
    from .declared import read

    return [service.metadata.name for service in read(files).services]
