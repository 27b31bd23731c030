"""Options and arguments that verbs share. Cheap to import."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from controller.settings import PREFIX, AddressType, default_server

_SERVICE_PREFIXES = re.compile(r"^(?:services?|svc)/")


def service_name(text: str) -> str:
    """The name in ``web``, ``service/web`` or ``svc/web``."""
    return _SERVICE_PREFIXES.sub("", text)


server_option = click.option(
    "--server",
    metavar="ADDR",
    type=AddressType(),
    envvar=f"{PREFIX}_SERVER",
    default=default_server,
    help=f"Where dock-runner serves: unix:/path or host:port; also {PREFIX}_SERVER.  [default: the default socket]",
)


def output_option(*forms: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``-o``, with the forms that a verb can give; the first is the default."""
    return click.option("-o", "--output", type=click.Choice(forms), default=forms[0], help="Form of the output.")


files_option = click.option(
    "-f",
    "--file",
    "files",
    metavar="FILE",
    type=click.Path(path_type=Path),
    multiple=True,
    help="TOML file, folder of *.toml, or - for standard input; repeatable.",
)
