"""Waiting until services are as declared, or gone: by watching, and again from the start when the watch breaks."""

import shutil
import sys
import time
from collections.abc import Iterator, Mapping

import click
import grpc

from controller.errors import DockRunnerError
from proto.dockrunner import v1 as pb

from . import rows
from .ages import short
from .client import Client, refusal

TIMEOUT = 300.0  # seconds
_RETRY = 0.2  # seconds

# What a server that restarts, or a client that is slow, brings about: the next list mends it.
_PASSING = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
)

Services = Mapping[str, pb.Service]


def wait_converged(client: Client, generations: Mapping[str, int], timeout: float) -> None:
    """Returns when each service runs as declared at the generation given or a later one.

    Raises:
        DockRunnerError: ``timeout`` seconds passed, and why each is not; or one was deleted meanwhile.
    """
    progress = _Progress()
    known: Services = {}
    for known in _services(client, time.monotonic() + timeout):
        for name in generations:
            if name not in known or known[name].metadata.HasField("delete_time"):
                raise DockRunnerError(f"{_what(name)} was deleted meanwhile")
        waiting = [name for name, generation in generations.items() if not _reached(known[name], generation)]
        progress.show([f"{name} {rows.ready(known[name])}" for name in waiting])
        if not waiting:
            return
    progress.show([])
    late = [name for name, generation in generations.items() if name in known and not _reached(known[name], generation)]
    raise DockRunnerError(
        f"not ready after {_lasting(timeout)}:" + "".join(f"\n  {_what(name)}: {why(known[name])}" for name in late)
        if late
        else f"the server could not be watched for {_lasting(timeout)}"
    )


def wait_gone(client: Client, uids: Mapping[str, str], timeout: float) -> None:
    """Returns when no service of these names has the uid given any more.

    Raises:
        DockRunnerError: ``timeout`` seconds passed.
    """
    progress = _Progress()
    there = list(uids)
    for known in _services(client, time.monotonic() + timeout):
        there = [name for name, uid in uids.items() if name in known and known[name].metadata.uid == uid]
        progress.show(there)
        if not there:
            return
    progress.show([])
    raise DockRunnerError(f"still there after {_lasting(timeout)}: {', '.join(map(_what, there))}")


def why(service: pb.Service) -> str:
    """Why it is not as declared, in a sentence."""
    if not rows.is_current(service):
        return "the controller has not looked at the new declaration yet"
    ready = rows.condition(service, "Ready")
    if ready is not None and ready.status != "True":
        return ready.message
    return rows.telling_condition(service).message


def _reached(service: pb.Service, generation: int) -> bool:
    return service.metadata.generation >= generation and rows.is_converged(service)


def _lasting(seconds: float) -> str:
    return short(seconds) if seconds >= 1 else f"{seconds:g}s"


def _what(name: str) -> str:
    return f"service/{name}"


def _services(client: Client, deadline: float) -> Iterator[Services]:
    """All services, again after each change, until the deadline on the monotonic clock."""
    while (left := deadline - time.monotonic()) > 0:
        known: dict[str, pb.Service] = {}
        complete = False
        try:
            for change in client.stub.Watch(pb.WatchRequest(send_initial_events=True), timeout=left):
                if change.type == pb.DELETED:
                    known.pop(change.service.metadata.name, None)
                elif change.type != pb.BOOKMARK:
                    known[change.service.metadata.name] = change.service
                complete |= change.type == pb.BOOKMARK  # the first one ends what was there at the start
                if complete:
                    yield known
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                return
            if error.code() not in _PASSING:
                raise refusal(error, client.address) from error
        time.sleep(min(_RETRY, max(0.0, deadline - time.monotonic())))


class _Progress:
    """One line on a terminal that says what is waited for; nothing where no person looks."""

    def __init__(self) -> None:
        self._stream = sys.stderr
        self._on = self._stream.isatty()

    def show(self, waiting: list[str]) -> None:
        """Replaces the line; nothing to wait for removes it."""
        if self._on:
            text = f"waiting for {', '.join(waiting)}" if waiting else ""
            width = shutil.get_terminal_size().columns - 1
            click.echo(f"\r\x1b[K{text[:width]}", nl=False, file=self._stream)
