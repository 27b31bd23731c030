"""What files declare, and where in them something is wrong."""

import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from controller.config_agent import Config, ConfigError, Problem, read_config
from controller.errors import DockRunnerError, Violation

STANDARD_INPUT = Path("-")
_SHOWN_AS = "<stdin>"

_FIELD = re.compile(r"^services\[(\d+)\](.*)$", re.DOTALL)


class Declared:
    """The services of several files, in their order."""

    def __init__(self, configs: Sequence[Config]) -> None:
        self._configs = configs
        self.services = [service for config in configs for service in config.services]

    def located(self, violation: Violation) -> str:
        """What the server has against the whole set, with file, line and column where it is about a field of it."""
        field = _FIELD.match(violation.field)
        index = int(field[1]) if field else 0
        for config in self._configs if field else ():
            if index < len(config.services):
                position = config.position(f"services[{index}]{field[2] if field else ''}")
                if position is not None:
                    return str(_shown(Problem.at(position, violation.description)))
            index -= len(config.services)
        return str(violation)


def read(files: Sequence[Path]) -> Declared:
    """Reads files, folders of files, and ``-``: standard input.

    Raises:
        click.exceptions.Exit: something is wrong with them; every problem was said.
    """
    configs = []
    problems: list[Problem] = []
    for file in files:
        try:
            configs.append(_read_standard_input() if file == STANDARD_INPUT else read_config(file))
        except ConfigError as error:
            problems += map(_shown, error.problems)
    if problems:
        for problem in problems:
            click.echo(str(problem), err=True)
        raise click.exceptions.Exit(1)
    return Declared(configs)


def _read_standard_input() -> Config:
    """By way of a file, as files are what can be read safely. What is relative starts from the working folder."""
    content = sys.stdin.buffer.read()
    with tempfile.TemporaryDirectory(prefix="dock-runner-") as folder:
        file = Path(folder, _SHOWN_AS)
        try:
            file.write_bytes(content)
        except OSError as error:
            raise DockRunnerError(f"standard input cannot be kept: {error.strerror}") from error
        return read_config(file, Path.cwd())


def _shown(problem: Problem) -> Problem:
    """Under the name by which people know standard input."""
    return replace(problem, file=_SHOWN_AS) if problem.file.endswith(f"/{_SHOWN_AS}") else problem
