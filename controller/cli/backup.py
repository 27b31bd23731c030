"""``backup``: saves the server's journal to a file, which a new server can begin with."""

import os
from pathlib import Path

import click

from controller.cli import VERBS
from controller.errors import DockRunnerError
from controller.settings import Address
from proto.dockrunner import v1 as pb

from .client import connect
from .options import server_option


@click.command(
    help=f"""{VERBS["backup"][1]}

FILE is whole or not there at all. It holds what environments hold, so only its owner may read it."""
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@server_option
def backup(file: Path, server: Address) -> None:
    beside = file.with_name(f".{file.name}.new")
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as target:
            with connect(server) as client:
                target.writelines(answer.data for answer in client.stub.Backup(pb.BackupRequest()))
            target.flush()
            os.fsync(target.fileno())
            size = target.tell()
        beside.replace(file)
    except OSError as error:
        raise DockRunnerError(f"cannot write {file}: {(error.strerror or str(error)).lower()}") from error
    finally:
        beside.unlink(missing_ok=True)
    click.echo(f"saved {file}: {size} bytes", err=True)
