"""``restore``: makes what is declared what a backup says, while the server runs."""

from collections.abc import Iterator
from pathlib import Path

import click

from controller.cli import VERBS
from controller.errors import DockRunnerError
from controller.settings import Address
from proto.dockrunner import v1 as pb

from .client import connect
from .options import server_option

_PIECE = 256 * 1024  # bytes


@click.command(
    help=f"""{VERBS["restore"][1]}

All or nothing: services that FILE has are made or changed, others are deleted with their containers. What the
server's own file declares stays as it is. A server that cannot start, as its journal is damaged, says how FILE takes
its place."""
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--dry-run", is_flag=True, help="Check everything, say what would be done, change nothing.")
@server_option
def restore(file: Path, dry_run: bool, server: Address) -> None:
    try:
        with file.open("rb") as source, connect(server) as client:

            def pieces() -> Iterator[pb.RestoreRequest]:
                while data := source.read(_PIECE):
                    yield pb.RestoreRequest(data=data, dry_run=dry_run)

            done = client.stub.Restore(pieces())
    except OSError as error:
        raise DockRunnerError(f"cannot read {file}: {(error.strerror or str(error)).lower()}") from error
    suffix = " (dry run)" if dry_run else ""
    for name in done.restored:
        click.echo(f"service/{name} restored{suffix}")
    for name in done.deleted:
        click.echo(f"service/{name} deleted{suffix}")
    if not done.restored and not done.deleted:
        click.echo(f"everything is as {file} has it{suffix}")
