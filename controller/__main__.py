"""The entry point: without a verb the program itself, with a verb a client of it."""
# ruff: noqa: ARG002 - the arguments of the methods are click's

import importlib
import keyword
import signal
from typing import Any

import click

from controller import settings
from controller.cli import VERBS
from controller.errors import DockRunnerError

_INTERRUPTED = 130  # as shells have it: 128 + SIGINT


class Program(click.Group):
    """The verbs, of which only the one that is used gets imported, and one way to end for all."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        name = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
        command = getattr(importlib.import_module(VERBS[cmd_name][0]), name)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, help_) for verb, (_, help_) in VERBS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except DockRunnerError as error:
            click.echo(f"error: {error}", err=True)
            raise click.exceptions.Exit(1) from error
        except KeyboardInterrupt:
            raise click.exceptions.Exit(_INTERRUPTED) from None


@click.group(
    cls=Program,
    invoke_without_command=True,
    subcommand_metavar="[VERB] …",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    epilog="Each option has an environment variable: --state-dir is DOCK_RUNNER_STATE_DIR. "
    "More about a verb: dock-runner VERB --help.",
)
@settings.options
@click.pass_context
def program(ctx: click.Context, /, **given: Any) -> None:
    """Keeps what runs in Docker equal to what a TOML file and gRPC calls declare.

    Without a verb it runs everything: the API, the watch on the file, the reconciling and the metrics.
    With a verb it is a client of what runs.
    """
    if ctx.invoked_subcommand is not None:
        _refuse_options_before_a_verb(ctx)
        return
    # Whoever asks for a reload before there is anything to be reloaded must not end the program.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    chosen = settings.from_options(given)
    app = importlib.import_module("controller.app")  # all of the program: only when it runs
    ctx.exit(app.run(chosen))


def _refuse_options_before_a_verb(ctx: click.Context) -> None:
    for param in ctx.command.params:
        if param.name and ctx.get_parameter_source(param.name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"{param.opts[0]} is for running the program; options of {ctx.invoked_subcommand} come after it"
            )


def main() -> None:
    """Runs the command line, and ends the process with its exit status."""
    program(prog_name="dock-runner")


if __name__ == "__main__":
    main()
