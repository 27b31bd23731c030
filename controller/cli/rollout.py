"""``rollout``: how far the update of a service is, what was before it, and the way back."""

import math
import sys
import time
from collections.abc import Callable

import click

from controller.cli import VERBS
from controller.errors import DockRunnerError
from controller.settings import Address, DurationType
from proto.dockrunner import v1 as pb

from . import rows
from .changes import each, report
from .client import Client, connect, get_service
from .documents import echo_json, fields
from .options import output_option, server_option, service_name
from .tables import Table, plain
from .waiting import Progress, lasting, services

FILE = "file"
"""The manager of what the server's own file declares."""


@click.group(help=VERBS["rollout"][1])
def rollout() -> None:
    pass


@rollout.command(
    help="""Follow the update of a service to its end.

Exit status 0 when all of it runs as it was declared last; 1 when that failed, was taken back, or took too long."""
)
@click.argument("name", metavar="NAME")
@click.option("--watch", type=bool, default=True, show_default=True, help="Wait for the end; =false: say it once.")
@click.option("--timeout", type=DurationType(), default=None, help="How long to wait at most.  [default: no limit]")
@server_option
def status(name: str, watch: bool, timeout: float | None, server: Address) -> None:
    name = service_name(name)
    with connect(server) as client:
        if watch:
            _follow(client, name, timeout)
        else:
            _, text = _standing(get_service(client, name))
            click.echo(plain(text))


def _follow(client: Client, name: str, timeout: float | None) -> None:
    """Says how far a service is at each step, until it is as declared.

    Raises:
        DockRunnerError: it failed, is gone, or ``timeout`` seconds passed; None is no limit.
    """
    progress, text = _Lines(), ""
    get_service(client, name)  # else it would be waited for
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    for known in services(client, deadline, name):
        if name not in known:
            progress.end()
            raise DockRunnerError(f"service/{name} was deleted meanwhile")
        try:
            done, text = _standing(known[name])
        except DockRunnerError:
            progress.end()
            raise
        if done:
            progress.end()
            click.echo(plain(text))
            return
        progress.show(text)
    progress.end()
    raise DockRunnerError(f"not at its end after {lasting(timeout or 0)}: {text or 'the server could not be watched'}")


def _standing(service: pb.Service) -> tuple[bool, str]:
    """Whether the update is at its end, and how far it is.

    Raises:
        DockRunnerError: it has failed, or was taken back.
    """
    name, status = f"service/{service.metadata.name}", service.status
    if service.metadata.HasField("delete_time"):
        raise DockRunnerError(f"{name} is being deleted")
    if not rows.is_current(service):
        return False, f"{name}: the controller has not looked at the new declaration yet"
    if failure := rows.failed_rollout(service):
        raise DockRunnerError(f"{name}: {failure}")
    if rows.is_converged(service):
        return True, f"{name} rolled out, {rows.ready(service)} ready"
    if status.HasField("rollout"):
        return False, f"{name}: {rows.rollout(service)}"
    ready = rows.condition(service, "Ready")
    if ready is not None and ready.status != "True":
        return False, f"{name}: {ready.message}"
    return False, f"{name}: {rows.telling_condition(service).message}"


class _Lines:
    """What goes on: a line for each change, or on a terminal one that is replaced."""

    def __init__(self) -> None:
        self._in_place = Progress(sys.stdout) if sys.stdout.isatty() else None
        self._last = ""

    def show(self, text: str) -> None:
        text = plain(text)
        if self._in_place is not None:
            self._in_place.say(text)
        elif text != self._last:
            click.echo(text)
            self._last = text

    def end(self) -> None:
        """Leaves the place to what comes last."""
        if self._in_place is not None:
            self._in_place.say("")


@rollout.command(help="List the revisions that a service can go back to; * marks the one that runs.")
@click.argument("name", metavar="NAME")
@output_option("table", "json")
@server_option
def history(name: str, output: str, server: Address) -> None:
    with connect(server) as client:
        service = get_service(client, service_name(name))
        kept = revisions(client, service)
    if output == "json":
        echo_json({"items": [fields(it) | {"present": rows.is_present(it, service)} for it in kept]})
    elif kept:
        Table(rows.REVISION_HEADS).print([rows.revision_row(it, service) for it in kept])
    else:
        click.echo("No revisions found.", err=True)


def revisions(client: Client, service: pb.Service) -> list[pb.Revision]:
    """What is kept of a service, the oldest first, as kubectl has it."""
    answer = client.call(client.stub.ListRevisions, pb.ListRevisionsRequest(name=service.metadata.name))
    return list(reversed(answer.revisions))


@rollout.command(help="Go back to the revision before the present one, or to another one that is kept.")
@click.argument("name", metavar="NAME")
@click.option("--to", "--to-revision", "number", type=click.IntRange(min=1), help="Its number in the history.")
@output_option("table", "json", "name")
@server_option
def undo(name: str, number: int | None, output: str, server: Address) -> None:
    name = service_name(name)
    with connect(server) as client:
        before = get_service(client, name)
        request = pb.RollbackRequest(name=name, revision=str(number or ""))
        service = client.call(client.stub.Rollback, request)
    changed = service.metadata.generation != before.metadata.generation
    report([service], "rolled back" if changed else "unchanged", output)
    if changed and service.metadata.manager == FILE:
        text = "the server's file still declares what was before: change it there too, or it comes back"
        click.echo(f"warning: {text}", err=True)


def _verb(name: str, help_: str, done: str, change: Callable[[Client, str], pb.Service]) -> None:
    """A verb that changes each of several services in the same way."""

    @rollout.command(name, help=help_)
    @click.argument("names", metavar="NAME…", nargs=-1, required=True)
    @output_option("table", "json", "name")
    @server_option
    def verb(names: tuple[str, ...], output: str, server: Address) -> None:
        wanted = dict.fromkeys(map(service_name, names))
        with connect(server) as client:
            changed, well = each(wanted, str, lambda it: change(client, it))
            report(changed, done, output)
        if not well:
            raise click.exceptions.Exit(1)


_verb(
    "restart", "Replace all containers of a service by fresh ones, as an update would.", "restarted",
    lambda client, name: client.call(client.stub.Restart, pb.RestartRequest(name=name)),
)  # fmt: skip
_verb(
    "pause", "Hold the updates of a service; what is declared meanwhile waits.", "paused",
    lambda client, name: client.call(client.stub.SetPaused, pb.SetPausedRequest(name=name, paused=True)),
)  # fmt: skip
_verb(
    "resume", "Let the updates of a service go on; one that a failure has stopped gets another try.", "resumed",
    lambda client, name: client.call(client.stub.SetPaused, pb.SetPausedRequest(name=name)),
)  # fmt: skip
