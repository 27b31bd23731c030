"""``apply``: makes services equal to what files declare, all or nothing."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from controller.cli import VERBS
from controller.errors import DockRunnerError
from controller.settings import Address, DurationType
from proto.dockrunner import v1 as pb

from . import waiting
from .client import MANAGER, Refused, connect
from .declared import Declared, read
from .documents import echo_json, fields
from .options import files_option, output_option, server_option
from .tables import plain

Step = pb.PlanStep


@click.command(
    help=f"""{VERBS["apply"][1]}

All of it is checked first; when anything is wrong nothing changes. With --dry-run nothing changes anyhow, and what
would follow for containers is listed."""
)
@files_option
@click.option("--prune", is_flag=True, help="Delete the services that were applied before and are in no FILE.")
@click.option("--dry-run", is_flag=True, help="Only say what would happen.")
@click.option("--force", is_flag=True, help="Take services over from another manager, such as the server's own file.")
@click.option("--wait", is_flag=True, help="Return when all of it runs as declared.")
@click.option("--timeout", type=DurationType(), default="5m", show_default=True, help="How long --wait may take.")
@click.option("--allow-empty", is_flag=True, help="With --prune: FILE may declare nothing, so that all is deleted.")
@output_option("table", "json", "name")
@server_option
def apply(
    files: tuple[Path, ...],
    prune: bool,
    dry_run: bool,
    force: bool,
    wait: bool,
    timeout: float,
    allow_empty: bool,
    output: str,
    server: Address,
) -> None:
    if not files:
        raise click.UsageError("-f FILE is missing: what is to be applied?")
    declared = read(files)
    if not declared.services and not prune:
        raise DockRunnerError(f"no service in {', '.join(map(str, files))}: nothing to apply")
    request = pb.ApplySetRequest(
        services=declared.services, manager=MANAGER, prune=prune, force=force, dry_run=dry_run, allow_empty=allow_empty
    )
    with connect(server) as client:
        try:
            response = client.call(client.stub.ApplySet, request)
        except Refused as error:
            _say_where(error, declared)
            raise
        _report(response, output, dry_run)
        if wait and not dry_run:
            generations = {result.service.metadata.name: result.service.metadata.generation
                           for result in response.results}  # fmt: skip
            waiting.wait_converged(client, generations, timeout)


def _say_where(error: Refused, declared: Declared) -> None:
    """Says every violation with its place in the file, and ends."""
    if error.violations:
        for violation in error.violations:
            click.echo(declared.located(violation), err=True)
        raise click.exceptions.Exit(1)


def _report(response: pb.ApplySetResponse, output: str, dry_run: bool) -> None:
    if output == "json":
        echo_json(fields(response))
        return
    behind = " (dry run)" if dry_run else ""
    for result in response.results:
        name = f"service/{result.service.metadata.name}"
        click.echo(name if output == "name" else f"{name} {pb.Outcome.Name(result.outcome).lower()}{behind}")
    for pruned in response.pruned:
        click.echo(f"service/{pruned}" if output == "name" else f"service/{pruned} pruned{behind}")
    if dry_run and output == "table":
        for line in plan_lines(response.plan):
            click.echo(f"  {line}")


def plan_lines(steps: Sequence[Step]) -> Iterator[str]:
    """A line for each step; a new and an old container in one slot are one replacement."""
    deleted = {(step.service, step.slot): step for step in steps if step.action == Step.DELETE}
    created = {(step.service, step.slot): step for step in steps if step.action == Step.CREATE}
    for step in steps:
        slot = (step.service, step.slot)
        what = f"{step.service}-{step.slot}"
        if slot in deleted and slot in created and step.action != Step.UPDATE:
            if step is created[slot]:
                yield f"replace {deleted[slot].container or what}: {plain(step.cause)}"
            elif step is not deleted[slot]:
                yield f"{Step.Action.Name(step.action).lower()} {step.container or what}: {plain(step.cause)}"
        else:
            yield f"{Step.Action.Name(step.action).lower()} {step.container or what}: {plain(step.cause)}"
