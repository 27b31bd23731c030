"""``import``: writes the TOML for a compose file."""

import os
from pathlib import Path

import click

from controller.cli import VERBS


@click.command(
    name="import",
    help=f"""{VERBS["import"][1]}

Variables are filled in from the environment and from .env beside the file. What cannot be carried over is a comment
at its place that says why. Save it beside the compose file: dock-runner import compose.yaml > services.toml""",
)
@click.argument("compose_file", type=click.Path(path_type=Path))
def import_(compose_file: Path) -> None:
    # With them comes what reads the file, which `--help` has no need of.
    from .conversion import toml_of
    from .project import read_project

    project = read_project(compose_file, os.environ)
    click.echo(toml_of(project), nl=False)
